"""Finds the states that a parallel scan can compute: h' = a∘h + b, where a and b depend on no state."""

from dataclasses import dataclass

from elman.compiler.graph import Graph, Node, Nodes, ordered


@dataclass(frozen=True, eq=False)
class Scan:
    """A state whose next value is its own value times something, plus something, feature by feature.

    Args:
        coefficient: a, a node of the step or made of such nodes; depends on no state.
        offset: b, likewise.
    """

    coefficient: Node
    offset: Node


def scans(graph: Graph) -> dict[str, Scan | None]:
    """For each state by its name, how it is a scan; None if it is not, or if its next value does not read it.

    >>> from elman import CELLS
    >>> found = scans(CELLS["min_gru"].trace(3, 4))
    >>> found["h"].coefficient.op, found["h"].offset.op
    ('sub', 'mul')
    >>> scans(CELLS["gru"].trace(3, 4))
    {'h': None}
    """
    pairs = zip(graph.states, graph.following, strict=True)
    return {state.attribute[0]: _Split(graph, state).scan(following) for state, following in pairs}


class _Split:
    """Writes nodes as coefficient∘state + offset. None stands for 0, and for what cannot be written so at all."""

    def __init__(self, graph: Graph, state: Node):
        self.graph = graph
        self.nodes = Nodes()
        self.coefficients: dict[Node, Node | None] = {state: self.number(1.0)}
        self.offsets: dict[Node, Node | None] = {state: None}

    def scan(self, following: Node) -> Scan | None:
        """The next value split in two, if it can be."""
        for node in ordered([following]):
            if node in self.graph.recurrent and node not in self.coefficients and not self._split(node):
                return None
        coefficient = self.coefficients.get(following)
        if coefficient is None:
            return None
        return Scan(coefficient, self.offsets[following] or self.number(0.0))

    def _split(self, node: Node) -> bool:
        """Split one node whose arguments are split; whether that is possible."""
        reading = [arg in self.graph.recurrent for arg in node.args]
        if any(reads and arg not in self.coefficients for reads, arg in zip(reading, node.args, strict=True)):
            return False
        match node.op, reading:
            case ("add" | "sub" | "neg", _):
                for part in (self.coefficients, self.offsets):
                    part[node] = self._sum(node.op, [self._part(part, arg) for arg in node.args])
            case ("mul", [True, False]) | ("div", [True, False]):
                self._scale(node, node.args[0], node.args[1])
            case ("mul", [False, True]):
                self._scale(node, node.args[1], node.args[0])
            case ("where", [False, _, _]):
                for part in (self.coefficients, self.offsets):
                    part[node] = self._chosen(node.args[0], [self._part(part, arg) for arg in node.args[1:]])
            case _:
                return False
        return True

    def _part(self, part: dict[Node, Node | None], node: Node) -> Node | None:
        """The coefficient or the offset of an argument: what depends on no state is all offset."""
        if node in self.graph.recurrent:
            return part[node]
        return node if part is self.offsets else None

    def _sum(self, op: str, terms: list[Node | None]) -> Node | None:
        if op == "neg":
            return self._negated(terms[0])
        left, right = terms
        if left is None or right is None:
            return left or (self._negated(right) if op == "sub" else right)
        return self.nodes.make(op, (left, right))

    def _negated(self, node: Node | None) -> Node | None:
        return None if node is None else self.nodes.make("neg", (node,))

    def _scale(self, node: Node, value: Node, factor: Node) -> None:
        for part in (self.coefficients, self.offsets):
            found = part[value]
            if found is None:
                part[node] = None
            elif node.op == "mul" and found.op == "number" and found.attribute == 1.0:
                part[node] = factor
            else:
                part[node] = self.nodes.make(node.op, (found, factor))

    def _chosen(self, condition: Node, choices: list[Node | None]) -> Node | None:
        if choices == [None, None]:
            return None
        return self.nodes.make("where", [condition, *(choice or self.number(0.0) for choice in choices)])

    def number(self, value: float) -> Node:
        return self.nodes.make("number", attribute=value)
