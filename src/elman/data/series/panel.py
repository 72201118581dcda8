"""Many series in one table: a row a step, with targets, covariates and time stamps."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, NamedTuple, Self

import numpy as np

from elman.data.files import Mistakes
from elman.data.series.timestamps import (
    EXPECTED,
    Frequency,
    find_frequency,
    has_offset,
    irregularities,
    is_usual,
    parse_stamps,
    written_stamp,
)
from elman.errors import DataError, UsageError, nearest

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


def check_layout(layout: Layout, table: Table) -> None:
    """Refuse columns that are missing or have two roles.

    Raises:
        UsageError: names the column.
    """
    flags = {"target": layout.target, "past": layout.past, "known": layout.known, "static": layout.static}
    flags |= {"time": (layout.time,) if layout.time else (), "series": (layout.series,) if layout.series else ()}
    roles: dict[str, str] = {}
    for role, names in flags.items():
        for name in names:
            if name not in table.columns:
                raise DataError(
                    f"There is no column `{name}` (--{role}).", where=table.source, fix=nearest(name, table.columns)
                )
            if name in roles and {role, roles[name]} == {"target", "known"}:
                raise UsageError(
                    f"The column `{name}` is a target, whose values are not known ahead.",
                    where=f"--target {name} --known {name}",
                    fix=f"Leave --known {name} out: earlier values of a target are read without it.",
                )
            if name in roles:
                raise UsageError(
                    f"The column `{name}` is given twice.",
                    where=f"--{roles[name]} {name}, --{role} {name}",
                    fix="Give each column one role.",
                )
            roles[name] = role


def assemble(table: Table, layout: Layout) -> tuple[list[Series], Layout, list[str]]:
    """Return the series of a table, its layout with everything found, and notes.

    Args:
        table: the cells.
        layout: the columns, and the frequency and categories of the training data, if they are known.

    Raises:
        DataError: names every mistake with its line and column.
    """
    check_layout(layout, table)
    groups = _groups(table, layout)
    stamps, is_utc = _stamps(table, layout)
    layout = _with_frequency(table, layout, groups, stamps)
    if layout.frequency is not None:
        layout = replace(layout, frequency=replace(layout.frequency, utc=is_utc))
    numbers = _numbers(table, layout.columns)
    static, layout = _static(table, layout, groups)
    notes: list[str] = []
    series = []
    for name, rows in groups.items():
        own = None if stamps is None else stamps[rows]
        steps = _steps(table, layout, name, rows, own, notes)
        values = {column: _spread(numbers[column][rows], steps) for column in layout.columns}
        start = None if own is None else own[0]
        series.append(_series(table, layout, name, rows, steps, values, static[name], start, notes))
    return series, layout, list(dict.fromkeys(notes))


def _groups(table: Table, layout: Layout) -> dict[str, np.ndarray]:
    """Return the rows of each series, in order of their first rows."""
    if layout.series is None:
        return {"": np.arange(table.rows)}
    found: dict[str, list[int]] = {}
    for row, name in enumerate(table.columns[layout.series]):
        found.setdefault(str(name), []).append(row)
    return {name: np.array(rows) for name, rows in found.items()}


def _mistakes(table: Table) -> "RowMistakes":
    return RowMistakes(table.source, table.lines)


class RowMistakes(Mistakes):
    """Mistakes in the rows of a table."""

    def __init__(self, source: str, lines: Sequence[int] | None):
        super().__init__(source)
        self._lines = lines

    def at(self, row: int, column: str | None, problem: str) -> None:
        """Note a mistake in a row, counted from 0."""
        if self._lines is not None:
            self.add(self._lines[row], column, problem)
        else:
            shown = "" if column is None else f", column `{column}`"
            self.found.append(f"row {row + 1}{shown}: {problem}")


def _stamps(table: Table, layout: Layout) -> tuple[np.ndarray | None, bool]:
    """Return the stamps, and whether they are in UTC because they had offsets.

    Raises:
        DataError: stamps that cannot be read, only some with an offset, or another kind of stamps than in training.
    """
    if layout.time is None:
        return None, False
    cells = table.columns[layout.time]
    texts, known = [str(cell) for cell in cells], layout.frequency
    if isinstance(cells, np.ndarray) and cells.dtype.kind == "M":
        stamps, wrong = cells.astype("datetime64[s]"), np.flatnonzero(np.isnat(cells)).tolist()
    else:
        stamps, wrong = parse_stamps(texts, are_numbers=None if known is None else known.unit == "step")
    mistakes = _mistakes(table)
    for row in wrong:
        mistakes.at(row, layout.time, f"expected {EXPECTED}, got {texts[row][:40]!r}")
    mistakes.raise_any(f"Write the time stamps in ISO form{_or_no_time(layout)}.")
    if known is not None and (known.unit == "step") != (stamps.dtype.kind != "M"):
        kinds = ("whole numbers", "dates or times")
        expected, got = kinds if known.unit == "step" else kinds[::-1]
        raise DataError(
            f"Expected {expected} as time stamps, as in training, got {got}.",
            where=f"{table.source}, column `{layout.time}`",
            fix=f"Give a column of {expected}, or train a model on these stamps.",
        )
    offsets = [has_offset(text) for text in texts]
    if any(offsets) and not all(offsets):
        mistakes.at(offsets.index(not offsets[0]), layout.time, "expected stamps that all have an offset, or none")
        mistakes.raise_any("Give every time an offset (such as +01:00 or Z), or leave all of them out.")
    return stamps, any(offsets)


def _or_no_time(layout: Layout) -> str:
    """Return the advice to read no stamps, which a trained model that reads them cannot follow."""
    return ", or give --time none to read the rows as equal steps" if layout.frequency is None else ""


def _with_frequency(
    table: Table, layout: Layout, groups: Mapping[str, np.ndarray], stamps: np.ndarray | None
) -> Layout:
    """Return the layout with the frequency of the stamps.

    It must be that of the training data if it is known.

    Raises:
        DataError: doubled, unordered or irregular stamps, or another frequency.
    """
    if stamps is None:
        return replace(layout, frequency=layout.frequency or Frequency())
    each = [stamps[rows] for rows in groups.values()]
    found = find_frequency([np.unique(own) for own in each])
    known = layout.frequency
    if known is None and max(map(len, each), default=0) < 2:
        raise DataError(
            "Expected at least two rows of a series, got one: the distance between two steps is not known.",
            where=f"{table.source}, column `{layout.time}`",
            fix="Give more rows (or another column with --series if the table has several series).",
        )
    if found is None and known is None:
        raise DataError(
            "The time stamps are irregular: no distance between two of them is that of at least half.",
            where=f"{table.source}, column `{layout.time}`",
            fix="Resample the series to steps of one length (name the column of the series with --series if the table "
            "has several), or give --time none to read the rows as equal steps.",
        )
    frequency = known or found
    assert frequency is not None
    _check_stamps(table, layout, groups, stamps, frequency)
    differs = known is not None and found is not None and (found.unit, found.count) != (known.unit, known.count)
    # A few days without a weekend are business days too.
    if differs and not is_usual(each, frequency):
        raise DataError(
            f"Expected steps of a {known}, as in training, got steps of a {found}.",
            where=f"{table.source}, column `{layout.time}`",
            fix=f"Give data with a row for each {known}.",
        )
    return replace(layout, frequency=frequency)


_STAMP_FIXES = {
    "doubled": "Remove one of the two rows; if the table has several series, name the column of their names "
    "with --series.",
    "unordered": "Sort the rows by time, the oldest first.",
    "irregular": "Resample the series to steps of one length",
    "gap": "Add the missing rows, or give --missing carry (the last value) or --missing mask (read as missing)",
}


def _check_stamps(
    table: Table, layout: Layout, groups: Mapping[str, np.ndarray], stamps: np.ndarray, frequency: Frequency
) -> None:
    """Refuse doubled, unordered and irregular stamps, and gaps unless they are filled."""
    found: dict[str, RowMistakes] = {}
    for name, rows in groups.items():
        own = stamps[rows]
        series = f" of the series {name!r}" if name else ""
        for row, kind, missing in irregularities(own, frequency):
            if kind == "gap" and layout.missing != "error":
                continue
            stamp, before = (written_stamp(own[each], frequency) for each in (row, row - 1))
            problem = {
                "doubled": f"the stamp {stamp}{series} occurs twice in a row",
                "unordered": f"the stamp {stamp}{series} follows the later {before}",
                "irregular": f"the stamp {stamp}{series} is not a whole number of steps (a {frequency}) after {before}",
                "gap": f"{missing} step{'s' * (missing > 1)} missing between {before} and {stamp}{series}",
            }[kind]
            found.setdefault(kind, _mistakes(table)).at(int(rows[row]), layout.time, problem)
    for kind in ("unordered", "doubled", "irregular", "gap"):
        if kind in found:
            fix = _STAMP_FIXES[kind]
            found[kind].raise_any(fix if fix.endswith(".") else f"{fix}{_or_no_time(layout)}.")


def _numbers(table: Table, columns: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the numbers of columns, NaN where a value is missing.

    Raises:
        DataError: a text or an infinite number.
    """
    mistakes = _mistakes(table)
    found = {}
    for column in columns:
        cells = table.columns[column]
        if isinstance(cells, np.ndarray) and cells.dtype.kind in "fiub":
            values = cells.astype(np.float64)
        else:
            values = np.fromiter((_number(cell) for cell in cells), np.float64, table.rows)
            for row in np.flatnonzero(np.isnan(values)).tolist():
                if str(cells[row]).strip().lower() not in MISSING_WORDS:
                    mistakes.at(row, column, f"expected a number, got {str(cells[row])[:40]!r}")
        for row in np.flatnonzero(np.isinf(values)).tolist():
            mistakes.at(row, column, f"expected a finite number, got {cells[row]}")
        found[column] = values
    mistakes.raise_any("Correct the cells, or leave an unknown one empty and give --missing carry or --missing mask.")
    return found


