"""Scores of several networks with consecutive seeds, as mean and deviation."""

from collections.abc import Sequence
from statistics import mean, stdev
from typing import NamedTuple, Self

import numpy as np


class SeedScore(NamedTuple):
    """A score of several networks that differ in their seed.

    Attributes:
        mean: over the networks.
        deviation: the standard deviation over the networks; None for one.
        each: the score of each network.

    >>> print(SeedScore.of([0.5, 0.7]))
    0.6 ± 0.14
    """

    mean: float
    deviation: float | None
    each: list[float]

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Return the mean and the deviation of values."""
        return cls(mean(values), stdev(values) if len(values) > 1 else None, list(values))

    def __str__(self) -> str:
        return f"{self.mean:.4g}" if self.deviation is None else f"{self.mean:.4g} ± {self.deviation:.2g}"


def errors_of(predicted: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    """Return the errors of predictions.

    Args:
        predicted: `(steps, outputs)`.
        targets: `(steps, outputs)`.

    Returns:
        `rmse`, `mae`, and `nrmse`: the first divided by the standard deviation of the targets. It is 0 for targets
        that are constant and predicted exactly, and infinite for constant targets that are not.
    """
    squared = float(np.mean((predicted - targets) ** 2))
    variance = float(np.mean((targets - targets.mean(0)) ** 2))
    ratio = squared / variance if variance else (np.inf if squared else 0.0)
    return {"rmse": squared**0.5, "nrmse": float(ratio**0.5), "mae": float(np.abs(predicted - targets).mean())}
