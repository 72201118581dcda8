"""The code of matrix products: C (m×n) = A (m×k) · B (k×n), or added to the numbers in C.

A tile of C (8 rows × 3 vectors with AVX-512) stays in registers while k runs. Rows of C are whole vectors long. B is
either plain, with rows of whole vectors, or packed (see `panels`).
"""

from functools import partial
from typing import Any

from llvmlite import ir

from elman.compiler.targets.llvm.panels import WIDTH, panel_ranges, tile_rows
from elman.compiler.targets.llvm.vectors import INDEX, POINTER, Value, begin

K_BLOCK = 256  # rows of a plain B at a time: a panel of them fits the nearest caches
PACKED_K_BLOCK = 512
ROW_PANELS = 4  # read side by side where C has one row
BLOCK_BYTES = 1536  # of a column of A, at most: a block of A fits the second cache together with a panel

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


# Tiles: the part that computes


def _tile(module: ir.Module, dtype: Any, rows: int, width: int) -> ir.Function:
    """Write a tile of C.

    Few sums would wait for each other, so that small tiles keep several for each number.
    """
    code = begin(module, f"tile{rows}x{width}", TILE, dtype, local=True)
    code.function.attributes.add("noinline")
    k, a, a_row, a_column, b, b_step, c, c_row, accumulate = code.arguments
    cells = [(i, j) for i in range(rows) for j in range(width)]
    addresses = [code.at(code.at(c, code.times(c_row, i)), j * code.lanes) for i, j in cells]
    for address in addresses:
        code.prefetch(address, write=True)
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
    more = lambda: [code.add(code.load(address), total) for address, total in zip(addresses, sums, strict=True)]  # noqa: E731
    results = code.when(code.compare(accumulate, "!=", 0), more, lambda: sums)
    for address, total in zip(addresses, results, strict=True):
        code.store(total, address)
    code.end()
    return code.function


def _panel(module: ir.Module, dtype: Any, width: int) -> ir.Function:
    """Write all rows of a block of C in one panel.

    Whole tiles read a copy of A, the remaining rows read A itself.
    """
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


def _row(module: ir.Module, dtype: Any) -> ir.Function:
    """Write one row of C in several packed panels at once.

    Several streams of memory are read faster than one.
    """
    names = ["k", "a", "a_column", "b", "b_step", "b_panel", "c", "accumulate"]
    code = begin(module, "row", [(name, POINTER if name in "abc" else INDEX) for name in names], dtype, local=True)
    code.function.attributes.add("noinline")
    k, a, a_column, b, b_step, b_panel, c, accumulate = code.arguments
    panels = [code.at(b, code.times(b_panel, number)) for number in range(ROW_PANELS)]

    def multiply(position: Value, sums: list[Value]) -> list[Value]:
        number, row = code.load_spread(a, code.times(position, a_column)), code.times(position, b_step)
        weights = [code.load(code.at(panel, row), j * code.lanes) for panel in panels for j in range(WIDTH)]
        return [code.fma(number, weight, total) for weight, total in zip(weights, sums, strict=True)]

    sums = code.loop(0, k, 1, multiply, [code.number(0.0)] * (ROW_PANELS * WIDTH))
    addresses = [code.at(c, number * code.lanes) for number in range(len(sums))]
    more = lambda: [code.add(code.load(address), total) for address, total in zip(addresses, sums, strict=True)]  # noqa: E731
    for address, total in zip(addresses, code.when(code.compare(accumulate, "!=", 0), more, lambda: sums), strict=True):
        code.store(total, address)
    code.end()
    return code.function


# Blocks: the part that keeps operands near


class Product:
    """Writes `product`, which cuts a product into blocks whose operands stay in the caches."""

    def __init__(self, module: ir.Module, dtype: Any):
        self.row = _row(module, dtype)
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
        """Divide a by b and round up, to at least 1."""
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
        """Copy the rows of each tile side by side."""
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

        def several(first: Value, _: list[Value]) -> None:
            b, b_step = self._b_panel(WIDTH, first, k0, direct[0], copied[0])
            target = code.at(c, code.times(first, code.lanes))
            distance = code.times(self.k, WIDTH * code.lanes)
            k, a, _row_distance, a_column = direct
            code.builder.call(self.row, [k, a, a_column, b, b_step, distance, target, accumulate])

        def in_groups(stop: Value) -> list[Value]:
            done = code.times(code.quotient(stop, ROW_PANELS * WIDTH), ROW_PANELS * WIDTH)
            code.loop(0, done, ROW_PANELS * WIDTH, several)
            return [done]

        is_row = code.builder.and_(self.packed, code.compare(copied[0], "==", 1))
        for width, start, stop in panel_ranges(code, self.n):
            if width == WIDTH:
                (start,) = code.when(is_row, partial(in_groups, stop), lambda start=start: [start])
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


# Shares: the part that threads take

SHARE = ("row_share", "column_share", "across")


def write_share(module: ir.Module, dtype: Any, product: ir.Function) -> None:
    """Write `share(array, task)`: one task of a product cut into rectangles.

    The array has the product's arguments and then SHARE.
    """
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
