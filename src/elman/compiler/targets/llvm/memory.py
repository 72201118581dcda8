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
        self.address = np.frombuffer(self.memory, np.uint8).__array_interface__["data"]


class Lease:
    """A block while arrays and tensors use it; it is returned when the last of them is deleted."""

    def __init__(self, block: Block, returned: deque[Block], shape: tuple[int, ...], dtype: np.dtype):
        self.block, self.returned = block, returned
        self.__array_interface__ = {"shape": shape, "typestr": dtype.str, "data": block.address, "version": 3}

    def __del__(self) -> None:
        self.returned.append(self.block)


class Pool:
    """Blocks of memory by size; may be used by several threads at once.

    Args:
        limit: bytes that may be idle, at most.
    """

    def __init__(self, limit: int = IDLE):
        self.limit = limit
        self._lock = threading.Lock()
        self._idle: dict[int, list[Block]] = {}  # by size, in the order of their return
        self._sizes: list[int] = []  # of the idle ones, in order
        self._total = self._count = 0
        # A tensor may be deleted at any moment, even while this thread holds the lock: its block waits here.
        self._returned: deque[Block] = deque()

    def take(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """Return an array, not filled, on a block that is hardly larger."""
        wanted = block_size(math.prod(shape) * dtype.itemsize)
        with self._lock:
            self._collect()
            index = bisect_left(self._sizes, wanted)
            fits = index < len(self._sizes) and self._sizes[index] <= wanted + wanted // SPARE
            block = self._pop(self._sizes[index], -1) if fits else None
        return np.asarray(Lease(block or Block(wanted), self._returned, shape, dtype))

    def _collect(self) -> None:
        while self._returned:
            block = self._returned.popleft()
            self._count += 1
            block.returned = self._count
            if block.size not in self._idle:
                insort(self._sizes, block.size)
            self._idle.setdefault(block.size, []).append(block)
            self._total += block.size
        while self._total > self.limit:
            self._pop(min(self._idle.values(), key=lambda blocks: blocks[0].returned)[0].size, 0)

    def _pop(self, size: int, index: int) -> Block:
        blocks = self._idle[size]
        block = blocks.pop(index)
        self._total -= size
        if not blocks:
            del self._idle[size]
            self._sizes.remove(size)
        return block

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
