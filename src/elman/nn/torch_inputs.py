"""The forms in which torch's recurrent layers take a batch, and the way back from them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from elman.data.ragged.positions import packed_lengths
from elman.data.ragged.ragged import Ragged
from elman.order import TimeMajor, equal
from elman.tensors import outside_compiled_code


class Steps(NamedTuple):
    """An input of any form as elman runs it, and the way back.

    Args:
        data: `(total, feature)`, sequence after sequence.
        order: the lengths, and where the steps lie.
        restore: makes the input's own form of the outputs, `(total, size)`.
        sorting: where each sequence of this batch stands in the caller's states, or `None` for the same order.
        restored: where each of the caller's sequences stands in this batch.
        batched: whether the caller's states have an axis for the batch.
    """

    data: Tensor
    order: TimeMajor
    restore: Callable[[Tensor], Any]
    sorting: Tensor | None = None
    restored: Tensor | None = None
    batched: bool = True


def read_ragged(batch: Ragged) -> Steps:
    """The steps of a `Ragged` batch."""
    return Steps(batch.data, batch.order, batch.replace)


@outside_compiled_code
def read_packed(packed: PackedSequence) -> Steps:
    """The steps of a `PackedSequence`, its sequences longest first, as they stand in it."""
    lengths = packed_lengths(packed.batch_sizes)
    order = TimeMajor(lengths)
    index = order.index.to(packed.data.device)

    def restore(output: Tensor) -> PackedSequence:
        rows = output.index_select(0, index)
        return PackedSequence(rows, packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices)

    data = packed.data.index_select(0, torch.argsort(index))
    return Steps(data, order, restore, packed.sorted_indices, packed.unsorted_indices)


def read_dense(inputs: Tensor, batch_first: bool) -> Steps:
    """The steps of sequences of one length, or, without a batch, of a single sequence `(time, feature)`."""
    batched = inputs.dim() == 3
    rows = inputs if batch_first or not batched else inputs.transpose(0, 1)
    shape = rows.shape[:-1]

    def restore(output: Tensor) -> Tensor:
        dense = output.unflatten(0, shape)
        return dense if batch_first or not batched else dense.transpose(0, 1).contiguous()

    order = equal(shape[0] if batched else 1, shape[-1], inputs)
    return Steps(rows.flatten(0, 1) if batched else rows, order, restore, batched=batched)
