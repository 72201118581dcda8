"""How near a cell comes to points where an operation jumps or bends: there a rounding decides, and not the target."""

from dataclasses import replace

import numpy as np

from elman.compiler import reference
from elman.compiler.fuzz.data import Data, split_tensors
from elman.compiler.graph import Graph, Node, Nodes


def distance_to_jumps(graph: Graph, data: Data) -> float:
    """The smallest distance that is not 0; a distance of 0 is no accident, and the same on every target."""
    probed = _with_distances(graph)
    inputs, states, weights = split_tensors(graph, data.tensors)
    arrays = lambda tensors: [tensor.numpy() for tensor in tensors]  # noqa: E731
    named = {name: value.numpy() for name, value in weights.items()}
    outputs, _ = reference.run(probed, named, arrays(inputs), arrays(states), data.lengths, backward=data.backward)
    sizes = np.concatenate([np.zeros(1), *(np.abs(value).ravel() for value in outputs)])
    return float(sizes[sizes != 0.0].min(initial=np.inf))


def _with_distances(graph: Graph) -> Graph:
    """The step with the distance of every such operation as its outputs."""
    nodes = Nodes()
    made: dict[Node, Node] = {}
    found: list[Node] = []
    for node in graph.nodes:
        made[node] = nodes.make(node.op, (made[arg] for arg in node.args), node.attribute)
        args = made[node].args
        if node.op in ("relu", "abs", "sign"):
            found.append(args[0])
        elif node.op in ("maximum", "minimum", "less", "less_equal", "equal"):
            found.append(nodes.make("sub", args))
        elif node.op == "max":
            found.append(nodes.make("sub", (args[0], made[node])))
        elif node.op == "where":
            found.append(args[0])
        elif node.op in ("floor", "round", "remainder"):
            found.append(_from_whole(nodes, node.op, args))
    again = graph.rebuild(made.__getitem__)
    return replace(again, outputs=tuple(found))


def _from_whole(nodes: Nodes, op: str, args: tuple[Node, ...]) -> Node:
    """How far the argument, or the quotient, lies from the next whole number, where it jumps; of rounding by half."""
    half = nodes.make("number", attribute=0.5 if op == "round" else 0.0)
    place = nodes.make("div", args) if op == "remainder" else nodes.make("sub", (*args, half))
    return nodes.make("sub", (place, nodes.make("round", (place,))))
