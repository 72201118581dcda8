"""Matrix products at the speed of the machine: C (m×n) = A (m×k) · B (k×n), or added to what C holds."""

import ctypes
import threading
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir

from elman.compiler.targets.llvm import machine
from elman.compiler.targets.llvm.panels import WIDTH, tile_rows, write_pack
from elman.compiler.targets.llvm.scatter import SUM, VECTORS, write_sum_by_id
from elman.compiler.targets.llvm.threads import parallel
from elman.compiler.targets.llvm.tiles import PRODUCT, SHARE, Product, write_share
from elman.errors import ShapeError

LONG = 1 << 11  # rows of a plain matrix that no cache holds
SMALL = 1 << 15  # multiply-adds of vectors: fewer are not worth waking a thread

# The library

_LIBRARIES: dict[tuple[np.dtype, int], machine.Library] = {}
_LOCK = threading.Lock()


def library(dtype: Any) -> machine.Library:
    """The compiled functions for a dtype, built once a process.

    `product(m, n, k, a, a_row, a_column, b, packed, b_row, c, c_row, accumulate)`: `n` counts vectors; `a_row` and the
    like are distances between rows or columns in numbers; `packed` and `accumulate` are 0 or 1.
    `pack(k, n, b, b_row, b_column, target)`: `n` counts columns; `target` has room for `k·vectors(n)·lanes` numbers.
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
    write_pack(module, dtype)
    write_sum_by_id(module, dtype)
    return machine.compile(module, f"the {dtype} products", optimise=False)


@cache
def _native(dtype: np.dtype, bits: int, name: str, arguments: int) -> Callable[..., None]:
    return ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * arguments)(library(dtype).address(name))


# From Python


class Native:
    """The products of one dtype, called with addresses: for those who call often.

    Args:
        dtype: float32 or float64.
    """

    def __init__(self, dtype: np.dtype):
        self.dtype = dtype
        self.lanes = machine.lanes(dtype)
        bits = machine.host().bits
        self._product = _native(dtype, bits, "product", len(PRODUCT))
        self._pack = _native(dtype, bits, "pack", 6)

    def product(self, *given: int, threads: int = 1) -> None:
        """The product of `given`: m, vectors in a row of c, k; a and the distances of its rows and columns; b, whether
        it is packed, the distance of its rows; c, the distance of its rows, whether to add to it."""
        m, n, k = given[:3]
        if threads == 1 or m * n * k < SMALL:
            self._product(*given)
        elif m and n:
            _shared(self.dtype, list(given), threads)

    def pack(self, k: int, n: int, matrix: int, row: int, column: int, target: int) -> None:
        """Pack a matrix (k, n) with these distances of its rows and columns into the memory at `target`."""
        self._pack(k, n, matrix, row, column, target)

    def sum_by_id(self, vectors: int, *given: int, threads: int = 1) -> None:
        """The sums of all rows of the same id; `given` is what `scatter.SUM` names, after the vectors of a row."""
        array = (ctypes.c_int64 * len(SUM))(vectors, *given)
        tasks = -(-vectors // VECTORS)
        parallel(library(self.dtype).address("sum_by_id"), ctypes.addressof(array), tasks, threads)


def vectors(columns: int, dtype: Any) -> int:
    """How many vectors hold that many columns."""
    return -(-columns // machine.lanes(dtype))


def aligned(shape: int | tuple[int, ...], dtype: Any) -> np.ndarray:
    """A new array, not filled, that begins at a multiple of 64 bytes."""
    dtype = np.dtype(dtype)
    size = int(np.prod(shape)) * dtype.itemsize
    store = np.empty(size + 64, np.uint8)
    start = -store.ctypes.data % 64
    return store[start : start + size].view(dtype).reshape(shape)


def pack(matrix: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """A matrix packed for `product`; a transposed view (`weights.T`) is packed as fast as a plain matrix.

    Args:
        matrix: (k, n), float32 or float64, with any strides.
        out: where to put it: one-dimensional, k·vectors(n)·lanes numbers.

    Returns:
        The packed matrix, one-dimensional.

    Raises:
        ShapeError: the matrix has not two dimensions, or `out` another size or dtype.
    """
    if matrix.ndim != 2:
        raise ShapeError(f"A matrix has two dimensions and this array {matrix.ndim}.")
    k, n = matrix.shape
    size = k * vectors(n, matrix.dtype) * machine.lanes(matrix.dtype)
    if out is None:
        out = aligned(size, matrix.dtype)
    if out.shape != (size,) or out.dtype != matrix.dtype or not out.flags.c_contiguous:
        raise ShapeError(f"A packed matrix of {matrix.shape} has {size} numbers of {matrix.dtype} in a row.")
    row, column = _strides(matrix)
    _native(matrix.dtype, machine.host().bits, "pack", 6)(k, n, matrix.ctypes.data, row, column, out.ctypes.data)
    return out


def _strides(matrix: np.ndarray) -> tuple[int, int]:
    row, column = (stride // matrix.itemsize for stride in matrix.strides)
    return row, column


def product(a: np.ndarray, b: np.ndarray, out: np.ndarray, *, accumulate: bool = False, threads: int = 1) -> np.ndarray:
    """The product of two matrices.

    Args:
        a: (m, k), with any strides; `x.T` needs no copy.
        b: (k, n) with rows side by side, or packed: one-dimensional.
        out: (m, n) with rows side by side, n a multiple of the numbers in a vector. Where `b` was packed from fewer
            columns, those beyond them become 0.
        accumulate: add to `out` what is there.
        threads: how many share the work.

    Returns:
        `out`.

    Raises:
        ShapeError: shapes, strides or dtypes that do not fit.
    """
    _check(a, b, out)
    dtype, (m, k), packed = a.dtype, a.shape, b.ndim == 1
    n = out.shape[1] // machine.lanes(dtype)
    a_row, a_column = _strides(a)
    b_row = 0 if packed else _strides(b)[0]
    pointers = a.ctypes.data, b.ctypes.data, out.ctypes.data
    given = [m, n, k, pointers[0], a_row, a_column, pointers[1], int(packed), b_row]
    given += [pointers[2], _strides(out)[0], int(accumulate)]
    if threads == 1 or m * n * k < SMALL:
        _native(dtype, machine.host().bits, "product", len(given))(*given)
    elif m and n:
        _shared(dtype, given, threads)
    return out


def _check(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    lanes = machine.lanes(a.dtype)
    problem = None
    if len({a.dtype, b.dtype, out.dtype}) > 1:
        problem = f"The dtypes differ: {a.dtype}, {b.dtype}, {out.dtype}."
    elif a.ndim != 2 or out.ndim != 2 or len(a) != len(out):
        problem = f"`a` is {a.shape} and `out` {out.shape}: both have one row for each row of the result."
    elif out.shape[1] % lanes or (out.size and out.strides[1] != out.itemsize):
        problem = f"`out` is {out.shape}: its rows must be whole vectors of {lanes} numbers, side by side."
    elif b.ndim == 1 and b.shape[0] != a.shape[1] * out.shape[1]:
        problem = f"`b` has {b.shape[0]} numbers, and ({a.shape[1]}, {out.shape[1]}) packed has another size."
    elif b.ndim == 2 and (b.shape != (a.shape[1], out.shape[1]) or (b.size and b.strides[1] != b.itemsize)):
        problem = f"`b` is {b.shape} and must be ({a.shape[1]}, {out.shape[1]}) with rows side by side."
    if problem:
        raise ShapeError(problem)


def _shared(dtype: np.dtype, given: list[int], threads: int) -> None:
    """Cut the product into rows, or into columns where there are few rows; about three shares a thread.

    A long sum over rows that are read from memory (weight gradients) is cut into one share of columns a thread: every
    share of rows would read all of them again.
    """
    m, n, k = given[:3]
    wanted, rows, is_packed = 3 * threads, tile_rows(), given[7]
    if not is_packed and k > LONG and n >= max(threads, m // machine.lanes(dtype)):
        row_share, column_share = m, -(-n // threads)
        across = -(-n // column_share)
    elif m >= 4 * rows * wanted or n < 4 * WIDTH:
        row_share, column_share, across = _whole(m / wanted, rows), n, 1
    else:
        row_share, column_share = m, _whole(n / wanted, WIDTH)
        across = max(1, (n - WIDTH) // column_share + (n % column_share == 0))
    array = (ctypes.c_int64 * (len(given) + len(SHARE)))(*given, row_share, column_share, across)
    tasks = -(-m // row_share) * across
    parallel(library(dtype).address("share"), ctypes.addressof(array), tasks, threads)


def _whole(share: float, unit: int) -> int:
    return max(1, round(share / unit)) * unit
