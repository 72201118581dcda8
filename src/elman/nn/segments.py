"""Sequences cut into segments of several steps."""

import torch
from torch import nn

from elman.data.ragged.ragged import Ragged
from elman.nn.checks import check_ragged, refuse, wrong_flag, wrong_name, wrong_size

ENDS = ("first", "last")


class Segments(nn.Module):
    """Cuts each sequence into segments of several steps, each of which is one step of the result.

    A sequence of n steps has n / size segments, rounded up. One segment is filled up with zeros where the steps are too
    few: the last one after its steps, or the first one before them.

    Args:
        size: steps of a segment.
        whole: the end of a sequence whose segment is always whole: `first` or `last`.
        shift: in training, put up to size - 1 zeros before each sequence, as many as are drawn for it, so that its
            steps are at all positions of a segment.

    Raises:
        UsageError: a size that is not positive, or another end.

    >>> Segments(2)(Ragged(torch.tensor([[1.0], [2.0], [3.0], [4.0]]), [3, 1])).to_list()
    [tensor([[1., 2.],
            [3., 0.]]), tensor([[4., 0.]])]
    """

    def __init__(self, size: int, whole: str = "first", *, shift: bool = False):
        super().__init__()
        refuse(wrong_size("size", size), wrong_name("whole", whole, ENDS), wrong_flag("shift", shift))
        self.size = size
        self.whole = whole
        self.shift = shift

    def forward(self, batch: Ragged) -> Ragged:
        """Return segments `(segments, size · feature)` of steps `(total, feature)`."""
        check_ragged(self, batch, "numbers (total, feature)")
        if self.size == 1:
            return batch
        lengths = batch.lengths
        before = torch.randint(0, self.size, lengths.shape) if self.training and self.shift else 0 * lengths
        before = before.where(lengths > 0, 0)
        segments = (before + lengths + self.size - 1) // self.size
        begins = torch.cat([segments.new_zeros(1), segments.cumsum(0)])[:-1] * self.size + before
        if self.whole == "last":
            begins = begins - before + segments * self.size - lengths
        index = begins.to(batch.data.device)[batch.sequence_index()] + batch.step_index()
        filled = batch.data.new_zeros(int(segments.sum()) * self.size, batch.data.shape[1])
        filled = filled.index_copy(0, index, batch.data)
        return Ragged(filled.view(-1, self.size * batch.data.shape[1]), segments)

    def extra_repr(self) -> str:
        """Return the settings for printing the module."""
        return f"{self.size}, whole={self.whole!r}, shift={self.shift}"
