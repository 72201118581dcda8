"""Cells of arrays and data frames as numbers; pandas itself is not needed."""

import numbers
from typing import Any

import numpy as np

# Of pandas: NA of nullable types, NaT of stamps.
MISSING_TYPES = ("NAType", "NaTType")


def is_missing_value(value: Any) -> bool:
    """Report whether a value from Python is None, NaN, or missing in a data frame.

    >>> is_missing_value(None), is_missing_value(float("nan")), is_missing_value(0), is_missing_value("")
    (True, True, False, False)
    """
    if value is None or type(value).__name__ in MISSING_TYPES:
        return True
    return isinstance(value, float | np.floating) and bool(np.isnan(value))


def numbers_or_none(cells: Any) -> np.ndarray | None:
    """Return cells in float64, NaN where one is missing, or None if some are not numbers.

    Args:
        cells: an array, or a column of a data frame with any type of pandas.

    >>> numbers_or_none(np.array([1, None, True], dtype=object))
    array([ 1., nan,  1.])
    >>> numbers_or_none(np.array(["1", "2"])) is None
    True
    """
    values = np.asarray(cells.to_numpy() if hasattr(cells, "to_numpy") else cells)
    if values.dtype.kind in "biuf":
        return values.astype(np.float64)
    if values.dtype.kind != "O":
        return None
    flat = values.ravel()
    missing = np.fromiter((is_missing_value(each) for each in flat), bool, len(flat))
    if not all(isinstance(each, numbers.Real | np.bool_) for each in flat[~missing]):
        return None
    found = np.full(len(flat), np.nan)
    found[~missing] = flat[~missing].astype(np.float64)
    return found.reshape(values.shape)
