"""Ridge regression from a triangular factor of the data, for nearly dependent features."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from elman.nn.ridge_sums import Agreement, Solution, check_shapes, require_rows


@dataclass
class Factor:
    """The triangular factor R of rows (1, features, targets), in float64: RᵀR is the sum of their products.

    The products in `Sums` lose directions whose singular values are below √ε = 1e-8 of the largest. The factor keeps
    those down to ε, and counting rows in takes about twice as long. States of a smooth series have many of them.

    Attributes:
        features: number of features; the columns after them are targets.
        rows: number of rows.
        matrix: R, `(1 + features + targets, 1 + features + targets)`, upper triangular.

    Source:
        G. H. Golub, C. F. Van Loan, Matrix Computations, 4th edition, sections 5.3 and 6.5.3.

    >>> factor = Factor.empty(features=1, targets=1)
    >>> factor.add(torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([[3.0], [5.0], [7.0]]))
    >>> (found,) = factor.solve([0.0])
    >>> round(found.weight.item(), 6), round(found.bias.item(), 6)
    (2.0, 1.0)
    """

    features: int
    rows: int
    matrix: Tensor

    @classmethod
    def empty(cls, features: int, targets: int) -> Self:
        """Return the factor of no rows."""
        size = 1 + features + targets
        return cls(features, 0, torch.zeros(size, size, dtype=torch.float64))

    @property
    def count(self) -> int:
        """Number of rows."""
        return self.rows

    def emptied(self) -> Self:
        """Return a factor of no rows, for the same numbers of features and targets."""
        return self.empty(self.features, len(self.matrix) - 1 - self.features)

    def add(self, features: Tensor, targets: Tensor) -> None:
        """Count rows in.

        Args:
            features: `(rows, features)`.
            targets: `(rows, targets)`.

        Raises:
            ShapeError: other numbers of rows or columns.
        """
        rows, columns = len(features), len(self.matrix) - 1 - self.features
        check_shapes(features, targets, self.features, columns)
        if rows:
            ones = torch.ones(rows, 1, dtype=torch.float64)
            self._stack(rows, torch.cat([ones, features.double(), targets.double()], 1))

    def merge(self, others: "Factor") -> None:
        """Count in the rows of another factor."""
        if others.rows:
            self._stack(others.rows, others.matrix)

    def tensors(self) -> dict[str, Tensor]:
        """Return the number of rows and the matrix by name, not copied."""
        return {"rows": torch.tensor(self.rows), "matrix": self.matrix}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over what `tensors` gave."""
        self.rows, self.matrix = int(tensors["rows"]), tensors["matrix"].clone()

    def _stack(self, rows: int, block: Tensor) -> None:
        self.matrix = torch.linalg.qr(torch.cat([self.matrix, block]), mode="r").R
        self.rows += rows

    def solve(self, ridges: Sequence[float]) -> Iterator[Solution]:
        """Yield the solution of each ridge, as `Sums.solve` does, from one decomposition.

        Args:
            ridges: the penalties; at least 0. With 0, directions without variance have no weight.

        Raises:
            DataError: there are no rows, or their products are not finite.
        """
        require_rows(self.rows, self.matrix)
        size = 1 + self.features
        left, values, right = torch.linalg.svd(self.matrix[1:size, 1:size])
        rotated = left.T @ self.matrix[1:size, size:]
        # The first row of R is √rows times the means.
        means = self.matrix[0] / self.matrix[0, 0]
        least = len(values) * torch.finfo(values.dtype).eps * values[0] if len(values) else 0.0
        for ridge in ridges:
            scale = torch.where(values > (least if ridge == 0 else 0.0), values / (values.square() + ridge), 0.0)
            weight = right.T @ (scale[:, None] * rotated)
            yield Solution(weight, means[size:] - means[1:size] @ weight, ridge)

    def squared_error(self, solution: Solution) -> Tensor:
        """Return the sum of squared errors of a solution on these rows, over all targets."""
        size = 1 + self.features
        ahead = torch.cat([solution.bias[None], solution.weight])
        return (self.matrix[:, size:] - self.matrix[:, :size] @ ahead).square().sum()

    @property
    def target_mean(self) -> Tensor:
        """The mean of each target, `(targets,)`."""
        return self.matrix[0, 1 + self.features :] / self.matrix[0, 0]

    def agreement(self, solution: Solution, centre: Tensor) -> Agreement:
        """Return how outputs on these rows agree with the targets, as `Sums.agreement` does."""
        size = 1 + self.features
        outputs = self.matrix[:, :size] @ torch.cat([(solution.bias - centre)[None], solution.weight])
        targets = self.matrix[:, size:] - self.matrix[:, :1] * centre
        return Agreement((outputs * targets).sum(), outputs.square().sum())
