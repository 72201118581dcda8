"""The native products, on NumPy arrays."""

import numpy as np

from elman.compiler.targets.llvm import gemm, panels


def _address_and_strides(matrix: np.ndarray) -> tuple[int, int, int]:
    row, column = matrix.strides
    return matrix.ctypes.data, row // matrix.itemsize, column // matrix.itemsize


def pack(matrix: np.ndarray) -> np.ndarray:
    """Pack a matrix with any strides for `product`."""
    k, n = matrix.shape
    native = gemm.Native(matrix.dtype)
    packed = np.empty(k * gemm.vectors(n, matrix.dtype) * native.lanes, matrix.dtype)
    native.pack(k, n, *_address_and_strides(matrix), packed.ctypes.data)
    return packed


def pack_parts(parts: list[np.ndarray], *, beside: bool) -> np.ndarray:
    """Pack matrices side by side, or one below the other, as one matrix."""
    native, dtype = gemm.Native(parts[0].dtype), parts[0].dtype
    axis = 1 if beside else 0
    rows, columns = np.concatenate(parts, axis).shape
    # What is not written remains visible.
    packed = np.full(rows * gemm.vectors(columns, dtype) * native.lanes, np.nan, dtype)
    first, fields = 0, []
    for part in parts:
        fields += [*part.shape, *_address_and_strides(part), packed.ctypes.data, columns if beside else rows, first]
        first += part.shape[axis]
    native.pack_parts(fields, beside=beside)
    return packed


def product(a: np.ndarray, b: np.ndarray, out: np.ndarray, *, accumulate: bool = False, threads: int = 1) -> np.ndarray:
    """Multiply `a` (m, k), with any strides, by `b`, which is (k, n) or packed, into `out` (m, n), or add to it."""
    native, packed = gemm.Native(a.dtype), b.ndim == 1
    sizes = out.shape[0], out.shape[1] // native.lanes, a.shape[1]
    target, out_row, _ = _address_and_strides(out)
    right, b_row = (b.ctypes.data, 0) if packed else _address_and_strides(b)[:2]
    native.product(
        *(*sizes, *_address_and_strides(a), right, int(packed), b_row, target, out_row, int(accumulate)),
        threads=threads,
    )
    return out


def panel_widths(vectors: int) -> list[int]:
    """Return the widths, in vectors, of the panels of a packed matrix."""
    pairs = {0: 0, 1: 2, 2: 1}[vectors % panels.WIDTH] if vectors > 1 else 0
    threes = (vectors - 2 * pairs) // panels.WIDTH
    return [3] * threes + [2] * pairs + [1] * (vectors - 3 * threes - 2 * pairs)
