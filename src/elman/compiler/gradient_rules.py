"""The gradient of each operation, as nodes of the backward step."""

import math
from collections.abc import Callable

from elman.compiler.graph import Graph, Node, Nodes, transposed


class Builder:
    """Gradients of the nodes of a step, collected from the last node to the first."""

    def __init__(self, graph: Graph):
        self.graph = graph
        self.nodes = Nodes()
        self.parts: dict[Node, list[Node]] = {}
        self.pieces: dict[Node, list[tuple[int, int, Node]]] = {}

    def make(self, op: str, *args: Node, attribute: object = None) -> Node:
        """Return the node of an operation of the backward step."""
        return self.nodes.make(op, args, attribute)

    def number(self, value: float) -> Node:
        """Return the node of a number."""
        return self.make("number", attribute=value)

    def value(self, node: Node) -> Node:
        """Return what a node of the forward step is here: a number, a vector, or an input."""
        if node.op in ("number", "vector"):
            return self.make(node.op, attribute=node.attribute)
        return self.make("input", attribute=(f"%{self.graph.nodes.index(node)}", node.size))

    def give(self, node: Node, gradient: Node) -> None:
        """Add to the gradient of a node, summed over the features if the node has only one."""
        if node.size == 1 and gradient.size > 1:
            gradient = self.make("sum", gradient)
        self.parts.setdefault(node, []).append(gradient)

    def give_piece(self, node: Node, start: int, stop: int, gradient: Node) -> None:
        """Add to the gradient of some features of a node."""
        self.pieces.setdefault(node, []).append((start, stop, self.full(gradient, stop - start)))

    def full(self, node: Node, size: int) -> Node:
        """Repeat a value of one feature to a size."""
        return node if node.size == size else self.make("expand", node, attribute=size)

    def gradient(self, node: Node) -> Node | None:
        """Return the sum of the parts of a node's gradient, None if it has none."""
        terms = self.parts.get(node, []) + self._joined(node)
        if not terms:
            return None
        total = terms[0]
        for term in terms[1:]:
            total = self.make("add", total, term)
        return self.full(total, node.size)

    def _joined(self, node: Node) -> list[Node]:
        """Join pieces to values of the whole size, one for all pieces that do not overlap."""
        waiting = sorted(self.pieces.get(node, []), key=lambda piece: piece[:2])
        joined = []
        while waiting:
            row, rest, end = [], [], 0
            for start, stop, gradient in waiting:
                if start < end:
                    rest.append((start, stop, gradient))
                    continue
                row += [*self._gap(start - end), gradient]
                end = stop
            row += self._gap(node.size - end)
            joined.append(self.make("concat", *row) if len(row) > 1 else row[0])
            waiting = rest
        return joined

    def _gap(self, size: int) -> list[Node]:
        return [self.full(self.number(0.0), size)] if size else []


Rule = Callable[[Builder, Node, Node], None]


def _to_each(*factors: Callable[[Builder, Node, Node], Node | None]) -> Rule:
    """Return a rule that gives each argument the result of its own function of (node, gradient)."""

    def rule(b: Builder, node: Node, g: Node) -> None:
        for arg, factor in zip(node.args, factors, strict=True):
            if arg.op != "number" and (part := factor(b, node, g)) is not None:
                b.give(arg, part)

    return rule


def _nothing(b: Builder, node: Node, g: Node) -> None:
    return None


def _same(b: Builder, node: Node, g: Node) -> Node:
    return g


def _negated(b: Builder, node: Node, g: Node) -> Node:
    return b.make("neg", g)


def _times(factor: Callable[[Builder, Node], Node]) -> Callable[[Builder, Node, Node], Node]:
    return lambda b, node, g: b.make("mul", g, factor(b, node))


def _arg(position: int) -> Callable[[Builder, Node], Node]:
    return lambda b, node: b.value(node.args[position])


def _tanh_slope(b: Builder, node: Node) -> Node:
    return b.make("sub", b.number(1.0), b.make("square", b.value(node)))


def _sigmoid_slope(b: Builder, node: Node) -> Node:
    return b.make("mul", b.value(node), b.make("sub", b.number(1.0), b.value(node)))


