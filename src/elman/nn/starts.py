"""Initial values of parameters, drawn from torch's random generator."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from elman.compiler import starts
from elman.compiler.starts import Start
from elman.errors import UsageError

Draw = Callable[[Any, Tensor], object]


def _given(start: starts.Given, tensor: Tensor) -> None:
    tensor.copy_(torch.tensor(start.numbers, dtype=torch.float64).view(start.shape))


def orthogonal(tensor: Tensor, gain: float = 1.0) -> None:
    """Fill a matrix with a random orthogonal matrix times a gain."""
    # torch has no QR decomposition of half precision.
    drawn = tensor.new_empty(tensor.shape, dtype=torch.promote_types(tensor.dtype, torch.float32))
    tensor.copy_(nn.init.orthogonal_(drawn, gain))


def _sparse(start: starts.Sparse, tensor: Tensor) -> None:
    kept = torch.rand_like(tensor) < start.density
    # Where every unit reads at least one, there is a cycle, without which the radius would be 0.
    sources = torch.randint(len(tensor), (len(tensor),), device=tensor.device)
    kept[sources, torch.arange(len(tensor), device=tensor.device)] |= ~kept.any(0)
    _scale(start, tensor.uniform_(-1.0, 1.0).mul_(kept), start.spectral_radius)


def _cycle(start: starts.Ring | starts.DelayLine, tensor: Tensor) -> None:
    units = len(tensor)
    steps = torch.arange(units - isinstance(start, starts.DelayLine), device=tensor.device)
    tensor.zero_()[steps, (steps + 1) % units] = start.weight


def _small_world(start: starts.SmallWorld, tensor: Tensor) -> None:
    units, half = len(tensor), int(start.neighbours) // 2
    far = torch.tensor([step for step in range(-half, half + 1) if step], device=tensor.device)
    readers = torch.arange(units, device=tensor.device).repeat_interleave(2 * half)
    sources = (readers + far.repeat(units)) % units
    moved = torch.rand(sources.shape, device=tensor.device) < start.rewired
    sources = torch.where(moved, torch.randint(units, sources.shape, device=tensor.device), sources)
    weights = torch.empty(sources.shape, dtype=tensor.dtype, device=tensor.device).uniform_(-1.0, 1.0)
    tensor.zero_()[sources, readers] = weights
    _scale(start, tensor, start.spectral_radius)


def _scale(start: Start, tensor: Tensor, radius: float) -> None:
    """Scale a matrix to a spectral radius."""
    if tensor.is_meta:
        return
    found = spectral_radius(tensor)
    # A nilpotent matrix has the radius 0, which rounding makes a small number.
    if found <= 1e-6 * tensor.abs().max().item():
        raise UsageError(
            f"The matrix drawn from {start} has no cycle, so that its spectral radius is 0 and cannot be {radius:g}.",
            fix="Give more units or a higher density, or draw with another seed.",
        )
    tensor.mul_(radius / found)


def spectral_radius(matrix: Tensor) -> float:
    """Return the largest modulus of the eigenvalues of a square matrix, in float64.

    >>> spectral_radius(torch.tensor([[0.0, 2.0], [-2.0, 0.0]]))
    2.0
    """
    return float(torch.linalg.eigvals(matrix.detach().double()).abs().max())


DRAWS: dict[type[Start], Draw] = {
    starts.Fill: lambda start, tensor: tensor.fill_(start.value),
    starts.Given: _given,
    starts.Identity: lambda start, tensor: nn.init.eye_(tensor).mul_(start.scale),
    starts.Orthogonal: lambda start, tensor: orthogonal(tensor, start.gain),
    starts.Glorot: lambda start, tensor: nn.init.xavier_uniform_(tensor, start.gain),
    starts.Uniform: lambda start, tensor: tensor.uniform_(start.low, start.high),
    starts.Normal: lambda start, tensor: tensor.normal_(start.mean, start.deviation),
    starts.Sparse: _sparse,
    starts.Ring: _cycle,
    starts.DelayLine: _cycle,
    starts.SmallWorld: _small_world,
    starts.Chrono: lambda start, tensor: tensor.uniform_(1.0, start.longest - 1.0).log_(),
}


def draw(start: Start, tensor: Tensor) -> None:
    """Fill a parameter with its initial values, except for `Opposite`, which the caller fills."""
    DRAWS[type(start)](start, tensor)
