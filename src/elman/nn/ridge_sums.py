"""Sums over rows of features and targets, from which ridge regression is solved."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

from elman.compiler.targets.llvm.memory import new_memory
from elman.errors import DataError, ShapeError

NAMES = ("count", "mean", "products", "squares")
# Columns whose products are computed at a time, and numbers of a vector: rows of whole vectors take less time.
BAND, LANES = 192, 8
# A ridge so many times the rounding of the largest product is not lost in it.
SAFE = 10.0


class Solution(NamedTuple):
    """A linear map from features to targets: `features @ weight + bias`.

    Attributes:
        weight: `(features, targets)`.
        bias: `(targets,)`.
        ridge: the penalty it was found with.
    """

    weight: Tensor
    bias: Tensor
    ridge: float


class Agreement(NamedTuple):
    """Sums over rows and targets, both of deviations from a centre.

    Attributes:
        both: Σ output · target.
        outputs: Σ output².
    """

    both: Tensor
    outputs: Tensor


@dataclass
class Sums:
    """The count, the means and the centred products of rows of features and targets, in float64.

    Rows are counted in block by block. Each block is centred before it is multiplied, so that data far from zero lose
    nothing: with a mean of 1e6 the products are as exact as with a mean of 0.

    Attributes:
        features: number of features; the other columns are targets.
        count: number of rows, or the sum of their weights.
        mean: of each column, `(columns,)`.
        squares: Σ (target - mean)² of each target, `(targets,)`.

    Source:
        T. F. Chan, G. H. Golub, R. J. LeVeque, Updating Formulae and a Pairwise Algorithm for Computing Sample
        Variances, 1982, equation 2.1, for vectors.
    """

    features: int
    count: Tensor
    mean: Tensor
    squares: Tensor
    # The products in rows of whole vectors; below the diagonal they are known only if the flag says so.
    _total: Tensor
    _is_mirrored: bool = False

    @classmethod
    def empty(cls, features: int, targets: int) -> Self:
        """Return the sums of no rows."""
        columns = features + targets
        count, mean, squares = (torch.zeros(shape, dtype=torch.float64) for shape in ((), columns, targets))
        return cls(features, count, mean, squares, _new_rows(features, columns).zero_())

    def emptied(self) -> Self:
        """Return the sums of no rows, for the same numbers of features and targets."""
        return self.empty(self.features, len(self.mean) - self.features)

    def add(self, features: Tensor, targets: Tensor, weights: Tensor | None = None) -> None:
        """Count rows in.

        Args:
            features: `(rows, features)`.
            targets: `(rows, targets)`.
            weights: of the squared error of each row, `(rows,)`, above 0; 1 if not given.

        Raises:
            ShapeError: other numbers of rows or columns.
        """
        rows, columns = len(features), len(self.mean) - self.features
        check_shapes(features, targets, self.features, columns)
        if rows:
            block = _new_rows(rows + 1, self.features + columns)
            own = block[:-1, : self.features + columns]
            own[:, : self.features], own[:, self.features :] = features, targets
            each = torch.ones(rows, dtype=torch.float64) if weights is None else weights.double()
            count = each.sum()
            mean = each @ own / count
            own -= mean
            if weights is not None:
                own *= each.sqrt().unsqueeze(1)
            self._merge(count, mean, block)

    def merge(self, others: "Sums") -> None:
        """Count in the rows of other sums."""
        if others.count:
            self._total += others._total
            self.squares += others.squares
            self._merge(others.count, others.mean, _new_rows(1, len(self.mean)))

    def _merge(self, count: Tensor, mean: Tensor, block: Tensor) -> None:
        """Count in centred rows, and in the last row of the block the distance between the means."""
        total = self.count + count
        shift = mean - self.mean
        block[-1, : len(mean)] = shift * (self.count * count / total).sqrt()
        _add_products(block, self._total)
        self._is_mirrored = False
        self.squares += block[:, self.features : len(mean)].square().sum(0)
        self.mean += shift * (count / total)
        self.count = total

    @property
    def products(self) -> Tensor:
        """Σ (feature - mean)ᵀ(row - mean), `(features, columns)`, not copied."""
        if not self._is_mirrored:
            square = self._total[:, : self.features]
            square.copy_(square.triu() + square.triu(1).T)
            self._is_mirrored = True
        return self._total[:, : len(self.mean)]

    def tensors(self) -> dict[str, Tensor]:
        """Return the sums by name, not copied."""
        return {name: getattr(self, name) for name in NAMES}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over what `tensors` gave."""
        self.count, self.mean, products, self.squares = (tensors[name].clone() for name in NAMES)
        self._total[:, : len(self.mean)] = products
        self._is_mirrored = True

    def solve(self, ridges: Sequence[float], *, penalised_bias: bool = False) -> Iterator[Solution]:
        """Yield the solution of each ridge, all of them from one decomposition.

        W minimises Σ ‖y - x·W - b‖² + ridge·‖W‖², as scikit-learn's `Ridge(alpha=ridge)`.

        Args:
            ridges: the penalties; at least 0. With 0, directions without variance have no weight.
            penalised_bias: whether the penalty counts the bias too, which is then the weight of a feature that is 1.

        Raises:
            DataError: there are no rows, or their products are not finite.
        """
        known, centre = self.products, self.mean
        require_rows(self.count, known)
        if penalised_bias:
            known, centre = self._with_ones()
        gram, cross = known[:, : len(known)], known[:, len(known) :]
        for ridge, weight in zip(ridges, _weights(gram, cross, ridges), strict=True):
            if penalised_bias:
                yield Solution(weight[:-1], weight[-1], ridge)
            else:
                yield Solution(weight, centre[self.features :] - centre[: self.features] @ weight, ridge)

    def _with_ones(self) -> tuple[Tensor, Tensor]:
        """Return the products about zero with a feature of ones, and zeros as the mean."""
        mean = torch.cat([self.mean[: self.features], self.mean.new_ones(1), self.mean[self.features :]])
        products, own = self.count * torch.outer(mean[: self.features + 1], mean), self.products
        products[:-1, : self.features] += own[:, : self.features]
        products[:-1, self.features + 1 :] += own[:, self.features :]
        return products, torch.zeros_like(mean)

    def squared_error(self, solution: Solution) -> Tensor:
        """Return the sum of squared errors of a solution on these rows, over all targets."""
        weight, size = solution.weight, self.features
        products = self.products
        gram, cross = products[:, :size], products[:, size:]
        shift = self.mean[size:] - self.mean[:size] @ weight - solution.bias
        explained = (weight * (2 * cross - gram @ weight)).sum()
        return self.squares.sum() - explained + self.count * shift.square().sum()

    @property
    def target_mean(self) -> Tensor:
        """The mean of each target, `(targets,)`."""
        return self.mean[self.features :]

    def agreement(self, solution: Solution, centre: Tensor) -> Agreement:
        """Return how the outputs of a solution on these rows agree with the targets.

        Args:
            solution: whose outputs are compared.
            centre: what is subtracted from outputs and targets, `(targets,)`.
        """
        weight, size = solution.weight, self.features
        products = self.products
        gram, cross = products[:, :size], products[:, size:]
        output = self.mean[:size] @ weight + solution.bias - centre
        both = (weight * cross).sum() + self.count * output @ (self.target_mean - centre)
        return Agreement(both, (weight * (gram @ weight)).sum() + self.count * output.square().sum())

    @property
    def mean_square(self) -> Tensor:
        """The mean over the features, and a feature of ones, of the sum of squares."""
        size = self.features
        squares = self._total[:, :size].trace() + self.count * self.mean[:size].square().sum()
        return (squares + self.count) / (size + 1)


