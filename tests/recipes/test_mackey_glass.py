"""The Mackey–Glass series against its equation, and the recipe on it."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from elman.recipes import RECIPES
from elman.recipes.mackey_glass import WARM_UP, mackey_glass, read


def test_the_series_solves_its_equation():
    coarse, finer = (mackey_glass(60, parts=parts) for parts in (20, 40))
    assert np.abs(coarse - finer).max() < 0.02
    slopes = np.gradient(mackey_glass(400, parts=40))
    series = mackey_glass(400, parts=40)
    wanted = 0.2 * series[:-17] / (1 + series[:-17] ** 10) - 0.1 * series[17:]
    assert np.corrcoef(slopes[17:-1], wanted[:-1])[0, 1] > 0.99


def test_the_parts_follow_one_another():
    parts = read("mackey-glass", Path())
    assert parts.test is not None
    (train,), (test,) = parts.train.columns["text"], parts.test.columns["text"]
    (wanted,) = parts.test.columns["target"]
    assert train[-WARM_UP:].tolist() == test[:WARM_UP].tolist()
    assert wanted[:-1] == test[1:, 0].tolist()
    assert all(first != second for first, second in pairwise(wanted))


@pytest.mark.parametrize("seed", [0, 1])
def test_a_reservoir_predicts_the_next_value(seed):
    result = RECIPES["mackey-glass"].run(Path(), seeds=1, seed=seed)
    assert result["rmse"] < 0.0003
