"""Numbers of series as they are written, and the position of each in its file."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from elman.data.files import Mistakes

MISSING = frozenset(("", "?", "nan", "na", "n/a", "null", "none"))
SHOWN = 40
FIX = (
    "Correct these values. A missing value is written as an empty field, ? or NaN, and read with --missing mask or "
    "--missing carry."
)


class SeriesName(str):
    """The position of a series in its file, which also gives that of each of its values.

    Args:
        name: file and line, or file and series.
        value: position of a value for its step and channel, both from 0.
    """

    _value: Callable[[int, int], str]

    def __new__(cls, name: str, value: Callable[[int, int], str]) -> "SeriesName":
        """Return the name."""
        found = super().__new__(cls, name)
        found._value = value
        return found

    def at(self, step: int, channel: int) -> str:
        """Return the position of a value.

        Args:
            step: of the series, from 0.
            channel: of the step, from 0.
        """
        return self._value(step, channel)

    def __reduce__(self) -> tuple[Any, ...]:
        return str, (str(self),)


def numbers_in(
    fields: Sequence[str], mistakes: Mistakes, at: Callable[[int], tuple[int, int | str | None]]
) -> np.ndarray:
    """Return written numbers in float64, NaN for those that are missing.

    Args:
        fields: as they are written.
        mistakes: is given those that are not finite numbers.
        at: line and column of a field, by its index.
    """
    if all(map(str.strip, fields)) and not any("_" in field for field in fields):
        try:
            found = np.array(fields, dtype=np.float64)
        except ValueError:
            pass
        else:
            if not np.isinf(found).any():
                return found
    values = np.empty(len(fields))
    for index, field in enumerate(fields):
        values[index], problem = _number(field)
        if problem:
            mistakes.add(*at(index), problem)
    return values


def is_number(field: str) -> bool:
    """Report whether a field is a number, finite or missing.

    >>> is_number("1e-3"), is_number("?"), is_number("load"), is_number("inf")
    (True, True, False, False)
    """
    return not _number(field)[1]


def is_missing(field: str) -> bool:
    """Report whether a field is written as a missing value."""
    return field.strip().lower() in MISSING


def _number(field: str) -> tuple[float, str]:
    """Return a number, NaN if it is missing, and what is wrong with it."""
    bare = field.strip()
    if bare.lower() in MISSING:
        return math.nan, ""
    try:
        value = float(bare) if "_" not in bare else math.nan
    except ValueError:
        value = math.nan
    if math.isfinite(value):
        return value, ""
    if math.isinf(value):
        return math.nan, f"expected a finite number, got {bare[:SHOWN]}"
    return math.nan, problem_of(bare)


def problem_of(field: str) -> str:
    """Return the message for a field that is not a number.

    >>> problem_of("load"), problem_of("1,5")
    ("expected a number, got 'load'", "expected a number, got '1,5', which has a decimal comma")
    """
    bare = field.strip()
    comma = ", which has a decimal comma" if bare.count(",") == 1 and is_number(bare.replace(",", ".")) else ""
    return f"expected a number, got {bare[:SHOWN]!r}{comma}"


def targets_in(
    fields: Sequence[str], mistakes: Mistakes, at: Callable[[int], tuple[int, int | str | None]], *, numeric: bool
) -> list[str]:
    """Return written targets without white space around them.

    Args:
        fields: as they are written.
        mistakes: is given those that are missing, or are not numbers.
        at: line and column of a field, by its index.
        numeric: whether they are numbers.
    """
    for index, field in enumerate(fields):
        if is_missing(field) if numeric else not field.strip() or field.strip() == "?":
            mistakes.add(*at(index), "the target is missing" if numeric else "the label is empty")
        elif numeric and (problem := _number(field)[1]):
            mistakes.add(*at(index), problem)
    return [field.strip() for field in fields]


def flag_of_targets(*, numeric: bool) -> str:
    """Return the flag that names the column of the targets."""
    return "--target" if numeric else "--label"


def without_end(values: np.ndarray) -> np.ndarray:
    """Return the values without those at the end that are missing."""
    known = np.flatnonzero(~np.isnan(values))
    return values[: known[-1] + 1] if len(known) else values[:0]
