"""The order of time against a plain loop."""

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from elman.order import TimeMajor, _KeptOrders


@given(lengths=st.lists(st.integers(0, 6), max_size=8))
@example(lengths=[])
@example(lengths=[0])
@example(lengths=[0, 0, 3])
@example(lengths=[2, 2, 2])
def test_time_major_walks_as_a_loop_does(lengths: list[int]):
    starts = [sum(lengths[:place]) for place in range(len(lengths))]
    longest_first = sorted(range(len(lengths)), key=lambda place: -lengths[place])
    rows, forward, backward = [], [], []
    for time in range(max(lengths, default=0)):
        running = [place for place in longest_first if lengths[place] > time]
        rows.append(len(running))
        forward += [starts[place] + time for place in running]
        backward += [starts[place] + lengths[place] - 1 - time for place in running]
    order = TimeMajor(torch.tensor(lengths, dtype=torch.int64))
    assert order.total == sum(lengths)
    assert order.longest == max(lengths, default=0)
    assert order.sequences.tolist() == longest_first
    assert order.sequences[order.restored].tolist() == list(range(len(lengths)))
    assert order.rows == rows
    assert order.index.tolist() == forward
    assert order.backward_index.tolist() == backward


@given(lengths=st.lists(st.integers(0, 6), max_size=8), backward=st.booleans())
@example(lengths=[], backward=False)
@example(lengths=[0, 1, 1, 3], backward=True)
def test_the_step_before_is_that_of_the_same_sequence(lengths: list[int], backward: bool):
    order = TimeMajor(torch.tensor(lengths, dtype=torch.int64))
    steps = torch.arange(order.total, dtype=torch.float32)[:, None]
    initial = -1.0 - torch.arange(len(lengths), dtype=torch.float32)[:, None]
    wanted, start = [], 0
    for place, length in enumerate(lengths):
        rows = list(range(start, start + length))
        came = initial[place].tolist()
        wanted += [*rows[1:], *came] if backward and rows else [*came, *rows[:-1]] if rows else []
        start += length
    found = order.step_before(steps, initial, torch.full_like(steps, torch.nan), backward=backward)
    assert found.flatten().tolist() == wanted


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
@pytest.mark.parametrize("rows", [1, 3, 8])
@pytest.mark.parametrize("lengths", [[], [4], [0, 0], [5, 1, 9, 0, 9, 3, 2], [3] * 17, list(range(23))])
def test_tiles_hold_every_sequence_once_longest_first(lengths: list[int], rows: int, threads: int):
    order = TimeMajor(torch.tensor(lengths, dtype=torch.int64))
    tiles = order.tiles(rows, threads)
    assert sorted(tiles.sequences.tolist()) == list(range(len(lengths)))
    starts = [sum(lengths[:place]) for place in tiles.sequences]
    assert tiles.starts.tolist() == starts
    assert tiles.ends.tolist() == [
        start + lengths[place] - 1 for start, place in zip(starts, tiles.sequences, strict=True)
    ]
    assert (tiles.edges[0], tiles.edges[-1]) == (0, len(lengths))
    for begin, end in zip(tiles.edges[:-1], tiles.edges[1:], strict=True):
        mine = tiles.lengths[begin:end].tolist()
        assert 0 < len(mine) <= rows
        assert mine == sorted(mine, reverse=True) == [lengths[place] for place in tiles.sequences[begin:end]]


def test_a_tile_for_each_thread_is_as_long_as_the_others():
    tiles = TimeMajor(torch.arange(1, 33)).tiles(16, 2)
    totals = [int(part.sum()) for part in np.split(tiles.lengths, [16])]
    assert abs(totals[0] - totals[1]) <= 16


def test_orders_of_equal_lengths_are_kept_within_a_bound_of_steps():
    kept = _KeptOrders(room=100_000)
    for steps in range(600):
        kept.get(40, steps)
        assert kept.size <= kept.room
        assert kept.size == sum(kept._size(*key) for key in kept._orders)
    assert kept.get(40, 599) is kept.get(40, 599)
    assert kept.get(40, 599).lengths.tolist() == [599] * 40
    assert (40, 0) not in kept._orders


def test_the_last_order_is_kept_whatever_its_size_and_the_oldest_goes_first():
    kept = _KeptOrders(room=3 * _KeptOrders.OVERHEAD)
    large = kept.get(1000, 1000)
    assert kept.get(1000, 1000) is large
    small = kept.get(1, 1)
    assert kept.get(1000, 1000) is not large
    first, second = kept.get(1, 1), kept.get(1, 2)
    assert first is not small
    assert kept.get(1, 1) is first
    kept.get(1, 3)
    assert kept.get(1, 1) is first
    assert kept.get(1, 2) is not second
