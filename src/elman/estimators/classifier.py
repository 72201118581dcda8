"""The classifier: one label for each sequence."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from elman.cells.archive import cell_from_json
from elman.compiler.cell import Cell
from elman.errors import DataError, ShapeError
from elman.estimators.base import Estimator, Kept, archive_cell
from elman.model import NetworkSettings, SequenceNetwork
from elman.saved import SavedModel
from elman.sequences.batches import plan_batches
from elman.sequences.encoder import EncoderSettings, SequenceEncoder, check_texts
from elman.sequences.finite import check_finite
from elman.sequences.given import in_validation_data, values_of
from elman.sequences.header import TEXT_NAMES
from elman.sequences.labels import Label, Labels, labels_of
from elman.sequences.ragged import Ragged
from elman.sequences.split import split_rows
from elman.sequences.table_format import TableFormat
from elman.sequences.unknown import UnknownTally
from elman.sequences.vocabulary import Vocabulary
from elman.settings import check_settings
from elman.tasks.classify import Classify
from elman.training.generators import own_generators
from elman.training.listener import Listener
from elman.training.record import History
from elman.training.settings import TrainingSettings
from elman.training.trainer import Trainer

PREDICTION_TOKENS = 20_000


class ClassifierSettings(EncoderSettings, NetworkSettings, TrainingSettings):
    """Every setting of a classifier: how sequences are read, the network's layers, the training, and these.

    Args:
        label_smoothing: the part of each target's probability that is spread over all labels.
        class_weight: `balanced` weighs each label by the inverse of its frequency.
        validation_fraction: the part of the training set, the same of each label, that is held out to judge the epochs
            when no validation set is given.
    """

    label_smoothing: float = Field(0.0, ge=0, lt=1)
    class_weight: Literal["balanced"] | None = None
    validation_fraction: float = Field(0.0, ge=0, lt=1)


@dataclass(frozen=True)
class Pretrained:
    """What a network has learned elsewhere, to start from.

    Args:
        vocabulary: the tokens it knows.
        weights: parameters by their names in the network, such as `body.layer0.input/0`; the others are drawn anew.
    """

    vocabulary: Vocabulary | None
    weights: Mapping[str, Tensor]


class LabelledSequences:
    """Sequences with the positions of their labels, as the trainer reads them."""

    def __init__(self, sequences: Ragged, targets: Tensor):
        self.sequences = sequences
        self.targets = targets
        self.lengths: list[int] = sequences.lengths.tolist()

    @property
    def fingerprint(self) -> str:
        """A hash of the sequences and their labels."""
        parts = (self.sequences.data, self.sequences.lengths, self.targets)
        return hashlib.sha256(b"".join(part.numpy().tobytes() for part in parts)).hexdigest()

    def select(self, rows: list[int]) -> "LabelledSequences":
        """Those of these rows, in this order."""
        return LabelledSequences(self.sequences.select(rows), self.targets[rows])

    def batch(self, indices: list[int]) -> tuple[Ragged, Tensor]:
        """These sequences and their targets."""
        return self.sequences.select(indices), self.targets[indices]

    def __len__(self) -> int:
        return len(self.lengths)


class SequenceClassifier(Estimator):
    """One label for each sequence: words, sentences, or series of numbers.

    Args:
        settings: by name, those of `ClassifierSettings`, `EncoderSettings`, `NetworkSettings` and `TrainingSettings`;
            `cell` may also be a cell itself. They are checked when the model is fitted, all at once.

    Attributes:
        classes_: the labels, in order.
        history_: what training recorded, epoch by epoch.
        model_: the network.
        vocabulary_: the tokens it knows; None for sequences of numbers.

    Raises:
        UsageError: a setting that does not exist.

    >>> model = SequenceClassifier(hidden_size=8, epochs=30, learning_rate=0.02, batch_size=2)
    >>> model.fit(["abab", "ba", "ccd", "dcd"], ["ab", "ab", "cd", "cd"]).predict(["baba", "dd"])
    array(['ab', 'cd'], dtype='<U2')
    """

    settings_class = ClassifierSettings
    task = Classify.name
    noun = "classifier"
    fitted_by = "fit(sequences, labels)"

    model_: SequenceNetwork
    # How the file that it was trained on was read, if it was a file: other files are read in the same way.
    table_format_: TableFormat | None = None

    def fit(
        self,
        X: Sequence[Any],
        y: Sequence[Any],
        *,
        validation: tuple[Sequence[Any], Sequence[Any]] | None = None,
        folder: str | Path | None = None,
        resume: bool = False,
        listener: Listener | None = None,
        start: Pretrained | None = None,
    ) -> Self:
        """Train on labelled sequences.

        Fits in several threads of a process take turns, see `elman.training.Trainer.run`.

        Args:
            X: texts, or arrays `(time, feature)` for `tokens="values"`; or a data frame that has them as its column
                `text`, or as its only column of a usual name such as `review`.
            y: a label for each: strings, integers or truth values, all of one type.
            validation: sequences and labels by which epochs are compared.
            folder: where checkpoints and the log go; nothing is written without it.
            resume: continue the run that was stopped in that folder.
            listener: told how it goes; `elman.training.progress.progress_for(sys.stderr)` prints it.
            start: a vocabulary and weights to start from, in place of drawn ones.

        Raises:
            UsageError: settings that make no sense.
            DataError: data that cannot be learned from.
            TrainingError: the loss is no longer a number.
            TrainingInterrupted: Ctrl-C; the run is saved in the folder and can be resumed.
        """
        settings: ClassifierSettings = self.settings()
        sequences, labels = _checked_data(X, y)
        known = Labels.of(labels)
        classes = known.to_json()
        kept, apart = list(range(len(sequences))), list[int]()
        if validation is None and settings.validation_fraction:
            kept, apart = split_rows(sequences, labels, settings.validation_fraction, settings.seed)
        encoder = SequenceEncoder(settings, None if start is None else start.vocabulary)
        if start is None:
            if settings.tokens != "values":
                check_texts(sequences)
            encoder.fit([sequences[row] for row in kept])
        # All are read before the split, so that messages count the sequences as they were given.
        train = self._examples(encoder, known, sequences, labels)
        held = train.select(apart) if apart else None
        train = train.select(kept) if apart else train
        features = train.sequences.data.shape[1] if settings.tokens == "values" else None
        if validation is not None:
            with in_validation_data():
                held = self._examples(encoder, known, *_checked_data(*validation))
                _check_width(held.sequences, features)
        network = self._new_network(settings, encoder, len(classes), features)
        if start is not None:
            _start_from(network, start.weights)
        task = _task(settings, classes, train.targets)
        trainer = Trainer(
            network,
            task,
            train,
            held,
            settings,
            folder=None if folder is None else Path(folder),
            identity={"labels": classes, "cell": archive_cell(network.body)},
            listener=listener,
        )
        self.history_: History = trainer.run(resume=resume)
        self._encoder, self._task, self._settings, self._labels = encoder, task, settings, known
        self.classes_ = known.array()
        self.vocabulary_ = encoder.vocabulary
        self.model_ = network.eval()
        return self

    def _new_network(
        self, settings: ClassifierSettings, encoder: SequenceEncoder, outputs: int, features: int | None
    ) -> SequenceNetwork:
        cell = None if settings.cell == "none" else self._own_cell(settings.cell_options)
        with own_generators([], settings.seed):
            return _network(settings, encoder.vocabulary, outputs, features, cell)

    @staticmethod
    def _examples(
        encoder: SequenceEncoder,
        known: Labels,
        sequences: Sequence[Any],
        labels: Sequence[Label],
        unknown: str | None = None,
        tally: UnknownTally | None = None,
    ) -> LabelledSequences:
        targets = torch.tensor(known.positions(labels))
        return LabelledSequences(encoder.encode(sequences, unknown=unknown, tally=tally), targets)

    def predict(self, X: Sequence[Any], *, unknown: Literal["allow", "refuse"] | None = None) -> np.ndarray:
        """The most probable label of each sequence, `(sequences,)`.

        Args:
            X: sequences.
            unknown: what becomes of tokens that training never saw, for this call; see `EncoderSettings`.

        Raises:
            NotFittedError: the model has not been fitted.
            DataError: sequences that cannot be read.
        """
        probabilities = self.predict_proba(X, unknown=unknown)
        return self.classes_[probabilities.argmax(1)]

    def predict_proba(
        self,
        X: Sequence[Any],
        *,
        unknown: Literal["allow", "refuse"] | None = None,
        tally: UnknownTally | None = None,
    ) -> np.ndarray:
        """The probability of each label, in the order of `classes_`: `(sequences, labels)`; see `predict`.

        Args:
            X: sequences.
            unknown: as for `predict`.
            tally: counts the tokens, and those that training never saw.
        """
        self._require_fitted()
        batch = self._encoder.encode(_sequences_of(X), unknown=unknown, tally=tally)
        return self._task.probabilities(self._outputs(batch).double()).numpy()

    def _outputs(self, batch: Ragged) -> Tensor:
        _check_width(batch, self.model_.features)
        outputs = torch.empty(batch.batch_size, len(self.classes_))
        plan = plan_batches(batch.lengths.tolist(), tokens_per_batch=PREDICTION_TOKENS, shuffle=False)
        with torch.inference_mode():
            for indices in plan:
                outputs[indices] = self.model_(batch.select(indices))
        check_finite(outputs)
        return outputs

    def score(self, X: Sequence[Any], y: Sequence[Any]) -> float:
        """The accuracy: the part of the sequences whose most probable label is right."""
        return self.evaluate(X, y)["accuracy"]

    def evaluate(
        self, X: Sequence[Any], y: Sequence[Any], *, unknown: Literal["allow", "refuse"] | None = None
    ) -> dict[str, Any]:
        """Every score on labelled sequences.

        Returns:
            `accuracy`, `macro_f1`, `loss` (nats), `majority` (the accuracy of always giving the most frequent label),
            `count`, `labels`, `confusion`: how often each label (row) was answered as each (column), `tokens`, and
            `unknown`: how many of the tokens training never saw.

        Raises:
            DataError: a label that the model does not know; as for `predict` otherwise.
        """
        self._require_fitted()
        sequences, labels = _checked_data(X, y)
        tally = UnknownTally()
        examples = self._examples(self._encoder, self._labels, sequences, labels, unknown, tally)
        outputs = self._outputs(examples.sequences)
        return {
            **self._task.scores(outputs, examples.targets),
            "majority": int(examples.targets.bincount().max()) / len(examples),
            "count": len(examples),
            "labels": self.classes_.tolist(),
            "confusion": self._task.confusion(outputs, examples.targets),
            "tokens": tally.tokens,
            "unknown": tally.unknown,
        }

    def _kept(self) -> Kept:
        labels = ", ".join(map(str, self.classes_[:12])) + (" …" if len(self.classes_) > 12 else "")
        return Kept(
            f"Gives each sequence of {self._settings.tokens} one of {len(self.classes_)} labels: {labels}.",
            {} if self.vocabulary_ is None else self.vocabulary_.to_json(),
            {
                "labels": self._labels.to_json(),
                "features": self.model_.features,
                "table": None if self.table_format_ is None else self.table_format_.to_json(),
            },
        )

    @classmethod
    def _restore(cls, saved: SavedModel) -> Self:
        config, tensors, vocabulary = saved.config, saved.tensors, saved.vocabulary
        settings = check_settings(ClassifierSettings, config["settings"])
        model = cls(**settings.model_dump())
        known = Vocabulary.from_json(vocabulary) if vocabulary else None
        cell = cell_from_json(config["cell"]) if config["cell"] else None
        network = _network(settings, known, len(config["labels"]), config["features"], cell)
        network.load_state_dict(dict(tensors))
        model._encoder = SequenceEncoder(settings, known)
        model._task = Classify(config["labels"], label_smoothing=settings.label_smoothing)
        model._settings = settings
        model._labels = Labels.from_json(config["labels"])
        model.classes_ = model._labels.array()
        model.table_format_ = TableFormat.from_json(config["table"]) if config.get("table") else None
        model.vocabulary_ = known
        model.model_ = network.eval()
        model.history_ = History.from_json(config["history"])
        return model

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn asks of an estimator, so that its searches and pipelines take this one."""
        # Only scikit-learn itself calls this.
        from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags

        return Tags(
            estimator_type="classifier",
            target_tags=TargetTags(required=True),
            classifier_tags=ClassifierTags(),
            input_tags=InputTags(string=True, two_d_array=False),
        )


