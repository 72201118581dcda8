"""The long-memory tests of the field: what is drawn, and the recipes on it."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from elman.recipes import RECIPES
from elman.recipes.long_memory import adding, copy_memory, temporal_order
from elman.recipes.long_memory_runs import LONG_MEMORY
from elman.recipes.pixel_digits import pixel_digits


def test_the_target_of_the_adding_problem_is_the_sum_of_two_marked_numbers():
    values = adding(300, 12, seed=4)
    steps, targets = np.stack(values.columns["text"]), np.array(values.columns["target"])
    numbers, marks = steps[..., 0], steps[..., 1]
    assert steps.shape == (300, 12, 2)
    assert set(np.unique(marks)) == {0.0, 1.0}
    assert (marks.sum(1) == 2).all()
    assert ((numbers >= 0) & (numbers < 1)).all()
    np.testing.assert_allclose(targets, (numbers * marks).sum(1), rtol=1e-6)
    assert (marks.sum(0) > 0).all()
    assert np.square(adding(20_000, 5).columns["target"] - np.ones(20_000)).mean() == pytest.approx(1 / 6, abs=0.005)


def test_draws_are_those_of_the_seed():
    for draw in (adding, temporal_order, copy_memory):
        one, same, other = (draw(5, 20, seed=seed) for seed in (1, 1, 2))
        name = "words" if draw is copy_memory else "text"
        assert np.array_equal(one.columns[name], same.columns[name])
        assert not np.array_equal(one.columns[name], other.columns[name])


def test_the_label_of_the_temporal_order_is_the_order_of_two_symbols():
    values = temporal_order(400, 50, seed=1)
    symbols = np.stack(values.columns["text"]).argmax(2)
    positions = [np.flatnonzero(row < 2) for row in symbols]
    assert all(len(found) == 2 for found in positions)
    assert {int(found[0]) for found in positions} == set(range(5, 10))
    assert {int(found[1]) for found in positions} == set(range(25, 30))
    wanted = ["".join("XY"[row[at]] for at in found) for row, found in zip(symbols, positions, strict=True)]
    assert values.columns["label"] == wanted
    assert set(wanted) == {"XX", "XY", "YX", "YY"}


def test_the_tags_of_the_copy_memory_repeat_the_first_symbols():
    values = copy_memory(20, 7, seed=1, symbols=3, copied=4)
    for words, tags in zip(values.columns["words"], values.columns["tags"], strict=True):
        assert len(words) == len(tags) == 7 + 2 * 4
        assert words[4:] == ["_"] * 6 + [":"] + ["_"] * 4
        assert tags == ["_"] * 11 + words[:4]
        assert set(words[:4]) <= {"s0", "s1", "s2"}


def test_digits_are_read_pixel_by_pixel():
    plain, shuffled = pixel_digits(), pixel_digits(permuted=0)
    assert plain.test is not None
    assert shuffled.test is not None
    assert (len(plain.train.columns["text"]), len(plain.test.columns["text"])) == (1438, 359)
    first, moved = (np.stack(parts.test.columns["text"])[:, :, 0] for parts in (plain, shuffled))
    assert first.shape == (359, 64)
    assert first.max() == 1.0
    order = np.random.default_rng(0).permutation(64)
    assert np.array_equal(first[:, order], moved)
    assert any(one > other for one, other in pairwise(order))
    assert plain.test.columns["label"] == shuffled.test.columns["label"]


@pytest.mark.parametrize("recipe", [each.name for each in LONG_MEMORY])
def test_recipes_run(recipe, monkeypatch):
    monkeypatch.setattr("elman.recipes.long_memory_runs.TRAINED", 60)
    monkeypatch.setattr("elman.recipes.long_memory_runs.TESTED", 20)
    own = RECIPES[recipe]
    fewer = {"flossing_steps": 2} if "flossing_steps" in own.settings else {}
    found = replace(own, settings={**own.settings, **fewer}).run(Path(), epochs=1)
    assert found["loss"] > 0
    if recipe.startswith("adding"):
        assert 0 <= found["within_tolerance"] <= 1