def _number(cell: Any) -> float:
    try:
        return float(cell)
    except (TypeError, ValueError):
        return float("nan")


def _static(table: Table, layout: Layout, groups: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], Layout]:
    """Return the static values of each series, categories as one-hot codes.

    Raises:
        DataError: a value that changes within a series, or a category that training never saw.
    """
    mistakes, values = _mistakes(table), {name: [] for name in groups}
    categories = dict(layout.categories)
    for column in layout.static:
        cells = [str(cell) for cell in table.columns[column]]
        for name, rows in groups.items():
            row = next((row for row in rows if cells[row] != cells[rows[0]]), None)
            if row is not None:
                shown = f"expected {cells[rows[0]]!r} in every row of the series {name!r}, got {cells[row]!r}"
                mistakes.at(int(row), column, shown)
        first = {name: cells[rows[0]] for name, rows in groups.items()}
        if column not in categories:
            numeric = all(np.isfinite(_number(cell)) for cell in first.values())
            # A column of numbers has no categories.
            categories[column] = [] if numeric else sorted(set(first.values()))
        known = categories[column]
        for name, cell in first.items():
            if not known and np.isfinite(_number(cell)):
                values[name].append(_number(cell))
            elif cell in known:
                values[name] += [float(cell == each) for each in known]
            else:
                mistakes.at(int(groups[name][0]), column, f"the value {cell!r} was not in the training data")
    mistakes.raise_any("Give each series one value, of those that the model was trained on.")
    return {name: np.array(own, np.float64) for name, own in values.items()}, replace(layout, categories=categories)


