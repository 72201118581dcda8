"""Fast matrix products: C (m×n) = A (m×k) · B (k×n), or added to the numbers in C."""

import ctypes
import threading
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir

from elman.compiler.targets.llvm import machine
from elman.compiler.targets.llvm.panels import PART, WIDTH, tile_rows, write_pack, write_pack_parts
from elman.compiler.targets.llvm.scatter import SUM, VECTORS, write_sum_by_id
from elman.compiler.targets.llvm.threads import parallel
from elman.compiler.targets.llvm.tiles import PRODUCT, SHARE, Product, write_share

LONG = 1 << 11  # rows of a plain matrix that no cache holds
MOST_SHARES = 4  # of columns for each thread
SMALL = 1 << 15  # multiply-adds of vectors: for fewer, a thread costs more than it saves

# The library

_LIBRARIES: dict[tuple[np.dtype, int], machine.Library] = {}
_LOCK = threading.Lock()


def library(dtype: Any) -> machine.Library:
    """Return the compiled functions for a dtype, built once a process.

    `product(m, n, k, a, a_row, a_column, b, packed, b_row, c, c_row, accumulate)`: `n` counts vectors; `a_row` and the
    like are distances between rows or columns in numbers; `packed` and `accumulate` are 0 or 1.
    `pack` and `pack_parts`: see `panels`; `n` counts columns, and `target` has room for `rows·vectors·lanes` numbers.
    All arguments are 64-bit integers and pointers.

    Raises:
        Unavailable: no kernel can be built here.
    """
    key = np.dtype(dtype), machine.host().bits
    with _LOCK:
        if key not in _LIBRARIES:
            _LIBRARIES[key] = _build(key[0])
        return _LIBRARIES[key]


def _build(dtype: np.dtype) -> machine.Library:
    module = ir.Module(name="gemm")
    write_share(module, dtype, Product(module, dtype).code.function)
    write_pack_parts(module, dtype, write_pack(module, dtype))
    write_sum_by_id(module, dtype)
    return machine.compile(module, f"the {dtype} products", optimise=False)


@cache
def _native(dtype: np.dtype, bits: int, name: str, arguments: int) -> Callable[..., None]:
    return ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * arguments)(library(dtype).address(name))


# From Python


class Native:
    """The products of one dtype, called with addresses.

    Args:
        dtype: float32 or float64.
    """

    def __init__(self, dtype: np.dtype):
        self.dtype = dtype
        self.lanes = machine.lanes(dtype)
        bits = machine.host().bits
        self._product = _native(dtype, bits, "product", len(PRODUCT))
        self._pack = _native(dtype, bits, "pack", 8)
        self._pack_parts = _native(dtype, bits, "pack_parts", 3)
        self._share = library(dtype).address("share")

    def product(self, *given: int, threads: int = 1) -> None:
        """Multiply two matrices, given by sizes and addresses in the order of `tiles.PRODUCT`.

        They are m, vectors in a row of c, k; a and the distances of its rows and columns; b, whether it is packed, and
        the distance of its rows; c, the distance of its rows, and whether to add to it.
        """
        m, n, k = given[:3]
        if threads == 1 or m * n * k < SMALL:
            self._product(*given)
        elif m and n:
            self._shared(list(given), threads)

    def _shared(self, given: list[int], threads: int) -> None:
        """Cut the product into rows, or into columns if rows are few: about three shares a thread.

        A long sum over rows that are read from memory (weight gradients) is cut into one share of columns a thread:
        every share of rows would read all of them again.
        """
        m, n, k = given[:3]
        wanted, rows, is_packed = 3 * threads, tile_rows(), given[7]
        if not is_packed and k > LONG and n >= max(threads, m // self.lanes):
            row_share, column_share = m, -(-n // threads)
            across = -(-n // column_share)
        elif m >= 4 * rows * wanted or n < 4 * WIDTH:
            row_share, column_share, across = _whole(m / wanted, rows), n, 1
        else:
            row_share, (column_share, across) = m, _columns(n, threads)
        array = (ctypes.c_int64 * (len(given) + len(SHARE)))(*given, row_share, column_share, across)
        tasks = -(-m // row_share) * across
        parallel(self._share, ctypes.addressof(array), tasks, threads)

    def pack(self, k: int, n: int, matrix: int, row: int, column: int, target: int) -> None:
        """Pack a matrix (k, n) at `target`.

        `row` and `column` are the distances of its rows and columns.
        """
        self._pack(k, n, matrix, row, column, target, k, 0)

    def pack_parts(self, parts: Sequence[int], *, beside: bool) -> None:
        """Pack all parts of a matrix, given by their fields `panels.PART` in turn.

        They are one below the other, or side by side; rows of the latter are contiguous, and the last part also writes
        what is beyond the last column.
        """
        array = (ctypes.c_int64 * len(parts))(*parts)
        self._pack_parts(ctypes.addressof(array), len(parts) // len(PART), beside)

    def sum_by_id(self, vectors: int, *given: int, threads: int = 1) -> None:
        """Sum the rows of each id.

        `given` has the fields of `scatter.SUM` after the first, the number of vectors in a row.
        """
        array = (ctypes.c_int64 * len(SUM))(vectors, *given)
        tasks = -(-vectors // VECTORS)
        parallel(library(self.dtype).address("sum_by_id"), ctypes.addressof(array), tasks, threads)


@cache
def _columns(n: int, threads: int) -> tuple[int, int]:
    """Return the vectors of a share and the number of shares, for which the threads end soonest.

    Shares begin with a panel of the whole width, or with the narrower panels at the end.

    >>> _columns(16, 2), _columns(32, 2), _columns(3, 2)
    ((9, 2), (15, 3), (3, 1))
    """
    whole = n - n % WIDTH - (WIDTH if n % WIDTH == 1 and n > 1 else 0)
    found = {}
    for share in range(max(1, -(-n // (MOST_SHARES * threads * WIDTH))) * WIDTH, n + WIDTH, WIDTH):
        begins = [begin for begin in range(0, n, share) if begin <= whole]
        busy = [0] * threads
        for begin, end in zip(begins, [*begins[1:], n], strict=True):
            busy[busy.index(min(busy))] += end - begin
        found[share, len(begins)] = max(busy), len(begins)
    return min(found, key=found.__getitem__)


def vectors(columns: int, dtype: Any) -> int:
    """Return how many vectors hold that many columns."""
    return -(-columns // machine.lanes(dtype))


def _whole(share: float, unit: int) -> int:
    return max(1, round(share / unit)) * unit
