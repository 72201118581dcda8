"""Memory that kernels write to, used again when it is free.

The system provides large memory in pages that it fills with zeros at the first access: for an LSTM of 300 units that
took 15% of the time of a training step. The C library also returns large memory to the system and takes it again. Here
a block is returned to a pool when the last tensor on it is deleted, and the next call takes it from there.
"""

import math
import mmap
import threading
from bisect import bisect_left, insort
from collections import deque

import numpy as np
import torch
from torch import Tensor

LARGE = 1 << 17  # bytes: smaller memory is quicker to get from torch
HUGE_PAGE = 1 << 21
IDLE = 1 << 31  # bytes that may be idle
SPARE = 8  # a block may be larger than the wanted size by 1 / SPARE


class Block:
    """A piece of memory from the system.

    Args:
        size: in bytes.
    """

    def __init__(self, size: int):
        self.size = size
        self.returned = 0  # when it was returned, as a count
        self.memory = mmap.mmap(-1, size)
        if size >= HUGE_PAGE and hasattr(mmap, "MADV_HUGEPAGE"):
            self.memory.madvise(mmap.MADV_HUGEPAGE)


class Lease(np.ndarray):
    """An array on a block, which is returned when the last array or tensor on it is deleted."""

    block: Block | None = None  # None for a view of a lease, which keeps the lease itself alive
    returned: deque[Block]

    def __del__(self) -> None:
        if self.block is not None:
            self.returned.append(self.block)


class Pool:
    """Blocks of memory by size; may be used by several threads at once.

    Args:
        limit: bytes that may be idle, at most.
    """

    def __init__(self, limit: int = IDLE):
        self.limit = limit
        self._lock = threading.Lock()
        # By size, in the order of their return. Sizes stay in both: there are few, since `block_size` rounds them.
        self._idle: dict[int, list[Block]] = {}
        self._sizes: list[int] = []  # in order
        self._total = self._count = 0
        # A tensor may be deleted at any moment, even while this thread holds the lock: its block waits here.
        self._returned: deque[Block] = deque()

    def take(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """Return an array, not filled, on a block that is hardly larger."""
        wanted = block_size(math.prod(shape) * dtype.itemsize)
        with self._lock:
            self._collect()
            size = wanted if self._idle.get(wanted) else self._next_size(wanted)
            block = self._pop(size, -1) if size else None
        if block is None:
            block = Block(wanted)
        lease = Lease(shape, dtype, block.memory)  # type: ignore[call-overload]
        lease.block, lease.returned = block, self._returned
        return lease

    def _next_size(self, wanted: int) -> int:
        """Return the smallest size of an idle block that is hardly larger than wanted, or 0."""
        for index in range(bisect_left(self._sizes, wanted), len(self._sizes)):
            if self._sizes[index] > wanted + wanted // SPARE:
                break
            if self._idle[self._sizes[index]]:
                return self._sizes[index]
        return 0

    def _collect(self) -> None:
        while self._returned:
            block = self._returned.popleft()
            self._count += 1
            block.returned = self._count
            if block.size not in self._idle:
                insort(self._sizes, block.size)
                self._idle[block.size] = []
            self._idle[block.size].append(block)
            self._total += block.size
        while self._total > self.limit:
            oldest = min((blocks for blocks in self._idle.values() if blocks), key=lambda blocks: blocks[0].returned)
            self._pop(oldest[0].size, 0)

    def _pop(self, size: int, index: int) -> Block:
        self._total -= size
        return self._idle[size].pop(index)

    @property
    def idle(self) -> int:
        """Bytes that are idle."""
        with self._lock:
            self._collect()
            return self._total


def block_size(size: int) -> int:
    """Round a size up to whole pages, and to one of 32 sizes in every doubling.

    Batches of similar size share blocks.

    >>> block_size(1 << 20), block_size((1 << 20) + 1), block_size(1_800_000)
    (1048576, 1081344, 1802240)
    """
    step = max((1 << (size - 1).bit_length()) >> 6, mmap.PAGESIZE)
    return -(-size // step) * step


POOL = Pool()
KINDS = {torch.float32: np.dtype(np.float32), torch.float64: np.dtype(np.float64)}


def new_memory(rows: int, width: int, dtype: torch.dtype) -> Tensor:
    """Allocate `(rows, width)`, not filled, in float32 or float64.

    All memory that kernels write is allocated here.
    """
    if rows * width * dtype.itemsize < LARGE:
        return torch.empty(rows, width, dtype=dtype, device="cpu")
    return torch.from_numpy(POOL.take((rows, width), KINDS[dtype]))