def _reciprocal_slope(b: Builder, node: Node) -> Node:
    return b.make("neg", b.make("square", b.value(node)))


def _by_sqrt(b: Builder, node: Node, g: Node) -> Node:
    return b.make("div", b.make("mul", g, b.number(0.5)), b.value(node))


def _minus_sine(b: Builder, node: Node) -> Node:
    return b.make("neg", b.make("sin", b.value(node.args[0])))


def _where_positive(b: Builder, node: Node, g: Node) -> Node:
    """Pass the gradient on where the result is positive, and for NaN, as torch does."""
    return b.make("where", b.make("less_equal", b.value(node), b.number(0.0)), b.number(0.0), g)


def _by_sign(b: Builder, node: Node, g: Node) -> Node:
    """Give the gradient the sign of the argument: 0 for 0 and for NaN, as torch does."""
    x, zero = b.value(node.args[0]), b.number(0.0)
    positive = b.make("where", b.make("less", zero, x), g, zero)
    return b.make("where", b.make("less", x, zero), b.make("neg", g), positive)


def _quotient_divisor(b: Builder, node: Node, g: Node) -> Node:
    return b.make("neg", b.make("mul", g, b.make("div", b.value(node), b.value(node.args[1]))))


def _of_extreme(position: int) -> Callable[[Builder, Node, Node], Node]:
    """Return the gradient of an argument of `maximum` or `minimum`.

    The chosen argument gets all of it, each gets half where they are equal, both get all where one is NaN.
    """

    def part(b: Builder, node: Node, g: Node) -> Node:
        mine, other = b.value(node.args[position]), b.value(node.args[1 - position])
        taken = b.make("where", b.make("equal", mine, other), b.make("mul", b.number(0.5), g), g)
        lost = b.make("less", mine, other) if node.op == "maximum" else b.make("less", other, mine)
        return b.make("where", lost, b.number(0.0), taken)

    return part


def _where_chosen(b: Builder, node: Node, g: Node) -> Node:
    return b.make("where", b.value(node.args[0]), g, b.number(0.0))


def _where_not_chosen(b: Builder, node: Node, g: Node) -> Node:
    return b.make("where", b.value(node.args[0]), b.number(0.0), g)


def _of_largest(b: Builder, node: Node, g: Node) -> Node:
    largest = b.make("equal", b.value(node.args[0]), b.value(node))
    return b.make("mul", largest, b.make("div", g, b.make("sum", largest)))


def _by_bell(factor: float) -> Callable[[Builder, Node], Node]:
    """Return the slope of the error function, `2/√π · exp(-x²)`, times a factor."""

    def slope(b: Builder, node: Node) -> Node:
        bell = b.make("exp", b.make("neg", b.make("square", b.value(node.args[0]))))
        return b.make("mul", b.number(factor * 2.0 / math.sqrt(math.pi)), bell)

    return slope


def _remainder_divisor(b: Builder, node: Node, g: Node) -> Node:
    """Return minus the gradient times the number of times that the divisor is subtracted."""
    whole = b.make("sub", b.value(node.args[0]), b.value(node))
    return b.make("neg", b.make("mul", g, b.make("round", b.make("div", whole, b.value(node.args[1])))))


def _power_base(b: Builder, node: Node, g: Node) -> Node | None:
    """Multiply by `exponent · base^(exponent - 1)`, by 0 for the exponent 0 and any base."""
    base, exponent = (b.value(arg) for arg in node.args)
    if exponent.op == "number":
        if exponent.attribute == 0.0:
            return None
        slope = b.make("power", base, b.number(exponent.attribute - 1.0))
        return b.make("mul", g, b.make("mul", exponent, slope))
    slope = b.make("power", base, b.make("sub", exponent, b.number(1.0)))
    part = b.make("mul", g, b.make("mul", exponent, slope))
    return b.make("where", b.make("equal", exponent, b.number(0.0)), b.number(0.0), part)


