"""Intrinsic plasticity: the gain and the bias of each unit are fitted so that its values spread as a Gaussian."""

import torch
from torch import Tensor

from elman.nn.reservoirs import Reservoirs


@torch.no_grad()
def fit_plasticity(reservoirs: Reservoirs, inputs: Tensor, *, mean: float, deviation: float, rate: float) -> None:
    """Fit the gain a and the bias b of each unit y = tanh(a·x + b), step by step, in place.

    Afterwards the weights are multiplied by the gains, so that the reservoirs are ordinary ones.

    Δb = -η·(-μ/σ² + y/σ²·(2σ² + 1 - y² + μ·y)), Δa = η/a + Δb·x

    Args:
        reservoirs: without feedback; their weights change.
        inputs: `(time, inputs)`.
        mean: μ, of the values of a unit.
        deviation: σ, of the values of a unit.
        rate: η.

    Source:
        B. Schrauwen, M. Wardermann, D. Verstraeten, J. J. Steil, D. Stroobandt, Improving Reservoirs Using Intrinsic
        Plasticity, 2008, equations 9 and 10.
    """
    for stack in reservoirs.side:
        read = inputs
        for reservoir in stack:  # pyright: ignore[reportGeneralTypeIssues]
            recurrent = reservoir.layer.weights()["recurrent"]
            drive = read @ reservoir.input_weight + reservoir.bias
            gain, shift = _fitted(drive, recurrent, reservoir.leak, mean, deviation, rate)
            recurrent.mul_(gain)
            reservoir.input_weight.mul_(gain)
            reservoir.bias.mul_(gain).add_(shift)
            read = reservoir(read.unsqueeze(0), None, None, noisy=False)[0][0]


def _fitted(
    drive: Tensor, recurrent: Tensor, leak: float, mean: float, deviation: float, rate: float
) -> tuple[Tensor, Tensor]:
    """Return the gain and the bias of each unit, `(units,)`."""
    variance = deviation**2
    gain, shift, state = torch.ones_like(drive[0]), torch.zeros_like(drive[0]), torch.zeros_like(drive[0])
    for row in drive:
        net = row + state @ recurrent
        value = torch.tanh(gain * net + shift)
        change = -rate * (-mean / variance + value / variance * (2 * variance + 1 - value**2 + mean * value))
        gain += rate / gain + change * net
        shift += change
        state = (1 - leak) * state + leak * value
    return gain, shift
