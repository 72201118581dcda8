"""The step without random draws, as it is evaluated, streamed and exported."""

from dataclasses import replace

from elman.compiler.graph import Graph, Node, Nodes
from elman.compiler.operations import BINARY, UNARY
from elman.compiler.simplify import simplify

# These use one number for all features, so that a draw can become a plain number in them.
_ELEMENTWISE = frozenset((*UNARY, *BINARY, "where"))


def expectation(graph: Graph) -> Graph:
    """Replace each draw of a step by its probability, or return the graph itself if it has none.

    >>> from elman import CELLS, zoneout
    >>> graph = expectation(zoneout(CELLS["simple_rnn"], 0.25).trace(3, 4))
    >>> graph.draws, len(graph.inputs)
    ((), 1)
    """
    if not graph.draws:
        return graph
    if expectation not in graph.derived:
        graph.derived[expectation] = _expectation(graph)
    return graph.derived[expectation]


def _expectation(graph: Graph) -> Graph:
    nodes = Nodes()
    drawn = dict(zip(graph.drawn, graph.draws, strict=True))
    renewed: dict[Node, Node] = {}

    def full(node: Node) -> Node:
        found = renewed[node]
        return found if found.size == node.size else nodes.make("expand", (found,), node.size)

    for node in graph.nodes:
        if node in drawn:
            renewed[node] = nodes.make("number", attribute=drawn[node].probability)
        else:
            args = [renewed[arg] if node.op in _ELEMENTWISE else full(arg) for arg in node.args]
            renewed[node] = nodes.make(node.op, args, node.attribute, node.source)
    return simplify(replace(graph, inputs=graph.given, draws=()).rebuild(full))
