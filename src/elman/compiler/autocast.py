"""What torch.autocast means for a recurrent layer.

torch's own recurrent layers, on a CPU its LSTM and RNN, compute in autocast's type and give results of it. Here the
results have that type, too. On a CPU the steps are computed in float32, by kernels, from inputs rounded as they are;
on other devices in autocast's own type.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor

NARROW = (torch.float32, torch.bfloat16, torch.float16)


def is_on(device: str) -> bool:
    """Return whether autocast is enabled for a type of device."""
    # torch has no autocast for the device `meta`.
    return device != "meta" and torch.is_autocast_enabled(device)


def autocast_type(tensors: Sequence[Tensor]) -> torch.dtype | None:
    """Return the type that autocast asks for.

    Returns:
        None without autocast, and for tensors of a type that it leaves unchanged.
    """
    device = tensors[0].device.type
    if not is_on(device):
        return None
    return torch.get_autocast_dtype(device) if all(tensor.dtype in NARROW for tensor in tensors) else None


def fits(dtype: torch.dtype, like: Tensor) -> bool:
    """Return whether a type fits a tensor: it is the tensor's, or autocast converts both."""
    if dtype == like.dtype:
        return True
    return dtype in NARROW and like.dtype in NARROW and is_on(like.device.type)


def lowered(tensors: Sequence[Tensor], low: torch.dtype) -> list[Tensor]:
    """Convert tensors to the type in which the steps are computed under autocast to `low`."""
    return [tensor.to(torch.float32 if tensor.device.type == "cpu" else low) for tensor in tensors]


def without_autocast(device: str) -> AbstractContextManager:
    """Return a context in which operations compute in the types of their arguments."""
    return torch.autocast(device, enabled=False)
