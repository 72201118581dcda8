"""Cells drawn at random: every operation of the language, on any values, with results of moderate size."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

from elman.compiler.graph import TRANSPOSED, Graph, Node, Nodes, Parameter, matrix_of, transposed
from elman.compiler.operations import BINARY, UNARY
from elman.compiler.testing.ranges import RANGES, Range, around, domain_of, joined, largest, lies_within
from elman.compiler.verify import verify

SIZES = (1, 2, 3, 5, 8, 16, 17, 24, 33, 65)
WIDEST = 96
MODERATE = around(4.0)  # of inputs, states and next states
MOST = 30.0  # the largest absolute value


def random_draft(seed: int) -> Graph:
    """Draw the cell of a seed, without simplifying it.

    It has 1 to 3 states, 1 to 3 inputs and up to 24 operations. Every value stays within ±30, and every argument of
    exp, log and a division where the result is moderate.
    """
    return _Draft(seed).graph()


class _Draft:
    """A cell being drawn: its values so far, each with its range."""

    def __init__(self, seed: int):
        self.name = f"step{seed}"
        self.random = Random(seed)
        self.nodes = Nodes()
        self.ranges: dict[Node, Range] = {}
        self.parameters: dict[str, Parameter] = {}
        self.sizes = [1, *self.random.choices(SIZES, k=self.random.randint(1, 3))]
        names = ["x", "c0", "c1"][: self.random.choice((1, 1, 2, 3))]
        self.inputs = [self.argument("input", name) for name in names]
        self.states = [self.argument("state", f"s{position}") for position in range(self.random.randint(1, 3))]

    def graph(self) -> Graph:
        """Draw the cell, without values that nothing needs, and verify it."""
        for _ in range(self.random.randint(2, 24)):
            self.random.choices(tuple(KINDS), tuple(KINDS.values()))[0](self)
        following = tuple(self.next_of(state) for state in self.states)
        output = self.output(following)
        draft = Graph(self.name, tuple(self.inputs), tuple(self.states), following, (output,), ())
        return verify(with_used_parameters(draft, self.parameters))

    # Values

    def keep(self, node: Node, found: Range) -> Node:
        """Note the range of a node, and make too large a value smaller."""
        self.ranges.setdefault(node, found)
        return self.fit(node, around(MOST))

    def argument(self, op: str, name: str) -> Node:
        """Make an input or a state of one of the sizes."""
        return self.keep(self.nodes.make(op, attribute=(name, self.size())), MODERATE)

    def size(self) -> int:
        """Draw one of the cell's sizes."""
        return self.random.choice(self.sizes)

    def number(self, value: float | None = None) -> Node:
        """Draw a number of few digits, so that printed graphs are exact."""
        found = round(self.random.uniform(-2.0, 2.0), 2) if value is None else value
        return self.keep(self.nodes.make("number", attribute=found), (found, found))

    def any(self) -> Node:
        """Draw a value made so far, more often a late one."""
        values = list(self.ranges)
        return self.random.choice(values[-6:] if self.random.random() < 0.5 else values)

    def partner(self, node: Node) -> Node:
        """Draw a value that fits together with another one."""
        fitting = [other for other in self.ranges if 1 in (other.size, node.size) or other.size == node.size]
        same = [other for other in fitting if other.size == node.size]
        return self.number() if self.random.random() < 0.15 else self.random.choice(self.random.choice((fitting, same)))

    def apply(self, op: str, *args: Node) -> Node:
        """Apply an elementwise operation, after bringing its arguments into its domain."""
        fitted = [self.fit(arg, domain_of(op, position)) for position, arg in enumerate(args)]
        return self.keep(self.nodes.make(op, fitted), RANGES[op](*(self.ranges[arg] for arg in fitted)))

    def fit(self, node: Node, domain: Range) -> Node:
        """Bring a value into a domain."""
        found = self.ranges[node]
        if lies_within(found, domain):
            return node
        if domain[0] > 0.0:
            return self.positive(node, domain)
        scaled = self.nodes.make("mul", (node, self.number(round(0.9 * domain[1] / largest(found), 6))))
        self.ranges.setdefault(scaled, around(0.95 * domain[1]))
        bent = self.random.choice(("tanh", "sin", None)) if domain[1] >= 1.0 else None
        return scaled if bent is None else self.apply(bent, scaled)

    def positive(self, node: Node, domain: Range) -> Node:
        """Bring a value into a domain without zero."""
        if self.random.random() < 0.5 and largest(self.ranges[node]) < MOST - 1.0:
            return self.apply("add", self.apply("abs", node), self.number(0.75))
        return self.apply("add", self.apply("sigmoid", node), self.number(0.5))

    # Operations

    def unary(self) -> None:
        self.apply(self.random.choice(UNARY), self.any())

    def binary(self) -> None:
        node = self.any()
        pair = [node, self.partner(node)]
        self.random.shuffle(pair)
        self.apply(self.random.choice([op for op in BINARY if op != "equal"]), *pair)

    def equality(self) -> None:
        """Compare values that are equal now and then."""
        node = self.any()
        op = self.random.choice(("sign", "less"))
        steps = self.apply("sign", node) if op == "sign" else self.apply("less", node, self.partner(node))
        self.apply("equal", steps, self.random.choice((self.number(1.0), self.number(0.0), steps)))

    def choice(self) -> None:
        node, other = self.any(), self.any()
        condition = self.random.choice((node, self.apply("less", node, self.partner(node))))
        fitting = [each for each in (other, self.partner(condition)) if each.size in (1, condition.size)]
        self.apply("where", condition, *self.random.choices(fitting or [self.number()], k=2))

    def product(self) -> None:
        self.multiply(self.any(), self.size())

    def wide_product(self) -> None:
        """Multiply one value by several matrices."""
        node = self.any()
        terms = [self.multiply(node, self.size()) for _ in range(self.random.randint(2, 3))]
        self.apply("add", terms[0], self.partner(terms[0]))

    def multiply(self, node: Node, columns: int) -> Node:
        operand = self.fit(node, around(MOST / 4))
        name = self.matrix(operand.size, columns)
        made = self.nodes.make("product", (operand,), (name, operand.size, columns))
        # The weights of a column have a length of about 1, those of a row of √(columns / rows).
        length = math.sqrt(operand.size / columns) if name.endswith(TRANSPOSED) else 1.0
        return self.keep(made, around(4.0 * max(length, 1.0) * largest(self.ranges[operand])))

    def matrix(self, rows: int, columns: int) -> str:
        """Draw a matrix of this shape: a new one, or one used before, perhaps transposed."""
        known = [name for name, item in self.parameters.items() if item.shape == (rows, columns)]
        known += [transposed(name) for name, item in self.parameters.items() if item.shape == (columns, rows)]
        if known and self.random.random() < 0.4:
            return self.random.choice(known)
        name = f"w{len(self.parameters)}"
        self.parameters[name] = Parameter(name, (rows, columns), "input", is_learned=self.random.random() < 0.85)
        return name

    def vector(self) -> Node:
        name = f"v{len(self.parameters)}"
        self.parameters[name] = Parameter(name, (self.size(),), "vector", is_learned=self.random.random() < 0.85)
        return self.keep(self.nodes.make("vector", attribute=(name, *self.parameters[name].shape)), around(2.0))

    def reduction(self) -> None:
        node = self.any()
        if self.random.random() < 0.5:
            self.keep(self.nodes.make("max", (node,)), self.ranges[node])
            return
        operand = self.fit(node, around(MOST / node.size)) if self.random.random() < 0.5 else node
        found = around(largest(self.ranges[operand]) * node.size)
        total = self.nodes.make("sum", (operand,))
        self.ranges.setdefault(total, found)
        if found[1] > MOST:
            self.apply("mul", total, self.number(round(1.0 / node.size, 4)))

    def whole_power(self) -> None:
        """Raise a value of any sign to a whole power, among them 0 and 1."""
        base = self.fit(self.any(), around(2.0))
        exponent = self.random.choice((0.0, 1.0, 2.0, 3.0, 4.0, 5.0))
        self.keep(
            self.nodes.make("power", (base, self.number(exponent))), around(largest(self.ranges[base]) ** 5 + 1.0)
        )

    def running_sum(self) -> None:
        node = self.any()
        operand = self.fit(node, around(MOST / node.size))
        total = self.nodes.make("cumsum", (operand,), self.random.random() < 0.5)
        self.keep(total, around(largest(self.ranges[operand]) * node.size))

    def outer_product(self) -> None:
        """Take the outer product of two values that are not too wide together."""
        rows = self.fit(self.glimpse(self.any()), around(5.0))
        columns = self.fit(self.glimpse(self.any()), around(5.0))
        found = around(largest(self.ranges[rows]) * largest(self.ranges[columns]))
        self.keep(self.nodes.make("outer", (rows, columns)), found)

    def contraction(self) -> None:
        """Contract a value, as a matrix, with another one, cut to a length that divides it."""
        matrix, other = self.any(), self.any()
        fitting = [size for size in range(1, min(matrix.size, other.size) + 1) if matrix.size % size == 0]
        size = self.random.choice(fitting)
        vector = self.fit(self.cut(other, 0, size), around(5.0))
        bound = 0.9 * MOST / (size * largest(self.ranges[vector]) + 1e-3)
        matrix = self.fit(matrix, around(max(round(bound, 3), 0.01)))
        found = around(size * largest(self.ranges[vector]) * largest(self.ranges[matrix]))
        self.keep(self.nodes.make("contract", (matrix, vector), self.random.random() < 0.5), found)

    def concatenation(self) -> None:
        self.join([self.any() for _ in range(self.random.randint(1, 4))])

    def join(self, parts: Sequence[Node]) -> Node:
        fitting = [
            part for position, part in enumerate(parts) if sum(each.size for each in parts[: position + 1]) <= WIDEST
        ]
        parts = fitting or [self.number()]
        return self.keep(self.nodes.make("concat", parts), joined([self.ranges[part] for part in parts]))

    def part(self) -> None:
        node = self.any()
        start = self.random.randrange(node.size)
        self.cut(node, start, self.random.randint(start + 1, node.size))

    def cut(self, node: Node, start: int, stop: int) -> Node:
        return self.keep(self.nodes.make("slice", (node,), (start, stop)), self.ranges[node])

    def parts(self) -> None:
        """Cut a value in two."""
        node = self.any()
        if node.size > 1:
            edge = self.random.randrange(1, node.size)
            self.cut(node, 0, edge)
            self.cut(node, edge, node.size)

    def repetition(self) -> None:
        single = [node for node in self.ranges if node.size == 1] or [self.number()]
        self.repeat(self.random.choice(single), self.size())

    def repeat(self, node: Node, size: int) -> Node:
        return self.keep(self.nodes.make("expand", (node,), size), self.ranges[node])

    # Inputs and outputs

    def loose(self) -> list[Node]:
        """List the values that no other one reads."""
        read = {arg for node in self.ranges for arg in node.args}
        return [node for node in self.ranges if node not in read] or list(self.ranges)

    def next_of(self, state: Node) -> Node:
        """Draw any value of the state's size, more often one that combines several."""
        own = [node for node in self.ranges if node.size == state.size]
        if self.random.random() < 0.25:
            return self.fit(self.random.choice(own), MODERATE)
        parts = [self.resized(node, state.size) for node in self.random.choices(self.loose(), k=3)]
        total = parts[0]
        for part in parts[1 : self.random.randint(1, 3)]:
            total = self.apply(self.random.choice(("add", "sub", "mul", "maximum")), total, part)
        return self.fit(total, MODERATE)

    def resized(self, node: Node, size: int) -> Node:
        """Make a value of this size from another one."""
        if node.size == size:
            return node
        if node.size > size and self.random.random() < 0.5:
            return self.cut(node, node.size - size, node.size)
        if node.size == 1:
            return self.repeat(node, size)
        if node.size < size and self.random.random() < 0.5:
            return self.join([node, self.repeat(self.number(), size - node.size)])
        return self.multiply(node, size)

    def glimpse(self, node: Node) -> Node:
        """Cut a few features out of a value."""
        start = self.random.randrange(node.size)
        return self.cut(node, start, min(start + 9, node.size))

    def output(self, following: Sequence[Node]) -> Node:
        """Draw the output: a next state, an input, a product, one value, or many."""
        kind = self.random.random()
        if kind < 0.2:
            return following[0]
        if kind < 0.3:
            return self.any()
        if kind < 0.4:
            return self.random.choice([*self.inputs, *self.states, self.vector()])
        if kind < 0.5:
            return self.multiply(self.any(), self.size())
        return self.join([self.glimpse(node) for node in self.loose()])


