"""Reads the forms of a batch that torch's recurrent layers take, and restores outputs to the same form."""

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

    Attributes:
        data: `(total, feature)`, sequence after sequence.
        order: the lengths, and the order of the steps.
        restore: turns outputs `(total, size)` into the form of the input.
        sorting: the index of each sequence of this batch in the caller's states, or `None` for the same order.
        restored: the index of each of the caller's sequences in this batch.
        batched: whether the caller's states have an axis for the batch.
    """

    data: Tensor
    order: TimeMajor
    restore: Callable[[Tensor], Any]
    sorting: Tensor | None = None
    restored: Tensor | None = None
    batched: bool = True


def read_ragged(batch: Ragged) -> Steps:
    """Read the steps of a `Ragged` batch."""
    return Steps(batch.data, batch.order, batch.replace)


@outside_compiled_code
def read_packed(packed: PackedSequence) -> Steps:
    """Read the steps of a `PackedSequence` in its own order of sequences, the longest first."""
    lengths = packed_lengths(packed.batch_sizes)
    order = TimeMajor(lengths)
    index = order.index.to(packed.data.device)

    def restore(output: Tensor) -> PackedSequence:
        rows = output.index_select(0, index)
        return PackedSequence(rows, packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices)

    data = packed.data.index_select(0, torch.argsort(index))
    return Steps(data, order, restore, packed.sorted_indices, packed.unsorted_indices)


def read_dense(inputs: Tensor, batch_first: bool) -> Steps:
    """Read the steps of a dense batch, or of a single sequence `(time, feature)`."""
    batched = inputs.dim() == 3
    rows = inputs if batch_first or not batched else inputs.transpose(0, 1)
    shape = rows.shape[:-1]

    def restore(output: Tensor) -> Tensor:
        dense = output.unflatten(0, shape)
        return dense if batch_first or not batched else dense.transpose(0, 1).contiguous()

    order = equal(shape[0] if batched else 1, shape[-1], inputs)
    return Steps(rows.flatten(0, 1) if batched else rows, order, restore, batched=batched)
