"""The targets of pairs: a number, a label, both, or a third text."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from elman.data.listing import listed
from elman.errors import DataError
from elman.tasks.kinds import Label
from elman.tasks.numbers import Number
from elman.tasks.task import Unknown

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

# Whole numbers of more values than these are numbers rather than labels.
MOST_LABELS = 10
LARGEST_SCALE = 50
# Where this share of the targets are numbers, the others are mistakes.
NEARLY_ALL = 0.9


class PairTarget:
    """A number or a label of each pair, or one of each; encoded they are a column each, `(rows, targets)` in float64.

    The column of a number is standardised, that of a label has positions.

    Attributes:
        kinds: `number` or `label` for each column, as they were found; empty before anything was learned.
        number: of the column of numbers; None without one.
        label: of the column of labels; None without one.
        scale: the least and the largest whole number of the scale that the numbers are on.
        notes: on what was found, a line each.
    """

    def __init__(self, settings: Any):
        self.settings = settings
        self.kinds: list[str] = []
        self.number: Number | None = None
        self.label: Label | None = None
        self.scale = (0, 1)
        self.notes: list[str] = []

    @property
    def labels(self) -> list[Any]:
        """The labels, in the order of the outputs; none without a column of labels."""
        return [] if self.label is None else self.label.labels

    def learn(self, values: Sequence[Any], folder: "Path | None" = None) -> "Tensor":
        """Find what the columns are, learn labels and the scale of numbers, and encode them.

        Raises:
            DataError: several columns of numbers or of labels, one label only, numbers that are not finite.
        """
        columns = columns_of(values)
        self.kinds = kinds_of(self.settings, values)
        if len(set(self.kinds)) < len(self.kinds):
            raise DataError(
                f"Expected at most one number and one label a pair, got {' and '.join(self.kinds)}.",
                fix="Give one target of each kind; answer (--answer) says what a single target is.",
            )
        found = [self._learned(kind, column) for kind, column in zip(self.kinds, columns, strict=True)]
        self.notes = [self._note()]
        return _stacked(found)

    def encode(
        self, values: Sequence[Any], *, unknown: Unknown | None = None, folder: "Path | None" = None
    ) -> "Tensor":
        """Encode targets.

        Raises:
            DataError: another number of columns than in training, unknown labels, numbers that are not finite.
        """
        columns = columns_of(values)
        if len(columns) != len(self.kinds):
            raise DataError(
                f"Expected {len(self.kinds)} target{'s' * (len(self.kinds) > 1)} a pair, got {len(columns)}.",
                fix=f"Give the targets of the training: a {' and a '.join(self.kinds)}.",
            )
        encoders = [self.number if kind == "number" else self.label for kind in self.kinds]
        return _stacked([self._encoded(encoder, column) for encoder, column in zip(encoders, columns, strict=True)])

    def column(self, kind: str) -> int | None:
        """Return which column is of this kind, None if there is none."""
        return self.kinds.index(kind) if kind in self.kinds else None

    def described(self) -> str:
        """Return the targets in words."""
        numbers = f"a number from {self.scale[0]:g} to {self.scale[1]:g}"
        each = {"number": numbers, "label": f"one of {self.label.described()}" if self.label else ""}
        return " and ".join(each[kind] for kind in self.kinds)

    def to_json(self) -> dict[str, Any]:
        """Return what was learned."""
        parts = {"number": self.number, "label": self.label}
        learned = {name: None if part is None else part.to_json() for name, part in parts.items()}
        return {"kinds": self.kinds, "scale": list(self.scale), **learned}

    def load(self, document: Mapping[str, Any]) -> None:
        """Take over what `to_json` gave."""
        self.kinds, self.scale = list(document["kinds"]), tuple(document["scale"])  # pyright: ignore[reportAttributeAccessIssue]
        for kind, encoder in (("number", Number()), ("label", Label())):
            if document[kind] is not None:
                encoder.load(document[kind])
                setattr(self, kind, encoder)

    def _learned(self, kind: str, column: Sequence[Any]) -> "Tensor":
        if kind == "label":
            self.label = Label(self.settings)
            return self.label.learn(_as_labels(column))
        self.number = Number(self.settings)
        numbers = [_as_number(value) for value in column]
        found = self.number.learn(numbers)
        self.scale = math.floor(min(numbers)), math.ceil(max(numbers))
        if self.settings.rating == "distribution" and not 1 <= self.scale[1] - self.scale[0] <= LARGEST_SCALE:
            raise DataError(
                f"Expected a scale of 2 to {LARGEST_SCALE + 1} whole numbers, got numbers from {min(numbers):g} to "
                f"{max(numbers):g}.",
                fix="Give rating=value (--rating value).",
            )
        return found

    @staticmethod
    def _encoded(encoder: Any, column: Sequence[Any]) -> "Tensor":
        if isinstance(encoder, Number):
            return encoder.encode([_as_number(value) for value in column])
        # A file has no types.
        return encoder.encode(encoder.known.from_written(column) if _are_texts(column) else column)

    def _note(self) -> str:
        repair = "" if len(self.kinds) > 1 or self.settings.answer != "auto" else ": --answer changes it"
        return f"The target is {self.described()}{repair}."


def kinds_of(settings: Any, values: Sequence[Any]) -> list[str]:
    """Return `number` or `label` for each column of targets.

    Raises:
        DataError: nearly all targets of a column are numbers, and some are not.
    """
    if settings.answer != "auto":
        return [settings.answer for _ in columns_of(values)]
    columns = columns_of(values)
    for column in columns:
        _check_numbers(column)
    return ["number" if are_numbers(column) else "label" for column in columns]


def _check_numbers(column: Sequence[Any]) -> None:
    wrong = [row for row, value in enumerate(column) if not _is_number(value)]
    if wrong and len(wrong) <= (1 - NEARLY_ALL) * len(column) + 1e-9:
        raise DataError(
            f"Expected numbers as targets, as {len(column) - len(wrong):,} of {len(column):,} are, got others.",
            where="\n".join(listed([f"number {row + 1}: {str(column[row])[:40]!r}" for row in wrong])),
            fix="Correct these targets, or give answer=label (--answer label) if all of them are labels.",
        )


def _is_number(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(_as_number(value), float)


def columns_of(values: Sequence[Any]) -> list[list[Any]]:
    """Return the columns of targets, of which each row has a tuple or a single one.

    Raises:
        DataError: rows of unequal length.
    """
    rows = [value if isinstance(value, tuple | list) else (value,) for value in values]
    width = len(rows[0]) if rows else 1
    wrong = next((number for number, row in enumerate(rows, 1) if len(row) != width), None)
    if wrong is not None or not width:
        raise DataError(
            f"Expected {width} targets for each pair, got {len(rows[(wrong or 1) - 1])}.",
            where=f"pair {wrong or 1}",
            fix="Give each pair the same number of targets, at least one.",
        )
    return [list(column) for column in zip(*rows, strict=True)] or [[]]


def are_numbers(column: Sequence[Any]) -> bool:
    """Return whether targets are numbers rather than labels.

    >>> are_numbers(["3.5", "4", "1"]), are_numbers([1, 2, 3, 2]), are_numbers(["yes", "no"])
    (True, False, False)
    """
    if any(isinstance(value, bool) for value in column):
        return False
    found = [_as_number(value) for value in column]
    if not all(isinstance(number, float) for number in found):
        return False
    return len(set(found)) > MOST_LABELS or not all(number.is_integer() for number in found)


def _as_number(value: Any) -> Any:
    """Return a value as a float if it is or spells a number, else as it is."""
    try:
        return value if isinstance(value, bool | bytes) or value is None else float(value)
    except (TypeError, ValueError):
        return value


def _as_labels(column: Sequence[Any]) -> Sequence[Any]:
    if not _are_texts(column):
        # Numbers of JSON are read as floats.
        whole = all(isinstance(value, float) and value.is_integer() for value in column)
        return [int(value) for value in column] if whole else column
    # This imports numpy.
    from elman.data.tables.labels import read_labels

    return read_labels(column)


def _are_texts(column: Sequence[Any]) -> bool:
    return all(isinstance(value, str) for value in column)


def _stacked(columns: "Sequence[Tensor]") -> "Tensor":
    import torch

    return torch.stack([column.double() for column in columns], 1)
