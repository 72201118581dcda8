"""Recursive least squares: ridge regression whose solution is known after every row."""

from collections.abc import Mapping

import torch
from torch import Tensor

from elman.errors import UsageError
from elman.nn.ridge_sums import Solution


class RecursiveLeastSquares:
    """Ridge regression whose solution is known after every row.

    After any rows the weights are those of `Sums.solve([ridge], penalised_bias=True)` on the same rows.

    Args:
        features: number of features; a feature that is always 1 is added.
        targets: number of targets.
        ridge: penalty of the weights and the bias; above 0.
        forgetting: factor of the weight of earlier rows at each row, above 0 to 1. Default 1: all rows count the same.

    Attributes:
        weight: `(features, targets)`.
        bias: `(targets,)`.
        ridge: the penalty.

    Raises:
        UsageError: a ridge or a factor outside its range.

    Source:
        S. Haykin, Adaptive Filter Theory, table 9.1; it is also the update of FORCE learning: D. Sussillo, L. F.
        Abbott, Generating Coherent Patterns of Activity from Chaotic Neural Networks, 2009, equations 4 and 5.
    """

    def __init__(self, features: int, targets: int, *, ridge: float = 1.0, forgetting: float = 1.0):
        if not ridge > 0.0 or not 0.0 < forgetting <= 1.0:
            raise UsageError(
                f"Expected a ridge above 0 and a forgetting factor above 0 to 1, got {ridge!r} and {forgetting!r}.",
                fix="Give such numbers, for example ridge=1.0, forgetting=0.999.",
            )
        self.ridge, self._forgetting = ridge, forgetting
        self._inverse = torch.eye(features + 1, dtype=torch.float64) / ridge
        self._weights = torch.zeros(features + 1, targets, dtype=torch.float64)

    @property
    def weight(self) -> Tensor:
        """The weights of the features, `(features, targets)`."""
        return self._weights[:-1]

    @property
    def bias(self) -> Tensor:
        """The bias, `(targets,)`."""
        return self._weights[-1]

    @property
    def solution(self) -> Solution:
        """The solution on the rows so far, a copy."""
        return Solution(self.weight.clone(), self.bias.clone(), self.ridge)

    def tensors(self) -> dict[str, Tensor]:
        """Return what was learned by name, not copied."""
        return {"inverse": self._inverse, "weights": self._weights}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over what `tensors` gave."""
        self._inverse, self._weights = tensors["inverse"].clone(), tensors["weights"].clone()

    def update(self, features: Tensor, targets: Tensor) -> Tensor:
        """Learn from one row, and return the error before it, `(targets,)`.

        Args:
            features: `(features,)`.
            targets: `(targets,)`.
        """
        row = torch.cat([features.double(), torch.ones(1, dtype=torch.float64)])
        error = targets.double() - row @ self._weights
        reached = self._inverse @ row
        gain = reached / (self._forgetting + row @ reached)
        self._weights += torch.outer(gain, error)
        self._inverse = (self._inverse - torch.outer(gain, reached)) / self._forgetting
        return error