def check_shapes(features: Tensor, targets: Tensor, width: int, columns: int) -> None:
    """Refuse rows of other sizes than `width` features and `columns` targets.

    Raises:
        ShapeError: names the shapes.
    """
    rows = len(features)
    if features.shape != (rows, width) or targets.shape != (rows, columns):
        raise ShapeError(
            f"Expected features (rows, {width}) and targets (rows, {columns}), got {tuple(features.shape)} and "
            f"{tuple(targets.shape)}.",
            fix="Give a row of targets for each row of features.",
        )


def require_rows(count: Any, summed: Tensor) -> None:
    """Refuse to solve for nothing, or from numbers that are not finite.

    Raises:
        DataError: there are no rows, or what was summed up of them is not finite.
    """
    if not count:
        raise DataError(
            "Ridge regression has no rows to learn from.",
            fix="Give data without missing values, or a shorter warm-up.",
        )
    if not summed.isfinite().all():
        raise DataError(
            "Expected features and targets whose products are finite, got larger ones.",
            fix="Scale the data, for example to a deviation of 1, or give a smaller spectral radius.",
        )


def _new_rows(rows: int, columns: int) -> Tensor:
    """Allocate `(rows, columns)`, not filled, and columns of zeros up to whole vectors."""
    found = new_memory(rows, -(-columns // LANES) * LANES, torch.float64)
    found[:, columns:] = 0.0
    return found


def _add_products(block: Tensor, total: Tensor) -> None:
    """Add the products of the columns of a block, on and above the diagonal.

    Args:
        block: `(rows, width)`.
        total: `(columns, width)`, of the first columns with all; below the diagonal its numbers have no meaning.
    """
    for first in range(0, len(total), BAND):
        last = min(first + BAND, len(total))
        total[first:last, first:].addmm_(block[:, first:last].T, block[:, first:])


def _weights(gram: Tensor, cross: Tensor, ridges: Sequence[float]) -> Iterator[Tensor]:
    """Yield the solution of (gram + ridge)·W = cross for each ridge.

    The eigenvalues serve all ridges. A single ridge above the rounding errors of `gram` needs none.
    """
    precision = torch.finfo(gram.dtype).eps
    if len(ridges) == 1 and ridges[0] > SAFE * precision * float(gram.trace()):
        factor, failed = torch.linalg.cholesky_ex(gram + ridges[0] * torch.eye(len(gram), dtype=gram.dtype))
        if not failed:
            yield torch.cholesky_solve(cross, factor).clone(memory_format=torch.contiguous_format)
            return
    values, vectors = torch.linalg.eigh(gram)
    rotated = vectors.T @ cross
    # Rounding leaves eigenvalues of this size where there are none.
    least = len(gram) * precision * values[-1].clamp(min=0.0)
    for ridge in ridges:
        scale = values.clamp(min=0.0) + ridge
        inverse = torch.where(scale > (least if ridge == 0 else 0.0), 1.0 / scale, 0.0)
        yield vectors @ (inverse[:, None] * rotated)
