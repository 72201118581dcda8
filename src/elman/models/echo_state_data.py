"""Series of numbers as arrays, with every step checked."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from elman.errors import DataError

FIX = "Give an array (steps,) or (steps, channels), or a list of such arrays."


class Series(NamedTuple):
    """Series of numbers.

    Attributes:
        arrays: each `(steps, channels)`, float64.
        is_list: whether a list of series was given.
        is_flat: whether a step was a number and not a row.
    """

    arrays: list[np.ndarray]
    is_list: bool
    is_flat: bool

    @property
    def channels(self) -> int:
        """Numbers of a step."""
        return self.arrays[0].shape[1]


def read_series(given: Any, name: str = "series") -> Series:
    """Return series that were given as one array or a list of arrays.

    Args:
        given: `(steps,)` or `(steps, channels)`; a list of arrays or lists is a list of series.
        name: of the argument, for errors.

    Raises:
        DataError: something else, other numbers of channels, or a number that is not finite.
    """
    is_list = isinstance(given, list | tuple) and (not given or np.ndim(given[0]) > 0)
    arrays = [_array(each, name, number) for number, each in enumerate(given if is_list else [given])]
    if not arrays:
        raise DataError(f"Expected at least one series in {name}, got none.", fix=FIX)
    if len({(each.ndim, *each.shape[1:]) for each in arrays}) > 1:
        shapes = ", ".join(str(each.shape) for each in arrays[:3])
        raise DataError(f"Expected the same channels in all of {name}, got arrays of shapes {shapes}, ….", fix=FIX)
    is_flat = arrays[0].ndim == 1
    return Series([each[:, None] if is_flat else each for each in arrays], is_list, is_flat)


def read_pair(series: Any, targets: Any) -> tuple[Series, Series]:
    """Return series and their targets, which are the next values if none are given.

    Raises:
        DataError: as for `read_series`, or other lengths than the series.
    """
    read = read_series(series)
    if targets is None:
        wanted = read._replace(arrays=[each[1:] for each in read.arrays])
        return read._replace(arrays=[each[:-1] for each in read.arrays]), wanted
    wanted = read_series(targets, "targets")
    lengths = [[len(each) for each in of.arrays] for of in (read, wanted)]
    if lengths[0] != lengths[1]:
        raise DataError(
            f"Expected a target for each step, got series of {_listed(lengths[0])} steps and targets of "
            f"{_listed(lengths[1])}.",
            fix="Give series and targets of the same lengths.",
        )
    return read, wanted


def _array(given: Any, name: str, number: int) -> np.ndarray:
    try:
        if np.iscomplexobj(given):
            raise TypeError
        # A view that is reversed, or that may not be written to, is copied: torch does not take it.
        array = np.require(given, np.float64, ["C", "W"])
    except (TypeError, ValueError):
        raise DataError(
            f"Expected numbers in {name}, got {given!r:.80}.", where=f"series {number + 1}", fix=FIX
        ) from None
    if array.ndim not in (1, 2) or array.shape[1:] == (0,):
        raise DataError(f"Expected arrays of one or two axes in {name}, got {array.shape}.", fix=FIX)
    finite = np.isfinite(array) if array.ndim == 1 else np.isfinite(array).all(1)
    if not finite.all():
        step = int(finite.argmin())
        raise DataError(
            f"Expected finite numbers in {name}, got {array[step]}.",
            where=f"series {number + 1}, step {step + 1}",
            fix="Fill the gap, or split the series there and give a list of series.",
        )
    return array


def _listed(lengths: Sequence[int]) -> str:
    return ", ".join(map(str, lengths[:5])) + (", …" if len(lengths) > 5 else "")
