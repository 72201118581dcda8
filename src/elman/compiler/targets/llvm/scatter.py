"""Sums of the rows that have the same id: the gradient of a table of which each step reads one row."""

from typing import Any

from llvmlite import ir

from elman.compiler.targets.llvm.vectors import INDEX, POINTER, Value, begin

VECTORS = 4  # of a row, that one task sums up: so narrow a strip of a large table stays in the nearest caches
SUM = ("vectors", "rows", "count", "ids", "source", "source_row", "target", "target_row")


def write_sum_by_id(module: ir.Module, dtype: Any) -> None:
    """Write `sum_by_id(array of SUM, task)`.

    target[i] (count × vectors) is the sum of source[r] over the r whose id is i.
    """
    code = begin(module, "sum_by_id", [("array", POINTER), ("task", INDEX)], dtype)
    array, task = code.arguments
    index = {name: position for position, name in enumerate(SUM)}
    pointer = {name: code.load_pointer(array, index[name]) for name in ("ids", "source", "target")}
    number = {name: code.load_index(array, index[name]) for name in SUM if name not in pointer}
    first = code.times(task, VECTORS)
    last = code.smaller(code.plus(first, VECTORS), number["vectors"])
    start, stop = code.times(first, code.lanes), code.times(last, code.lanes)

    def clear(row: Value, _: list[Value]) -> None:
        target = code.at(pointer["target"], code.times(row, number["target_row"]))
        code.loop(start, stop, code.lanes, lambda column, _: code.store(code.number(0.0), target, column))

    def add(row: Value, _: list[Value]) -> None:
        source = code.at(pointer["source"], code.times(row, number["source_row"]))
        own = code.load_index(pointer["ids"], row)
        target = code.at(pointer["target"], code.times(own, number["target_row"]))

        def one(column: Value, _: list[Value]) -> None:
            code.store(code.add(code.load(target, column), code.load(source, column)), target, column)

        code.loop(start, stop, code.lanes, one)

    code.loop(0, number["count"], 1, clear)
    code.loop(0, number["rows"], 1, add)
    code.end()
