"""The positions of steps: the index arithmetic behind `Ragged`, on the CPU, without a loop.

Every function takes and returns int64 tensors. A padded batch numbers its steps row by row, a packed
one time step by time step with the longest sequence first.
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor

# The side of the padding: after the steps of each sequence, or before them.
Side = Literal["right", "left"]


class PackedLayout(NamedTuple):
    """The order of the steps of a batch in torch's `PackedSequence`."""

    batch_sizes: Tensor  # (longest,) sequences alive at each time step
    order: Tensor  # (batch,) original index of each packed row
    rank: Tensor  # (batch,) packed row of each original sequence


def offsets_of(lengths: Tensor) -> Tensor:
    """Return the first step of each sequence, and at the end the total: (batch + 1,).

    >>> offsets_of(torch.tensor([2, 0, 3]))
    tensor([0, 2, 2, 5])
    """
    return torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])


def sequence_index(lengths: Tensor, total: int | None = None) -> Tensor:
    """Return the sequence that each step belongs to: (total,).

    While torch records operations, the total must be given, since it cannot be computed from the lengths.

    >>> sequence_index(torch.tensor([2, 0, 3]))
    tensor([0, 0, 2, 2, 2])
    """
    return torch.repeat_interleave(torch.arange(lengths.shape[0], device=lengths.device), lengths, output_size=total)


def step_index(lengths: Tensor, total: int | None = None) -> Tensor:
    """Return the number of each step within its sequence, from 0: (total,).

    The total is as for `sequence_index`.

    >>> step_index(torch.tensor([2, 0, 3]))
    tensor([0, 1, 0, 1, 2])
    """
    begins = torch.repeat_interleave(offsets_of(lengths)[:-1], lengths, output_size=total)
    return torch.arange(begins.shape[0], device=lengths.device) - begins


def padded_positions(lengths: Tensor, time: int, batch_first: bool, side: Side = "right") -> Tensor:
    """Return the position of each step in a padded, flattened grid: (total,).

    The grid is (batch, time) with `batch_first`, else (time, batch).

    >>> padded_positions(torch.tensor([2, 1]), 3, batch_first=True, side="left")
    tensor([1, 2, 5])
    """
    sequence, step = sequence_index(lengths), step_index(lengths)
    if side == "left":
        step = step + torch.repeat_interleave(time - lengths, lengths)
    return sequence * time + step if batch_first else step * len(lengths) + sequence


def masked_positions(mask: Tensor, batch_first: bool) -> Tensor:
    """Return the position in the flattened grid of each step of a mask (batch, time).

    >>> masked_positions(torch.tensor([[False, True], [True, True]]), batch_first=False)
    tensor([2, 1, 3])
    """
    sequence, step = mask.nonzero(as_tuple=True)
    batch, time = mask.shape
    return sequence * time + step if batch_first else step * batch + sequence


def selected_positions(lengths: Tensor, indices: Tensor) -> Tensor:
    """Return the position of each step of the chosen sequences: (total of the chosen,)."""
    chosen = lengths[indices]
    return torch.repeat_interleave(offsets_of(lengths)[indices], chosen) + step_index(chosen)


def reversed_positions(lengths: Tensor, total: int | None = None) -> Tensor:
    """Return for each step the one that mirrors it within its own sequence: (total,)."""
    offsets = offsets_of(lengths)
    ends = torch.repeat_interleave(offsets[:-1] + offsets[1:] - 1, lengths, output_size=total)
    return ends - torch.arange(ends.shape[0], device=lengths.device)


def packed_layout(lengths: Tensor) -> PackedLayout:
    """Return torch's layout of sequences of these lengths, none of them zero."""
    order = torch.argsort(lengths, descending=True, stable=True)
    return PackedLayout(torch.bincount(step_index(lengths)), order, invert(order))


def packed_positions(lengths: Tensor, batch_sizes: Tensor, rank: Tensor) -> Tensor:
    """Return the position of each step in packed data: (total,)."""
    return offsets_of(batch_sizes)[step_index(lengths)] + rank[sequence_index(lengths)]


def packed_lengths(batch_sizes: Tensor) -> Tensor:
    """Return the length of each packed row from the number alive at each time step: (batch,).

    >>> packed_lengths(torch.tensor([3, 2, 2]))
    tensor([3, 3, 1])
    """
    return torch.bincount(step_index(batch_sizes))


def invert(permutation: Tensor) -> Tensor:
    """Return the inverse of a permutation.

    >>> invert(torch.tensor([2, 0, 1]))
    tensor([1, 2, 0])
    """
    inverse = torch.empty_like(permutation)
    inverse[permutation] = torch.arange(len(permutation), device=permutation.device)
    return inverse
