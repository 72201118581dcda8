"""Steps that are those of torch's fused recurrent kernels, found by their graphs.

Any cell with these equations is found: names play no part, nor does the order of factors and summands. A gate may have
matrices of its own or columns of a wide one, and its input and its state may be concatenated before the product.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from elman.compiler.graph import Graph, Node, find_matrix

Kind = Literal["lstm", "gru", "rnn_tanh", "rnn_relu"]


class Term(NamedTuple):
    """A part of a parameter: some of its rows and columns, of which a vector has the columns only."""

    name: str
    rows: tuple[int, int] | None
    columns: tuple[int, int]


@dataclass
class Gate:
    """The sum `x·W + h·U + b`: the parameters that are summed in W, in U and in b."""

    inputs: list[Term]
    hidden: list[Term]
    biases: list[Term]


@dataclass(frozen=True)
class Fused:
    """How a step is run by one of torch's kernels.

    Args:
        kind: which kernel.
        states: positions of the kernel's states among those of the step: h, and for an LSTM c.
        gates: in the kernel's order: i, f, g, o of an LSTM; r, z, n of a GRU. The hidden part of n, which r multiplies,
            is a gate of its own, the last one.
        projection: the matrix of an LSTM that projects its output.
        sizes: number of features of the input, of the kernel's h, and of its gates.
    """

    kind: Kind
    states: tuple[int, ...]
    gates: tuple[Gate, ...]
    projection: str | None
    sizes: tuple[int, int, int]

    @property
    def has_biases(self) -> bool:
        """Whether any gate has a bias."""
        return any(gate.biases for gate in self.gates)

    def arrays(self, weights: Mapping[str, Tensor]) -> list[Tensor]:
        """Return the kernel's parameters, made from those of the step: gradients pass back to them.

        They are W (gates, input), U (gates, h), two biases if there are any, and the projection.
        """
        rows, columns, units = self.sizes
        like = next(iter(weights.values()))
        is_gru = self.kind == "gru"
        upper, lower = (self.gates[:3], (*self.gates[:2], self.gates[3])) if is_gru else (self.gates, self.gates)
        arrays = [
            torch.cat([_sum(gate.inputs, weights, like, (rows, units)).t() for gate in upper]),
            torch.cat([_sum(gate.hidden, weights, like, (columns, units)).t() for gate in lower]),
        ]
        if self.has_biases:
            arrays.append(torch.cat([_sum(gate.biases, weights, like, (units,)) for gate in upper]))
            second = like.new_zeros(len(lower) * units)
            if self.kind == "gru":
                # The candidate's hidden part has a bias of its own, since the reset gate multiplies it.
                last = _sum(self.gates[3].biases, weights, like, (units,))
                second = torch.cat([second[: 2 * units], last])
            arrays.append(second)
        return arrays if self.projection is None else [*arrays, find_matrix(weights, self.projection).t()]


def _sum(terms: list[Term], weights: Mapping[str, Tensor], like: Tensor, shape: tuple[int, ...]) -> Tensor:
    parts = [_part(term, weights) for term in terms]
    return sum(parts[1:], parts[0]) if parts else like.new_zeros(shape)


def _part(term: Term, weights: Mapping[str, Tensor]) -> Tensor:
    if term.rows is None:
        return weights[term.name][slice(*term.columns)]
    return find_matrix(weights, term.name)[slice(*term.rows), slice(*term.columns)]


def find_fused(graph: Graph) -> Fused | None:
    """Return how one of torch's kernels runs a step, None if none does."""
    if find_fused not in graph.derived:
        graph.derived[find_fused] = _find(graph)
    return graph.derived[find_fused]


def _find(graph: Graph) -> Fused | None:
    if len(graph.inputs) != 1 or len(graph.outputs) != 1 or graph.output_state is None:
        return None
    if len(graph.states) == 1:
        return _find_rnn(graph) or _find_gru(graph)
    return _find_lstm(graph, graph.output_state, 1 - graph.output_state) if len(graph.states) == 2 else None


def _find_rnn(graph: Graph) -> Fused | None:
    """Find h' = tanh(x·W + h·U + b), or relu of it."""
    following, size = graph.following[0], graph.states[0].size
    gate = _gate(graph, following.args[0], 0, size) if following.op in ("tanh", "relu") else None
    kind: Kind = "rnn_tanh" if following.op == "tanh" else "rnn_relu"
    return None if gate is None else Fused(kind, (0,), (gate,), None, (graph.inputs[0].size, size, size))


def _find_gru(graph: Graph) -> Fused | None:
    """Find h' = z∘h + (1 - z)∘n with n = tanh(x·W + b + r∘(h·U + c))."""
    h, z = graph.states[0], ("sigmoid", "z")
    step = ("add", ("mul", z, h), ("mul", ("sub", 1.0, z), ("tanh", "n")))
    for found in _bindings(graph.following[0], step, {}):
        update = _gate(graph, found["z"], 0, h.size)
        for reset, outside, inside in _candidates(graph, found["n"], h):
            gates = reset, update, outside, inside
            if _are_gru(*gates):
                return Fused("gru", (0,), gates, None, (graph.inputs[0].size, h.size, h.size))  # type: ignore[arg-type]
    return None


