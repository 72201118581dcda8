"""The operations of the language: the number of arguments of each, and the size of its result.

A value is a row of numbers, one row a sequence; its size is the length of that row. Sizes 1 and n fit
together (the one number is used n times). Comparisons give 1.0 for true and 0.0 for false.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


class Mismatch(Exception):
    """Arguments that do not fit an operation; the message is a short reason."""


SizeRule = Callable[..., int]


@dataclass(frozen=True)
class Operation:
    """How an operation is used.

    Args:
        arity: number of arguments; None for any number of at least one.
        size: gives the size of the result from the attribute and the sizes of the arguments.
    """

    arity: int | None
    size: SizeRule


def _given(attribute: tuple[str, int]) -> int:
    name, size = attribute
    if not isinstance(name, str) or not isinstance(size, int) or size < 1:
        raise ValueError(attribute)
    return size


def _number(attribute: float) -> int:
    float(attribute)
    return 1


def _one(attribute: Any, *sizes: int) -> int:
    return 1


def _same(attribute: Any, *sizes: int) -> int:
    wide = {size for size in sizes if size != 1}
    if len(wide) > 1:
        raise Mismatch(f"values of sizes {' and '.join(map(str, sizes))} do not fit together")
    return wide.pop() if wide else 1


def _product(attribute: tuple[str, int, int], size: int) -> int:
    name, rows, columns = attribute
    if rows != size:
        raise Mismatch(f"the matrix {name} has {rows} rows and the value has size {size}")
    return columns


def _expand(attribute: int, size: int) -> int:
    if size != 1 or isinstance(attribute, bool) or attribute < 1:
        raise Mismatch(f"only a value of size 1 can be repeated, and this one has size {size}")
    return attribute


def _sum_of(attribute: Any, *sizes: int) -> int:
    return sum(sizes)


def _slice(attribute: tuple[int, int], size: int) -> int:
    start, stop = attribute
    if not 0 <= start < stop <= size:
        raise Mismatch(f"features {start} to {stop} are not within a value of size {size}")
    return stop - start


def _cumsum(attribute: bool, size: int) -> int:
    _switch(attribute)
    return size


def _outer(attribute: Any, rows: int, columns: int) -> int:
    return rows * columns


def _contract(attribute: bool, entries: int, size: int) -> int:
    _switch(attribute)
    if entries % size:
        side = "rows" if attribute else "columns"
        raise Mismatch(f"a matrix of {entries} entries cannot have {size} {side}")
    return entries // size


def _switch(attribute: bool) -> None:
    if not isinstance(attribute, bool):
        raise ValueError(attribute)


LEAVES = {
    "input": Operation(0, _given),  # (name, size)
    "state": Operation(0, _given),  # (name, size)
    "vector": Operation(0, _given),  # (name, size)
    "number": Operation(0, _number),  # the number
}
UNARY = (
    *("neg", "exp", "log", "sqrt", "square", "reciprocal", "sin", "cos", "tanh", "sigmoid", "relu", "abs", "sign"),
    *("floor", "round", "erf", "erfc", "log1p", "expm1", "softplus", "stop_gradient"),
)
BINARY = ("add", "sub", "mul", "div", "maximum", "minimum", "less", "less_equal", "equal", "remainder", "power")

OPERATIONS: dict[str, Operation] = {
    **LEAVES,
    **{name: Operation(1, _same) for name in UNARY},
    **{name: Operation(2, _same) for name in BINARY},
    "where": Operation(3, _same),
    "product": Operation(1, _product),  # (matrix name, rows, columns)
    "sum": Operation(1, _one),
    "max": Operation(1, _one),
    "concat": Operation(None, _sum_of),
    "slice": Operation(1, _slice),  # (start, stop)
    "expand": Operation(1, _expand),  # size of the result
    "cumsum": Operation(1, _cumsum),  # whether it begins with the last feature
    "outer": Operation(2, _outer),
    "contract": Operation(2, _contract),  # whether the matrix is transposed
}


def size_of(op: str, attribute: Any, sizes: tuple[int, ...]) -> int:
    """Return the size of an operation's result.

    Raises:
        Mismatch: the operation is unknown, or its number of arguments, its attribute or its sizes do not fit.
    """
    operation = OPERATIONS.get(op)
    if operation is None:
        raise Mismatch(f"`{op}` is not an operation of the language")
    if (operation.arity is not None and operation.arity != len(sizes)) or not (sizes or op in LEAVES):
        raise Mismatch(f"`{op}` takes {operation.arity or 'one or more'} values and got {len(sizes)}")
    try:
        return operation.size(attribute, *sizes)
    except (TypeError, ValueError):
        raise Mismatch(f"`{op}` cannot have the attribute {attribute!r}") from None
