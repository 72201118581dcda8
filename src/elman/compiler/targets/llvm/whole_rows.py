"""Operations of the language that read whole rows: running sums, outer products, contractions.

A matrix is a row of its entries, its own rows one after the other.
"""

from collections.abc import Callable, Sequence

from elman.compiler.targets.llvm.vectors import Code, Integer, Value

TOGETHER = 4  # rows, or vectors of columns, that a contraction sums at once


def each_vector(code: Code, size: int, body: Callable[[Integer, Value | None], None]) -> None:
    """Run over the features, a vector at a time.

    Args:
        code: where it is written.
        size: number of features.
        body: writes one turn from its first feature and the mask for what is left of them, if not all are.
    """
    whole = size // code.lanes * code.lanes
    if whole == code.lanes:
        body(0, None)
    elif whole:
        code.loop(0, whole, code.lanes, lambda column, _: body(column, None))
    if size > whole:
        body(whole, code.first_lanes(size - whole))


def load(code: Code, pointer: Value, column: Integer, mask: Value | None) -> Value:
    """Load a vector, or its masked lanes and zeros."""
    return code.load(pointer, column) if mask is None else code.load_some(mask, pointer, column)


def store(code: Code, value: Value, pointer: Value, column: Integer, mask: Value | None) -> None:
    """Write a vector, or its masked lanes."""
    if mask is None:
        code.store(value, pointer, column)
    else:
        code.store_some(value, mask, pointer, column)


def cumsum(code: Code, source: Value, target: Value, size: int, *, backward: bool) -> None:
    """Write the sums of a row's features up to each, or from each on."""
    whole = size // code.lanes * code.lanes

    def turn(column: Integer, carried: list[Value], mask: Value | None = None) -> list[Value]:
        total = code.add(_summed_up(code, load(code, source, column, mask), backward), carried[0])
        store(code, total, target, column, mask)
        return [code.shuffle(total, total, [0 if backward else code.lanes - 1] * code.lanes)]

    rest = lambda carried: turn(whole, carried, code.first_lanes(size - whole)) if size > whole else carried  # noqa: E731
    start = lambda column: code.minus(whole - code.lanes, column) if backward else column  # noqa: E731
    carried = [code.number(0.0)]
    carried = rest(carried) if backward else carried
    carried = code.loop(0, whole, code.lanes, lambda column, sums: turn(start(column), sums), carried)
    if not backward:
        rest(carried)


def _summed_up(code: Code, value: Value, backward: bool) -> Value:
    """Sum within one vector, by adding it to itself, moved by 1, 2, 4, … lanes."""
    distance = 1
    while distance < code.lanes:
        lanes = [lane + distance if backward else lane - distance for lane in range(code.lanes)]
        moved = [lane if 0 <= lane < code.lanes else code.lanes for lane in lanes]
        value = code.add(value, code.shuffle(value, code.number(0.0), moved))
        distance *= 2
    return value


def outer(code: Code, left: Value, right: Value, target: Value, rows: int, columns: int) -> None:
    """Write every product of a feature of the one and a feature of the other."""

    def one_row(row: Value, _: list[Value]) -> None:
        factor, line = code.load_spread(left, row), code.at(target, code.times(row, columns))
        each_vector(
            code,
            columns,
            lambda column, mask: store(code, code.mul(factor, load(code, right, column, mask)), line, column, mask),
        )

    code.loop(0, rows, 1, one_row)


def contract(code: Code, matrix: Value, vector: Value, target: Value, rows: int, columns: int) -> None:
    """Write the product of each of the matrix's rows and the vector."""
    whole = rows // TOGETHER * TOGETHER
    block = lambda count: lambda row, _: _dot(code, matrix, vector, target, row, count, columns)  # noqa: E731
    code.loop(0, whole, TOGETHER, block(TOGETHER))
    code.loop(whole, rows, 1, block(1))


def _dot(code: Code, matrix: Value, vector: Value, target: Value, row: Value, count: int, columns: int) -> None:
    lines = [code.at(matrix, code.times(code.plus(row, number), columns)) for number in range(count)]
    whole = columns // code.lanes * code.lanes

    def turn(column: Integer, sums: Sequence[Value], mask: Value | None = None) -> list[Value]:
        factor = load(code, vector, column, mask)
        return [
            code.fma(load(code, line, column, mask), factor, total) for line, total in zip(lines, sums, strict=True)
        ]

    sums = code.loop(0, whole, code.lanes, turn, [code.number(0.0)] * count)
    if columns > whole:
        sums = turn(whole, sums, code.first_lanes(columns - whole))
    for number, total in enumerate(sums):
        code.store_one(code.lanes_summed(total), target, code.plus(row, number))


def contract_transposed(code: Code, matrix: Value, vector: Value, target: Value, rows: int, columns: int) -> None:
    """Write the sum of the matrix's rows, each times a feature of the vector."""
    sums = lambda start, count, mask=None: _sum_of_rows(  # noqa: E731
        code, matrix, vector, target, (rows, columns), start, count, mask
    )
    wide, whole = (columns // size * size for size in (TOGETHER * code.lanes, code.lanes))
    code.loop(0, wide, TOGETHER * code.lanes, lambda start, _: sums(start, TOGETHER))
    if whole > wide:
        sums(wide, (whole - wide) // code.lanes)
    if columns > whole:
        sums(whole, 1, code.first_lanes(columns - whole))


def _sum_of_rows(
    code: Code,
    matrix: Value,
    vector: Value,
    target: Value,
    shape: tuple[int, int],
    start: Integer,
    count: int,
    mask: Value | None,
) -> None:
    columns = [code.plus(start, number * code.lanes) for number in range(count)]

    def turn(row: Value, sums: list[Value]) -> list[Value]:
        factor, line = code.load_spread(vector, row), code.at(matrix, code.times(row, shape[1]))
        return [
            code.fma(factor, load(code, line, column, mask), total) for column, total in zip(columns, sums, strict=True)
        ]

    for column, total in zip(columns, code.loop(0, shape[0], 1, turn, [code.number(0.0)] * count), strict=True):
        store(code, total, target, column, mask)
