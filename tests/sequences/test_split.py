"""A split is seeded, keeps the proportions of the labels, and has no text on both sides."""

from collections import Counter

import pytest

from elman.errors import UsageError
from elman.sequences.tables import Table


def words(count: int = 200) -> Table:
    texts = [f"word {n // 2 if n < 20 else n}" for n in range(count)]
    return Table(
        texts, ["rare" if n % 4 == 0 else "often" for n in range(count)], list(range(1, count + 1)), "words", []
    )


def test_nothing_is_lost_and_nothing_is_on_both_sides():
    train, held = words().split(0.25, seed=0)
    assert Counter(train.texts) + Counter(held.texts) == Counter(words().texts)
    assert not set(train.texts) & set(held.texts)
    assert train.lines == sorted(train.lines)


def test_labels_keep_their_proportion():
    _, held = words().split(0.2, seed=1)
    assert 38 <= len(held) <= 43
    assert 9 <= Counter(held.labels)["rare"] <= 12


def test_the_seed_decides():
    assert words().split(0.2, seed=1)[1].texts == words().split(0.2, seed=1)[1].texts
    assert words().split(0.2, seed=1)[1].texts != words().split(0.2, seed=2)[1].texts


@pytest.mark.parametrize("fraction", [0.0, 1.0, -1.0, float("nan")])
def test_a_fraction_out_of_range_is_refused(fraction: float):
    with pytest.raises(UsageError, match="fraction"):
        words().split(fraction, seed=0)


def test_too_few_texts_are_refused():
    with pytest.raises(UsageError, match="too few"):
        words(2).split(0.1, seed=0)


def test_a_few_texts_give_one():
    train, held = words(30).split(0.01, seed=0)
    assert len(held) in (1, 2)
    assert set(train.labels or []) == {"often", "rare"}


def test_every_label_is_left_to_train_on():
    table = Table(["a"] * 9 + ["b", "c", "d"], ["x"] * 9 + ["y"] * 3, list(range(12)), "words", [])
    train, held = table.split(0.5, seed=0)
    assert set(train.labels or []) == {"x", "y"}
    assert set(held.texts) <= {"b", "c", "d"}
