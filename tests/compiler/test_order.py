"""The order of time against a plain loop."""

import torch
from hypothesis import example, given
from hypothesis import strategies as st

from elman.compiler.order import TimeMajor


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
