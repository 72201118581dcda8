"""Many series in one table: a row a step, with targets, covariates and time stamps."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from elman.data.series.panel import MISSING_WORDS, Layout, RowMistakes, Series, Table, carried, first_complete
from elman.data.series.panel_missing import (
    columns_without_values,
    notes_on_carried,
    notes_on_unknown,
    refuse_missing,
    refuse_unknown,
    refuse_unknown_ahead,
)
from elman.data.series.panel_stamps import stamps_of, with_frequency
from elman.data.series.timestamps import Frequency
from elman.data.series.values import problem_of
from elman.errors import DataError, UsageError, nearest

# Of float32, in which networks compute.
LARGEST = float(np.finfo(np.float32).max)


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


def assemble(
    table: Table, layout: Layout, *, leaves_out: bool = False, may_be_empty: bool = False
) -> tuple[list[Series], Layout, list[str]]:
    """Return the series of a table, its layout with everything found, and notes.

    Args:
        table: the cells.
        layout: the columns, and the frequency and categories of the training data, if they are known.
        leaves_out: whether a series with a column without a known value is left out, with a note; otherwise it is
            refused.
        may_be_empty: whether all series may be left out.

    Raises:
        DataError: names every mistake with its line and column.
    """
    check_layout(layout, table)
    groups = _groups(table, layout)
    stamps, is_utc = stamps_of(table, layout)
    layout = with_frequency(table, layout, groups, stamps)
    if layout.frequency is not None:
        layout = replace(layout, frequency=replace(layout.frequency, utc=is_utc))
    numbers = _numbers(table, layout.columns)
    static, layout = _static(table, layout, groups)
    unknown = columns_without_values(layout, groups, numbers)
    if not leaves_out or (len(unknown) == len(groups) and not may_be_empty):
        refuse_unknown(table, groups, unknown)
    notes = [*notes_on_unknown(unknown)]
    series = []
    for name, rows in groups.items():
        if name in unknown:
            continue
        own = None if stamps is None else stamps[rows]
        steps = _steps(table, layout, name, rows, own, notes)
        values = {column: _spread(numbers[column][rows], steps) for column in layout.columns}
        start = None if own is None else own[0]
        series.append(_series(table, layout, name, rows, steps, values, static[name], start, notes))
    return series, layout, list(dict.fromkeys(notes))


def _groups(table: Table, layout: Layout) -> dict[str, np.ndarray]:
    """Return the rows of each series, in order of their first rows.

    Raises:
        DataError: a row without the name of its series.
    """
    if layout.series is None:
        return {"": np.arange(table.rows)}
    found: dict[str, list[int]] = {}
    mistakes = RowMistakes.of(table)
    for row, name in enumerate(table.columns[layout.series]):
        if not str(name).strip():
            mistakes.at(row, layout.series, "the name of the series is missing")
        found.setdefault(str(name), []).append(row)
    mistakes.raise_any("Give each row the name of its series, or remove the row.")
    return {name: np.array(rows) for name, rows in found.items()}


def _numbers(table: Table, columns: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the numbers of columns, NaN where a value is missing.

    Raises:
        DataError: a text, or a number that is infinite or too large.
    """
    mistakes = RowMistakes.of(table)
    found = {}
    for column in columns:
        cells = table.columns[column]
        if isinstance(cells, np.ndarray) and cells.dtype.kind in "fiub":
            values = cells.astype(np.float64)
        else:
            values = np.fromiter((_number(cell) for cell in cells), np.float64, table.rows)
            for row in np.flatnonzero(np.isnan(values)).tolist():
                if str(cells[row]).strip().lower() not in MISSING_WORDS:
                    mistakes.at(row, column, problem_of(str(cells[row])))
        for row in np.flatnonzero(np.isinf(values)).tolist():
            mistakes.at(row, column, f"expected a finite number, got {cells[row]}")
        for row in np.flatnonzero(np.isfinite(values) & (np.abs(values) > LARGEST)).tolist():
            mistakes.at(row, column, f"expected a number that float32 holds, at most 3.4e38, got {cells[row]}")
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
        DataError: a value that is missing or changes within a series, or a category that training never saw.
    """
    mistakes, values = RowMistakes.of(table), {name: [] for name in groups}
    categories = dict(layout.categories)
    for column in layout.static:
        cells = [str(cell).strip() for cell in table.columns[column]]
        for row in (row for row, cell in enumerate(cells) if not cell or cell == "nan"):
            mistakes.at(row, column, "the value of the series is missing")
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
        refuse_missing(table, layout, rows, steps, parts)
    if layout.missing == "mask":
        refuse_unknown_ahead(table, layout, rows, steps, known, end)
    notes += notes_on_carried(layout, name, steps, parts, end)
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
