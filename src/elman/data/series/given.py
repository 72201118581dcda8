"""Series given in Python, in the forms of sktime and of pandas; pandas itself is not needed."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from elman.data.series.cells import numbers_or_none
from elman.errors import DataError

SHOWN = 60
LONG = ("case_id", "dim_id", "reading_id", "value")


def series_of(given: Any) -> list[np.ndarray] | None:
    """Return series `(time, channel)`, or None for what is read as a list of sequences.

    | form                                                            | as in                        |
    |-----------------------------------------------------------------|------------------------------|
    | NumPy array `(instance, channel, time)`                         | sktime's numpy3D             |
    | data frame with a series in each cell, a column a channel       | sktime's nested_univ         |
    | data frame with two levels of index, a column a channel         | sktime's pd-multiindex       |
    | data frame of `LONG`: a value a row                             | sktime's pd-long             |
    | data frame of numbers alone, a row a series                     | scikit-learn's tables        |

    Args:
        given: the sequences.

    Raises:
        DataError: cells of one row that differ in their steps or are not of numbers, columns that are not of numbers,
            an index of more than two levels, rows that are not in the order of series and time, or a long frame in
            which a value is missing or comes twice.

    >>> series_of(np.zeros((5, 2, 7)))[0].shape
    (7, 2)
    """
    if isinstance(given, np.ndarray):
        return [each.T for each in given] if given.ndim == 3 else None
    if isinstance(given, Mapping) or not all(hasattr(given, name) for name in ("columns", "index", "to_numpy")):
        return None
    if (long := long_series(given)) is not None:
        return list(long.values())
    levels = getattr(given.index, "nlevels", 1)
    if levels > 2:
        raise DataError(
            f"Expected a data frame whose index has two levels (series and time), got {levels}.",
            fix="Give a frame for each group, or join its levels into one.",
        )
    values = given.to_numpy()
    if levels == 2:
        return _by_series(_numbers(given, values), given.index)
    if values.ndim != 2 or not len(values):
        return None
    if values.dtype.kind == "O" and all(_is_series(cell) for cell in values[0]):
        return [_joined(row, number) for number, row in enumerate(values, start=1)]
    found = numbers_or_none(values)
    return None if found is None else [row[:, None] for row in found]


def long_series(given: Any) -> dict[Any, np.ndarray] | None:
    """Return the series `(time, channel)` of a frame with a value a row, by name.

    Other values give None. Series are in the order of their first rows, channels and steps in their own.

    Args:
        given: a data frame with the columns `LONG`: the names of series, channel and step, and the value.

    Raises:
        DataError: values that are not numbers, or a series in which a step of a channel is missing or comes twice.
    """
    names = [str(name) for name in getattr(given, "columns", ())]
    if isinstance(given, Mapping) or sorted(names) != sorted(LONG) or not hasattr(given, "to_numpy"):
        return None
    values = given.to_numpy()
    series, channels, steps, numbers = (values[:, names.index(name)] for name in LONG)
    found = numbers_or_none(numbers)
    if found is None:
        raise DataError(
            "Expected numbers in the column `value`, got others.",
            fix="Give numbers, with NaN where a value is missing.",
        )
    kinds = np.unique(channels)
    rows: dict[Any, list[int]] = {}
    for row, name in enumerate(series):
        rows.setdefault(name, []).append(row)
    return {name: _pivoted(name, kinds, channels[own], steps[own], found[own]) for name, own in rows.items()}


def _pivoted(name: Any, kinds: np.ndarray, channels: np.ndarray, steps: np.ndarray, values: np.ndarray) -> np.ndarray:
    times, row = np.unique(steps, return_inverse=True)
    column = np.searchsorted(kinds, channels)
    counts = np.zeros((len(times), len(kinds)), int)
    np.add.at(counts, (row, column), 1)
    if (counts != 1).any():
        step, channel = np.argwhere(counts != 1)[0]
        times_read = "none" if not counts[step, channel] else f"{counts[step, channel]}"
        raise DataError(
            f"Expected one value for each step of each channel, got {times_read}.",
            where=f"case_id {name!r}, dim_id {kinds[channel]!r}, reading_id {times[step]!r}",
            fix="Give every channel of a series the same steps, each once, with NaN where a value is missing.",
        )
    found = np.empty(counts.shape)
    found[row, column] = values
    return found


def _is_series(cell: Any) -> bool:
    return not isinstance(cell, str | bytes | Mapping) and hasattr(cell, "__len__")


def _shown(cell: Any) -> str:
    return str(list(cell) if _is_series(cell) else cell)[:SHOWN]


def _joined(row: np.ndarray, number: int) -> np.ndarray:
    channels = [numbers_or_none(cell) for cell in row]
    wrong = next((n for n, channel in enumerate(channels, 1) if channel is None or channel.ndim != 1), None)
    if wrong is not None:
        raise DataError(
            f"Expected a series of numbers, got {_shown(row[wrong - 1])}.",
            where=f"sequence {number}, channel {wrong}",
            fix="Give numbers, with NaN where a value is missing.",
        )
    if len({len(channel) for channel in channels if channel is not None}) > 1:
        raise DataError(
            "Expected channels of one length in each row, got several lengths.",
            where=f"sequence {number}: {', '.join(str(len(channel)) for channel in row)} steps",
            fix="Give each channel of a series the same steps, with NaN where a value is missing.",
        )
    return np.stack(channels, axis=1)  # pyright: ignore[reportArgumentType, reportCallIssue]


def _numbers(frame: Any, values: np.ndarray) -> np.ndarray:
    """Return the values of a frame in float64.

    Raises:
        DataError: names the columns that are not numbers.
    """
    columns = [numbers_or_none(column) for column in values.T]
    wrong = [repr(name) for name, column in zip(frame.columns, columns, strict=True) if column is None]
    if wrong:
        raise DataError(
            "Expected a data frame of numbers, a column for each channel, got others.",
            where=f"columns {', '.join(wrong[:5])}{' …' if len(wrong) > 5 else ''}",
            fix=f"Leave them out: df.drop(columns=[{', '.join(wrong[:5])}]), or give them as numbers.",
        )
    return np.stack(columns, axis=1) if columns else np.zeros(values.shape)  # pyright: ignore[reportArgumentType, reportCallIssue]


def _by_series(values: np.ndarray, index: Any) -> list[np.ndarray]:
    rows: dict[Any, list[int]] = {}
    for row, name in enumerate(index.get_level_values(0)):
        rows.setdefault(name, []).append(row)
    _check_order(rows, index.get_level_values(1))
    return [values[each] for each in rows.values()]


def _check_order(rows: Mapping[Any, list[int]], times: Any) -> None:
    """Refuse rows of a series that are apart, or not in the order of their times.

    Raises:
        DataError: names the first such series.
    """
    asked = np.asarray(times.astype("int64")) if "period" in str(getattr(times, "dtype", "")) else np.asarray(times)
    for name, own in rows.items():
        steps = asked[own] if asked.dtype.kind in "iufM" else np.arange(len(own))
        if own[-1] - own[0] + 1 != len(own) or not (steps[1:] > steps[:-1]).all():
            raise DataError(
                "Expected the rows of each series together, and each time once, the earliest first.",
                where=f"series {name!r}, rows {own[0] + 1:,} to {own[-1] + 1:,}",
                fix="Sort the frame, such as with df.sort_index(), and the targets in the same order of the series.",
            )
