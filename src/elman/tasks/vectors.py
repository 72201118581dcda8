"""Vectors as the input of a task: rows of numbers of one length."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from elman.data.listing import listed
from elman.data.text.unknown import UnknownTally
from elman.errors import DataError, ShapeError
from elman.tasks.rows import Rows, form_of, given_options
from elman.tasks.task import Asked, Column, Known, Unknown, Values

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from elman.data.tables.table_format import TableFormat


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
        _check_names(found.source, found.form, form_of(known))
        # What a step is belongs to the texts that are written.
        notes = [note.replace("each row is a series", "each row is a vector") for note in found.notes]
        return replace(found, settings={}, notes=notes)

    def asked(self, path: str, options: Mapping[str, Any], known: Known | None = None) -> Asked:
        """Read vectors to predict with `elman.tasks.asked.read_rows`.

        Raises:
            DataError: they cannot be read so, or their columns have other names than in training.
        """
        # Imported late: numpy is not needed before a file is read.
        from elman.data.tables.blocks import reader_of
        from elman.tasks.asked import read_rows

        form = form_of(known)
        if path == "-":
            return super().asked(path, options, known)
        names = [option.name for option in self.options]
        how = {**given_options({"text": options.get("column")}), **given_options(options, names)}
        read = reader_of(known=form, labelled=False, **how)

        def checked(source: Any, found: Any) -> Any:
            table = read(source, found)
            _check_names(table.source, table.format, form)
            return table

        return read_rows(path, checked, encoding=how.get("encoding"), known=form)

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


def _check_names(source: str, form: "TableFormat | None", trained: "TableFormat | None") -> None:
    """Refuse a table whose columns have other names than those of the training file.

    Raises:
        DataError: names the columns that differ.
    """
    if trained is None or form is None or not trained.steps or not form.steps:
        return
    missing = [name for name in trained.steps if name not in form.steps]
    strange = [name for name in form.steps if name not in trained.steps]
    if missing or strange:
        differing = ", ".join(filter(None, [_listed("missing", missing), _listed("not known", strange)]))
        raise DataError(
            f"The columns of numbers are not those of the training file: {differing}.",
            where=source,
            fix=f"Give a column for each of {_listed('', list(trained.steps)).strip()}, in any order.",
        )


def _listed(what: str, names: list[str]) -> str:
    return f"{', '.join(f'`{name}`' for name in listed(names))} {what}" if names else ""


def _flat(value: Any) -> Any:
    """Return the numbers of a vector, a matrix or a picture in a row."""
    # Imported late: numpy is needed only for training.
    import numpy as np

    return value if isinstance(value, str) else np.asarray(value).reshape(-1)
