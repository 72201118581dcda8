"""Initial values of parameters, drawn from torch's random generator."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from elman.compiler import starts
from elman.compiler.starts import Start

Draw = Callable[[Any, Tensor], object]


def _given(start: starts.Given, tensor: Tensor) -> None:
    tensor.copy_(torch.tensor(start.numbers, dtype=torch.float64).view(start.shape))


def orthogonal(tensor: Tensor, gain: float = 1.0) -> None:
    """Fill a matrix with a random orthogonal matrix times a gain."""
    # torch has no QR decomposition of half precision.
    drawn = tensor.new_empty(tensor.shape, dtype=torch.promote_types(tensor.dtype, torch.float32))
    tensor.copy_(nn.init.orthogonal_(drawn, gain))


DRAWS: dict[type[Start], Draw] = {
    starts.Fill: lambda start, tensor: tensor.fill_(start.value),
    starts.Given: _given,
    starts.Identity: lambda start, tensor: nn.init.eye_(tensor).mul_(start.scale),
    starts.Orthogonal: lambda start, tensor: orthogonal(tensor, start.gain),
    starts.Glorot: lambda start, tensor: nn.init.xavier_uniform_(tensor, start.gain),
    starts.Uniform: lambda start, tensor: tensor.uniform_(start.low, start.high),
    starts.Normal: lambda start, tensor: tensor.normal_(start.mean, start.deviation),
    starts.Chrono: lambda start, tensor: tensor.uniform_(1.0, start.longest - 1.0).log_(),
}


def draw(start: Start, tensor: Tensor) -> None:
    """Fill a parameter with its initial values, except for `Opposite`, which the caller fills."""
    DRAWS[type(start)](start, tensor)
