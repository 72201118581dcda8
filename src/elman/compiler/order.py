"""The order in which a loop over time meets the steps of sequences of unequal length."""

from functools import cached_property, lru_cache
from typing import NamedTuple

import torch
from torch import Tensor


class Tiles(NamedTuple):
    """A batch cut into tiles.

    Attributes:
        edges: where each tile begins in the fields below, and at the end the batch. # (tiles + 1,)
        sequences: tile after tile. # (batch,)
        lengths: of each of them. # (batch,)
        starts: where its first step lies. # (batch,)
        ends: where its last step lies. # (batch,)
    """

    edges: Tensor
    sequences: Tensor
    lengths: Tensor
    starts: Tensor
    ends: Tensor


class TimeMajor:
    """Steps ordered by time: first the first steps of all sequences, then their second steps, and so on.

    Sequences stand longest first, so that at every step the running ones are the first `rows[step]` of them.

    Args:
        lengths: steps of each sequence, `(batch,)`, int64 on the CPU; the steps of all sequences lie one
            sequence after the other in `(total, …)`.
    """

    def __init__(self, lengths: Tensor):
        self.lengths = lengths
        self._tiles: dict[tuple[int, int], Tiles] = {}

    @cached_property
    def total(self) -> int:
        """Steps of all sequences."""
        return int(self.lengths.sum())

    @cached_property
    def longest(self) -> int:
        """Steps of the longest sequence; 0 for an empty batch."""
        return int(self.lengths.max()) if len(self.lengths) else 0

    @cached_property
    def offsets(self) -> Tensor:
        """Where each sequence begins, and at the end the total. # (batch + 1,)"""
        return torch.cat([self.lengths.new_zeros(1), self.lengths.cumsum(0)])

    def tiles(self, rows: int, threads: int = 1) -> Tiles:
        """The batch in tiles of at most so many sequences; each has its own sequences longest first.

        Sequences of like length share a tile, and the longest tiles come first. Where there is but one tile for each
        thread, sequences are dealt out to them in turn, so that all tiles take as long.
        """
        if (rows, threads) not in self._tiles:
            self._tiles[rows, threads] = self._cut(rows, threads)
        return self._tiles[rows, threads]

    def _cut(self, rows: int, threads: int) -> Tiles:
        batch = len(self.lengths)
        count = -(-batch // rows)
        if 1 < count <= threads:
            parts = [self.sequences[place::count] for place in range(count)]
        else:
            parts = list(self.sequences.split(rows)) if batch else []
        sizes = torch.tensor([0, *map(len, parts)])
        sequences = torch.cat(parts) if parts else self.sequences
        lengths, starts = self.lengths[sequences], self.offsets[:-1][sequences]
        return Tiles(sizes.cumsum(0), sequences, lengths, starts, starts + lengths - 1)

    @cached_property
    def sequences(self) -> Tensor:
        """Positions of the sequences, longest first. # (batch,)"""
        return torch.sort(self.lengths, descending=True, stable=True).indices

    @cached_property
    def restored(self) -> Tensor:
        """Where each sequence stands among `sequences`. # (batch,)"""
        return torch.argsort(self.sequences)

    @cached_property
    def _ends(self) -> tuple[Tensor, Tensor, Tensor]:
        """The sequences that have steps, and where the first and the last step of each lie."""
        sequences = self.lengths.nonzero().flatten()
        return sequences, self.offsets[:-1][sequences], self.offsets[1:][sequences] - 1

    def step_before(self, steps: Tensor, initial: Tensor, out: Tensor, *, backward: bool = False) -> Tensor:
        """At each step what stood at the step before, and at those that are read first what came before them all.

        Args:
            steps: `(total, size)`.
            initial: of each sequence, `(batch, size)`.
            out: `(total, size)`, written to.
            backward: sequences are read from their last steps to their first.

        Returns:
            `out`.
        """
        sequences, first, last = self._ends
        if backward:
            out[:-1] = steps[1:]
        else:
            out[1:] = steps[:-1]
        return out.index_copy_(0, last if backward else first, initial.index_select(0, sequences))

    @cached_property
    def rows(self) -> list[int]:
        """Sequences that run at each step. # (longest,)"""
        ended = torch.bincount(self.lengths, minlength=self.longest + 1).cumsum(0)
        return (len(self.lengths) - ended[: self.longest]).tolist()

    @cached_property
    def _walk(self) -> tuple[Tensor, Tensor, Tensor]:
        """Start of its sequence, length of its sequence and time, of each step in time order."""
        lengths = self.lengths[self.sequences]
        starts = self.offsets[:-1][self.sequences]
        sequence = torch.repeat_interleave(torch.arange(len(lengths)), lengths)
        time = torch.arange(self.total) - (lengths.cumsum(0) - lengths)[sequence]
        order = torch.sort(time, stable=True).indices
        return starts[sequence[order]], lengths[sequence[order]], time[order]

    @cached_property
    def index(self) -> Tensor:
        """Where the steps lie, in time order. # (total,)"""
        starts, _, time = self._walk
        return starts + time

    @cached_property
    def backward_index(self) -> Tensor:
        """The same with every sequence read from its own last step to its first. # (total,)"""
        starts, lengths, time = self._walk
        return starts + lengths - 1 - time


@lru_cache(maxsize=256)
def equal(batch: int, steps: int) -> TimeMajor:
    """The order of sequences that all have so many steps; its tensors must not be changed."""
    return TimeMajor(torch.full((batch,), steps))