KINDS: dict[Callable[[_Draft], object], int] = {
    _Draft.unary: 8,
    _Draft.binary: 10,
    _Draft.equality: 1,
    _Draft.choice: 2,
    _Draft.product: 5,
    _Draft.wide_product: 1,
    _Draft.vector: 2,
    _Draft.reduction: 3,
    _Draft.concatenation: 3,
    _Draft.part: 2,
    _Draft.parts: 1,
    _Draft.repetition: 1,
    _Draft.whole_power: 1,
    _Draft.running_sum: 1,
    _Draft.outer_product: 2,
    _Draft.contraction: 2,
}


def with_used_parameters(graph: Graph, declared: dict[str, Parameter]) -> Graph:
    """Keep the parameters that a step uses, each with its role."""
    products = {(matrix_of(node)[0], node.args[0] in graph.recurrent) for node in graph.nodes if node.op == "product"}
    matrices = {name for name, _ in products}
    vectors = {node.attribute[0] for node in graph.nodes if node.op == "vector"}
    is_recurrent = lambda name: (name, True) in products  # noqa: E731
    used = (item for name, item in declared.items() if name in matrices or name in vectors)
    return replace(
        graph,
        parameters=tuple(replace(item, role="recurrent") if is_recurrent(item.name) else item for item in used),
    )
