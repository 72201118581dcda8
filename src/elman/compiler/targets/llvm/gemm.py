"""Matrix products at the speed of the machine: C (m×n) = A (m×k) · B (k×n), or added to what C holds.

A tile of C (8 rows × 3 vectors with AVX-512) stays in registers while k runs. Rows of C are whole vectors long. B is
either plain, with rows of whole vectors, or *packed*: panel after panel, each 3 vectors wide (the last ones 2 + 2, 2
or 1) and in each of them row after row of the matrix, with zeros beyond its last column.
"""

import ctypes
import threading
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
from llvmlite import ir

from elman.compiler.targets.llvm import machine
from elman.compiler.targets.llvm.threads import parallel
from elman.compiler.targets.llvm.vectors import INDEX, POINTER, Code, Value, begin
from elman.errors import ShapeError

WIDTH = 3  # vectors in a panel
K_BLOCK = 256  # rows of a plain B at a time: a panel of them fits the nearest caches
PACKED_K_BLOCK = 512
BLOCK_BYTES = 1536  # of a column of A, at most: a block of A fits the second cache together with a panel
SMALL = 1 << 15  # multiply-adds of vectors: fewer are not worth waking a thread

TILE = [
    (name, POINTER if name in "abc" else INDEX)
    for name in ["k", "a", "a_row", "a_column", "b", "b_step", "c", "c_row", "accumulate"]
]
PANEL = [
    ("m", INDEX),
    ("a_tile", POINTER),
    ("a_tile_row", INDEX),
    ("a_tile_column", INDEX),
    ("a_tile_step", INDEX),
    *TILE,
]
PRODUCT = [
    (name, POINTER if name in "abc" else INDEX)
    for name in ["m", "n", "k", "a", "a_row", "a_column", "b", "packed", "b_row", "c", "c_row", "accumulate"]
]


def tile_rows(width: int = WIDTH) -> int:
    """How many rows of C a tile of that many vectors has: what fits the registers (and few, for the rare width 1)."""
    return 8 if machine.host().registers == 32 and width > 1 else 4


def panel_widths(vectors: int) -> list[int]:
    """The widths, in vectors, of the panels of a packed matrix.

    >>> panel_widths(7), panel_widths(5), panel_widths(1)
    ([3, 2, 2], [3, 2], [1])
    """
    pairs = {0: 0, 1: 2, 2: 1}[vectors % WIDTH] if vectors > 1 else 0
    threes = (vectors - 2 * pairs) // WIDTH
    return [3] * threes + [2] * pairs + [1] * (vectors - 3 * threes - 2 * pairs)


# Tiles: the part that computes


def _tile(module: ir.Module, dtype: Any, rows: int, width: int) -> ir.Function:
    """A tile of C. Few sums would wait for each other, so that small tiles keep several for each number."""
    code = begin(module, f"tile{rows}x{width}", TILE, dtype, local=True)
    code.function.attributes.add("noinline")
    k, a, a_row, a_column, b, b_step, c, c_row, accumulate = code.arguments
    cells = [(i, j) for i in range(rows) for j in range(width)]
    places = [code.at(code.at(c, code.times(c_row, i)), j * code.lanes) for i, j in cells]
    for place in places:
        code.prefetch(place, write=True)
    starts = [code.at(a, code.times(a_row, i)) for i in range(rows)]
    parts = 1 if len(cells) >= 8 else 2 if len(cells) >= 4 else 4

    def multiply(position: Value, sums: list[Value], part: int = 0) -> list[Value]:
        position = code.plus(position, part)
        row, column = code.at(b, code.times(position, b_step)), code.times(position, a_column)
        weights = [code.load(row, j * code.lanes) for j in range(width)]
        numbers = [code.load_spread(start, column) for start in starts]
        return [code.fma(numbers[i], weights[j], total) for (i, j), total in zip(cells, sums, strict=True)]

    def several(position: Value, sums: list[Value]) -> list[Value]:
        groups = [sums[part * len(cells) : (part + 1) * len(cells)] for part in range(parts)]
        return [total for part, group in enumerate(groups) for total in multiply(position, group, part)]

    sums = [code.number(0.0)] * (parts * len(cells))
    even = code.times(code.quotient(k, parts), parts)
    sums = code.loop(0, even, parts, several, sums)
    while len(sums) > len(cells):
        half = len(sums) // 2
        sums = [code.add(x, y) for x, y in zip(sums[:half], sums[half:], strict=True)]
    if parts > 1:
        sums = code.loop(even, k, 1, multiply, sums)
    more = lambda: [code.add(code.load(place), total) for place, total in zip(places, sums, strict=True)]  # noqa: E731
    results = code.when(code.compare(accumulate, "!=", 0), more, lambda: sums)
    for place, total in zip(places, results, strict=True):
        code.store(total, place)
    code.end()
    return code.function


