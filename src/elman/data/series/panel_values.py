"""Series given in Python: arrays, lists of them, and data frames in the forms of pandas and sktime."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from elman.data.series.given import long_series
from elman.data.series.panel import Layout, Series, carried, first_complete
from elman.data.series.panel_frames import frames_of, table_of
from elman.data.series.panel_table import assemble
from elman.data.series.timestamps import Frequency
from elman.errors import DataError, ShapeError


def panel_of(data: Any, layout: Layout, role: str = "") -> tuple[list[Series], Layout, list[str]]:
    """Return the series of a value from Python, their layout and notes.

    Args:
        data: a data frame (a row a step; its index may have the time stamps, or the names of the series and the time
            stamps; or, as sktime nests them, a row a series with a column of steps in each cell; or, as its long
            frames, a value a row); an array `(steps,)`
            or `(steps, targets)`; a list of frames or arrays, or a mapping from names to them; an array `(series,
            targets, steps)`, as sktime has it; or a list of `Series`.
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
    if (long := long_series(data)) is not None:
        data = long
    elif (parts := frames_of(data)) is not None:
        return _from_frames(parts, source, layout)
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


def _from_frames(
    frames: Sequence[tuple[str, Any]], source: str, layout: Layout
) -> tuple[list[Series], Layout, list[str]]:
    """Return the series of data frames, each of which has one series or several.

    The columns and the frequency are those of the first.
    """
    found: list[Series] = []
    notes: list[str] = []
    for name, frame in frames:
        own = f"{source}, series {name!r}" if name else source
        series, layout, more = assemble(*table_of(frame, own, layout))
        found += [replace(each, name=name) if name else each for each in series]
        notes += more
    return found, layout, notes
