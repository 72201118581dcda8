"""Series with targets and covariates, and the table that they are read from."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, NamedTuple, Self

import numpy as np

from elman.data.files import Mistakes
from elman.data.series.timestamps import Frequency

Missing = Literal["error", "carry", "mask"]
MISSING_WORDS = frozenset(["", "na", "nan", "n/a", "null", "none", "?"])


@dataclass(frozen=True)
class Layout:
    """Which columns a table has, and how its steps follow one another.

    Attributes:
        target: columns to forecast.
        past: columns that are known until the origin of a forecast.
        known: columns that are known for the steps to forecast too.
        static: columns with one value for each series.
        time: column of the time stamps; None without one.
        series: column of the names of the series; None for one series.
        frequency: distance between two steps; None before it is found.
        missing: what happens to missing values.
        categories: values of each static column; none for a column of numbers.
    """

    target: tuple[str, ...] = ()
    past: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    static: tuple[str, ...] = ()
    time: str | None = None
    series: str | None = None
    frequency: Frequency | None = None
    missing: Missing = "error"
    categories: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns of numbers."""
        return (*self.target, *self.past, *self.known)

    def to_json(self) -> dict[str, Any]:
        """Return the layout as plain values, for `from_json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Return the layout that `to_json` gave."""
        tuples = {name: tuple(document[name]) for name in ("target", "past", "known", "static")}
        frequency = None if document["frequency"] is None else Frequency(**document["frequency"])
        return cls(**{**document, **tuples, "frequency": frequency})


@dataclass(frozen=True)
class Series:
    """One series of steps at equal distances.

    Attributes:
        name: of the series; empty if there is only one.
        target: `(steps, targets)` float64; NaN where a value is missing.
        past: `(steps, columns)` covariates that are known until the origin of a forecast.
        known: `(steps + future, columns)` covariates that are known ahead.
        static: `(values,)` of the whole series.
        start: stamp of the first step; None for steps without stamps.
        frequency: distance between two steps.
        begin: index of the first step that may be forecast; those before it are only looked back at.
        truth: the targets without filled values, NaN where one is missing; None if no value was filled.
    """

    name: str
    target: np.ndarray
    past: np.ndarray
    known: np.ndarray
    static: np.ndarray
    start: Any = None
    frequency: Frequency = field(default_factory=Frequency)
    begin: int = 0
    truth: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.target)

    @property
    def known_targets(self) -> np.ndarray:
        """The targets to learn and score, NaN where one is missing, even if it was filled."""
        return self.target if self.truth is None else self.truth

    @property
    def ahead(self) -> int:
        """Steps after the last target for which the known covariates are given."""
        return len(self.known) - len(self.target)

    def stamps(self, first: int, steps: int) -> np.ndarray:
        """Return the stamps of steps, which may be after the end, or their indices without stamps."""
        numbers = np.arange(first, first + steps)
        return numbers if self.start is None else self.frequency.at(self.start, numbers)

    def until(self, end: int, ahead: int = 0) -> "Series":
        """Return the steps before an index, with known covariates for some steps after it."""
        known = self.known[: min(end + ahead, len(self.known))]
        truth = None if self.truth is None else self.truth[:end]
        return replace(self, target=self.target[:end], past=self.past[:end], known=known, truth=truth)


class Table(NamedTuple):
    """Columns of a file or of a data frame.

    Attributes:
        source: its name.
        columns: cells by the name of the column: texts, or an array of numbers or stamps.
        rows: number of rows.
        lines: line of each row in the file; None for rows from Python, which count from 1.
    """

    source: str
    columns: Mapping[str, Any]
    rows: int
    lines: Sequence[int] | None = None


class RowMistakes(Mistakes):
    """Mistakes in the rows of a table."""

    def __init__(self, source: str, lines: Sequence[int] | None):
        super().__init__(source)
        self._lines = lines

    @classmethod
    def of(cls, table: Table) -> Self:
        """Return no mistakes yet in the rows of a table."""
        return cls(table.source, table.lines)

    def at(self, row: int, column: str | None, problem: str) -> None:
        """Note a mistake in a row, counted from 0."""
        if self._lines is not None:
            self.add(self._lines[row], column, problem)
        else:
            shown = "" if column is None else f", column `{column}`"
            self.found.append(f"row {row + 1}{shown}: {problem}")


def first_complete(parts: Mapping[str, np.ndarray], end: int) -> int:
    """Return the first step from which every column has had a value."""
    firsts = [0]
    for part in parts.values():
        for column in part.T:
            seen = np.flatnonzero(~np.isnan(column))
            firsts.append(int(seen[0]) if len(seen) else end)
    return min(max(firsts), end)


def carried(values: np.ndarray) -> np.ndarray:
    """Return values `(steps, columns)` with the last one in place of each that is missing.

    >>> carried(np.array([[1.0], [np.nan], [3.0]])).ravel()
    array([1., 1., 3.])
    """
    known = ~np.isnan(values)
    if known.all():
        return values
    rows = np.maximum.accumulate(np.where(known, np.arange(len(values))[:, None], 0), axis=0)
    return np.take_along_axis(values, rows, 0)
