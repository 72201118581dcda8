"""A split is seeded, keeps the proportions of the labels, and has no text on both sides."""

from collections import Counter
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman.data.tables.split import split_rows
from elman.errors import UsageError
from elman.tasks.classify import Classify
from elman.tasks.rows import Rows
from elman.tasks.task import Values


class Labelled(NamedTuple):
    texts: list[str]
    labels: list[str]

    def split(self, fraction: float, seed: int) -> list["Labelled"]:
        halves = split_rows(self.texts, self.labels, fraction, seed)
        assert all(rows == sorted(rows) for rows in halves)
        return [Labelled([self.texts[row] for row in rows], [self.labels[row] for row in rows]) for rows in halves]


def words(count: int = 200) -> Labelled:
    texts = [f"word {n // 2 if n < 20 else n}" for n in range(count)]
    return Labelled(texts, ["rare" if n % 4 == 0 else "often" for n in range(count)])


def test_nothing_is_lost_and_nothing_is_on_both_sides():
    train, held = words().split(0.25, seed=0)
    assert Counter(train.texts) + Counter(held.texts) == Counter(words().texts)
    assert not set(train.texts) & set(held.texts)


def test_labels_keep_their_proportion():
    _, held = words().split(0.2, seed=1)
    assert 38 <= len(held.texts) <= 43
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
    assert len(held.texts) in (1, 2)
    assert set(train.labels) == {"often", "rare"}


def test_every_label_is_left_to_train_on():
    for fraction in (0.1, 0.25, 0.5, 0.8):
        train, _ = rows_of({"x": 9, "y": 3, "z": 1}).split(fraction, seed=0)
        assert set(train.labels) == {"x", "y", "z"}


def test_what_was_wanted_is_held_back_also_where_labels_are_many():
    table = rows_of({f"label {number}": 2 + number % 4 for number in range(100)})
    for fraction in (0.05, 0.1, 0.3):
        assert abs(len(table.split(fraction, seed=0)[1].texts) - fraction * len(table.texts)) <= 2


def test_equal_texts_are_on_both_sides_only_where_too_few_rows_would_be_held_back():
    values = Values({"text": ["a"] * 9 + ["b", "c", "d"], "label": ["x"] * 9 + ["y"] * 3})
    _, held = Rows().split(values, Classify.columns, 0.5, seed=0)
    assert abs(len(held.columns["text"]) - 6) <= 2
    few = f"only {len(held.columns['text'])} rows are held out, so that the scores are rough"
    assert held.notes == ["1 text is in the training and the validation rows: too many rows are equal", few]
    assert Rows().split(values, Classify.columns, 0.1, seed=0)[1].notes == [
        "only 1 row is held out, so that the scores are rough"
    ]


def test_notes_on_a_part_are_about_its_size_and_its_labels():
    rows = [f"text {n}" for n in range(100)]
    values = Values({"text": rows, "label": ["x", "y"] * 50})
    assert [part.notes for part in Rows().split(values, Classify.columns, 0.1, seed=0)] == [[], []]
    rare = Values({"text": rows, "label": ["x"] * 99 + ["y"]})
    assert Rows().split(rare, Classify.columns, 0.2, seed=0)[1].notes == [
        "all 20 rows have the label 'x', so that the scores say nothing about other labels"
    ]


def test_equal_texts_of_two_labels_stay_together():
    table = Labelled([f"text {n // 2}" for n in range(100)], ["x", "y"] * 50)
    train, held = table.split(0.2, seed=0)
    assert abs(len(held.texts) - 20) <= 2
    assert not set(train.texts) & set(held.texts)


def test_the_reason_is_the_true_one():
    with pytest.raises(UsageError, match="each of the 5 labels needs a row to train on, which leaves 1") as caught:
        Labelled(list("abcdef"), list("vwxyzz")).split(0.5, seed=0)
    assert "0.17 or less" in caught.value.fix


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 3)), min_size=2, max_size=40), st.floats(0.02, 0.9))
def test_every_split_is_complete_and_as_large_as_wanted(rows, fraction):
    texts, labels = [f"text {text}" for text, _ in rows], [label for _, label in rows]
    asked = max(1, round(fraction * len(rows)))
    if len(rows) - len(set(labels)) < asked:
        with pytest.raises(UsageError, match="too few"):
            split_rows(texts, labels, fraction, 0)
        return
    kept, held = split_rows(texts, labels, fraction, 0)
    assert sorted(kept + held) == list(range(len(rows)))
    assert 1 <= len(held) <= asked
    assert len(held) >= asked - 2
    assert {labels[row] for row in kept} == set(labels)


def rows_of(counts: dict[str, int]) -> Labelled:
    labels = [label for label, count in counts.items() for _ in range(count)]
    return Labelled([f"text {n}" for n in range(len(labels))], labels)


def test_one_row_without_labels_is_refused_in_words_that_fit():
    with pytest.raises(UsageError, match=r"One row is too few to hold back 1 .*: training needs a row, which leaves 0"):
        split_rows([[1.0]], [None], 0.1, 0)
