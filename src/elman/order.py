"""The order in which a loop over time runs the steps of sequences of unequal length.

Everything here is computed and kept in NumPy's memory. A torch tensor that is kept for the whole process would have
the kind that the first caller's mode demands (on the device `meta`, fake, an inference tensor), and callers could
change it.
"""

from collections import OrderedDict
from functools import cached_property
from threading import Lock
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from elman.tensors import Kind, is_recorded, is_transformed, kind_of

Array = np.ndarray


class Tiles(NamedTuple):
    """A batch cut into tiles.

    Attributes:
        edges: where each tile begins in the fields below, and at the end the batch. # (tiles + 1,)
        sequences: tile after tile. # (batch,)
        lengths: of each of them. # (batch,)
        starts: position of its first step. # (batch,)
        ends: position of its last step. # (batch,)
        addresses: of the fields above, in their order, for kernels.
    """

    edges: Array
    sequences: Array
    lengths: Array
    starts: Array
    ends: Array
    addresses: tuple[int, ...]


class TimeMajor:
    """Steps ordered by time: first the first steps of all sequences, then their second steps, and so on.

    Sequences are sorted, longest first, so that at every step the running ones are the first `rows[step]` of them.

    Args:
        lengths: steps of each sequence, `(batch,)`, integers on the CPU, of which a copy is kept; the steps of all
            sequences are one sequence after the other in `(total, …)`. A tensor whose numbers are not known yet,
            because torch records operations instead of running them, is kept as it is: see `is_traced`.
    """

    def __init__(self, lengths: Tensor | Array):
        self._traced = lengths if isinstance(lengths, Tensor) and is_recorded(lengths) else None
        if self._traced is None:
            self._lengths = _array(lengths)
        self._tiles: dict[tuple[int, int], Tiles] = {}

    @property
    def is_traced(self) -> bool:
        """Whether the lengths are a symbol: only a target that takes `lengths` as a tensor can run them."""
        return self._traced is not None

    @property
    def lengths(self) -> Tensor:
        """A copy of the lengths, int64 on the CPU. # (batch,)"""
        return torch.from_numpy(self._lengths.copy()) if self._traced is None else self._traced

    @property
    def batch(self) -> int:
        """Number of sequences."""
        return (self._lengths if self._traced is None else self._traced).shape[0]

    @cached_property
    def total(self) -> int:
        """Steps of all sequences."""
        return int(self._lengths.sum())

    @cached_property
    def longest(self) -> int:
        """Steps of the longest sequence; 0 for an empty batch."""
        return int(self._lengths.max(initial=0))

    @cached_property
    def _offsets(self) -> Array:
        return np.concatenate([np.zeros(1, np.int64), self._lengths.cumsum()])

    @property
    def offsets(self) -> Tensor:
        """A copy of where each sequence begins, and at the end the total. # (batch + 1,)"""
        if self._traced is not None:
            return torch.cat([self._traced.new_zeros(1), self._traced.cumsum(0)])
        return torch.from_numpy(self._offsets.copy())

    def tiles(self, rows: int, threads: int = 1) -> Tiles:
        """Cut the batch into tiles of at most so many sequences, longest first in each.

        Sequences of similar length share a tile, and the longest tiles come first. If there is only one tile for each
        thread, sequences are dealt out in turn, so that all tiles take equally long.
        """
        if (rows, threads) not in self._tiles:
            self._tiles[rows, threads] = self._cut(rows, threads)
        return self._tiles[rows, threads]

    def _cut(self, rows: int, threads: int) -> Tiles:
        batch, sequences = self.batch, self._sequences
        count = -(-batch // rows)
        if 1 < count <= threads:
            parts = [sequences[turn::count] for turn in range(count)]
        else:
            parts = [sequences[start : start + rows] for start in range(0, batch, rows)]
        sequences = np.concatenate(parts) if parts else sequences
        lengths, starts = self._lengths[sequences], self._offsets[:-1][sequences]
        edges = np.cumsum([0, *map(len, parts)], dtype=np.int64)
        fields = edges, sequences, lengths, starts, starts + lengths - 1
        return Tiles(*fields, tuple(field.ctypes.data for field in fields))

    @cached_property
    def _sequences(self) -> Array:
        return np.argsort(-self._lengths, kind="stable")

    @property
    def sequences(self) -> Tensor:
        """Positions of the sequences, longest first. # (batch,)"""
        return torch.from_numpy(self._sequences)

    @cached_property
    def _restored(self) -> Array:
        return np.argsort(self._sequences)

    @property
    def restored(self) -> Tensor:
        """The position of each sequence among `sequences`. # (batch,)"""
        return torch.from_numpy(self._restored)

    @cached_property
    def _ends(self) -> tuple[Array, Array, Array]:
        """The sequences that have steps, and the positions of the first and the last step of each."""
        sequences = self._lengths.nonzero()[0]
        return sequences, self._offsets[:-1][sequences], self._offsets[1:][sequences] - 1

    def step_before(self, steps: Tensor, initial: Tensor, out: Tensor, *, backward: bool = False) -> Tensor:
        """Write to `out` the row of the step before each step, and `initial` before the first.

        Args:
            steps: `(total, size)`.
            initial: of each sequence, `(batch, size)`.
            out: `(total, size)`, written to.
            backward: sequences are read from their last steps to their first.

        Returns:
            `out`.
        """
        sequences, first, last = map(torch.from_numpy, self._ends)
        if backward:
            out[:-1] = steps[1:]
        else:
            out[1:] = steps[:-1]
        return out.index_copy_(0, last if backward else first, initial.index_select(0, sequences))

    @cached_property
    def rows(self) -> list[int]:
        """Sequences that run at each step. # (longest,)"""
        ended = np.bincount(self._lengths, minlength=self.longest + 1).cumsum()
        return (self.batch - ended[: self.longest]).tolist()

    @cached_property
    def _walk(self) -> tuple[Array, Array, Array]:
        """Start of its sequence, length of its sequence and time, of each step in time order."""
        lengths = self._lengths[self._sequences]
        starts = self._offsets[:-1][self._sequences]
        sequence = np.repeat(np.arange(self.batch), lengths)
        time = np.arange(self.total) - (lengths.cumsum() - lengths)[sequence]
        order = np.argsort(time, kind="stable")
        return starts[sequence[order]], lengths[sequence[order]], time[order]

    @cached_property
    def _index(self) -> Array:
        starts, _, time = self._walk
        return starts + time

    @property
    def index(self) -> Tensor:
        """Positions of the steps, in time order. # (total,)"""
        return torch.from_numpy(self._index)

    @cached_property
    def _backward_index(self) -> Array:
        starts, lengths, time = self._walk
        return starts + lengths - 1 - time

    @property
    def backward_index(self) -> Tensor:
        """The same with every sequence read from its own last step to its first. # (total,)"""
        return torch.from_numpy(self._backward_index)


def _array(lengths: Tensor | Array) -> Array:
    """Copy lengths to NumPy's memory.

    A wrapped tensor, as within `torch.func.grad`, has no memory to read.
    """
    if not isinstance(lengths, Tensor):
        return np.array(lengths, np.int64)
    if kind_of(lengths) is Kind.PLAIN:
        return lengths.numpy().astype(np.int64)
    return np.array(lengths.tolist(), np.int64)


def equal(batch: int, steps: int, like: Tensor) -> TimeMajor:
    """Return the order of sequences that all have so many steps.

    Args:
        batch: number of sequences.
        steps: of each.
        like: the data. Where torch records what is done with it, the sizes may be symbols, and the lengths are
            recorded, too.
    """
    if is_recorded(like) and not is_transformed():
        order = TimeMajor(like.new_full((batch,), steps, dtype=torch.int64, device="cpu"))
        order.total, order.longest = batch * steps, steps
        return order
    return _kept.get(batch, steps)


class _KeptOrders:
    """The latest orders of sequences of one length, bounded by their memory.

    Args:
        room: sum of the sizes of the orders that are kept, in steps; the last order is kept in any size. All
            arrays of an order together take about 40 bytes a step.
    """

    # What an order takes besides its arrays, in steps.
    OVERHEAD = 1024

    def __init__(self, room: int):
        self.room = room
        self.size = 0
        self._orders: OrderedDict[tuple[int, int], TimeMajor] = OrderedDict()
        self._lock = Lock()

    def get(self, batch: int, steps: int) -> TimeMajor:
        """Return the order of so many sequences of so many steps."""
        key = (batch, steps)
        with self._lock:
            if key in self._orders:
                self._orders.move_to_end(key)
                return self._orders[key]
            order = self._orders[key] = TimeMajor(np.full(batch, steps))
            self.size += self._size(*key)
            while self.size > self.room and len(self._orders) > 1:
                self.size -= self._size(*self._orders.popitem(last=False)[0])
            return order

    def _size(self, batch: int, steps: int) -> int:
        return batch * (steps + 1) + self.OVERHEAD


_kept = _KeptOrders(room=1 << 18)
