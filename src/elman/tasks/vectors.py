"""Vectors as the input of a task: rows of numbers of one length."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from elman.data.text.unknown import UnknownTally
from elman.errors import DataError, ShapeError
from elman.tasks.rows import Rows
from elman.tasks.task import Column, Known, Unknown, Values

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor


class VectorRows(Rows):
    """Rows of a vector and a text: a row of numbers in a table, or a list of numbers in JSONL."""

    noun = "vectors"
    help = "Vectors with texts: CSV or TSV with a column for each number, or JSONL with lists of numbers."
    numeric_files = help
    options = tuple(option for option in Rows.options if option.name in ("header", "separator", "encoding"))

    def read(
        self,
        path: str | Sequence[str],
        columns: Sequence[Column],
        options: Mapping[str, Any],
        *,
        known: Known | None = None,
    ) -> Values:
        """Read a table.

        Raises:
            DataError: it cannot be read so, or has texts in place of vectors.
        """
        found = super().read(path, columns, options, known=known)
        first = next(iter(found.columns.values()))
        if any(isinstance(value, str) for value in first):
            raise DataError(
                "Expected rows of numbers with a text each, got texts.",
                where=found.names[0] if found.names else found.source,
                fix="Give a column for each number (at least three), and name that of the texts with --target.",
            )
        # What a step is belongs to the texts that are written.
        return replace(found, settings={})

    def facts(self, values: Values) -> str:
        """Return the number of vectors."""
        return f"{len(next(iter(values.columns.values()))):,} {self.noun}"


class VectorInput:
    """Vectors; encoded they are a tensor `(rows, features)` of float32.

    Attributes:
        features: numbers of a vector.
        notes: on what was learned; none.
    """

    def __init__(self, settings: Any):
        self.features: int | None = None
        self.notes: list[str] = []

    def learn(self, values: Sequence[Any], folder: "Path | None" = None) -> "Tensor":
        """Learn the size of the vectors, and encode them."""
        self.features = None
        return self.encode(values)

    def encode(
        self,
        values: Sequence[Any],
        *,
        unknown: Unknown | None = None,
        folder: "Path | None" = None,
        tally: UnknownTally | None = None,
    ) -> "Tensor":
        """Encode vectors.

        Raises:
            ShapeError: vectors of several lengths, or of another one than in training.
            DataError: a text, or a number that is not finite, with its row.
        """
        # These import torch.
        import torch

        from elman.data.series.arrays import series_batch

        text = next((row for row, value in enumerate(values) if isinstance(value, str)), None)
        if text is not None:
            raise DataError(
                f"Expected vectors of numbers, got the text {values[text][:60]!r}.",
                where=f"sequence {text + 1}",
                fix="Give a table or JSONL of the form of the training data.",
            )
        batch = series_batch([_flat(value) for value in values])
        lengths = batch.lengths.tolist()
        size = self.features if self.features is not None else (lengths[0] if lengths else 0)
        wrong = next((row for row, length in enumerate(lengths) if length != size), None)
        if wrong is not None:
            like = "in training" if self.features is not None else "in row 1"
            raise ShapeError(
                f"Expected vectors of {size} numbers, as {like}, got one of {lengths[wrong]}.",
                where=f"sequence {wrong + 1}",
                fix="Give vectors of one length.",
            )
        self.features = size if lengths else self.features
        return batch.data.to(torch.float32).reshape(len(lengths), size)

    def to_json(self) -> dict[str, Any]:
        """Return the number of features."""
        return {"features": self.features}

    def load(self, document: Mapping[str, Any]) -> None:
        """Take over what `to_json` returned."""
        self.features = document["features"]


def _flat(value: Any) -> Any:
    """Return the numbers of a vector, a matrix or a picture in a row."""
    # Imported late: numpy is needed only for training.
    import numpy as np

    return value if isinstance(value, str) else np.asarray(value).reshape(-1)
