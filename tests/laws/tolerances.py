"""The package's table of tolerances, as assertions."""

from typing import Any

import torch
from torch.testing import assert_close

from elman.compiler.tolerances import DIFFERENCES, TOLERANCES, Tolerance


def assert_near(actual: Any, expected: Any, dtype: torch.dtype) -> None:
    """Equal up to the rounding of the dtype; tensors, or sequences and mappings of them."""
    _assert_within(TOLERANCES[dtype], actual, expected)


def assert_near_differences(actual: Any, expected: Any, dtype: torch.dtype) -> None:
    """Equal to central differences up to their error; tensors, or sequences and mappings of them."""
    _assert_within(DIFFERENCES[dtype], actual, expected)


def _assert_within(allowed: Tolerance, actual: Any, expected: Any) -> None:
    assert_close(actual, expected, rtol=allowed.relative, atol=allowed.absolute, equal_nan=True)