def _sequences_of(X: Any) -> list[Any]:
    return values_of(X, "sequences", column="text", usual=TEXT_NAMES)


def _checked_data(X: Any, y: Any) -> tuple[list[Any], list[Label]]:
    sequences, labels = _sequences_of(X), labels_of(y)
    if len(sequences) != len(labels):
        raise DataError(
            f"There are {len(sequences)} sequences and {len(labels)} labels.", fix="Give one label for each sequence."
        )
    if not sequences:
        raise DataError("There is no sequence.", fix="Give one or more, each with its label.")
    return sequences, labels


def _check_width(batch: Ragged, features: int | None) -> None:
    if features is not None and batch.batch_size and batch.data.shape[1] != features:
        raise ShapeError(
            f"The sequences have {batch.data.shape[1]} features a step, and the model reads {features}.",
            fix="Give arrays (time, feature) with the features it was trained on.",
        )


def _task(settings: ClassifierSettings, classes: Sequence[Any], targets: Tensor) -> Classify:
    weights = None
    if settings.class_weight == "balanced":
        counts = targets.bincount(minlength=len(classes)).clamp(min=1)
        weights = (len(targets) / (len(classes) * counts)).tolist()
    return Classify(classes, label_smoothing=settings.label_smoothing, class_weights=weights)


def _network(
    settings: NetworkSettings, vocabulary: Vocabulary | None, outputs: int, features: int | None, cell: Cell | None
) -> SequenceNetwork:
    return SequenceNetwork(
        settings,
        outputs,
        vocabulary_size=None if vocabulary is None else len(vocabulary),
        unused_ids=0 if vocabulary is None else sum(name in ("padding", "unknown") for name in vocabulary.specials),
        features=features,
        ngrams=settings.ngrams if isinstance(settings, EncoderSettings) else 1,
        cell=cell,
    )


def _start_from(network: SequenceNetwork, weights: Mapping[str, Tensor]) -> None:
    own = network.state_dict()
    wrong = [
        f"{name}: {tuple(value.shape)} came, {tuple(own[name].shape) if name in own else 'no such parameter'} is here"
        for name, value in weights.items()
        if name not in own or own[name].shape != value.shape
    ]
    if wrong:
        raise ShapeError("The weights to start from do not fit the network.", where="\n".join(wrong))
    network.load_state_dict({**own, **weights})
