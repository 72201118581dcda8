"""Intrinsic plasticity: the gain and the bias of each unit are fitted so that its values spread as a Gaussian."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from elman.nn.reservoirs import Reservoirs


@torch.no_grad()
def fit_plasticity(
    reservoirs: Reservoirs, series: Sequence[Tensor], *, mean: float, deviation: float, rate: float
) -> None:
    """Fit the gain a and the bias b of each unit y = tanh(a·x + b), step by step, in place.

    Afterwards the weights are multiplied by the gains, so that the reservoirs are ordinary ones.

    Δb = -η·(-μ/σ² + y/σ²·(2σ² + 1 - y² + μ·y)), Δa = η/a + Δb·x

    Args:
        reservoirs: without feedback; their weights change.
        series: each `(time, inputs)`, read one after the other, each from a state of zeros.
        mean: μ, of the values of a unit.
        deviation: σ, of the values of a unit.
        rate: η.

    Source:
        B. Schrauwen, M. Wardermann, D. Verstraeten, J. J. Steil, D. Stroobandt, Improving Reservoirs Using Intrinsic
        Plasticity, 2008, equations 9 and 10.
    """
    for stack in reservoirs.side:
        read = list(series)
        for reservoir in stack:  # pyright: ignore[reportGeneralTypeIssues]
            recurrent = reservoir.layer.weights()["recurrent"]
            drives = [each @ reservoir.input_weight + reservoir.bias for each in read]
            gain, shift = _fitted(drives, recurrent, reservoir.leak, mean, deviation, rate)
            recurrent.mul_(gain)
            reservoir.input_weight.mul_(gain)
            reservoir.bias.mul_(gain).add_(shift)
            read = [reservoir(each.unsqueeze(0), None, None, noisy=False)[0][0] for each in read]


def first_steps(series: Iterable[Tensor], count: int) -> list[Tensor]:
    """Return the first series that have so many steps together, the last of them cut off there.

    Args:
        series: each `(time, inputs)`.
        count: number of steps.
    """
    found: list[Tensor] = []
    for each in series:
        if count <= 0:
            break
        found.append(each[:count])
        count -= len(each)
    return found


def _fitted(
    drives: Sequence[Tensor], recurrent: Tensor, leak: float, mean: float, deviation: float, rate: float
) -> tuple[Tensor, Tensor]:
    """Return the gain and the bias of each unit, `(units,)`."""
    variance, zeros = deviation**2, torch.zeros_like(recurrent[0])
    gain, shift = torch.ones_like(zeros), zeros.clone()
    for drive in drives:
        state = zeros
        for row in drive:
            net = row + state @ recurrent
            value = torch.tanh(gain * net + shift)
            change = -rate * (-mean / variance + value / variance * (2 * variance + 1 - value**2 + mean * value))
            gain += rate / gain + change * net
            shift += change
            state = (1 - leak) * state + leak * value
    return gain, shift
