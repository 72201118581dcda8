"""The case `translation`: its name, its minibatches, and that all sides learn the same from them."""

import pytest

from elman.bench import translation
from elman.bench.cases import LISTED, find_cases
from elman.bench.run import sides_of
from elman.bench.translation_case import TranslationCase
from elman.recipes import RECIPES

SMALL = TranslationCase(batch=3, steps=5, input_size=4, hidden_size=3, words=30)


def test_the_case_has_the_sizes_of_the_recipe():
    (case,) = find_cases(["translation"])
    assert case == LISTED["translation"]
    settings = RECIPES["translate-en-de"].settings
    assert (case.words, case.hidden_size) == (settings["max_tokens"], settings["hidden_size"])


def test_all_sides_learn_the_same():
    sides = sides_of(SMALL)
    assert list(sides) == ["elman", "torch, GRUCell in a loop", "torch, whole layers"]
    losses = {name: [run() for _ in range(6)] for name, run in sides.items()}
    # elman has run once already, to compile.
    for name in ("torch, GRUCell in a loop", "torch, whole layers"):
        assert losses[name][1:] == pytest.approx(losses["elman"][:5], rel=2e-3)
    assert len(set(losses["elman"])) == 6


def test_useful_operations():
    recurrent = (2 * (4 + 3) + (4 + 3) + (3 + 6 + 3)) * 9
    others = 6 * 3 + 2 * 5 * 3 + (3 + 6 + 4) * 4 + 4 * 30
    assert SMALL.operations == 2 * 3 * 3 * 5 * (recurrent + others)


def test_minibatches_have_marks_and_padding():
    work = translation.TranslationWork(SMALL)
    assert len(work.minibatches) == translation.MINIBATCHES
    for batch in work.minibatches:
        assert (batch.inputs[:, 0] == translation.BEGIN).all()
        assert ((batch.wanted == translation.END).sum(1) == 1).all()
        assert ((batch.wanted != translation.IGNORED).sum(1) == batch.target.lengths - 1).all()
