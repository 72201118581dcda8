"""The check of a graph, which the result of every stage of the compiler must pass."""

from collections.abc import Iterator

from elman.compiler.graph import Graph, Node, matrix_of
from elman.compiler.operations import Mismatch, size_of


def verify(graph: Graph) -> Graph:
    """Return the graph itself, if it is valid.

    Raises:
        Mismatch: a node does not have the size of its operation; a parameter is missing, unused or of another shape; an
            input or a state is a node of the wrong kind; a next state has another size. The message lists all problems.
    """
    problems = [*_nodes(graph), *_parameters(graph), *_interface(graph)]
    if problems:
        raise Mismatch(f"{graph.name}: " + "; ".join(problems))
    return graph


def _nodes(graph: Graph) -> Iterator[str]:
    for node in graph.nodes:
        try:
            size = size_of(node.op, node.attribute, tuple(arg.size for arg in node.args))
        except Mismatch as reason:
            yield str(reason)
        else:
            if size != node.size:
                yield f"{node!r} should have size {size}"


def parameter_shapes(nodes: tuple[Node, ...]) -> dict[str, tuple[int, ...]]:
    """Return the shape of every parameter that the nodes use."""
    matrices: dict[str, tuple[int, ...]] = dict(matrix_of(node) for node in nodes if node.op == "product")
    return matrices | {node.attribute[0]: (node.attribute[1],) for node in nodes if node.op == "vector"}


def _parameters(graph: Graph) -> Iterator[str]:
    declared = {parameter.name: parameter.shape for parameter in graph.parameters}
    used = [(name, shape) for node in graph.nodes for name, shape in parameter_shapes((node,)).items()]
    wrong = {(name, shape) for name, shape in used if declared.get(name) != shape}
    wrong |= {(name, None) for name in declared.keys() - dict(used).keys()}
    for name, shape in sorted(wrong, key=str):
        yield f"parameter {name} is used as {shape} and declared as {declared.get(name)}"
    if len(declared) != len(graph.parameters):
        yield "two parameters have the same name"


def _interface(graph: Graph) -> Iterator[str]:
    for kind, listed in (("input", graph.inputs), ("state", graph.states)):
        yield from (f"{node!r} is listed as {kind}" for node in listed if node.op != kind)
    if not graph.states or len(graph.states) != len(graph.following):
        yield f"{len(graph.states)} states have {len(graph.following)} next values"
    for state, following in zip(graph.states, graph.following, strict=False):
        if state.size != following.size:
            yield f"state {state.attribute[0]} has size {state.size} and its next value {following.size}"
    known = {*graph.inputs, *graph.states}
    yield from (
        f"{node!r} is not an input or a state of the step"
        for node in graph.nodes
        if node.op in ("input", "state") and node not in known
    )
