"""The one table of tolerances, by dtype; the same on every machine."""

from typing import Any

import torch
from torch.testing import assert_close

TOLERANCES: dict[torch.dtype, dict[str, float]] = {
    torch.float32: {"rtol": 1e-4, "atol": 1e-5},
    torch.float64: {"rtol": 1e-10, "atol": 1e-12},
}

# A central difference loses half of the digits, whatever is compared with it.
DIFFERENCES: dict[torch.dtype, dict[str, float]] = {
    torch.float32: {"rtol": 1e-3, "atol": 1e-4},
    torch.float64: {"rtol": 1e-6, "atol": 1e-8},
}


def assert_near(actual: Any, expected: Any, dtype: torch.dtype) -> None:
    """Equal up to the rounding of the dtype; tensors, or sequences and mappings of them."""
    assert_close(actual, expected, **TOLERANCES[dtype], equal_nan=True)