def _panel(module: ir.Module, dtype: Any, width: int) -> ir.Function:
    """All rows of a block of C in one panel: whole tiles from a copy of A, the rows left over from A itself."""
    rows = tile_rows(width)
    tiles = {count: _tile(module, dtype, count, width) for count in range(1, rows + 1)}
    code = begin(module, f"panel{width}", PANEL, dtype, local=True)
    code.function.attributes.add("noinline")
    m, a_tile, a_tile_row, a_tile_column, a_tile_step, k, a, a_row, a_column, b, b_step, c, c_row, accumulate = (
        code.arguments
    )
    whole = code.quotient(m, rows)

    def one(tile: Value, _: list[Value]) -> None:
        step = code.builder.sdiv(code.times(a_tile_step, rows), code.index(tile_rows()))
        source = code.at(a_tile, code.times(tile, step))
        target = code.at(c, code.times(code.times(tile, rows), c_row))
        code.builder.call(tiles[rows], [k, source, a_tile_row, a_tile_column, b, b_step, target, c_row, accumulate])

    code.loop(0, whole, 1, one)
    done = code.times(whole, rows)
    source, target = code.at(a, code.times(done, a_row)), code.at(c, code.times(done, c_row))
    rest = [k, source, a_row, a_column, b, b_step, target, c_row, accumulate]
    call = lambda count: code.builder.call(tiles[count], rest) and None  # noqa: E731
    code.switch(code.minus(m, done), {count: partial(call, count) for count in range(1, rows)})
    code.end()
    return code.function


# Blocks: the part that keeps operands near


