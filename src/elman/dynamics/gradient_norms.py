"""The norm of the derivative of a layer's last state by its earlier ones."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from elman.dynamics.trajectory import Trajectory, unit_vectors

# States of at most so many numbers have exact norms.
EXACT = 256
PROBES = 32


@dataclass(frozen=True)
class GradientNorms:
    """Norms of ∂h_T/∂h_t by the distance T - t.

    The norm is Frobenius' divided by the root of the width: the root mean square by which the gradient of a random
    loss of h_T grows on its way back, 1 at distance 0.

    Attributes:
        logarithms: the natural logarithm of the norm at each distance from 0, the mean over the sequences that are long
            enough; -inf where it is 0.
        sequences: number of them at each distance.
        exact: whether all directions were followed, not a random sample.
    """

    logarithms: list[float]
    sequences: list[int]
    exact: bool

    @property
    def slope(self) -> float:
        """Change of the logarithm a step: the least-squares line through the finite ones, weighted by sequences."""
        points = [
            (distance, value, count)
            for distance, (value, count) in enumerate(zip(self.logarithms, self.sequences, strict=True))
            if math.isfinite(value)
        ]
        total = sum(count for *_, count in points)
        if len(points) < 2:
            return -math.inf if len(self.logarithms) > 1 else math.nan
        x = sum(count * distance for distance, _, count in points) / total
        y = sum(count * value for _, value, count in points) / total
        spread = sum(count * (distance - x) ** 2 for distance, _, count in points)
        return sum(count * (distance - x) * (value - y) for distance, value, count in points) / spread

    @property
    def memory(self) -> float:
        """Effective memory: steps in which the gradient falls to 1/e; infinite if it does not fall."""
        return -1.0 / self.slope if self.slope < 0.0 else math.inf


@torch.no_grad()
def gradient_norms(trajectory: Trajectory, *, probes: int | None = None, seed: int = 0) -> GradientNorms:
    """Compute the norms of ∂h_T/∂h_t for every t, by products with each step's Jacobian.

    vᵀ·∂h_T/∂h_t is followed backward through the steps: for all unit vectors v, which is exact, or for some random
    orthonormal ones, whose mean square is an unbiased estimate.

    Args:
        trajectory: with the states.
        probes: number of vectors. By default all of them up to a width of 256, and 32 beyond.
        seed: of the random vectors.

    Source:
        R. Pascanu, T. Mikolov, Y. Bengio, On the Difficulty of Training Recurrent Neural Networks, 2013, equation 5,
        in another norm.
    """
    width, lengths = trajectory.width, torch.tensor(trajectory.lengths)
    count = min(probes or (width if width <= EXACT else PROBES), width)
    vectors = unit_vectors(len(lengths), count, width, seed=seed)
    logarithms = torch.zeros(len(lengths), dtype=torch.float64)
    means, rows = [0.0], [len(lengths)]
    for distance in range(1, trajectory.lengths[0] + 1):
        running = trajectory.running(distance - 1)
        vectors, logarithms = vectors[:running], logarithms[:running]
        times, sequences = lengths[:running] - distance, torch.arange(running)
        vectors, grown = _scaled(trajectory.pull(vectors, times, sequences), math.sqrt(count))
        logarithms = logarithms + grown
        means.append(float(logarithms.mean()))
        rows.append(running)
    return GradientNorms(means, rows, count == width)


def _scaled(vectors: Tensor, size: float) -> tuple[Tensor, Tensor]:
    """Scale the vectors of each row to a norm, and return the logarithm of how much they grew."""
    norms = vectors.flatten(1).norm(dim=1) / size
    scaled = vectors / norms.where(norms > 0, torch.ones_like(norms)).view(-1, 1, 1)
    return scaled, norms.log()