def _candidates(graph: Graph, node: Node, h: Node) -> Iterator[tuple[Gate | None, Gate | None, Gate | None]]:
    """Yield the reset gate of a candidate, and the sums outside and inside its reach."""
    summands = _summands(node, (0, h.size))
    whole = [each for each, cut in summands if each.op == "mul" and cut == (0, each.size)]
    for multiplied in whole[:1]:
        outside = _gate_of(graph, [each for each in summands if each[0] is not multiplied], 0)
        for found in _bindings(multiplied, ("mul", ("sigmoid", "r"), "hidden"), {}):
            inside = (
                _gate_of(graph, _summands(found["hidden"], (0, h.size)), 0) if found["hidden"].size == h.size else None
            )
            yield _gate(graph, found["r"], 0, h.size), outside, inside


def _are_gru(reset: Gate | None, update: Gate | None, outside: Gate | None, inside: Gate | None) -> bool:
    """Return whether the input is outside of what r multiplies, and the state inside."""
    if reset is None or update is None or outside is None or inside is None:
        return False
    return bool(outside.inputs and inside.hidden) and not (outside.hidden or inside.inputs)


def _find_lstm(graph: Graph, hidden: int, cell: int) -> Fused | None:
    """Find c' = f∘c + i∘g and h' = o∘tanh(c'), or a projection of it to fewer features."""
    output, carried, c = graph.following[hidden], graph.following[cell], graph.states[cell]
    is_projected = output.op == "product"
    if is_projected and output.size >= c.size:
        return None
    projection, output = (output.attribute[0], output.args[0]) if is_projected else (None, output)
    step = ("add", ("mul", ("sigmoid", "f"), c), ("mul", ("sigmoid", "i"), ("tanh", "g")))
    for out in _bindings(output, ("mul", ("sigmoid", "o"), ("tanh", carried)), {}):
        for found in _bindings(carried, step, out):
            gates = [_gate(graph, found[name], hidden, c.size) for name in "ifgo"]
            if None not in gates:
                sizes = graph.inputs[0].size, graph.states[hidden].size, c.size
                return Fused("lstm", (hidden, cell), tuple(gates), projection, sizes)  # type: ignore[arg-type]
    return None


# A node, a number, the name of any node, or an operation and patterns of its arguments.
Pattern = Any
COMMUTATIVE = ("add", "mul")


def _bindings(node: Node, pattern: Pattern, known: dict[str, Node]) -> Iterator[dict[str, Node]]:
    """Yield the nodes by name for each way in which a node fits a pattern."""
    if isinstance(pattern, Node):
        fits = node is pattern
    elif isinstance(pattern, float):
        fits = node.op == "number" and node.attribute == pattern
    elif isinstance(pattern, str):
        fits, known = known.get(pattern, node) is node, {**known, pattern: node}
    else:
        yield from _operation_bindings(node, pattern, known)
        return
    if fits:
        yield known


def _operation_bindings(node: Node, pattern: Pattern, known: dict[str, Node]) -> Iterator[dict[str, Node]]:
    op, *patterns = pattern
    if node.op != op:
        return
    for args in (node.args, node.args[::-1]) if op in COMMUTATIVE else (node.args,):
        ways = [known]
        for arg, inner in zip(args, patterns, strict=True):
            ways = [more for way in ways for more in _bindings(arg, inner, way)]
        yield from ways


def _gate(graph: Graph, node: Node, hidden: int, size: int) -> Gate | None:
    """Return the parameters of `x·W + h·U + b` of this size, None if the node is another sum."""
    found = _gate_of(graph, _summands(node, (0, size)), hidden) if node.size == size else None
    return found if found is not None and found.inputs and found.hidden else None


def _summands(node: Node, cut: tuple[int, int]) -> list[tuple[Node, tuple[int, int]]]:
    """Return what is summed in some features of a node: nodes, and the features of each."""
    if node.op == "add" and node.args[0].size == node.args[1].size == node.size:
        return [each for arg in node.args for each in _summands(arg, cut)]
    if node.op == "slice":
        start = node.attribute[0]
        return _summands(node.args[0], (cut[0] + start, cut[1] + start))
    return [(node, cut)]


def _gate_of(graph: Graph, summands: list[tuple[Node, tuple[int, int]]], hidden: int) -> Gate | None:
    found = Gate([], [], [])
    kinds = {graph.inputs[0]: found.inputs, graph.states[hidden]: found.hidden}
    for node, cut in summands:
        if node.op == "vector":
            found.biases.append(Term(node.attribute[0], None, cut))
        elif node.op == "product":
            operand, first = node.args[0], 0
            for part in operand.args if operand.op == "concat" else (operand,):
                if part not in kinds:
                    return None
                kinds[part].append(Term(node.attribute[0], (first, first + part.size), cut))
                first += part.size
        else:
            return None
    return found