def _steps(
    table: Table, layout: Layout, name: str, rows: np.ndarray, stamps: np.ndarray | None, notes: list[str]
) -> np.ndarray:
    """Return the index of the step of each row, which leaves out those of a gap."""
    if stamps is None or layout.frequency is None or len(stamps) < 2:
        return np.arange(len(rows))
    steps = np.concatenate([[0], np.cumsum(layout.frequency.between(stamps))]).astype(np.int64)
    missing = int(steps[-1]) + 1 - len(steps)
    if missing:
        of = f" of the series {name!r}" if name else ""
        what = "carried forward" if layout.missing == "carry" else "read as missing"
        notes.append(f"{missing:,} missing step{'s' if missing > 1 else ''}{of} {what}")
    return steps


def _spread(values: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Return values at their steps, with NaN between them."""
    if len(steps) == 0 or steps[-1] == len(steps) - 1:
        return values
    found = np.full(int(steps[-1]) + 1, np.nan)
    found[steps] = values
    return found


def _series(
    table: Table,
    layout: Layout,
    name: str,
    rows: np.ndarray,
    steps: np.ndarray,
    values: Mapping[str, np.ndarray],
    static: np.ndarray,
    start: Any,
    notes: list[str],
) -> Series:
    target, past, known = (
        np.stack([values[each] for each in columns], 1) if columns else np.empty((len(values[layout.target[0]]), 0))
        for columns in (layout.target, layout.past, layout.known)
    )
    # Rows at the end with known covariates and without targets are steps to forecast.
    seen = np.flatnonzero(~np.isnan(target).all(1))
    end = len(target) if not layout.known or not len(seen) else int(seen[-1]) + 1
    parts = {"target": target[:end], "past": past[:end], "known": known}
    if layout.missing == "error":
        _refuse_missing(table, layout, rows, steps, parts)
    first = first_complete(parts, end) if layout.missing != "error" else 0
    if first:
        notes.append(
            f"the first {first:,} rows{f' of the series {name!r}' if name else ''} have missing values: left out"
        )
        parts = {key: part[first:] for key, part in parts.items()}
        if start is not None and layout.frequency is not None:
            start = layout.frequency.at(start, np.array([first]))[0]
    # Covariates are carried forward: only targets are scored.
    parts["past"], parts["known"] = carried(parts["past"]), carried(parts["known"])
    truth = parts["target"] if layout.missing == "carry" else None
    if truth is not None:
        parts["target"] = carried(truth)
    return Series(name, **parts, static=static, start=start, frequency=layout.frequency or Frequency(), truth=truth)


def _refuse_missing(
    table: Table, layout: Layout, rows: np.ndarray, steps: np.ndarray, parts: Mapping[str, np.ndarray]
) -> None:
    mistakes = _mistakes(table)
    for role, part in parts.items():
        columns = getattr(layout, role)
        for row, column in zip(*np.nonzero(np.isnan(part)), strict=True):
            mistakes.at(int(rows[row]), columns[column], "expected a number, got a missing value")
    mistakes.raise_any("Fill the cells in, or give --missing carry (the last value) or --missing mask.")


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
