"""Series given in Python: arrays, lists of them, and data frames in the forms of pandas and sktime."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from elman.data.series.panel import Layout, Series, Table, carried, first_complete
from elman.data.series.panel_table import assemble
from elman.data.series.timestamps import Frequency
from elman.errors import DataError, ShapeError

SERIES_OF_INDEX, TIME_OF_INDEX = "series of the index", "time of the index"


def panel_of(data: Any, layout: Layout, role: str = "") -> tuple[list[Series], Layout, list[str]]:
    """Return the series of a value from Python, their layout and notes.

    Args:
        data: a data frame (a row a step; its index may have the time stamps, or the names of the series and the time
            stamps); an array `(steps,)` or `(steps, targets)`; a list of them, or a mapping from names to them; an
            array `(series, targets, steps)`, as sktime has it; or a list of `Series`.
        layout: the columns of a data frame; for arrays only the numbers of targets and covariates are known.
        role: what the data are for, for messages.

    Raises:
        DataError, ShapeError, UsageError: it cannot be read so.
    """
    source = f"the {role}data"
    if isinstance(data, list | tuple) and all(isinstance(each, Series) for each in data) and len(data):
        return list(data), layout, []
    if isinstance(data, Series):
        return [data], layout, []
    if (table := _table_of(data, source)) is not None:
        return assemble(*_with_index(data, table, layout))
    names, arrays = _arrays(data)
    series = [
        _from_array(name, array, layout, number) for number, (name, array) in enumerate(zip(names, arrays, strict=True))
    ]
    widths = {each.target.shape[1] for each in series}
    if len(widths) > 1:
        raise ShapeError(
            f"Expected series of one number of targets, got {', '.join(map(str, sorted(widths)))}.",
            fix="Give arrays (steps, targets) of one width.",
        )
    width = widths.pop() if widths else 1
    if layout.target and len(layout.target) != width:
        raise ShapeError(
            f"Expected series of {len(layout.target)} targets, got {width}.",
            fix="Give arrays (steps, targets) with the targets that the model was trained on.",
        )
    target = layout.target or tuple(f"target {number}" for number in range(1, width + 1))
    return series, replace(layout, target=target, frequency=layout.frequency or Frequency()), []


def _arrays(data: Any) -> tuple[list[str], list[Any]]:
    """Return the names and the arrays of several series, or of one."""
    if isinstance(data, Mapping):
        return [str(name) for name in data], list(data.values())
    if hasattr(data, "shape") or not isinstance(data, Sequence):
        array = np.asarray(data)
        if array.ndim == 3:
            # sktime's order of the axes.
            return [str(number) for number in range(len(array))], list(array.transpose(0, 2, 1))
        return [""], [array]
    if data and np.ndim(data[0]) == 0:
        return [""], [np.asarray(data)]
    return [str(number) for number in range(len(data))], list(data)


def _from_array(name: str, given: Any, layout: Layout, number: int) -> Series:
    try:
        array = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError(
            "Expected an array of numbers (steps,) or (steps, targets).",
            where=f"series {number + 1}",
            fix="Give numbers; unknown ones as NaN.",
        ) from None
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != 2:
        raise ShapeError(
            f"Expected an array (steps,) or (steps, targets), got one of shape {tuple(array.shape)}.",
            where=f"series {number + 1}",
            fix="Give a row for each step.",
        )
    _refuse_values(array, layout, number)
    truth = None
    if layout.missing == "carry":
        _refuse_unknown(array, number)
        # Nothing can be carried into the first steps: they are left out, as those of a file are.
        truth = array[first_complete({"target": array}, len(array)) :]
        array = carried(truth)
    empty = np.empty((len(array), 0))
    return Series(name, array, empty, empty, np.empty(0), frequency=layout.frequency or Frequency(), truth=truth)


def _refuse_values(array: np.ndarray, layout: Layout, number: int) -> None:
    for kind, wrong in (("infinite", np.isinf(array)), ("missing", np.isnan(array))):
        rows, columns = np.nonzero(wrong)
        if len(rows) and (kind == "infinite" or layout.missing == "error"):
            raise DataError(
                f"Expected finite numbers, got {len(rows):,} {kind} value{'s' if len(rows) > 1 else ''}.",
                where=f"series {number + 1}, step {rows[0] + 1}, target {columns[0] + 1}",
                fix="Correct them." if kind == "infinite" else "Fill them in, or give missing='carry' or 'mask'.",
            )


def _refuse_unknown(array: np.ndarray, number: int) -> None:
    unknown = np.flatnonzero(np.isnan(array).all(0))
    if len(array) and len(unknown):
        raise DataError(
            "Expected at least one known value to carry forward, got none.",
            where=f"series {number + 1}, target {unknown[0] + 1}",
            fix="Leave the series out, or give missing='mask'.",
        )


def _table_of(data: Any, source: str) -> Table | None:
    """Return the columns of a data frame, or of one column with an index, else None."""
    if isinstance(data, Mapping) and not hasattr(data, "columns"):
        return None
    if hasattr(data, "index") and hasattr(data, "to_numpy") and not hasattr(data, "columns"):
        name = str(getattr(data, "name", None) or "target")
        return Table(source, {name: _column(data)}, len(data))
    names = getattr(data, "column_names", None) or getattr(data, "columns", None)
    if names is None or callable(names):
        return None
    return Table(source, {str(name): _column(data[name]) for name in names}, len(data))


def _column(column: Any) -> Any:
    """Return a column as an array of numbers or stamps, or as a list of texts."""
    values = np.asarray(column.to_numpy() if hasattr(column, "to_numpy") else column)
    return values if values.dtype.kind in "fiubM" else [str(each) for each in values.tolist()]


def _with_index(data: Any, table: Table, layout: Layout) -> tuple[Table, Layout]:
    """Return a table with the levels of a frame's index as columns, if they have a role."""
    index, columns = getattr(data, "index", None), dict(table.columns)
    levels = getattr(index, "nlevels", 1)
    # A layout from training may have these names already.
    is_free = layout.time in (None, TIME_OF_INDEX)
    if levels == 2 and is_free and layout.series in (None, SERIES_OF_INDEX):
        for level, name in enumerate((SERIES_OF_INDEX, TIME_OF_INDEX)):
            columns[name] = _column(index.get_level_values(level))  # pyright: ignore[reportOptionalMemberAccess]
        layout = replace(layout, series=SERIES_OF_INDEX, time=TIME_OF_INDEX)
    elif is_free and index is not None and not callable(index) and _is_time(index):
        columns[TIME_OF_INDEX] = _column(index)
        layout = replace(layout, time=TIME_OF_INDEX)
    if not layout.target:
        others = {layout.time, layout.series, *layout.past, *layout.known, *layout.static}
        numeric = [name for name, cells in columns.items() if name not in others and isinstance(cells, np.ndarray)]
        layout = replace(layout, target=tuple(name for name in numeric if columns[name].dtype.kind in "fiu"))
    if not layout.target:
        raise DataError("There is no column of numbers.", where=table.source, fix="Name the targets: target=['COLUMN']")
    return table._replace(columns=columns), layout


def _is_time(index: Any) -> bool:
    kind = np.dtype(getattr(index, "dtype", "O")) if isinstance(getattr(index, "dtype", None), np.dtype) else None
    return (kind is not None and kind.kind == "M") or "period" in str(getattr(index, "dtype", ""))
