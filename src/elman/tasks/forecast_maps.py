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
        # Of a window, the means of its seasons and the mean season, step by step: (window, seasons + steps).
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
        # Not centred yet: products of what is read with itself and with the horizon, and squares of the horizon.
        products = self._read.T @ (whole.products + rows * torch.outer(whole.mean[:window], whole.mean))
        gram, cross = products[:, :window] @ self._read, products[:, window:]
        squares, mean = whole.squares + rows * whole.target_mean.square(), whole.mean[:window] @ self._read
        found = []
        for first, seasons, steps in self._groups():
            ahead = slice(first, first + seasons * steps)
            by_season = [
                each[..., ahead].unflatten(-1, (seasons, steps)) for each in (cross, whole.target_mean, squares)
            ]
            found.append(self._group(rows * steps, gram, mean, *by_season))
        return found

    def _group(self, rows: Tensor, gram: Tensor, mean: Tensor, cross: Tensor, targets: Tensor, squares: Tensor) -> Sums:
        """Return the sums of a group of outputs.

        Args:
            rows: number of windows times that of the steps of a season.
            gram: products of what is read, `(read, read)`.
            mean: of what is read, `(read,)`.
            cross: products with the horizon, `(read, seasons, steps)`.
            targets: the mean of the horizon, `(seasons, steps)`.
            squares: of the horizon, `(seasons, steps)`.
        """
        count, (seasons, steps) = self.count, targets.shape
        own = slice(count, count + steps)
        centre = torch.cat([mean[:count], mean[own].mean().unsqueeze(0), targets.mean(1)])
        products = torch.zeros(count + 1, count + 1 + seasons, dtype=torch.float64)
        products[:count, :count] = steps * gram[:count, :count]
        products[:count, count] = products[count, :count] = gram[:count, own].sum(1)
        products[count, count] = gram[own, own].trace()
        products[:count, count + 1 :] = cross[:count].sum(2)
        products[count, count + 1 :] = cross[own].diagonal(dim1=0, dim2=2).sum(1)
        products -= rows * torch.outer(centre[: count + 1], centre)
        spread = squares.sum(1) - rows * centre[count + 1 :].square()
        found = Sums.empty(count + 1, seasons)
        found.load({"count": rows, "mean": centre, "products": products, "squares": spread})
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
    if season is None or season < 2 or min(window, horizon) < 2 * season:
        return [EachStep()]
    return [EachStep(), Seasonal(season, window, horizon)]


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
