"""A cell's step as an immutable graph in which equal nodes are one node."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, TypeVar

from elman.compiler.operations import size_of
from elman.compiler.start_json import start_from_json, start_to_json
from elman.compiler.starts import Start


@dataclass(frozen=True, slots=True)
class Source:
    """A line of the user's file."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, eq=False, slots=True)
class Node:
    """One operation, compared by identity, since a `Nodes` makes each only once."""

    op: str
    args: tuple["Node", ...]
    attribute: Any
    size: int
    source: Source | None = None

    def __repr__(self) -> str:
        return f"<{self.op} {self.attribute or ''} ({self.size})>"


class Nodes:
    """Makes nodes, each only once."""

    def __init__(self):
        self._made: dict[tuple, Node] = {}

    def make(self, op: str, args: Iterable[Node] = (), attribute: Any = None, source: Source | None = None) -> Node:
        """Return the node of this operation on these arguments.

        Raises:
            Mismatch: the arguments do not fit the operation.
        """
        arguments = tuple(args)
        key = (op, *(id(arg) for arg in arguments), attribute)
        if key not in self._made:
            size = size_of(op, attribute, tuple(arg.size for arg in arguments))
            self._made[key] = Node(op, arguments, attribute, size, source)
        return self._made[key]


Role = Literal["input", "recurrent", "bias", "vector"]


@dataclass(frozen=True)
class Parameter:
    """A matrix or a vector that a layer holds.

    Args:
        name: `affine/position` for a matrix, `affine/bias` for a bias, otherwise the name given in the step.
        shape: `(operand size, affine size)` for a matrix, `(size,)` for a vector.
        role: a matrix is `recurrent` if a value that it multiplies depends on a state, else `input`.
        initial: the number that a bias or a vector starts from, or a start; a matrix without a start is drawn as the
            layer's `init` says.
        is_learned: whether it is trained; otherwise it keeps its initial value.
    """

    name: str
    shape: tuple[int, ...]
    role: Role
    initial: float | Start = 0.0
    is_learned: bool = True


TRANSPOSED = "ᵀ"

Array = TypeVar("Array")


def transposed(name: str) -> str:
    """Return the name by which a product calls the transposed matrix.

    >>> transposed("hidden/1"), transposed(transposed("hidden/1"))
    ('hidden/1ᵀ', 'hidden/1')
    """
    return name.removesuffix(TRANSPOSED) if name.endswith(TRANSPOSED) else name + TRANSPOSED


def matrix_of(product: Node) -> tuple[str, tuple[int, int]]:
    """Return the parameter that a product multiplies by: its name and its shape."""
    name, rows, columns = product.attribute
    return (name.removesuffix(TRANSPOSED), (columns, rows)) if name.endswith(TRANSPOSED) else (name, (rows, columns))


def find_matrix(weights: Mapping[str, Array], name: str) -> Array:
    """Return the matrix, or the transposed matrix, that a product calls by this name."""
    if name.endswith(TRANSPOSED):
        return weights[name.removesuffix(TRANSPOSED)].T  # type: ignore[attr-defined]
    return weights[name]


Per = Literal["step", "sequence"]


@dataclass(frozen=True)
class Draw:
    """An input that is not data but ones and zeros, drawn at random while a layer trains.

    Args:
        name: of the input.
        probability: of a 1; in evaluation it replaces the draw (`draws.expectation`).
        per: `step`: drawn anew at every step; `sequence`: the same at all steps of a sequence.
    """

    name: str
    probability: float
    per: Per = "step"


