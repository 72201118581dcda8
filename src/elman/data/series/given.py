"""Series given in Python, in the forms of sktime and of pandas; pandas itself is not needed."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from elman.errors import DataError


def series_of(given: Any) -> list[np.ndarray] | None:
    """Return series `(time, channel)`, or None for what is read as a list of sequences.

    | form                                                            | as in                        |
    |-----------------------------------------------------------------|------------------------------|
    | NumPy array `(instance, channel, time)`                         | sktime's numpy3D             |
    | data frame with a series in each cell, a column a channel       | sktime's nested_univ         |
    | data frame with two levels of index, a column a channel         | sktime's pd-multiindex       |
    | data frame of numbers alone, a row a series                     | scikit-learn's tables        |

    Args:
        given: the sequences.

    Raises:
        DataError: cells of one row that differ in their steps, or an index of more than two levels.

    >>> series_of(np.zeros((5, 2, 7)))[0].shape
    (7, 2)
    """
    if isinstance(given, np.ndarray):
        return [each.T for each in given] if given.ndim == 3 else None
    if isinstance(given, Mapping) or not all(hasattr(given, name) for name in ("columns", "index", "to_numpy")):
        return None
    levels = getattr(given.index, "nlevels", 1)
    if levels > 2:
        raise DataError(
            f"Expected a data frame whose index has two levels (series and time), got {levels}.",
            fix="Give a frame for each group, or join its levels into one.",
        )
    values = given.to_numpy()
    if levels == 2:
        return _by_series(values, given.index.get_level_values(0))
    if values.ndim != 2 or not len(values):
        return None
    if values.dtype.kind in "biuf":
        return [row[:, None].astype(np.float64) for row in values]
    if all(_is_series(cell) for cell in values[0]):
        return [_joined(row, number) for number, row in enumerate(values, start=1)]
    return None


def _is_series(cell: Any) -> bool:
    return not isinstance(cell, str | bytes | Mapping) and hasattr(cell, "__len__")


def _joined(row: np.ndarray, number: int) -> np.ndarray:
    channels = [np.asarray(cell, dtype=np.float64) for cell in row]
    if len({len(channel) for channel in channels}) > 1:
        raise DataError(
            "Expected channels of one length in each row, got several lengths.",
            where=f"sequence {number}: {', '.join(str(len(channel)) for channel in channels)} steps",
            fix="Give each channel of a series the same steps, with NaN where a value is missing.",
        )
    return np.stack(channels, axis=1)


def _by_series(values: np.ndarray, names: Any) -> list[np.ndarray]:
    rows: dict[Any, list[int]] = {}
    for row, name in enumerate(names):
        rows.setdefault(name, []).append(row)
    numbers = values.astype(np.float64)
    return [numbers[each] for each in rows.values()]
