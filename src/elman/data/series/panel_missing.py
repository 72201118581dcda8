"""Missing values in a table of series."""

from collections.abc import Iterator, Mapping

import numpy as np

from elman.data.series.panel import Layout, RowMistakes, Table


def refuse_missing(
    table: Table, layout: Layout, rows: np.ndarray, steps: np.ndarray, parts: Mapping[str, np.ndarray]
) -> None:
    """Refuse missing values of a series.

    Args:
        table: of all series.
        layout: its columns.
        rows: of the series.
        steps: of each row.
        parts: the columns of each role, `(steps, columns)`.

    Raises:
        DataError: names their lines and columns.
    """
    mistakes = RowMistakes.of(table)
    for role, part in parts.items():
        columns = getattr(layout, role)
        for row, column in zip(*np.nonzero(np.isnan(part)), strict=True):
            mistakes.at(int(rows[row]), columns[column], "expected a number, got a missing value")
    mistakes.raise_any("Fill the cells in, or give --missing carry (the last value) or --missing mask.")


def columns_without_values(
    layout: Layout, groups: Mapping[str, np.ndarray], numbers: Mapping[str, np.ndarray]
) -> dict[str, list[str]]:
    """Return the columns without a known value, by series.

    Nothing can be carried from them. Where missing values are refused, there are none.

    Args:
        layout: the columns of the table.
        groups: the rows of each series.
        numbers: the values of each column.
    """
    if layout.missing == "error":
        return {}
    found = {
        name: [column for column in layout.columns if np.isnan(numbers[column][rows]).all()]
        for name, rows in groups.items()
    }
    return {name: columns for name, columns in found.items() if columns}


def refuse_unknown(table: Table, groups: Mapping[str, np.ndarray], unknown: Mapping[str, list[str]]) -> None:
    """Refuse series that have a column without a known value.

    Args:
        table: of all series.
        groups: the rows of each series.
        unknown: the columns of each such series.

    Raises:
        DataError: names the series and the columns.
    """
    mistakes = RowMistakes.of(table)
    for name, columns in unknown.items():
        for column in columns:
            of = f"the series {name!r} has" if name else "expected"
            mistakes.at(int(groups[name][0]), column, f"{of} {'no' if name else 'a'} known value")
    mistakes.raise_any("Leave these series out, or give at least one value.")


def notes_on_unknown(unknown: Mapping[str, list[str]]) -> Iterator[str]:
    """Yield a note on each series that is left out, with its columns without a known value."""
    for name, columns in unknown.items():
        yield f"the series {name!r} has no known value of {', '.join(f'`{each}`' for each in columns)}: left out"


def refuse_unknown_ahead(
    table: Table, layout: Layout, rows: np.ndarray, steps: np.ndarray, known: np.ndarray, end: int
) -> None:
    """Refuse missing values of known covariates in the steps to forecast.

    The network has no marks for them.

    Args:
        table: of all series.
        layout: its columns.
        rows: of the series.
        steps: of each row.
        known: `(steps + future, columns)`.
        end: first step to forecast.

    Raises:
        DataError: names their lines and columns.
    """
    mistakes = RowMistakes.of(table)
    for step, column in zip(*np.nonzero(np.isnan(known[end:])), strict=True):
        index = int(np.searchsorted(steps, end + step))
        missing = steps[index] != end + step
        where = "the step before has no row, and" if missing else "expected"
        problem = f"{where} a number that is known ahead{' is missing' if missing else ', got a missing value'}"
        mistakes.at(int(rows[index]), layout.known[column], problem)
    mistakes.raise_any("Fill the cells in, or give --missing carry to repeat the last value.")


def notes_on_carried(
    layout: Layout, name: str, steps: np.ndarray, parts: Mapping[str, np.ndarray], end: int
) -> Iterator[str]:
    """Yield a note on each covariate in which the last value is read in place of missing ones.

    Args:
        layout: the columns of the table.
        name: of the series.
        steps: of each row; those between have no row, and a note of their own.
        parts: the columns of each role, `(steps, columns)`.
        end: first step to forecast.
    """
    of = f" of the series {name!r}" if name else ""
    for role in ("past", "known"):
        for column, values in zip(getattr(layout, role), parts[role].T, strict=True):
            own = steps[steps < len(values)]
            missing = own[np.isnan(values[own])]
            if count := len(missing):
                ahead = int((missing >= end).sum())
                more = f", {ahead:,} of them in the steps to forecast" if ahead else ""
                yield f"{count:,} missing value{'s' * (count > 1)} of `{column}`{of}: the last value is read{more}"
