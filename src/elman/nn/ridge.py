"""Ridge regression from summaries of the data, in one pass and bounded memory."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, Self, TypeVar

import torch
from torch import Tensor

from elman.errors import UsageError
from elman.nn.recursive_least_squares import RecursiveLeastSquares
from elman.nn.ridge_sums import Agreement, Solution, Sums, require_rows

__all__ = ["Agreement", "RecursiveLeastSquares", "Solution", "Sums", "cross_validate", "joined", "require_rows"]


class Summary(Protocol):
    """What ridge regression needs to know of rows of features and targets."""

    @property
    def count(self) -> Any:
        """Number of rows."""
        ...

    def emptied(self) -> Self:
        """Return a summary of no rows."""
        ...

    def merge(self, others: Any) -> None:
        """Count in the rows of another summary."""
        ...

    def solve(self, ridges: Sequence[float]) -> Iterator[Solution]:
        """Yield the solution of each ridge."""
        ...

    def squared_error(self, solution: Solution) -> Tensor:
        """Return the sum of squared errors of a solution on these rows."""
        ...

    @property
    def target_mean(self) -> Tensor:
        """The mean of each target."""
        ...

    def agreement(self, solution: Solution, centre: Tensor) -> Agreement:
        """Return how the outputs of a solution on these rows agree with the targets."""
        ...


Rows = TypeVar("Rows", bound=Summary)


def cross_validate(parts: Sequence[Rows], ridges: Sequence[float], *, scale_free: bool = False) -> Solution:
    """Return the solution on all rows with the ridge of the least cross-validated error.

    Each part is left out in turn. With fewer than two parts that have rows, the first ridge is taken.

    Args:
        parts: the data in parts, each a `Sums` or a `elman.nn.factored_ridge.Factor`.
        ridges: to choose from, in the order of preference among equals.
        scale_free: for labels, where the largest output is the answer: ridges are compared by the error that is left
            when the deviations of the outputs from the mean target are multiplied by the best factor, one for all
            parts. On few rows the error without it is mostly one of size, which does not matter. Small outputs would
            lose against the mean, so the solution is multiplied by the factor if that is above 1.

    Raises:
        UsageError: there are no ridges.
        DataError: there are no rows.
    """
    if not ridges:
        raise UsageError("Expected at least one ridge, got none.", fix="Give some, such as ridges=(1e-6, 1e-3, 1.0).")
    whole = joined(parts)
    filled = [part for part in parts if part.count]
    if len(filled) < 2 or len(ridges) < 2:
        return next(whole.solve([ridges[0]]))
    figures = torch.stack([_left_out(part, filled, ridges, scale_free=scale_free) for part in filled]).sum(0)
    if not scale_free:
        return next(whole.solve([ridges[int(figures.argmin())]]))
    both, outputs = figures.T
    # With the factor f the error is Σ (target - f · output)², which is least at f = Σ both / Σ outputs².
    best = int(torch.where((both > 0) & (outputs > 0), both.square() / outputs, 0.0).argmax())
    return _enlarged(next(whole.solve([ridges[best]])), both[best] / outputs[best], whole.target_mean)


def _enlarged(solution: Solution, factor: Tensor, centre: Tensor) -> Solution:
    """Return a solution with its deviations from a centre enlarged by a factor above 1."""
    if not (factor.isfinite() and factor > 1):
        return solution
    return Solution(solution.weight * factor, centre + factor * (solution.bias - centre), solution.ridge)


def _left_out(part: Rows, parts: Sequence[Rows], ridges: Sequence[float], *, scale_free: bool) -> Tensor:
    """Return the errors on a part, `(ridges,)`, or the agreements, `(ridges, 2)`."""
    others = joined([each for each in parts if each is not part])
    if scale_free:
        return torch.stack([torch.stack(part.agreement(each, others.target_mean)) for each in others.solve(ridges)])
    return torch.stack([part.squared_error(each) for each in others.solve(ridges)])


def joined(parts: Sequence[Rows]) -> Rows:
    """Return the sums, or the factor, of the rows of all parts."""
    first = parts[0]
    if len(parts) == 1:
        # Nothing changes the sums that this returns.
        return first
    total = first.emptied()
    for part in parts:
        total.merge(part)
    return total
