"""Ranges of the results of operations, and of the arguments that keep them moderate."""

import math
from collections.abc import Callable, Sequence

Range = tuple[float, float]

POSITIVE: Range = (0.4, 40.0)


def around(size: float) -> Range:
    """Return the range from -size to size."""
    return -size, size


def largest(found: Range) -> float:
    """Return the largest absolute value in the range."""
    return max(abs(found[0]), abs(found[1]))


def lies_within(found: Range, domain: Range) -> bool:
    """Return whether the first range is part of the second."""
    return domain[0] <= found[0] and found[1] <= domain[1]


def joined(ranges: Sequence[Range]) -> Range:
    """Return the range that includes all of these."""
    return min(low for low, _ in ranges), max(high for _, high in ranges)


def _of_corners(function: Callable[[float, float], float]) -> Callable[[Range, Range], Range]:
    def found(a: Range, b: Range) -> Range:
        corners = [function(one, other) for one in a for other in b]
        return min(corners), max(corners)

    return found


def _rising(function: Callable[[float], float]) -> Callable[[Range], Range]:
    return lambda a: (function(a[0]), function(a[1]))


_UNIT: Range = (0.0, 1.0)

RANGES: dict[str, Callable[..., Range]] = {
    "neg": lambda a: (-a[1], -a[0]),
    "exp": _rising(math.exp),
    "log": _rising(math.log),
    "sqrt": _rising(math.sqrt),
    "square": lambda a: (0.0, largest(a) ** 2),
    "reciprocal": lambda a: (1.0 / a[1], 1.0 / a[0]),
    "sin": lambda a: around(1.0),
    "cos": lambda a: around(1.0),
    "tanh": lambda a: around(1.0),
    "sigmoid": lambda a: _UNIT,
    "relu": lambda a: (0.0, max(a[1], 0.0)),
    "abs": lambda a: (0.0, largest(a)),
    "sign": lambda a: around(1.0),
    "add": lambda a, b: (a[0] + b[0], a[1] + b[1]),
    "sub": lambda a, b: (a[0] - b[1], a[1] - b[0]),
    "mul": _of_corners(lambda a, b: a * b),
    "div": _of_corners(lambda a, b: a / b),
    "maximum": _of_corners(max),
    "minimum": _of_corners(min),
    "less": lambda a, b: _UNIT,
    "less_equal": lambda a, b: _UNIT,
    "equal": lambda a, b: _UNIT,
    "where": lambda condition, a, b: joined([a, b]),
    "floor": _rising(math.floor),
    "round": _rising(round),
    "erf": lambda a: around(1.0),
    "erfc": lambda a: (0.0, 2.0),
    "log1p": _rising(math.log1p),
    "expm1": _rising(math.expm1),
    "softplus": lambda a: (0.0, max(a[1], 0.0) + 0.7),
    "stop_gradient": lambda a: a,
    "remainder": lambda a, b: around(largest(b)),
    "power": _of_corners(math.pow),
}

_DOMAINS: dict[tuple[str, int], Range] = {
    ("exp", 0): around(3.0),
    ("log", 0): POSITIVE,
    ("sqrt", 0): POSITIVE,
    ("square", 0): around(5.0),
    ("reciprocal", 0): POSITIVE,
    ("tanh", 0): around(8.0),
    ("sigmoid", 0): around(8.0),
    ("mul", 0): around(5.0),
    ("mul", 1): around(5.0),
    ("div", 1): POSITIVE,
    ("log1p", 0): POSITIVE,
    ("expm1", 0): around(3.0),
    ("erf", 0): around(4.0),
    ("erfc", 0): around(4.0),
    ("remainder", 1): POSITIVE,
    ("power", 0): POSITIVE,
    ("power", 1): around(1.0),
}


def domain_of(op: str, position: int) -> Range:
    """Return the range of an argument in which the result of the operation is moderate."""
    return _DOMAINS.get((op, position), around(1e9))
