"""Loop fission: which nodes are computed before the loop over time, inside it, and after it."""

from collections.abc import Iterable
from dataclasses import dataclass

from elman.compiler.graph import Graph, Node, dependants, ordered

LEAVES = ("number", "vector")


@dataclass(frozen=True, eq=False)
class Fission:
    """A step cut into three parts; the nodes of each are in an order in which they can be computed.

    Args:
        graph: the step.
        before: nodes that depend on no state, computed once for all steps of all sequences.
        entering: inputs, and nodes of `before`, that the loop reads at every step.
        inside: nodes computed at every step; the states that they read are among them.
        kept: nodes of `inside` whose value at every step is kept, because `after` or the caller reads it.
        after: nodes that no next state needs, computed once when all steps are done.
    """

    graph: Graph
    before: tuple[Node, ...]
    entering: tuple[Node, ...]
    inside: tuple[Node, ...]
    kept: tuple[Node, ...]
    after: tuple[Node, ...]


def split_loop(graph: Graph, *, products_only: bool = False) -> Fission:
    """Cut a step into what is computed before, inside and after the loop over time.

    Args:
        graph: the step.
        products_only: move only products out of the loop, with the nodes that they need (before the loop) or that need
            them (after it). Otherwise everything is moved that can be.
    """
    leaves = {*graph.inputs, *graph.states}
    moves = [node for node in graph.nodes if (node.op == "product" or not products_only) and node not in leaves]
    hoisted = [node for node in moves if node not in graph.recurrent]
    before = tuple(node for node in ordered(hoisted) if node not in leaves)
    feeding = set(ordered(graph.following))
    late = dependants(graph.nodes, [node for node in moves if node in graph.recurrent and node not in feeding])
    after = tuple(node for node in graph.nodes if node in late)
    known = {*graph.inputs, *hoisted}
    wanted = [*(arg for node in after for arg in node.args), *graph.outputs]
    kept = tuple(
        dict.fromkeys(node for node in wanted if node not in late and node not in known and node.op not in LEAVES)
    )
    inside = _needed((*graph.following, *kept), known)
    read = {arg for node in inside for arg in node.args} | set(graph.following)
    entering = tuple(node for node in graph.nodes if node in known and node in read)
    return Fission(graph, before, entering, inside, kept, after)


def _needed(wanted: Iterable[Node], known: set[Node]) -> tuple[Node, ...]:
    """Return the wanted nodes and those that they need, without the known ones, in order."""
    found: dict[Node, None] = {}
    stack = [(node, False) for node in wanted]
    while stack:
        node, visited = stack.pop()
        if node in found or node in known:
            continue
        if visited:
            found[node] = None
        else:
            stack.append((node, True))
            stack.extend((arg, False) for arg in node.args)
    return tuple(found)
