"""Linear maps from a window to the horizon after it, by ridge regression: of every step, or shared by the seasons."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from elman.nn.ridge import Solution, Sums, joined

STRENGTHS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
# Of the windows, the last ones, on which strengths are compared.
HELD_OUT = 0.2


class Shape(Protocol):
    """What a map of a window reads, and which of its outputs share their weights."""

    def sums(self, whole: Sums) -> list[Sums]:
        """Return the sums of each group of outputs.

        Args:
            whole: of the windows and all steps of the horizon.
        """
        ...

    def weights(self, solutions: Sequence[Solution]) -> Tensor:
        """Return the map `(window + 1, horizon)`, the last row constant.

        Args:
            solutions: of each group.
        """
        ...


class EachStep:
    """A weight from each step of the window to each step of the horizon."""

    def sums(self, whole: Sums) -> list[Sums]:
        """Return the sums themselves."""
        return [whole]

    def weights(self, solutions: Sequence[Solution]) -> Tensor:
        """Return the weights above the constants."""
        (solution,) = solutions
        return torch.cat([solution.weight, solution.bias.unsqueeze(0)])


class Seasonal:
    """Weights that all steps of a season share: from the means of the seasons and from the mean season.

    The value at step p of season k ahead is, with the mean m_d of each of the n whole seasons of a window and their
    values x_dp,

    y_kp = Σ_d a_kd m_d + c_k (Σ_d (x_dp - m_d)) / √n + b_k

    so that a season ahead has n + 2 numbers to learn, and every step of it is an example for them.

    Source:
        S. Lin et al., SparseTSF: Modeling Long-term Time Series Forecasting with 1k Parameters, 2024, section 3: one
        map for all steps of a season. Differences: the mean season and the means of the seasons in place of values
        smoothed by a convolution; ridge regression.

    Args:
        season: number of steps.
        window: of it.
        horizon: of it.
    """

    def __init__(self, season: int, window: int, horizon: int):
        self.season, self.horizon = season, horizon
        self.count = window // season
        begin = window - self.count * season
        steps = torch.arange(begin, window)
        means, own = (torch.zeros(window, columns, dtype=torch.float64) for columns in (self.count, season))
        means[steps, (steps - begin) // season] = 1.0 / season
        own[steps, (steps - begin) % season] = 1.0
        own = (own - means.sum(1, keepdim=True)) / self.count**0.5
        # The means of the seasons, and what is the map's own at each step of a season: (window, seasons + steps).
        self._read = torch.cat([means, own], 1)

    def _groups(self) -> list[tuple[int, int, int]]:
        """Return the first output, the seasons and the steps of each group.

        Whole seasons are a group, and the steps that are left another.
        """
        whole, rest = divmod(self.horizon, self.season)
        groups = [(0, whole, self.season), (whole * self.season, 1, rest)]
        return [group for group in groups if group[1] and group[2]]

    def sums(self, whole: Sums) -> list[Sums]:
        """Return sums of which each step of a season is a row, and each season ahead a target."""
        window, rows = whole.features, whole.count
        products = self._read.T @ (whole.products + rows * torch.outer(whole.mean[:window], whole.mean))
        squares = whole.squares + rows * whole.target_mean.square()
        return [self._group(whole, products, squares, *group) for group in self._groups()]

    def _group(self, whole: Sums, products: Tensor, squares: Tensor, first: int, seasons: int, steps: int) -> Sums:
        """Return the sums of a group of outputs.

        Args:
            whole: of the windows.
            products: of what is read with the window and the horizon, not centred.
            squares: of the horizon, not centred.
            first: output of the group.
            seasons: of the group.
            steps: of each of them.
        """
        count, window, last = self.count, whole.features, first + seasons * steps
        both = products[:, :window] @ self._read
        ahead = products[:, window + first : window + last].unflatten(1, (seasons, steps))
        own = slice(count, count + steps)
        beside = both[:count, own].sum(1)
        gram = torch.cat([steps * both[:count, :count], beside.unsqueeze(1)], 1)
        gram = torch.cat([gram, torch.cat([beside, both[own, own].trace().unsqueeze(0)]).unsqueeze(0)])
        cross = torch.cat([ahead[:count].sum(2), ahead[own].diagonal(dim1=0, dim2=2).sum(1).unsqueeze(0)])
        middle = whole.mean[:window] @ self._read
        mean = torch.cat([middle[:count], middle[own].mean().unsqueeze(0)])
        targets = whole.target_mean[first:last].unflatten(0, (seasons, steps)).mean(1)
        rows, columns = whole.count * steps, torch.cat([mean, targets])
        found = Sums.empty(len(mean), seasons)
        centred = torch.cat([gram, cross], 1) - rows * torch.outer(mean, columns)
        spread = squares[first:last].unflatten(0, (seasons, steps)).sum(1) - rows * targets.square()
        found.load({"count": rows, "mean": columns, "products": centred, "squares": spread})
        return found

    def weights(self, solutions: Sequence[Solution]) -> Tensor:
        """Return the same map from each step of the window to each step of the horizon."""
        means, own = self._read[:, : self.count], self._read[:, self.count :]
        parts = []
        for (_, _, steps), solution in zip(self._groups(), solutions, strict=True):
            weight = (means @ solution.weight[:-1]).unsqueeze(2) + own[:, None, :steps] * solution.weight[-1][:, None]
            parts.append(torch.cat([weight.flatten(1), solution.bias.repeat_interleave(steps).unsqueeze(0)]))
        return torch.cat(parts, 1)


def shapes_of(season: int | None, window: int, horizon: int) -> list[Shape]:
    """Return the shapes of map that are compared.

    Seasons are among them if the window and the horizon have two or more.
    """
    has_seasons = season is not None and season > 1 and min(window, horizon) >= 2 * season
    return [EachStep(), *([Seasonal(season, window, horizon)] if has_seasons and season else [])]


def best_map(early: Sums, late: Sums, shapes: Sequence[Shape] = (EachStep(),)) -> np.ndarray:
    """Return the weights for all rows.

    The shape and the strength are those that are best for the late rows.

    Args:
        early: of the earlier windows.
        late: of those held out.
        shapes: to choose from; the first without rows to compare them on.

    Returns:
        `(window + 1, horizon)`, the last row of which is the constant.
    """
    whole = joined([early, late])
    if not whole.count:
        return np.zeros((whole.features + 1, len(whole.squares)))
    shape, strength = shapes[0], STRENGTHS[-1]
    if early.count and late.count:
        _, shape, strength = min((_best_strength(each, early, late) for each in shapes), key=lambda found: found[0])
    solutions = [next(own.solve([strength * float(own.mean_square)])) for own in shape.sums(whole)]
    return shape.weights(solutions).numpy()


def _best_strength(shape: Shape, early: Sums, late: Sums) -> tuple[float, Shape, float]:
    """Return the least squared error on the late rows, the shape, and its strength."""
    errors = torch.zeros(len(STRENGTHS), dtype=torch.float64)
    for own, held_out in zip(shape.sums(early), shape.sums(late), strict=True):
        solutions = own.solve([each * float(own.mean_square) for each in STRENGTHS])
        errors += torch.stack([held_out.squared_error(each) for each in solutions])
    best = int(errors.argmin())
    return float(errors[best]), shape, STRENGTHS[best]
