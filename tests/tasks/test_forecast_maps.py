"""Maps of windows that the steps of a season share, against ridge regression on rows that are written out."""

import numpy as np
import pytest
import torch

from elman.nn.ridge import Solution, Sums
from elman.tasks.forecast_maps import EachStep, Seasonal, best_map, shapes_of

WINDOW, SEASON, ROWS = 13, 4, 40


def windows(horizon: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, Sums]:
    """Return windows, what follows them, and their sums with a weight for each."""
    draw = torch.Generator().manual_seed(seed)
    past = torch.randn(ROWS, WINDOW, generator=draw, dtype=torch.float64) + 2
    ahead = torch.randn(ROWS, horizon, generator=draw, dtype=torch.float64).cumsum(1) - 1
    sums = Sums.empty(WINDOW, horizon)
    sums.add(past, ahead)
    return past, ahead, sums


def written_out(past: torch.Tensor, ahead: torch.Tensor) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return for each season ahead the rows and targets of its steps."""
    seasons = past[:, WINDOW % SEASON :].unflatten(1, (-1, SEASON)).numpy()  # (rows, seasons, steps)
    means, found = seasons.mean(2), []
    for begin in range(0, ahead.shape[1], SEASON):
        rows, targets = [], []
        for step in range(min(SEASON, ahead.shape[1] - begin)):
            own = (seasons[:, :, step] - means).sum(1) / np.sqrt(seasons.shape[1])
            rows.append(np.column_stack([means, own]))
            targets.append(ahead[:, begin + step].numpy())
        found.append((np.concatenate(rows), np.concatenate(targets)))
    return found


@pytest.mark.parametrize("horizon", [8, 10, 3])
@pytest.mark.parametrize("ridge", [0.0, 0.7])
def test_the_steps_of_a_season_share_a_map(horizon: int, ridge: float):
    past, ahead, sums = windows(horizon)
    shape = Seasonal(SEASON, WINDOW, horizon)
    parts = shape.sums(sums)
    solutions = [next(part.solve([ridge])) for part in parts]
    found = shape.weights(solutions).numpy()
    assert found.shape == (WINDOW + 1, horizon)
    forecast = past.numpy() @ found[:-1] + found[-1]
    for number, (rows, targets) in enumerate(written_out(past, ahead)):
        middle, level = rows.mean(0), targets.mean()
        centred = rows - middle
        weight = np.linalg.solve(centred.T @ centred + ridge * np.eye(rows.shape[1]), centred.T @ (targets - level))
        expected = (rows - middle) @ weight + level
        steps = slice(number * SEASON, (number + 1) * SEASON)
        np.testing.assert_allclose(forecast[:, steps].T.reshape(-1), expected, atol=1e-9)
    error = sum(float(part.squared_error(each)) for part, each in zip(parts, solutions, strict=True))
    assert error == pytest.approx(float(np.square(forecast - ahead.numpy()).sum()))


def test_the_errors_of_both_shapes_are_of_the_same_windows():
    _, _, sums = windows(8)
    shape = Seasonal(SEASON, WINDOW, 8)
    weights = shape.weights([next(part.solve([0.3])) for part in shape.sums(sums)])
    same = Solution(weights[:-1], weights[-1], 0.3)
    (part,) = shape.sums(sums)
    (whole,) = EachStep().sums(sums)
    assert float(whole.squared_error(same)) == pytest.approx(float(part.squared_error(next(part.solve([0.3])))))


def repeating(count: int, *, shares: bool, noise: float) -> tuple[Sums, Sums]:
    """Return sums of windows whose next two seasons are the mean season, or a mix of steps without seasons."""
    draw = np.random.default_rng(0)
    mix = draw.normal(size=(8, 8)) / 3
    found = []
    for rows in (count, 400):
        past = draw.normal(size=(rows, 8))
        ahead = np.tile(past.reshape(-1, 2, SEASON).mean(1), 2) if shares else past @ mix
        sums = Sums.empty(8, 8)
        sums.add(torch.tensor(past), torch.tensor(ahead + noise * draw.normal(size=ahead.shape)))
        found.append(sums)
    return found[0], found[1]


def test_the_shape_is_chosen_by_the_windows_held_out():
    shapes = shapes_of(SEASON, 8, 8)
    early, late = repeating(30, shares=True, noise=0.5)
    assert np.ptp(best_map(early, late, shapes)[-1].reshape(2, SEASON), axis=1).max() < 1e-12
    assert np.ptp(best_map(early, late)[-1].reshape(2, SEASON), axis=1).min() > 1e-6
    early, late = repeating(300, shares=False, noise=0.1)
    np.testing.assert_array_equal(best_map(early, late, shapes), best_map(early, late))


def test_a_map_is_shared_where_there_are_two_seasons_or_more():
    assert [type(each) for each in shapes_of(4, 8, 8)] == [EachStep, Seasonal]
    for season, window, horizon in ((4, 7, 8), (4, 8, 7), (1, 8, 8), (None, 8, 8)):
        assert [type(each) for each in shapes_of(season, window, horizon)] == [EachStep]


def test_without_windows_nothing_is_learned():
    none = Sums.empty(8, 8)
    np.testing.assert_array_equal(best_map(none, none.emptied(), shapes_of(4, 8, 8)), np.zeros((9, 8)))
