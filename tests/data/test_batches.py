"""The laws of a plan of batches."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from elman.data.ragged.batches import plan_batches
from elman.errors import DataError, UsageError

lengths_lists = st.lists(st.integers(0, 30), max_size=60)
sizes = st.one_of(
    st.fixed_dictionaries({"batch_size": st.integers(1, 10)}),
    st.fixed_dictionaries({"tokens_per_batch": st.integers(1, 50)}),
)
orders = st.fixed_dictionaries(
    {
        "shuffle": st.booleans(),
        "bucketing": st.booleans(),
        "seed": st.integers(0, 2**40),
        "epoch": st.integers(0, 99),
    }
)


def counted(lengths, batch) -> int:
    return sum(max(1, lengths[index]) for index in batch)


@given(lengths_lists, sizes, orders)
def test_every_index_is_in_exactly_one_batch(lengths, size, order):
    plan = plan_batches(lengths, **size, **order)
    assert sorted(index for batch in plan for index in batch) == list(range(len(lengths)))
    assert all(plan)
    assert all(type(index) is int for batch in plan for index in batch)


@given(lengths_lists, sizes, orders)
def test_the_same_arguments_give_the_same_plan_whatever_else_is_drawn(lengths, size, order):
    plan = plan_batches(lengths, **size, **order)
    np.random.random(3)
    torch.rand(3)
    assert plan_batches(np.array(lengths, dtype=np.int64), **size, **order) == plan
    assert plan_batches(torch.tensor(lengths, dtype=torch.int64), **size, **order) == plan


@given(lengths_lists, sizes, orders)
def test_no_global_random_state_is_touched(lengths, size, order):
    def drawn_next() -> tuple:
        kind, key, place, *rest = np.random.get_state()
        return kind, key.tolist(), place, rest, torch.get_rng_state().tolist()

    before = drawn_next()
    plan_batches(lengths, **size, **order)
    assert drawn_next() == before


@given(lengths_lists, st.integers(1, 50), orders)
def test_a_batch_keeps_the_budget_unless_it_is_one_sequence(lengths, budget, order):
    for batch in plan_batches(lengths, tokens_per_batch=budget, **order):
        assert counted(lengths, batch) <= budget or len(batch) == 1


@given(lengths_lists, st.integers(1, 10), orders)
def test_batches_by_count_are_full_but_for_one(lengths, size, order):
    counts = sorted(len(batch) for batch in plan_batches(lengths, batch_size=size, **order))
    assert all(count == size for count in counts[1:])
    assert all(count <= size for count in counts)


@given(lengths_lists, sizes)
def test_without_shuffle_and_bucketing_the_given_order_stays(lengths, size):
    plan = plan_batches(lengths, shuffle=False, bucketing=False, **size)
    assert [index for batch in plan for index in batch] == list(range(len(lengths)))


@given(lengths_lists, sizes)
def test_bucketing_without_shuffle_goes_from_short_to_long(lengths, size):
    plan = plan_batches(lengths, shuffle=False, **size)
    order = [index for batch in plan for index in batch]
    assert order == sorted(range(len(lengths)), key=lambda index: max(1, lengths[index]))


@given(lengths_lists, st.integers(1, 50))
def test_a_batch_is_cut_only_where_the_next_sequence_does_not_fit(lengths, budget):
    plan = plan_batches(lengths, tokens_per_batch=budget, shuffle=False)
    for batch, after in pairwise(plan):
        assert counted(lengths, [*batch, after[0]]) > budget


def test_bucketing_puts_like_lengths_together():
    lengths = np.random.default_rng(0).integers(1, 200, size=5000)

    def spread(bucketing: bool) -> float:
        plan = plan_batches(lengths, batch_size=16, bucketing=bucketing)
        return float(np.mean([np.ptp(lengths[batch]) for batch in plan]))

    assert spread(bucketing=True) < spread(bucketing=False) / 10


def test_epochs_and_seeds_differ_and_batches_of_all_lengths_are_mixed():
    lengths = list(np.random.default_rng(0).integers(1, 50, size=500))
    plans = [plan_batches(lengths, batch_size=8, seed=s, epoch=e) for s, e in [(0, 0), (0, 1), (1, 0)]]
    assert plans[0] != plans[1] != plans[2] != plans[0]
    members = [{frozenset(batch) for batch in plan} for plan in plans]
    assert members[0] != members[1]
    means = [np.mean([lengths[index] for index in batch]) for batch in plans[0]]
    assert means != sorted(means)


def test_a_long_sequence_is_a_batch_of_its_own():
    assert plan_batches([2, 99, 2], tokens_per_batch=4, shuffle=False, bucketing=False) == [[0], [1], [2]]


def test_an_empty_sequence_counts_as_one_step():
    assert plan_batches([0] * 5, tokens_per_batch=2, shuffle=False) == [[0, 1], [2, 3], [4]]


@pytest.mark.parametrize(
    "size",
    [
        {},
        {"batch_size": 2, "tokens_per_batch": 9},
        {"batch_size": 0},
        {"tokens_per_batch": 0},
        {"batch_size": -1},
        {"batch_size": 1, "seed": -1},
        {"batch_size": 1, "epoch": -1},
    ],
)
def test_sizes_that_make_no_sense_are_refused(size):
    with pytest.raises(UsageError) as caught:
        plan_batches([1, 2], **size)
    assert caught.value.fix


def test_a_negative_length_is_named():
    with pytest.raises(DataError, match=r"Expected lengths of zero or more, got -2\.\n  sequence 1"):
        plan_batches([1, -2], batch_size=1)
