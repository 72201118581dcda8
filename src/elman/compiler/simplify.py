"""Rewrites a graph into a smaller one that gives the same numbers.

The rules are exact: none hides a NaN (x·0 stays) or changes a rounding. Operations on numbers alone are computed in
float64, and x + 0 may keep the sign of a zero.
"""

import math
from collections.abc import Callable
from typing import Any

from elman.compiler.graph import Graph, Node, Nodes

Rule = Callable[[Nodes, Node], Node | None]


def _is(node: Node, number: float) -> bool:
    return node.op == "number" and node.attribute == number


def _logistic(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x)) if x >= 0 else math.exp(x) / (1.0 + math.exp(x))


NUMBERS: dict[str, Callable[..., Any]] = {
    "neg": lambda a: -a,
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "exp": math.exp,
    "log": math.log,
    "sqrt": math.sqrt,
    "square": lambda a: a * a,
    "reciprocal": lambda a: 1.0 / a,
    "sin": math.sin,
    "cos": math.cos,
    "tanh": math.tanh,
    "sigmoid": _logistic,
    "relu": lambda a: max(a, 0.0),
    "abs": lambda a: abs(a),
    "sign": lambda a: float((a > 0) - (a < 0)),
    "maximum": max,
    "minimum": min,
    "less": lambda a, b: float(a < b),
    "less_equal": lambda a, b: float(a <= b),
    "equal": lambda a, b: float(a == b),
    "where": lambda c, a, b: a if c else b,
    "floor": math.floor,
    "round": round,
    "erf": math.erf,
    "erfc": math.erfc,
    "log1p": math.log1p,
    "expm1": math.expm1,
    "softplus": lambda a: max(a, 0.0) + math.log1p(math.exp(-abs(a))),
    "stop_gradient": lambda a: a,
    "remainder": lambda a, b: a % b,
    "power": math.pow,
}


def _fold_numbers(nodes: Nodes, node: Node) -> Node | None:
    """Replace an operation on finite numbers alone by its result, if that is finite."""
    if node.op not in NUMBERS or any(arg.op != "number" or not math.isfinite(arg.attribute) for arg in node.args):
        return None
    try:
        result = float(NUMBERS[node.op](*(arg.attribute for arg in node.args)))
    except (ValueError, ZeroDivisionError, OverflowError):
        return None
    return nodes.make("number", attribute=result) if math.isfinite(result) else None


def _drop_neutral(nodes: Nodes, node: Node) -> Node | None:
    """Replace x + 0, x - 0, x·1 and x / 1 by x."""
    neutral = {"add": 0.0, "sub": 0.0, "mul": 1.0, "div": 1.0}.get(node.op)
    if neutral is None:
        return None
    left, right = node.args
    if _is(right, neutral):
        return left
    return right if _is(left, neutral) and node.op in ("add", "mul") else None


def _drop_double_negation(nodes: Nodes, node: Node) -> Node | None:
    """Replace -(-x) by x."""
    return node.args[0].args[0] if node.op == "neg" and node.args[0].op == "neg" else None


def _negation_in_sum(nodes: Nodes, node: Node) -> Node | None:
    """Replace x + (-y) by x - y, and x - (-y) by x + y."""
    other = {"add": "sub", "sub": "add"}.get(node.op)
    if other is None or node.args[1].op != "neg":
        return None
    return nodes.make(other, (node.args[0], node.args[1].args[0]), source=node.source)


def _whole_slice(nodes: Nodes, node: Node) -> Node | None:
    """Replace a slice of all features of x by x."""
    return node.args[0] if node.op == "slice" and node.attribute == (0, node.args[0].size) else None


def _slice_of_slice(nodes: Nodes, node: Node) -> Node | None:
    """Replace a slice of a slice by one slice."""
    if node.op != "slice" or node.args[0].op != "slice":
        return None
    offset = node.args[0].attribute[0]
    start, stop = node.attribute
    return nodes.make("slice", node.args[0].args, (start + offset, stop + offset), node.source)


def _slice_of_concat(nodes: Nodes, node: Node) -> Node | None:
    """Take features that are within one part of a concatenation from that part."""
    if node.op != "slice" or node.args[0].op != "concat":
        return None
    start, stop = node.attribute
    offset = 0
    for part in node.args[0].args:
        if offset <= start and stop <= offset + part.size:
            return nodes.make("slice", (part,), (start - offset, stop - offset), node.source)
        offset += part.size
    return None


def _single_concat(nodes: Nodes, node: Node) -> Node | None:
    """Replace a concatenation of one value by the value."""
    return node.args[0] if node.op == "concat" and len(node.args) == 1 else None


def _reduction_of_one(nodes: Nodes, node: Node) -> Node | None:
    """Replace the sum, maximum, running sum and repetition to 1 of one feature by the feature."""
    one = node.op in ("sum", "max", "expand", "cumsum") and node.args[0].size == 1 == node.size
    return node.args[0] if one else None


def _same_choice(nodes: Nodes, node: Node) -> Node | None:
    """Replace a choice between x and x by x."""
    if node.op != "where" or node.args[1] is not node.args[2] or node.args[1].size != node.size:
        return None
    return node.args[1]


def _power_of_few(nodes: Nodes, node: Node) -> Node | None:
    """Replace x to the power of 1 by x, of 2 by its square, of -1 by its reciprocal."""
    if node.op != "power" or node.args[1].op != "number":
        return None
    base, exponent = node.args[0], node.args[1].attribute
    if exponent == 1.0:
        return base
    op = {2.0: "square", -1.0: "reciprocal"}.get(exponent)
    return nodes.make(op, (base,), source=node.source) if op else None


def _product_with_one(nodes: Nodes, node: Node) -> Node | None:
    """Replace an outer product with, or a contraction by, one feature by a multiplication."""
    factors = {"outer": node.args, "contract": node.args[1:]}.get(node.op, ())
    one = any(factor.size == 1 for factor in factors)
    return nodes.make("mul", node.args, source=node.source) if one else None


RULES: tuple[Rule, ...] = (
    _fold_numbers,
    _drop_neutral,
    _drop_double_negation,
    _negation_in_sum,
    _whole_slice,
    _slice_of_slice,
    _slice_of_concat,
    _single_concat,
    _reduction_of_one,
    _same_choice,
    _power_of_few,
    _product_with_one,
)


def simplify(graph: Graph) -> Graph:
    """Apply the rules to a step until none fits."""
    nodes = Nodes()
    renewed: dict[Node, Node] = {}
    for node in graph.nodes:
        fresh = nodes.make(node.op, (renewed[arg] for arg in node.args), node.attribute, node.source)
        renewed[node] = _rewrite(nodes, fresh)
    return graph.rebuild(renewed.__getitem__)


def _rewrite(nodes: Nodes, node: Node) -> Node:
    for rule in RULES:
        better = rule(nodes, node)
        if better is not None:
            return _rewrite(nodes, better)
    return node
