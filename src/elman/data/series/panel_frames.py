"""Series in the data frames of pandas and sktime; pandas itself is not needed."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from elman.data.series.cells import is_missing_value, numbers_or_none
from elman.data.series.panel import SERIES_NAMES, Layout, Table
from elman.errors import DataError

SERIES_OF_INDEX, TIME_OF_INDEX = "series of the index", "time of the index"


def frames_of(data: Any) -> list[tuple[str, Any]] | None:
    """Return data frames or columns with the names of their series, None for other values.

    The name is empty where the frame itself has those of its series. A frame with a column of steps in each cell, as
    sktime nests them, is a mapping of columns for each row.
    """
    if _is_frame(data):
        _refuse_doubled(data)
        return _nested(data) or [("", data)]
    if isinstance(data, Mapping):
        names, values = [str(name) for name in data], list(data.values())
    elif isinstance(data, list | tuple):
        names, values = [str(number) for number in range(len(data))], list(data)
    else:
        return None
    return list(zip(names, values, strict=True)) if values and all(map(_is_frame, values)) else None


def _is_frame(data: Any) -> bool:
    """Report whether a value has columns, or is one column with an index."""
    if isinstance(data, Mapping) and not hasattr(data, "columns"):
        return False
    names = getattr(data, "column_names", None) or getattr(data, "columns", None)
    return (names is not None and not callable(names)) or _is_column(data)


def _is_column(data: Any) -> bool:
    return hasattr(data, "index") and hasattr(data, "to_numpy") and not hasattr(data, "columns")


def _nested(frame: Any) -> list[tuple[str, Any]] | None:
    """Return the columns of each row of a frame whose cells are columns of steps."""
    if _is_column(frame) or not hasattr(frame, "index") or not len(frame):
        return None
    columns = {str(name): list(np.asarray(frame[name])) for name in _names(frame)}
    if not columns or not all(
        hasattr(cells[0], "__len__") and not isinstance(cells[0], str) for cells in columns.values()
    ):
        return None
    rows = [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
    for number, row in enumerate(rows, start=1):
        lengths = [len(cell) if hasattr(cell, "__len__") else 0 for cell in row.values()]
        if len(set(lengths)) > 1:
            raise DataError(
                "Expected columns of one length in each row, got several lengths.",
                where=f"series {number}: {', '.join(map(str, lengths))} steps",
                fix="Give each column of a series the same steps, with NaN where a value is missing.",
            )
    return [(str(name), row) for name, row in zip(frame.index, rows, strict=True)]


def table_of(frame: Any, source: str, layout: Layout) -> tuple[Table, Layout]:
    """Return a data frame as a table, and the layout with the columns that it shows.

    Levels of its index that have a role become columns.

    Args:
        frame: one of those of `frames_of`.
        source: its name in messages.
        layout: the columns as far as they are given, or those of the training data.

    Raises:
        DataError: several columns of one name, or no column of numbers.
    """
    if isinstance(frame, Mapping):
        first = next(iter(frame.values()))
        columns, rows, index = {name: column_of(cells) for name, cells in frame.items()}, len(first), _index(first)
    elif _is_column(frame):
        # A single column is the only target, also under another name.
        name = layout.target[0] if len(layout.target) == 1 else str(getattr(frame, "name", None) or "target")
        columns, rows, index = {name: column_of(frame)}, len(frame), _index(frame)
    else:
        _refuse_doubled(frame)
        columns = {str(name): column_of(frame[name]) for name in _names(frame)}
        rows, index = len(frame), _index(frame)
    return _with_roles(Table(source, columns, rows), index, layout)


def _refuse_doubled(frame: Any) -> None:
    names = [] if _is_column(frame) else _names(frame)
    if doubled := [name for name in names if names.count(name) > 1]:
        raise DataError(f"Two columns are named {doubled[0]!r}.", fix="Give each column its own name.")


def _names(frame: Any) -> list[Any]:
    return list(getattr(frame, "column_names", None) or frame.columns)


def _index(data: Any) -> Any:
    """Return the index of a frame, None for a value without one, such as a list."""
    index = getattr(data, "index", None)
    return None if callable(index) else index


def column_of(column: Any) -> Any:
    """Return a column as an array of numbers or stamps, or as a list of texts.

    A missing text is empty. Stamps with a time zone are in UTC, or dates in their own zone if all of them are at
    midnight there.
    """
    if _kind(column) == "zone":
        return _without_zone(column)
    values = np.asarray(column.to_numpy() if hasattr(column, "to_numpy") else column)
    if values.dtype.kind == "M":
        return values
    if (found := numbers_or_none(values)) is not None and (values.dtype.kind != "O" or not np.isnan(found).all()):
        return values if values.dtype.kind != "O" else found
    return ["" if is_missing_value(each) else str(each) for each in values.tolist()]


def _kind(column: Any) -> str:
    """Return the type of stamps: time, period or zone, or an empty text for others."""
    name = str(getattr(column, "dtype", ""))
    if name.startswith("datetime64"):
        return "zone" if "," in name else "time"
    return "period" if name.startswith("period") else ""


def _without_zone(column: Any) -> np.ndarray:
    stamps = getattr(column, "dt", column)
    local = np.asarray(stamps.tz_localize(None).to_numpy())
    if (local == local.astype("datetime64[D]")).all():
        return local
    return np.asarray(stamps.tz_convert("UTC").tz_localize(None).to_numpy())


def _with_roles(table: Table, index: Any, layout: Layout) -> tuple[Table, Layout]:
    """Return a table with the levels of a frame's index as columns, and the layout with them."""
    columns = dict(table.columns)
    levels = getattr(index, "nlevels", 1)
    # A layout from training may have these names already.
    is_free = layout.time in (None, TIME_OF_INDEX)
    if levels > 1 and is_free and layout.series in (None, SERIES_OF_INDEX):
        names = [index.get_level_values(level) for level in range(levels - 1)]
        columns[SERIES_OF_INDEX] = [" ".join(map(str, each)) for each in zip(*names, strict=True)]
        columns[TIME_OF_INDEX] = column_of(index.get_level_values(levels - 1))
        layout = replace(layout, series=SERIES_OF_INDEX, time=TIME_OF_INDEX)
    elif is_free and levels == 1 and _kind(index):
        columns[TIME_OF_INDEX] = column_of(index)
        layout = replace(layout, time=TIME_OF_INDEX)
    if not layout.target:
        layout = _with_target(table.source, columns, layout)
    return table._replace(columns=columns), layout


def _with_target(source: str, columns: Mapping[str, Any], layout: Layout) -> Layout:
    """Return the layout with the columns that are found as in a file.

    These are the first column of stamps, a usual name of the series, and all other columns of numbers as targets.
    """
    used = {layout.time, layout.series, *layout.past, *layout.known, *layout.static}
    if layout.time is None:
        stamps = [name for name, cells in columns.items() if name not in used and _dtype(cells) == "M"]
        layout = replace(layout, time=next(iter(stamps), None))
    if layout.series is None:
        series = [name for name in columns if name not in used and name.lower() in SERIES_NAMES]
        layout = replace(layout, series=next(iter(series), None))
    used |= {layout.time, layout.series}
    target = tuple(name for name, cells in columns.items() if name not in used and _dtype(cells) in tuple("fiu"))
    if not target:
        raise DataError("There is no column of numbers.", where=source, fix="Name the targets: target=['COLUMN']")
    return replace(layout, target=target)


def _dtype(cells: Sequence[str] | np.ndarray) -> str:
    return cells.dtype.kind if isinstance(cells, np.ndarray) else ""
