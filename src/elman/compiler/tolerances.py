"""How far a result may be from the right one: one table for `elman fuzz` and the tests."""

from typing import NamedTuple

import torch
from torch import Tensor


class Tolerance(NamedTuple):
    """An error that is allowed.

    Args:
        relative: to the right number and to the scale of those beside it, see `relative_error`.
        absolute: for a test that compares numbers of unknown scale.
    """

    relative: float
    absolute: float


# Measured as `relative_error` over 700 random cells: kernels in float32 have 1e-7 typically and 1.3e-5 at most, where
# numbers nearly cancel; in float64 2e-16 and 1.9e-14. torch's own operations have as much. float64 keeps 29 bits more:
# 1e-4 / 2**29 is 2e-13, and what it is compared with is rounded as well.
TOLERANCES: dict[torch.dtype, Tolerance] = {
    torch.float32: Tolerance(1e-4, 1e-5),
    torch.float64: Tolerance(1e-12, 1e-12),
}

# Exception: a central difference loses half of the digits.
DIFFERENCES: dict[torch.dtype, Tolerance] = {
    torch.float32: Tolerance(1e-3, 1e-4),
    torch.float64: Tolerance(1e-6, 1e-8),
}

# Products of smaller numbers leave the range of float32.
SMALLEST_SCALE = 1e-6


def relative_error(found: Tensor, wanted: Tensor, *, by_feature: bool = False) -> Tensor:
    """Return each error relative to the right number and its scale, in the shape of `wanted`.

    The scale is the largest finite number of the tensor, or with `by_feature` the largest of the same feature, for
    `(rows, features)`. Equal infinities and NaN beside NaN have an error of 0, any other of them an infinite one.

    >>> relative_error(torch.tensor([1.0, 3.003]), torch.tensor([1.0, 3.0]))
    tensor([0.0000, 0.0005], dtype=torch.float64)
    """
    found, wanted = found.double(), wanted.double()
    if not wanted.numel():
        return torch.zeros_like(wanted)
    sizes = wanted.abs().nan_to_num(0.0, posinf=0.0)
    largest = sizes.amax(0) if by_feature else sizes.max()
    same = (found == wanted) | (found.isnan() & wanted.isnan())
    error = (found - wanted).abs() / (sizes + largest).clamp(min=SMALLEST_SCALE)
    return torch.where(same, 0.0, error.nan_to_num(torch.inf, posinf=torch.inf))
