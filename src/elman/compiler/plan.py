"""Loop fission: which nodes are computed before the time loop, inside it, and after it."""

from dataclasses import dataclass
from functools import lru_cache

from elman.compiler.graph import Graph, Node, ordered


@dataclass(frozen=True, eq=False)
class Plan:
    """A step cut into three parts.

    Args:
        graph: the step.
        before: nodes that depend on no state: computed once, for all steps of all sequences together.
        inside: nodes that depend on a state and that a next state needs: computed step by step.
        after: nodes that depend on a state but feed none: computed once, when all steps are done.
        entering: nodes of `before`, and inputs, that the loop reads.
        leaving: nodes of the loop, and states before the step, that are kept for every step.
        wide: for each value that is multiplied, all the products on it; they become one wide product.
    """

    graph: Graph
    before: tuple[Node, ...]
    inside: tuple[Node, ...]
    after: tuple[Node, ...]
    entering: tuple[Node, ...]
    leaving: tuple[Node, ...]
    wide: dict[Node, tuple[Node, ...]]


@lru_cache(maxsize=256)
def plan(graph: Graph) -> Plan:
    """The plan of a step."""
    recurrent = graph.recurrent
    feeding = set(ordered(graph.following))
    leaf = {*graph.inputs, *graph.states}
    work = [node for node in graph.nodes if node not in leaf]
    before = tuple(node for node in work if node not in recurrent)
    inside = tuple(node for node in work if node in recurrent and node in feeding)
    after = tuple(node for node in work if node in recurrent and node not in feeding)
    looped = {*inside, *graph.states}
    read_inside = [*(arg for node in inside for arg in node.args), *graph.following]
    read_after = [*(arg for node in after for arg in node.args), graph.output]
    return Plan(
        graph,
        before,
        inside,
        after,
        tuple(dict.fromkeys(node for node in read_inside if node not in looped)),
        tuple(dict.fromkeys(node for node in read_after if node in looped)),
        _products(graph.nodes),
    )


def _products(nodes: tuple[Node, ...]) -> dict[Node, tuple[Node, ...]]:
    groups: dict[Node, list[Node]] = {}
    for node in nodes:
        if node.op == "product":
            groups.setdefault(node.args[0], []).append(node)
    return {operand: tuple(products) for operand, products in groups.items()}
