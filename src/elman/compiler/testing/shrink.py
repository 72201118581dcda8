"""Shrinking of a cell that fails."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from elman.compiler.graph import Graph, Node, Nodes, Parameter
from elman.compiler.operations import Mismatch
from elman.compiler.simplify import simplify
from elman.compiler.testing.steps import with_used_parameters
from elman.compiler.verify import verify


def shrink(graph: Graph, fails: Callable[[Graph], bool], trials: int = 100) -> Graph:
    """Find a smaller cell that fails too.

    Args:
        graph: a cell that fails.
        fails: whether a cell does.
        trials: how many smaller cells are tried at most.
    """
    smaller = _smaller(graph)
    for _ in range(trials):
        candidate = next(smaller, None)
        if candidate is None:
            break
        if fails(candidate):
            graph, smaller = candidate, _smaller(candidate)
    return graph


def _smaller(graph: Graph) -> Iterator[Graph]:
    """Yield cells with less in them.

    A state stays as it is, the output is an earlier value, or a node is replaced by an argument.
    """
    edits = [
        *_with_idle_states(graph),
        *(replace(graph, outputs=(arg,)) for arg in graph.output.args),
        *(_without(graph, node, arg) for node in reversed(graph.nodes) for arg in node.args if arg.size == node.size),
    ]
    declared = {parameter.name: parameter for parameter in graph.parameters}
    for edited in edits:
        yield from _verified(graph, edited, declared)


def _verified(graph: Graph, edited: Graph, declared: dict[str, Parameter]) -> Iterator[Graph]:
    """Yield the edited graph, simplified and as it is, if it is a cell and smaller."""
    for rewrite in (simplify, lambda same: same):
        try:
            candidate = verify(with_used_parameters(rewrite(edited), declared))
        except Mismatch:
            continue
        if len(candidate.nodes) < len(graph.nodes):
            yield candidate


def _with_idle_states(graph: Graph) -> Iterator[Graph]:
    for position, state in enumerate(graph.states):
        following = (*graph.following[:position], state, *graph.following[position + 1 :])
        yield replace(graph, following=following)


def _without(graph: Graph, dropped: Node, instead: Node) -> Graph:
    nodes = Nodes()
    made: dict[Node, Node] = {}
    for node in graph.nodes:
        again = nodes.make(node.op, (made[arg] for arg in node.args), node.attribute)
        made[node] = made[instead] if node is dropped else again
    return graph.rebuild(made.__getitem__)
