"""Memory that kernels write to, used again when nobody needs it any more.

The system gives out large memory in pages that it fills with zeros when they are first touched: for an LSTM of 300
units that took 15% of the time of a training step. A large block goes back to a pool when the last tensor on it is
gone, and the next call takes it from there.
"""

import mmap
import threading
from collections import deque

import numpy as np
import torch
from torch import Tensor

LARGE = 1 << 20  # bytes: smaller memory is quicker to get from torch
HUGE_PAGE = 1 << 21
IDLE = 1 << 31  # bytes that may lie idle


class Block:
    """A piece of memory from the system.

    Args:
        size: in bytes.
    """

    def __init__(self, size: int):
        self.size = size
        self.memory = mmap.mmap(-1, size)
        if size >= HUGE_PAGE and hasattr(mmap, "MADV_HUGEPAGE"):
            self.memory.madvise(mmap.MADV_HUGEPAGE)
        address = np.frombuffer(self.memory, np.uint8).__array_interface__["data"]
        self.interface = {"shape": (size,), "typestr": "|u1", "data": address, "version": 3}


class Lease:
    """A block while arrays and tensors stand on it; it goes back when the last of them is gone."""

    def __init__(self, block: Block, returned: deque[Block]):
        self.block, self.returned = block, returned
        self.__array_interface__ = block.interface

    def __del__(self) -> None:
        self.returned.append(self.block)


class Pool:
    """Blocks of memory by size; may be used by several threads at once.

    Args:
        limit: bytes that may lie idle, at most.
    """

    def __init__(self, limit: int = IDLE):
        self.limit = limit
        self._lock = threading.Lock()
        self._idle: list[Block] = []  # the one that was used last stands last
        # A tensor may die at any moment, also while this thread holds the lock: what it leaves waits here.
        self._returned: deque[Block] = deque()

    def take(self, size: int) -> np.ndarray:
        """At least `size` bytes that hold anything."""
        wanted = block_size(size)
        with self._lock:
            self._collect()
            fitting = (place for place in reversed(range(len(self._idle))) if self._idle[place].size == wanted)
            place = next(fitting, None)
            block = None if place is None else self._idle.pop(place)
        return np.asarray(Lease(block or Block(wanted), self._returned))

    def _collect(self) -> None:
        while self._returned:
            self._idle.append(self._returned.popleft())
        total = sum(block.size for block in self._idle)
        while total > self.limit:
            total -= self._idle.pop(0).size

    @property
    def idle(self) -> int:
        """Bytes that lie idle."""
        with self._lock:
            self._collect()
            return sum(block.size for block in self._idle)


def block_size(size: int) -> int:
    """A size rounded up to one of eight in every doubling, so that batches of similar size use the same blocks.

    >>> block_size(1 << 20), block_size((1 << 20) + 1), block_size(1_800_000)
    (1048576, 1179648, 1835008)
    """
    step = max((1 << (size - 1).bit_length()) >> 4, mmap.PAGESIZE)
    return -(-size // step) * step


POOL = Pool()


def new_memory(rows: int, width: int, dtype: torch.dtype) -> Tensor:
    """Memory that holds anything, `(rows, width)`; all that kernels write comes from here."""
    size = rows * width * dtype.itemsize
    if size < LARGE:
        return torch.empty(rows, width, dtype=dtype)
    return torch.from_numpy(POOL.take(size))[:size].view(dtype).view(rows, width)
