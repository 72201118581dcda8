"""How near a cell is to points where an operation jumps or bends, and where rounding decides the result."""

from dataclasses import replace

import numpy as np
import torch

from elman.compiler import reference
from elman.compiler.graph import Graph, Node, Nodes
from elman.compiler.targets import eager
from elman.compiler.testing.data import Data, split_tensors


def distance_to_jumps(graph: Graph, data: Data) -> float:
    """Return the smallest distance to a jump or bend that is not 0.

    A distance of 0 in both float64 and float32 is not an accident, and is the same on every target. A distance of 0
    in only one of them counts as 0.
    """
    probed = _with_distances(graph)
    exact = _distances(probed, data)
    if not exact.size:
        return np.inf
    rounded = data.to(torch.float32)
    inputs, states, weights = split_tensors(graph, rounded.tensors)
    with torch.no_grad():
        outputs, _ = eager.run(probed, weights, inputs, states, rounded.order, backward=data.backward)
    rough = np.concatenate([output.numpy().ravel() for output in outputs])
    if ((exact == 0.0) != (rough == 0.0)).any():
        return 0.0
    return float(exact[exact != 0.0].min(initial=np.inf))


def _distances(probed: Graph, data: Data) -> np.ndarray:
    inputs, states, weights = split_tensors(probed, data.tensors)
    arrays = lambda tensors: [tensor.numpy() for tensor in tensors]  # noqa: E731
    named = {name: value.numpy() for name, value in weights.items()}
    outputs, _ = reference.run(probed, named, arrays(inputs), arrays(states), data.lengths, backward=data.backward)
    return np.concatenate([np.zeros(0), *(np.abs(value).ravel() for value in outputs)])


def _with_distances(graph: Graph) -> Graph:
    """Make the distance of every such operation an output of the step."""
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
    """Return the distance to the nearest jump of a rounding operation.

    It is that of the argument, or of the quotient, to a whole number; for `round`, to a half.
    """
    half = nodes.make("number", attribute=0.5 if op == "round" else 0.0)
    value = nodes.make("div", args) if op == "remainder" else nodes.make("sub", (*args, half))
    return nodes.make("sub", (value, nodes.make("round", (value,))))