class _Product:
    """Writes `product`, which cuts a product into blocks whose operands stay in the caches."""

    def __init__(self, module: ir.Module, dtype: Any):
        self.panels = {width: _panel(module, dtype, width) for width in (3, 2, 1)}
        self.code = code = begin(module, "product", PRODUCT, dtype)
        self.rows = tile_rows()
        self.m_block = BLOCK_BYTES // code.bytes
        self.tile_step = self.rows * K_BLOCK + code.lanes  # not a power of two: tiles would share cache sets
        (self.m, self.n, self.k, self.a, self.a_row, self.a_column) = code.arguments[:6]
        (self.b, packed, self.b_row, self.c, self.c_row, self.accumulate) = code.arguments[6:]
        self.packed = code.compare(packed, "!=", 0)
        self.b_copy = code.scratch(K_BLOCK * WIDTH * code.lanes)
        self.a_copy = code.scratch(self.m_block // self.rows * self.tile_step)
        # Columns of A that lie side by side are copied once a block, unless there are too few panels to gain by it.
        self.copies_a = code.builder.and_(code.compare(self.a_row, "==", 1), code.compare(self.n, ">", 2 * WIDTH))
        self.copies_a = code.builder.and_(self.copies_a, code.compare(self.a_column, "!=", 1))
        blocks = self._rounded_up(self.m, self.m_block)  # of nearly equal height
        self.m_step = code.times(self._rounded_up(self._rounded_up(self.m, blocks), self.rows), self.rows)
        self._write()

    def _rounded_up(self, a: Value, b: Value | int) -> Value:
        """a/b, rounded up; 1 for 0."""
        code = self.code
        quotient = code.quotient(code.plus(a, code.minus(b, 1)), b)
        return code.choose(code.compare(quotient, "<", 1), code.index(1), quotient)

    def _write(self) -> None:
        code = self.code
        plain = code.builder.or_(code.builder.not_(self.packed), self.copies_a)
        step = code.choose(plain, code.index(K_BLOCK), code.index(PACKED_K_BLOCK))
        at_least_once = code.choose(code.compare(self.k, "<", 1), code.index(1), self.k)
        code.loop(0, at_least_once, step, lambda k0, _: self._k_block(k0, code.smaller(step, code.minus(self.k, k0))))
        code.end()

    def _k_block(self, k0: Value, k: Value) -> None:
        code = self.code
        later = code.builder.zext(code.compare(k0, ">", 0), INDEX)
        accumulate = code.builder.or_(self.accumulate, later)

        def m_block(m0: Value, _: list[Value]) -> None:
            m = code.smaller(self.m_step, code.minus(self.m, m0))
            a = code.at(self.a, code.plus(code.times(m0, self.a_row), code.times(k0, self.a_column)))
            c = code.at(self.c, code.times(m0, self.c_row))
            copied = code.when(self.copies_a, lambda: self._copied_a(m, k, a), lambda: self._plain_a(a))
            self._all_panels([m, *copied], [k, a, self.a_row, self.a_column], k0, c, accumulate)

        code.loop(0, self.m, self.m_step, m_block)

    def _plain_a(self, a: Value) -> list[Value]:
        return [a, self.a_row, self.a_column, self.code.times(self.a_row, self.rows)]

    def _copied_a(self, m: Value, k: Value, a: Value) -> list[Value]:
        """A tile's rows side by side."""
        code, several = self.code, ir.VectorType(self.code.scalar, self.rows)

        def row(position: Value, _: list[Value]) -> None:
            source = code.at(a, code.times(position, self.a_column))
            target = code.at(self.a_copy, code.times(position, self.rows))

            def tile(number: Value, _: list[Value]) -> None:
                numbers = code.builder.load(
                    code.at(source, code.times(number, self.rows)), align=code.bytes, typ=several
                )
                code.builder.store(numbers, code.at(target, code.times(number, self.tile_step)), align=code.bytes)

            code.loop(0, code.quotient(m, self.rows), 1, tile)

        code.loop(0, k, 1, row)
        return [self.a_copy, code.index(1), code.index(self.rows), code.index(self.tile_step)]

    def _all_panels(self, copied: list[Value], direct: list[Value], k0: Value, c: Value, accumulate: Value) -> None:
        code = self.code

        def panel(width: int, first: Value, _: list[Value]) -> None:
            b, b_step = self._b_panel(width, first, k0, direct[0], copied[0])
            target = code.at(c, code.times(first, code.lanes))
            code.builder.call(self.panels[width], [*copied, *direct, b, b_step, target, self.c_row, accumulate])

        for width, start, stop in _panel_ranges(code, self.n):
            code.loop(start, stop, width, partial(panel, width))

    def _b_panel(self, width: int, first: Value, k0: Value, k: Value, m: Value) -> list[Value]:
        code, columns = self.code, width * self.code.lanes
        offset = code.times(first, code.lanes)
        start = code.plus(code.times(offset, self.k), code.times(k0, columns))
        plain = code.at(self.b, code.plus(offset, code.times(k0, self.b_row)))

        def copied() -> list[Value]:
            def row(position: Value, _: list[Value]) -> None:
                for j in range(width):
                    vector = code.load(plain, code.plus(code.times(position, self.b_row), j * code.lanes))
                    code.store(vector, self.b_copy, code.plus(code.times(position, columns), j * code.lanes))

            code.loop(0, k, 1, row)
            return [self.b_copy, code.index(columns)]

        def unpacked() -> list[Value]:
            # A copy pays when several tiles read it.
            return code.when(code.compare(m, ">", 2 * self.rows), copied, lambda: [plain, self.b_row])

        return code.when(self.packed, lambda: [code.at(self.b, start), code.index(columns)], unpacked)


def _panel_ranges(code: Code, vectors: Value) -> list[tuple[int, Value, Value]]:
    """Where the panels of each width begin and end, in vectors; `panel_widths`, when the kernel runs."""
    rest = code.remainder(vectors, WIDTH)
    pairs = code.choose(code.compare(rest, "==", 1), code.index(2), code.quotient(rest, 2))
    pairs = code.choose(code.compare(vectors, "<", 2), code.index(0), pairs)
    left = code.minus(vectors, code.times(pairs, 2))
    threes = code.minus(left, code.remainder(left, WIDTH))
    twos = code.plus(threes, code.times(pairs, 2))
    return [(3, code.index(0), threes), (2, threes, twos), (1, twos, vectors)]


# Shares: the part that threads take

SHARE = ("row_share", "column_share", "across")


def _share(module: ir.Module, dtype: Any, product: ir.Function) -> None:
    """One task of a product cut into rectangles: `share(array of the product's arguments and SHARE, task)`."""
    code = begin(module, "share", [("array", POINTER), ("task", INDEX)], dtype)
    array, task = code.arguments
    given = {
        name: code.load_pointer(array, i) if type_ == POINTER else code.load_index(array, i)
        for i, (name, type_) in enumerate([*PRODUCT, *((name, INDEX) for name in SHARE)])
    }
    row = code.times(code.quotient(task, given["across"]), given["row_share"])
    position = code.remainder(task, given["across"])
    column = code.times(position, given["column_share"])
    is_last = code.compare(code.plus(position, 1), "==", given["across"])
    b_step = code.choose(code.compare(given["packed"], "!=", 0), given["k"], code.index(1))
    first = code.times(column, code.lanes)
    changed = {
        "m": code.smaller(given["row_share"], code.minus(given["m"], row)),
        "n": code.choose(is_last, code.minus(given["n"], column), given["column_share"]),
        "a": code.at(given["a"], code.times(row, given["a_row"])),
        "b": code.at(given["b"], code.times(first, b_step)),
        "c": code.at(given["c"], code.plus(code.times(row, given["c_row"]), first)),
    }
    code.builder.call(product, [(given | changed)[name] for name, _ in PRODUCT])
    code.end()


# Packing


def _pack_column(module: ir.Module, dtype: Any) -> ir.Function:
    """One vector's width of a matrix into its panel: along rows, or by turning squares, or number by number."""
    names = [("k", INDEX), ("count", INDEX), ("b", POINTER), ("b_row", INDEX), ("b_column", INDEX)]
    code = begin(module, "pack_column", [*names, ("target", POINTER), ("step", INDEX)], dtype, local=True)
    k, count, b, b_row, b_column, target, step = code.arguments
    mask = code.first_lanes(count)

    def along_rows() -> None:
        def row(position: Value, _: list[Value]) -> None:
            vector = code.load_some(mask, b, code.times(position, b_row))
            code.store(vector, target, code.times(position, step))

        code.loop(0, k, 1, row)

    def square(position: Value, _: list[Value]) -> None:
        start = code.smaller(position, code.minus(k, code.lanes))  # the last square may overlap the one before
        rows = []
        for lane in range(code.lanes):
            inside = code.compare(lane, "<", count)
            column = code.times(code.choose(inside, code.index(lane), code.index(0)), b_column)
            vector = code.load(b, code.plus(column, start))
            rows.append(code.choose(inside, vector, code.number(0.0)))
        for lane, vector in enumerate(code.turned(rows)):
            code.store(vector, target, code.times(code.plus(start, lane), step))

    def one_by_one() -> None:
        def row(position: Value, _: list[Value]) -> None:
            code.store(code.number(0.0), target, code.times(position, step))
            source, place = code.at(b, code.times(position, b_row)), code.at(target, code.times(position, step))

            def number(lane: Value, _: list[Value]) -> None:
                code.store_one(code.load_one(source, code.times(lane, b_column)), place, lane)

            code.loop(0, code.smaller(count, code.lanes), 1, number)

        code.loop(0, k, 1, row)

    def across_rows() -> None:
        fits = code.builder.and_(code.compare(b_row, "==", 1), code.compare(k, ">=", code.lanes))
        code.when(fits, lambda: code.loop(0, k, code.lanes, square) and None, one_by_one)

    code.when(code.compare(b_column, "==", 1), along_rows, across_rows)
    code.end()
    return code.function


def _pack(module: ir.Module, dtype: Any) -> None:
    """`pack(k, n, b, b_row, b_column, target)`, with `n` in columns."""
    column = _pack_column(module, dtype)
    names = [("k", INDEX), ("n", INDEX), ("b", POINTER), ("b_row", INDEX), ("b_column", INDEX)]
    code = begin(module, "pack", [*names, ("target", POINTER)], dtype)
    k, n, b, b_row, b_column, target = code.arguments

    def panel(width: int, first: Value, _: list[Value]) -> None:
        for j in range(width):
            start = code.times(code.plus(first, j), code.lanes)
            source = code.at(b, code.times(start, b_column))
            place = code.at(target, code.plus(code.times(code.times(first, code.lanes), k), j * code.lanes))
            step = code.index(width * code.lanes)
            code.builder.call(column, [k, code.minus(n, start), source, b_row, b_column, place, step])

    vectors = code.quotient(code.plus(n, code.lanes - 1), code.lanes)
    for width, start, stop in _panel_ranges(code, vectors):
        code.loop(start, stop, width, partial(panel, width))
    code.end()


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
    product = _Product(module, dtype).code.function
    _share(module, dtype, product)
    _pack(module, dtype)
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
    """Cut the product into rows, or into columns where there are few rows; about three shares a thread."""
    m, n = given[:2]
    wanted = 3 * threads
    rows = tile_rows()
    if m >= 4 * rows * wanted or n < 4 * WIDTH:
        row_share, column_share, across = _whole(m / wanted, rows), n, 1
    else:
        row_share, column_share = m, _whole(n / wanted, WIDTH)
        across = max(1, (n - WIDTH) // column_share + (n % column_share == 0))
    array = (ctypes.c_int64 * (len(given) + len(SHARE)))(*given, row_share, column_share, across)
    tasks = -(-m // row_share) * across
    parallel(library(dtype).address("share"), ctypes.addressof(array), tasks, threads)


def _whole(share: float, unit: int) -> int:
    return max(1, round(share / unit)) * unit