@dataclass(frozen=True, eq=False)
class Graph:
    """One step: inputs and states in, the output and the next states out.

    Args:
        name: the cell's name.
        inputs: nodes of the step's input and, after it, its constants, then its draws.
        states: nodes of the states before the step.
        following: nodes of the states after the step, in the order of `states`.
        outputs: nodes whose value is wanted at every step; a cell's step has one, its output.
        parameters: in the order in which the step named them.
        draws: describe the last of the inputs, those that are drawn and not given.
    """

    name: str
    inputs: tuple[Node, ...]
    states: tuple[Node, ...]
    following: tuple[Node, ...]
    outputs: tuple[Node, ...]
    parameters: tuple[Parameter, ...]
    draws: tuple[Draw, ...] = ()

    @property
    def output(self) -> Node:
        """The first output."""
        return self.outputs[0]

    @property
    def output_state(self) -> int | None:
        """The position of the state whose next value is the output, None if the output is not a state."""
        return next((position for position, node in enumerate(self.following) if node is self.output), None)

    @property
    def given(self) -> tuple[Node, ...]:
        """The inputs that are data: the step's input and its constants."""
        return self.inputs[: len(self.inputs) - len(self.draws)]

    @property
    def drawn(self) -> tuple[Node, ...]:
        """The inputs that are drawn, in the order of `draws`."""
        return self.inputs[len(self.given) :]

    @property
    def state_names(self) -> tuple[str, ...]:
        """Names of the states; the first is the output unless the step says otherwise."""
        return tuple(state.attribute[0] for state in self.states)

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """Every node that an output needs, arguments before their users."""
        return ordered((*self.inputs, *self.states, *self.following, *self.outputs))

    @cached_property
    def equations(self) -> str:
        """A digest of what the step computes: equal for steps with the same nodes, sizes and parameters, by name."""
        position = {node: index for index, node in enumerate(self.nodes)}
        rows = [(node.op, [position[arg] for arg in node.args], node.attribute) for node in self.nodes]
        ends = [
            [position[node] for node in nodes] for nodes in (self.inputs, self.states, self.following, self.outputs)
        ]
        parameters = [(item.name, item.shape, item.is_learned) for item in self.parameters]
        return hashlib.sha256(repr((rows, ends, parameters)).encode()).hexdigest()

    @cached_property
    def derived(self) -> dict[Any, Any]:
        """What was derived from this step and is kept as long as the step is used: programs, its expectation."""
        return {}

    @cached_property
    def recurrent(self) -> frozenset[Node]:
        """The nodes that depend on a state."""
        return dependants(self.nodes, self.states)

    @cached_property
    def recurrent_matrices(self) -> tuple[str, ...]:
        """Names of the learned matrices through which a state reaches a later one."""
        feeding = set(ordered(self.following))
        products = (node for node in self.nodes if node.op == "product" and node in feeding)
        names = dict.fromkeys(matrix_of(node)[0] for node in products if node in self.recurrent)
        return tuple(name for name in names if name not in self.fixed)

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Names of the parameters, in order."""
        # torch.compile reads it, which cannot enter the lock of a cached property.
        return tuple([parameter.name for parameter in self.parameters])

    @cached_property
    def fixed(self) -> frozenset[str]:
        """Names of the matrices and vectors that are not learned."""
        return frozenset(parameter.name for parameter in self.parameters if not parameter.is_learned)

    def rebuild(self, translate: Callable[[Node], Node]) -> "Graph":
        """Replace every input, state, next state and output by its translation."""
        return Graph(
            self.name,
            tuple(map(translate, self.inputs)),
            tuple(map(translate, self.states)),
            tuple(map(translate, self.following)),
            tuple(map(translate, self.outputs)),
            self.parameters,
            self.draws,
        )

    def __reduce__(self):
        # As a list, not node within node, which would be too deep for a long step.
        return from_json, (to_json(self),)

    def __copy__(self) -> "Graph":
        return self

    def __deepcopy__(self, _: dict[int, Any]) -> "Graph":
        return self

    def __str__(self) -> str:
        return show(self)


def all_learned(graph: Graph) -> Graph:
    """Return the same step with every parameter learned, which is made once and kept with it."""
    if all_learned not in graph.derived:
        parameters = tuple(replace(parameter, is_learned=True) for parameter in graph.parameters)
        graph.derived[all_learned] = replace(graph, parameters=parameters)
    return graph.derived[all_learned]


def ordered(wanted: Iterable[Node]) -> tuple[Node, ...]:
    """Return the nodes that others need, each after its arguments.

    There is no recursion, since steps can be deep.
    """
    done: dict[Node, None] = {}
    stack = [(node, False) for node in reversed(list(wanted))]
    while stack:
        node, visited = stack.pop()
        if node in done:
            continue
        if visited:
            done[node] = None
        else:
            stack.append((node, True))
            stack.extend((arg, False) for arg in reversed(node.args) if arg not in done)
    return tuple(done)


def dependants(nodes: Iterable[Node], roots: Iterable[Node]) -> frozenset[Node]:
    """Return the roots and those of the nodes, given in order, that depend on a root."""
    found = set(roots)
    for node in nodes:
        if any(arg in found for arg in node.args):
            found.add(node)
    return frozenset(found)


def show(graph: Graph) -> str:
    """Return the graph as text, one node a line."""
    names = names_of(graph)
    lines = [f"  {line_of(node, names)}" for node in graph.nodes if is_work(node)]
    arguments = ", ".join(f"{node.attribute[0]}({node.size})" for node in (*graph.inputs, *graph.states))
    following = ", ".join(
        f"{name}={names[node]}" for name, node in zip(graph.state_names, graph.following, strict=True)
    )
    outputs = ", ".join(names[node] for node in graph.outputs)
    return "\n".join([f"{graph.name}({arguments})", *lines, f"  next {following}; output {outputs}"])


NAMED = ("input", "state", "vector")


# The meaning of an attribute that is true.
SWITCHES = {"cumsum": "reversed", "contract": "transposed"}


def is_work(node: Node) -> bool:
    """Return whether a node computes something."""
    return node.op not in (*NAMED, "number")


def names_of(graph: Graph) -> dict[Node, str]:
    """Return the name of each node in the printed graph."""
    names: dict[Node, str] = {}
    count = 0
    for node in graph.nodes:
        if is_work(node):
            names[node] = f"%{count}"
            count += 1
        else:
            names[node] = node.attribute[0] if node.op in NAMED else f"{node.attribute:g}"
    return names


def line_of(node: Node, names: Mapping[Node, str]) -> str:
    """Return the line of a node that computes something."""
    return f"{names[node]} = {_call(node, names)}  ({node.size})"


def _call(node: Node, names: Mapping[Node, str]) -> str:
    words = [names[arg] for arg in node.args]
    if node.op == "product":
        words.append(node.attribute[0])
    elif node.op == "slice":
        words.append("{}:{}".format(*node.attribute))
    elif node.op in SWITCHES and node.attribute:
        words.append(SWITCHES[node.op])
    return f"{node.op} {' '.join(words)}"


def to_json(graph: Graph) -> dict[str, Any]:
    """Return the graph as plain data, so that a model can carry its cell without any code."""
    position = {node: index for index, node in enumerate(graph.nodes)}
    at = lambda nodes: [position[node] for node in nodes]  # noqa: E731
    return {
        "name": graph.name,
        "nodes": [[node.op, at(node.args), node.attribute] for node in graph.nodes],
        "inputs": at(graph.inputs),
        "states": at(graph.states),
        "following": at(graph.following),
        "outputs": at(graph.outputs),
        "parameters": [_parameter_to_json(item) for item in graph.parameters],
        "draws": [[draw.name, draw.probability, draw.per] for draw in graph.draws],
    }


def from_json(data: Mapping[str, Any]) -> Graph:
    """Return the graph that `to_json` wrote.

    Raises:
        Mismatch, KeyError, TypeError, ValueError: the data does not describe a graph; `verify` checks the result.
    """
    nodes = Nodes()
    made: dict[int, Node] = {}
    for op, args, attribute in data["nodes"]:
        value = tuple(attribute) if isinstance(attribute, list) else attribute
        made[len(made)] = nodes.make(op, [made[index] for index in args], value)
    at = lambda indices: tuple(made[index] for index in indices)  # noqa: E731
    parameters = tuple(_parameter_from_json(*item) for item in data["parameters"])
    return Graph(
        data["name"],
        at(data["inputs"]),
        at(data["states"]),
        at(data["following"]),
        at(data["outputs"]),
        parameters,
        tuple(Draw(*draw) for draw in data.get("draws", ())),
    )


def _parameter_to_json(parameter: Parameter) -> list[Any]:
    """Return a parameter as a list, whose last item, False, is left out if it is learned."""
    initial = start_to_json(parameter.initial) if isinstance(parameter.initial, Start) else parameter.initial
    row = [parameter.name, list(parameter.shape), parameter.role, initial]
    return row if parameter.is_learned else [*row, False]


def _parameter_from_json(name: str, shape: list[int], role: Role, initial: Any, is_learned: bool = True) -> Parameter:
    found = initial if isinstance(initial, int | float) else start_from_json(initial)
    if not isinstance(is_learned, bool):
        raise ValueError(is_learned)
    return Parameter(name, tuple(shape), role, found, is_learned)
