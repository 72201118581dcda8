"""Lyapunov exponents: how fast states that differ a little drift apart, or together."""

import torch
from torch import Tensor

from elman.dynamics.trajectory import Trajectory, unit_vectors


@torch.no_grad()
def lyapunov_exponents(trajectory: Trajectory, count: int = 1, *, skipped: int = 0, seed: int = 0) -> list[float]:
    """Return the largest Lyapunov exponents, in natural logarithms a step, in descending order.

    Orthonormal vectors are moved by the Jacobian of each step and made orthonormal again by a QR decomposition, whose
    diagonal has the growth of each. The exponents are the means of its logarithm over all steps of all sequences.

    Args:
        trajectory: with the states.
        count: number of exponents, at most the width of the state.
        skipped: first steps of each sequence in which the vectors turn and are not counted.
        seed: of the first vectors.

    Returns:
        The exponents; -inf for a direction that a step takes away. None of them if all steps were skipped.

    Source:
        G. Benettin et al., Lyapunov Characteristic Exponents for Smooth Dynamical Systems, 1980; R. Vogt et al., On
        Lyapunov Exponents for RNNs, 2022, algorithm 1.
    """
    count = min(count, trajectory.width)
    vectors = unit_vectors(len(trajectory.lengths), count, trajectory.width, seed=seed)
    total, counted = torch.zeros(count, dtype=torch.float64), 0
    for time in range(trajectory.lengths[0]):
        running = trajectory.running(time)
        times, sequences = torch.full((running,), time), torch.arange(running)
        vectors, growth = _orthonormal(trajectory.push(vectors[:running], times, sequences))
        if time >= skipped:
            total += growth.log().sum(0)
            counted += running
    return sorted((total / counted).tolist(), reverse=True) if counted else []


def _orthonormal(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Make the vectors of each row orthonormal, and return how much each grew."""
    found = torch.linalg.qr(vectors.transpose(1, 2))
    return found.Q.transpose(1, 2).contiguous(), found.R.diagonal(dim1=1, dim2=2).abs()
