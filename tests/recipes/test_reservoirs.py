"""The recipes of echo state networks: their series against the equations, and their figures."""

from pathlib import Path
from statistics import mean, median

import numpy as np
import pytest

from elman.errors import UsageError
from elman.recipes import RECIPES
from elman.recipes.reservoir_series import LORENZ_STEP, delayed, lorenz, narma
from elman.recipes.reservoirs import closed_loop, lorenz_forecasts, memory_capacity, narma_errors, valid_time


def test_the_lorenz_system_solves_its_equations():
    x, y, z = lorenz(400, step=0.001).T
    slopes = [np.gradient(each, 0.001)[1:-1] for each in (x, y, z)]
    wanted = [10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z]
    for slope, right in zip(slopes, wanted, strict=True):
        np.testing.assert_allclose(slope, right[1:-1], atol=0.02)


def test_narma_is_its_recursion():
    noise, output = narma(40, seed=3)
    y = np.concatenate([[0.0], output])
    for t in range(9, 40):
        inner = sum(y[t - i] for i in range(10))
        assert y[t + 1] == pytest.approx(0.3 * y[t] + 0.05 * y[t] * inner + 1.5 * noise[t - 9] * noise[t] + 0.1)


def test_delays_are_those_of_the_noise():
    noise, before = delayed(30, 4)
    for delay in (1, 4):
        assert before[10, delay - 1] == noise[10 - delay]


def test_a_forecast_is_valid_up_to_its_first_large_error():
    wanted = np.zeros((50, 3))
    found = wanted.copy()
    found[20:30] = 0.5
    assert valid_time(found, wanted) == pytest.approx(20 * LORENZ_STEP * 0.9056)
    assert valid_time(wanted, wanted) == pytest.approx(50 * LORENZ_STEP * 0.9056)


@pytest.mark.parametrize(
    ("measure", "name", "units", "least", "most"),
    [
        (closed_loop, "mackey-glass-closed-loop", 100, -6.0, -1.0),
        (lorenz_forecasts, "lorenz", 60, 1.0, 18.2),
        (narma_errors, "narma-10", 60, 0.05, 0.5),
        (memory_capacity, "memory-capacity", 20, 18.0, 20.0),
    ],
)
def test_small_networks_reach_part_of_the_figures(measure, name, units, least, most):
    settings = {**RECIPES[name].settings, "hidden_size": units, "recurrent": "sparse(0.9, 0.1)", "seed": 0}
    settings |= {"recurrent": "ring(0.9)"} if name == "memory-capacity" else {"ridges": 1e-7}
    (found,) = measure(settings).values()
    assert least < found < most


def test_figures_of_several_seeds():
    result = RECIPES["memory-capacity"].run(Path(), seeds=2, seed=3)
    each = result["memory_capacity_each"]
    assert result["seeds"] == [3, 4]
    assert (result["memory_capacity_mean"], result["memory_capacity_median"]) == (mean(each), median(each))
    assert RECIPES["memory-capacity"].run(Path(), seeds=1, seed=4)["memory_capacity"] == each[1]
    assert 97 < result["memory_capacity_min"] <= 100


def test_what_the_recipes_do_not_have_is_refused():
    with pytest.raises(UsageError, match="no epochs"):
        RECIPES["narma-10"].run(Path(), epochs=3)
