"""The backward step: another step, in the same language, that carries gradients from the last step to the first.

It reads what the forward step saved and the gradient of the output; its states are the gradients of the forward
step's next states, and it runs over every sequence in the opposite order.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

from elman.compiler.gradient_rules import RULES, Builder
from elman.compiler.graph import TRANSPOSED, Graph, Node, Nodes, Parameter, matrix_of
from elman.compiler.simplify import simplify
from elman.compiler.verify import parameter_shapes

# Operations that cost less to compute again than to write to memory and read back.
CHEAP = frozenset(
    [
        "neg",
        "square",
        "relu",
        "abs",
        "sign",
        "add",
        "sub",
        "mul",
        "maximum",
        "minimum",
        "less",
        "less_equal",
        "equal",
        "where",
        "slice",
        "concat",
        "expand",
        "floor",
        "round",
        "stop_gradient",
        "outer",
    ]
)


class Use(NamedTuple):
    """A product by a learned matrix.

    Attributes:
        matrix: the matrix as the product names it, with ᵀ at the end if it multiplies by the transposed one.
        operand: the position of the multiplied value among the saved ones.
        output: the position of the product's gradient among the outputs of the backward step.
    """

    matrix: str
    operand: int
    output: int

    @property
    def name(self) -> str:
        """The matrix itself."""
        return self.matrix.removesuffix(TRANSPOSED)

    @property
    def is_transposed(self) -> bool:
        """Whether the product is by the transposed matrix, which swaps the two factors of the gradient."""
        return self.matrix.endswith(TRANSPOSED)


@dataclass(frozen=True, eq=False)
class Gradient:
    """A step with its gradient.

    Args:
        forward: the step, with `saved` after its own output.
        backward: the backward step. Its inputs are the saved values, then the gradient of the output; its outputs are
            those the fields below point to.
        saved: nodes of the forward step that are kept for the backward step; may be its inputs and states.
        inputs: for each input of the step, which output of `backward` is its gradient; None if it has none.
        uses: the products by learned matrices. The gradient of a matrix is the sum, over its uses and all steps, of the
            outer products of the operand and the gradient of the product (the other way round where it is transposed).
        vectors: for each learned vector by its name, which features of which output of `backward` sum up, over all
            steps, to its gradient: (output, first feature, first feature beyond).
    """

    forward: Graph
    backward: Graph
    saved: tuple[Node, ...]
    inputs: tuple[int | None, ...]
    uses: tuple[Use, ...]
    vectors: dict[str, tuple[int, int, int]]

    @cached_property
    def shifted(self) -> dict[Node, int]:
        """Saved states that need no memory: which state each is.

        They are the output of the step before, and only the sums for the matrices' gradients read them, after the
        loop.
        """
        graph = self.backward
        read = {arg for node in graph.nodes for arg in node.args} | {*graph.outputs, *graph.following}
        return {
            node: self.forward.states.index(node)
            for node, source in zip(self.saved, graph.inputs, strict=False)
            if node.op == "state"
            and source not in read
            and self.forward.following[self.forward.states.index(node)] is self.forward.output
        }

    @cached_property
    def kept(self) -> Graph:
        """The forward step with its output and those of its saved values that need memory."""
        output, *saved = self.forward.outputs
        return replace(self.forward, outputs=(output, *(node for node in saved if node not in self.shifted)))


def differentiate(graph: Graph) -> Gradient:
    """Derive the gradient of a step with one output.

    Args:
        graph: a step, preferably a wide one (see `widen`).
    """
    b = Builder(graph)
    b.give(graph.output, b.make("input", attribute=("d output", graph.output.size)))
    states = [b.make("state", attribute=(f"d {state.attribute[0]}", state.size)) for state in graph.states]
    for following, state in zip(graph.following, states, strict=True):
        b.give(following, state)
    found: dict[Node, Node] = {}
    for node in reversed(graph.nodes):
        g = b.gradient(node)
        if g is None:
            continue
        found[node] = g
        if node.op in RULES:
            RULES[node.op](b, node, g)
    return _assemble(b, found, states)


def _assemble(b: Builder, found: dict[Node, Node], states: list[Node]) -> Gradient:
    graph = b.graph
    zeros = lambda node: b.full(b.number(0.0), node.size)  # noqa: E731
    following = tuple(found.get(state, zeros(state)) for state in graph.states)
    outputs: dict[Node, int] = {}
    number = lambda node: outputs.setdefault(node, len(outputs))  # noqa: E731
    inputs = tuple(number(found[node]) if node in found else None for node in graph.inputs)
    products = [
        (node, number(found[node]))
        for node in graph.nodes
        if node.op == "product" and node in found and matrix_of(node)[0] not in graph.fixed
    ]
    parts = _parts_of_concats(outputs)
    vectors = {
        node.attribute[0]: parts.get(found[node]) or (number(found[node]), 0, node.size)
        for node in graph.nodes
        if node.op == "vector" and node in found and node.attribute[0] not in graph.fixed
    }
    draft = Graph(f"{graph.name} backward", (), tuple(states), following, tuple(outputs), ())
    saved, backward = _choose_saved(b, draft, [node.args[0] for node, _ in products])
    return Gradient(
        replace(graph, outputs=(*graph.outputs, *saved)),
        backward,
        saved,
        inputs,
        tuple(Use(node.attribute[0], saved.index(node.args[0]), output) for node, output in products),
        vectors,
    )


def _parts_of_concats(outputs: dict[Node, int]) -> dict[Node, tuple[int, int, int]]:
    """Map each part of a concatenated output to (output, first feature, first feature beyond)."""
    positions = {}
    for node, output in outputs.items():
        start = 0
        for part in node.args if node.op == "concat" else ():
            positions[part] = (output, start, start + part.size)
            start += part.size
    return positions


def _choose_saved(b: Builder, draft: Graph, operands: Iterable[Node]) -> tuple[tuple[Node, ...], Graph]:
    """Choose the values to save, from which the backward step computes the others."""
    graph = b.graph
    read = {node.attribute[0] for node in draft.nodes if node.op == "input"} - {"d output"}
    needed = [node for index, node in enumerate(graph.nodes) if f"%{index}" in read]
    kept: dict[Node, None] = dict.fromkeys(operands)
    again: dict[Node, Node] = {}
    for node in needed:
        if node in kept:
            continue
        known = [b.value(arg) if arg in kept or arg.op in ("number", "vector") else again.get(arg) for arg in node.args]
        if node.op in CHEAP and all(arg is not None for arg in known):
            again[node] = b.nodes.make(node.op, [arg for arg in known if arg is not None], node.attribute)
        else:
            kept[node] = None
    return tuple(kept), _with_inputs(b, draft, tuple(kept), again)


def _with_inputs(b: Builder, draft: Graph, saved: tuple[Node, ...], again: dict[Node, Node]) -> Graph:
    replaced = {b.value(node): value for node, value in again.items()}
    nodes = Nodes()
    renewed: dict[Node, Node] = {}

    def renew(node: Node) -> Node:
        for each in Graph("", (), (), (), (node,), ()).nodes:
            if each not in renewed:
                made = replaced.get(each)
                renewed[each] = (
                    renew(made)
                    if made is not None
                    else nodes.make(each.op, [renewed[arg] for arg in each.args], each.attribute)
                )
        return renewed[node]

    graph = draft.rebuild(renew)
    d_output = b.make("input", attribute=("d output", b.graph.output.size))
    inputs = tuple(renew(node) for node in (*(b.value(node) for node in saved), d_output))
    return simplify(replace(graph, inputs=inputs, parameters=_parameters(graph)))


def _parameters(graph: Graph) -> tuple[Parameter, ...]:
    shapes = parameter_shapes(graph.nodes)
    return tuple(Parameter(name, shape, "recurrent" if len(shape) == 2 else "vector") for name, shape in shapes.items())
