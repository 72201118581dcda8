"""Kinds of columns: texts or numbers, labels, a label for each step."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from elman.data.text.unknown import UnknownTally
from elman.errors import DataError
from elman.settings.series import SeriesSettings
from elman.tasks.task import Unknown

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from elman.data.ragged.ragged import Ragged
    from elman.data.tables.labels import Labels
    from elman.data.text.start_rows import StartRows
    from elman.data.text.subwords import SubwordCoder
    from elman.data.text.vocabulary import Vocabulary
    from elman.settings.text import EncoderSettings

SHOWN_LABELS = 12
SHOWN_TEXT = 60
NUMERIC_FILES = "Series: .ts, .arff, CSV or TSV with a series or a step a row, or JSONL with lists of numbers."


def vocabulary_sizes(known: "Vocabulary | None") -> dict[str, Any]:
    """Return the number of tokens, and how many of them have no trained row in a network."""
    if known is None:
        return {"vocabulary_size": None, "unused_ids": 0}
    unused = sum(name in ("padding", "unknown") for name in known.specials)
    return {"vocabulary_size": len(known), "unused_ids": unused}


class Text:
    """Texts, or sequences of numbers, as `EncoderSettings` say; encoded they are a `Ragged` batch.

    Attributes:
        vocabulary: the tokens; None for numbers.
        subwords: what cuts words into subwords; None for other tokens.
        features: numbers of a step; None for texts.
        start: pretrained rows of the embedding, while a model is trained.
        channels: names of the numbers of a step; empty if they have none.
        notes: on what was learned, a line each.
    """

    def __init__(self, settings: "EncoderSettings"):
        self.settings = settings
        self.vocabulary: Vocabulary | None = None
        self.subwords: SubwordCoder | None = None
        self.features: int | None = None
        self.start: StartRows | None = None
        self.channels: Sequence[str] = ()
        self.notes: list[str] = []

    def learn(self, values: Sequence[Any], folder: "Path | None" = None) -> "Ragged":
        """Learn the vocabulary, unless one was given before, and encode the values."""
        # These import torch.
        from elman.data.text.encoder import SequenceEncoder

        if self.settings.tokens == "values":
            batch = self._numbers(values)
        elif self.vocabulary is None:
            encoder = SequenceEncoder(self.settings)
            batch = encoder.adapt_and_encode(values)
            self.vocabulary, self.subwords = encoder.vocabulary, encoder.subwords
        else:
            batch = self._encoded(values, None)
        if self.settings.vectors is not None and self.vocabulary is not None:
            batch = self._start_from_vectors(values, batch)
        self.features = batch.data.shape[1] if self.vocabulary is None else None
        return batch

    def _start_from_vectors(self, values: Sequence[Any], batch: "Ragged") -> "Ragged":
        """Read the vectors of the vocabulary, which may grow, and return the batch encoded with it."""
        from elman.data.text.encoder import SequenceEncoder
        from elman.data.text.start_rows import coverage, read_start_rows

        assert self.vocabulary is not None
        learned = len(self.vocabulary.tokens)
        is_token = SequenceEncoder(self.settings).is_token
        self.vocabulary, self.start, duplicates = read_start_rows(self.settings, self.vocabulary, is_token)
        if len(self.vocabulary.tokens) > learned:
            batch = self._encoded(values, None)
        self.notes = [coverage(self.start, self.vocabulary, batch.data, learned, duplicates)]
        return batch

    def encode(
        self,
        values: Sequence[Any],
        *,
        unknown: Unknown | None = None,
        folder: "Path | None" = None,
        tally: UnknownTally | None = None,
    ) -> "Ragged":
        """Encode texts or arrays as `SequenceEncoder.encode` does.

        Raises:
            ShapeError: arrays of another number of features than in training.
        """
        return self._encoded(values, unknown, tally)

    def _encoded(self, values: Sequence[Any], unknown: Unknown | None, tally: UnknownTally | None = None) -> "Ragged":
        from elman.data.text.encoder import SequenceEncoder

        if self.settings.tokens == "values":
            return self._numbers(values)
        encoder = SequenceEncoder(self.settings, self.vocabulary, self.subwords)
        return encoder.encode(values, unknown=unknown, tally=tally)

    def _numbers(self, values: Sequence[Any]) -> "Ragged":
        # This imports torch.
        from elman.data.series.arrays import series_batch

        self._refuse_texts(values)
        return series_batch(values, getattr(self.settings, "missing", "error"), self.features)

    def _refuse_texts(self, values: Sequence[Any]) -> None:
        """Refuse texts, and lists of them, where series of numbers are read.

        Raises:
            DataError: names the first of them, and what the model reads.
        """
        for number, value in enumerate(values, start=1):
            first = next(iter(value), None) if isinstance(value, list | tuple) else value
            if isinstance(first, str | bytes):
                a_step = "" if self.features is None else f" ({self.features:,} a step)"
                raise DataError(
                    f"Expected a series of numbers{a_step}, got a text.",
                    where=f"sequence {number}: {str(value)[:SHOWN_TEXT]!r}",
                    fix=f"Give {NUMERIC_FILES[0].lower()}{NUMERIC_FILES[1:]}",
                )

    @property
    def identity(self) -> dict[str, str]:
        """Hashes of what was learned that a run must have again to be resumed, by what it is."""
        return {} if self.start is None else {"vectors": self.start.digest}

    def sizes(self) -> dict[str, Any]:
        """Return the sizes that a network of `elman.networks` needs to read the batches."""
        numbers = self.settings if isinstance(self.settings, SeriesSettings) else None
        sizes = {"features": self.features, "ngrams": self.settings.ngrams, "start": self.start, "numbers": numbers}
        return {**vocabulary_sizes(self.vocabulary), **sizes}

    def to_json(self) -> dict[str, Any]:
        """Return the vocabulary and the model of subwords, or the number of features."""
        known = None if self.vocabulary is None else self.vocabulary.to_json()
        found = {"vocabulary": known, "features": self.features}
        return found if self.subwords is None else {**found, "subwords": self.subwords.to_json()}

    def load(self, document: Mapping[str, Any]) -> None:
        """Take over what `to_json` gave."""
        from elman.data.text.vocabulary import Vocabulary

        self.vocabulary = None if document["vocabulary"] is None else Vocabulary.from_json(document["vocabulary"])
        self.features = document["features"]
        if "subwords" in document:
            # sentencepiece is an extra.
            from elman.data.text.coders import coder_from_json

            self.subwords = coder_from_json(document["subwords"])  # pyright: ignore[reportAttributeAccessIssue]


def prepare_numbers(network: Any, encoder: Text, batch: Any, *, fit: bool) -> None:
    """Learn the scale of sequences of numbers, and note the channels that are constant.

    Args:
        network: new.
        encoder: of the sequences.
        batch: of the training set.
        fit: false where a checkpoint has the scale.
    """
    # These import torch.
    from elman.nn.number_input import NumberInput
    from elman.nn.scaling import constant_note

    found: list[int] = []
    for part in network.modules():
        if isinstance(part, NumberInput):
            found = part.fit(batch)
    if fit:
        encoder.notes += constant_note(found, encoder.channels)


class Label:
    """One label per row; encoded they are their positions `(rows,)`.

    Attributes:
        known: the labels, in order; None before they are learned.
        counts: how often each occurs in the training set; empty for a loaded model.
    """

    def __init__(self, settings: Any = None):
        self.known: Labels | None = None
        self.counts: list[int] = []

    @property
    def labels(self) -> list[Any]:
        """The labels, in order; none before they are learned."""
        return [] if self.known is None else list(self.known.classes)

    def learn(self, values: Sequence[Any], folder: "Path | None" = None) -> "Tensor":
        """Learn the labels, and encode the values.

        Raises:
            DataError: there is only one label, or a label of another type than text, whole number or truth value.
        """
        # Imported late: numpy is needed only for training.
        from elman.data.tables.labels import Labels, labels_of

        self.known = Labels.of(labels_of(values))
        found = self.encode(values)
        self.counts = found.bincount(minlength=len(self.labels)).tolist()
        return found

    def encode(
        self, values: Sequence[Any], *, unknown: Unknown | None = None, folder: "Path | None" = None
    ) -> "Tensor":
        """Encode labels.

        Raises:
            DataError: a label that training never saw.
        """
        return self.positions(values)

    def positions(self, values: Sequence[Any], names: Sequence[str] = ()) -> "Tensor":
        """Return the positions of labels.

        Args:
            values: the labels.
            names: of each label in messages; its number if not given.
        """
        import torch

        from elman.data.tables.labels import labels_of

        assert self.known is not None
        labels = labels_of(values)
        self.known.check_known(labels, names)
        return torch.tensor(self.known.positions(labels), dtype=torch.int64)

    def described(self) -> str:
        """Return the labels in words, the first of many."""
        more = " …" if len(self.labels) > SHOWN_LABELS else ""
        return f"{len(self.labels)} labels: {', '.join(map(str, self.labels[:SHOWN_LABELS]))}{more}"

    def to_json(self) -> dict[str, Any]:
        """Return the labels."""
        return {"labels": self.labels}

    def load(self, document: Mapping[str, Any]) -> None:
        """Take over what `to_json` gave."""
        from elman.data.tables.labels import Labels

        self.known = Labels.from_json(document["labels"])


class StepLabels:
    """A label for each step of a row; encoded they are a `Ragged` batch of positions `(total,)`.

    Attributes:
        each: the labels of single steps.
    """

    def __init__(self, settings: Any = None):
        self.each = Label(settings)

    def learn(self, values: Sequence[Sequence[Any]], folder: "Path | None" = None) -> "Ragged":
        """Learn the labels, and encode the values."""
        self.each.learn([label for row in values for label in row])
        return self.encode(values)

    def encode(
        self, values: Sequence[Sequence[Any]], *, unknown: Unknown | None = None, folder: "Path | None" = None
    ) -> "Ragged":
        """Encode a list of labels for each row."""
        from elman.data.ragged.ragged import Ragged

        names = [f"text {row}, step {step}" for row, each in enumerate(values, 1) for step in range(1, len(each) + 1)]
        positions = self.each.positions([label for row in values for label in row], names)
        return Ragged(positions, [len(row) for row in values])

    def to_json(self) -> dict[str, Any]:
        """Return the labels."""
        return self.each.to_json()

    def load(self, document: Mapping[str, Any]) -> None:
        """Take over what `to_json` gave."""
        self.each.load(document)