def _power_exponent(b: Builder, node: Node, g: Node) -> Node:
    """Multiply by `power · log(base)`, by 0 for the base 0 where the exponent is not negative."""
    base, exponent = (b.value(arg) for arg in node.args)
    part = b.make("mul", g, b.make("mul", b.value(node), b.make("log", base)))
    flat = b.make("less_equal", b.number(0.0), exponent)
    flat = b.make("where", b.make("equal", base, b.number(0.0)), flat, b.number(0.0))
    return b.make("where", flat, b.number(0.0), part)


def _of_cumsum(b: Builder, node: Node, g: Node) -> None:
    b.give(node.args[0], b.make("cumsum", g, attribute=not node.attribute))


def _of_outer(b: Builder, node: Node, g: Node) -> None:
    rows, columns = node.args
    b.give(rows, b.make("contract", g, b.value(columns), attribute=False))
    b.give(columns, b.make("contract", g, b.value(rows), attribute=True))


def _of_contract(b: Builder, node: Node, g: Node) -> None:
    matrix, vector = node.args
    pair = (b.value(vector), g) if node.attribute else (g, b.value(vector))
    b.give(matrix, b.make("outer", *pair))
    b.give(vector, b.make("contract", b.value(matrix), g, attribute=not node.attribute))


def _of_product(b: Builder, node: Node, g: Node) -> None:
    name, rows, columns = node.attribute
    b.give(node.args[0], b.make("product", g, attribute=(transposed(name), columns, rows)))


def _of_concat(b: Builder, node: Node, g: Node) -> None:
    start = 0
    for arg in node.args:
        b.give(arg, b.make("slice", g, attribute=(start, start + arg.size)))
        start += arg.size


def _of_slice(b: Builder, node: Node, g: Node) -> None:
    start, stop = node.attribute
    b.give_piece(node.args[0], start, stop, g)


RULES: dict[str, Rule] = {
    "neg": _to_each(_negated),
    "exp": _to_each(_times(lambda b, node: b.value(node))),
    "log": _to_each(lambda b, node, g: b.make("div", g, b.value(node.args[0]))),
    "sqrt": _to_each(_by_sqrt),
    "square": _to_each(_times(lambda b, node: b.make("mul", b.number(2.0), b.value(node.args[0])))),
    "reciprocal": _to_each(_times(_reciprocal_slope)),
    "sin": _to_each(_times(lambda b, node: b.make("cos", b.value(node.args[0])))),
    "cos": _to_each(_times(_minus_sine)),
    "tanh": _to_each(_times(_tanh_slope)),
    "sigmoid": _to_each(_times(_sigmoid_slope)),
    "relu": _to_each(_where_positive),
    "abs": _to_each(_by_sign),
    "sign": _nothing,
    "add": _to_each(_same, _same),
    "sub": _to_each(_same, _negated),
    "mul": _to_each(_times(_arg(1)), _times(_arg(0))),
    "div": _to_each(lambda b, node, g: b.make("div", g, b.value(node.args[1])), _quotient_divisor),
    "maximum": _to_each(_of_extreme(0), _of_extreme(1)),
    "minimum": _to_each(_of_extreme(0), _of_extreme(1)),
    "less": _nothing,
    "less_equal": _nothing,
    "equal": _nothing,
    "where": _to_each(lambda b, node, g: None, _where_chosen, _where_not_chosen),
    "product": _of_product,
    "sum": _to_each(lambda b, node, g: b.full(g, node.args[0].size)),
    "max": _to_each(_of_largest),
    "concat": _of_concat,
    "slice": _of_slice,
    "expand": _to_each(_same),
    "floor": _nothing,
    "round": _nothing,
    "stop_gradient": _nothing,
    "erf": _to_each(_times(_by_bell(1.0))),
    "erfc": _to_each(_times(_by_bell(-1.0))),
    "log1p": _to_each(lambda b, node, g: b.make("div", g, b.make("add", b.number(1.0), b.value(node.args[0])))),
    "expm1": _to_each(_times(lambda b, node: b.make("exp", b.value(node.args[0])))),
    "softplus": _to_each(_times(lambda b, node: b.make("sigmoid", b.value(node.args[0])))),
    "remainder": _to_each(_same, _remainder_divisor),
    "power": _to_each(_power_base, _power_exponent),
    "cumsum": _of_cumsum,
    "outer": _of_outer,
    "contract": _of_contract,
}
