"""Kinds of columns: texts or numbers, labels, a label for each step."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from elman.errors import DataError, ShapeError
from elman.sequences.listing import listed
from elman.tasks.task import Unknown

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from elman.sequences.ragged import Ragged
    from elman.sequences.vocabulary import Vocabulary
    from elman.settings.text import EncoderSettings

SHOWN_LABELS = 12


class Text:
    """Texts, or sequences of numbers, as `EncoderSettings` say; encoded they are a `Ragged` batch.

    Attributes:
        vocabulary: the tokens; None for numbers.
        features: numbers of a step; None for texts.
    """

    def __init__(self, settings: "EncoderSettings"):
        self.settings = settings
        self.vocabulary: Vocabulary | None = None
        self.features: int | None = None

    def learn(self, values: Sequence[Any], folder: "Path | None" = None) -> "Ragged":
        """Learn the vocabulary, unless one was given before, and encode the values."""
        # These import torch.
        from elman.sequences.encoder import SequenceEncoder

        if self.vocabulary is None:
            self.vocabulary = SequenceEncoder(self.settings).fit(values).vocabulary
        batch = self._encoded(values, None)
        self.features = batch.data.shape[1] if self.vocabulary is None else None
        return batch

    def encode(
        self, values: Sequence[Any], *, unknown: Unknown | None = None, folder: "Path | None" = None
    ) -> "Ragged":
        """Encode texts or arrays; see `SequenceEncoder.encode`.

        Raises:
            ShapeError: arrays of another number of features than in training.
        """
        batch = self._encoded(values, unknown)
        if self.features is not None and batch.batch_size and batch.data.shape[1] != self.features:
            raise ShapeError(
                f"The sequences have {batch.data.shape[1]} features a step, and the model reads {self.features}.",
                fix="Give arrays (time, feature) with the features it was trained on.",
            )
        return batch

    def _encoded(self, values: Sequence[Any], unknown: Unknown | None) -> "Ragged":
        from elman.sequences.encoder import SequenceEncoder

        return SequenceEncoder(self.settings, self.vocabulary).encode(values, unknown=unknown)

    def sizes(self) -> dict[str, Any]:
        """Return what a network must know to read the batches: arguments of those in `elman.model`."""
        known = self.vocabulary
        return {
            "vocabulary_size": None if known is None else len(known),
            "unused_ids": 0 if known is None else sum(name in ("padding", "unknown") for name in known.specials),
            "features": self.features,
            "ngrams": self.settings.ngrams,
        }

    def to_json(self) -> dict[str, Any]:
        """Return the vocabulary, or the number of features."""
        return {"vocabulary": None if self.vocabulary is None else self.vocabulary.to_json(), "features": self.features}

    def load(self, document: Mapping[str, Any]) -> None:
        """Take over what `to_json` gave."""
        from elman.sequences.vocabulary import Vocabulary

        self.vocabulary = None if document["vocabulary"] is None else Vocabulary.from_json(document["vocabulary"])
        self.features = document["features"]


class Label:
    """One label a row; encoded they are their positions `(rows,)`.

    Attributes:
        labels: in order.
        counts: how often each occurs in the training set; empty for a loaded model.
    """

    def __init__(self, settings: Any = None):
        self.labels: list[Any] = []
        self.counts: list[int] = []

    def learn(self, values: Sequence[Any], folder: "Path | None" = None) -> "Tensor":
        """Learn the labels, and encode the values.

        Raises:
            DataError: there is one label only, or a label of another type than text, whole number or truth value.
        """
        _check(values)
        self.labels = sorted(set(values), key=lambda label: (str(type(label)), label))
        if len(self.labels) < 2:
            raise DataError(
                f"There is only one label, {self.labels[0]!r}.", fix="Give sequences of two or more labels."
            )
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
        return self.positions(values, [f"label {number}" for number in range(1, len(values) + 1)])

    def positions(self, values: Sequence[Any], places: Sequence[str]) -> "Tensor":
        """Return the positions of labels; an error names the places of those that are wrong."""
        import torch

        _check(values)
        position = {label: index for index, label in enumerate(self.labels)}
        strange = [(place, label) for place, label in zip(places, values, strict=True) if label not in position]
        if strange:
            names = sorted({str(label) for _, label in strange})
            raise DataError(
                f"There are labels that the model does not know: {', '.join(names)}.",
                where="\n".join(listed([f"{place}: {label!r}" for place, label in strange])),
                fix=f"It knows {', '.join(sorted(map(str, self.labels)))}. Is this the right column?",
            )
        return torch.tensor([position[label] for label in values], dtype=torch.int64)

    def described(self) -> str:
        """Return the labels in words, the first of many."""
        more = " …" if len(self.labels) > SHOWN_LABELS else ""
        return f"{len(self.labels)} labels: {', '.join(map(str, self.labels[:SHOWN_LABELS]))}{more}"

    def to_json(self) -> dict[str, Any]:
        """Return the labels."""
        return {"labels": self.labels}

    def load(self, document: Mapping[str, Any]) -> None:
        """Take over what `to_json` gave."""
        self.labels = list(document["labels"])


def _check(labels: Sequence[Any]) -> None:
    wrong = [number for number, label in enumerate(labels, 1) if not isinstance(label, str | int)]
    if wrong:
        raise DataError(
            f"Label {wrong[0]} is {labels[wrong[0] - 1]!r}.", fix="Labels are strings, whole numbers or truth values."
        )


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
        from elman.sequences.ragged import Ragged

        places = [f"text {row}, step {step}" for row, each in enumerate(values, 1) for step in range(1, len(each) + 1)]
        positions = self.each.positions([label for row in values for label in row], places)
        return Ragged(positions, [len(row) for row in values])

    def to_json(self) -> dict[str, Any]:
        """Return the labels."""
        return self.each.to_json()

    def load(self, document: Mapping[str, Any]) -> None:
        """Take over what `to_json` gave."""
        self.each.load(document)
