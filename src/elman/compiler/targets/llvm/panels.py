"""The layout of the second matrix of a product: panels, packed so that the product reads memory in order.

A *packed* matrix is panel after panel, each 3 vectors wide (the last ones 2 + 2, 2 or 1) and in each of them row after
row of the matrix, with zeros beyond its last column.
"""

from functools import partial
from typing import Any

from llvmlite import ir

from elman.compiler.targets.llvm import machine
from elman.compiler.targets.llvm.vectors import INDEX, POINTER, Code, Value, begin

WIDTH = 3  # vectors in a panel

# A part of a packed matrix. `whole` counts the rows of the packed matrix where parts are one below the other, else its
# columns; `first` is the row or the column at which the part begins.
PART = [
    (name, POINTER if name in ("b", "target") else INDEX)
    for name in ["k", "n", "b", "b_row", "b_column", "target", "whole", "first"]
]


def tile_rows(width: int = WIDTH) -> int:
    """Return how many rows of C a tile of that many vectors has: what fits the registers."""
    return 8 if machine.host().registers == 32 and width > 1 else 4


def panel_ranges(code: Code, vectors: Value) -> list[tuple[int, Value, Value]]:
    """Write where the panels of each width begin and end, in vectors.

    Seven vectors are in panels of 3, 2 and 2, five in 3 and 2, one in 1.
    """
    rest = code.remainder(vectors, WIDTH)
    pairs = code.choose(code.compare(rest, "==", 1), code.index(2), code.quotient(rest, 2))
    pairs = code.choose(code.compare(vectors, "<", 2), code.index(0), pairs)
    left = code.minus(vectors, code.times(pairs, 2))
    threes = code.minus(left, code.remainder(left, WIDTH))
    twos = code.plus(threes, code.times(pairs, 2))
    return [(3, code.index(0), threes), (2, threes, twos), (1, twos, vectors)]


def _pack_column(module: ir.Module, dtype: Any) -> ir.Function:
    """Write `pack_column`: pack one vector's width of a matrix into its panel.

    It goes along rows, or transposes squares, or takes number by number.
    """
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
            source, address = code.at(b, code.times(position, b_row)), code.at(target, code.times(position, step))

            def number(lane: Value, _: list[Value]) -> None:
                code.store_one(code.load_one(source, code.times(lane, b_column)), address, lane)

            code.loop(0, code.smaller(count, code.lanes), 1, number)

        code.loop(0, k, 1, row)

    def across_rows() -> None:
        fits = code.builder.and_(code.compare(b_row, "==", 1), code.compare(k, ">=", code.lanes))
        code.when(fits, lambda: code.loop(0, k, code.lanes, square) and None, one_by_one)

    code.when(code.compare(b_column, "==", 1), along_rows, across_rows)
    code.end()
    return code.function


def write_pack(module: ir.Module, dtype: Any) -> ir.Function:
    """Write `pack(k, n, b, b_row, b_column, target, rows, first)`, with `n` in columns.

    The packed matrix has `rows` rows, and `b` becomes `k` of them, from the row `first`.
    """
    column = _pack_column(module, dtype)
    names = [("k", INDEX), ("n", INDEX), ("b", POINTER), ("b_row", INDEX), ("b_column", INDEX)]
    code = begin(module, "pack", [*names, ("target", POINTER), ("rows", INDEX), ("first", INDEX)], dtype)
    k, n, b, b_row, b_column, target, rows, first_row = code.arguments

    def panel(width: int, first: Value, _: list[Value]) -> None:
        for j in range(width):
            start = code.times(code.plus(first, j), code.lanes)
            source = code.at(b, code.times(start, b_column))
            step = code.index(width * code.lanes)
            address = code.at(_vector_address(code, target, rows, first, j), code.times(first_row, step))
            code.builder.call(column, [k, code.minus(n, start), source, b_row, b_column, address, step])

    vectors = code.quotient(code.plus(n, code.lanes - 1), code.lanes)
    for width, start, stop in panel_ranges(code, vectors):
        code.loop(start, stop, width, partial(panel, width))
    code.end()
    return code.function


def _vector_address(code: Code, target: Value, rows: Value, panel: Value, j: int) -> Value:
    """Write the address of the vector `j` of a panel in its first row."""
    return code.at(target, code.plus(code.times(code.times(panel, code.lanes), rows), j * code.lanes))


def _pack_beside(module: ir.Module, dtype: Any) -> ir.Function:
    """Write `pack_beside(k, n, b, b_row, target, first, columns)`.

    It packs one of several matrices that are side by side in one of `columns` columns: `b`, whose rows are contiguous,
    becomes the `n` columns from the column `first`. The last matrix also writes the zeros beyond the last column.
    """
    names = [("k", INDEX), ("n", INDEX), ("b", POINTER), ("b_row", INDEX), ("target", POINTER), ("first", INDEX)]
    code = begin(module, "pack_beside", [*names, ("columns", INDEX)], dtype, local=True)
    k, n, b, b_row, target, first_column, columns = code.arguments
    end = code.plus(first_column, n)
    is_last = code.compare(end, "==", columns)

    def vector(width: int, panel: Value, j: int) -> None:
        start = code.times(code.plus(panel, j), code.lanes)
        low, high = code.minus(first_column, start), code.minus(end, start)
        loaded = code.lanes_between(low, high)
        stored = code.lanes_between(low, code.choose(is_last, code.index(code.lanes), high))
        address = _vector_address(code, target, k, panel, j)

        def row(position: Value, _: list[Value]) -> None:
            found = code.load_some(loaded, b, code.minus(code.times(position, b_row), low))
            code.store_some(found, stored, address, code.times(position, width * code.lanes))

        has_columns = code.builder.and_(code.compare(low, "<", code.lanes), code.compare(high, ">", 0))
        code.when(has_columns, lambda: code.loop(0, k, 1, row) and None)

    def panel(width: int, first: Value, _: list[Value]) -> None:
        for j in range(width):
            vector(width, first, j)

    vectors = code.quotient(code.plus(columns, code.lanes - 1), code.lanes)
    for width, start, stop in panel_ranges(code, vectors):
        code.loop(start, stop, width, partial(panel, width))
    code.end()
    return code.function


def write_pack_parts(module: ir.Module, dtype: Any, pack: ir.Function) -> None:
    """Write `pack_parts(array, count, is_beside)`: pack all parts of a matrix.

    The array has the fields PART of each. Parts are one below the other, or with `is_beside` side by side, where their
    rows are contiguous.
    """
    beside = _pack_beside(module, dtype)
    code = begin(module, "pack_parts", [("array", POINTER), ("count", INDEX), ("is_beside", INDEX)], dtype)
    array, count, is_beside = code.arguments

    def part(index: Value, _: list[Value]) -> None:
        start = code.times(index, len(PART))
        load = {POINTER: code.load_pointer, INDEX: code.load_index}
        given = {name: load[type_](array, code.plus(start, i)) for i, (name, type_) in enumerate(PART)}
        below = lambda: code.builder.call(pack, [given[name] for name, _ in PART]) and None  # noqa: E731
        names = ("k", "n", "b", "b_row", "target", "first", "whole")
        across = lambda: code.builder.call(beside, [given[name] for name in names]) and None  # noqa: E731
        code.when(code.compare(is_beside, "!=", 0), across, below)

    code.loop(0, count, 1, part)
    code.end()
