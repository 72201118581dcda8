"""A cell as it was drafted and simplified, and the same data for both."""

from dataclasses import replace

import numpy as np
import torch

from elman.compiler.graph import Graph, Node, Nodes, show
from elman.compiler.simplify import simplify
from elman.compiler.testing.data import Data, split_tensors
from elman.compiler.testing.steps import with_used_parameters
from elman.compiler.verify import verify


def forms(draft: Graph) -> dict[str, Graph]:
    """Return the forms of a cell by name: `simplified`, and `draft` if it differs."""
    simple = simplified(draft)
    return {"simplified": simple} | ({} if show(simple) == show(draft) else {"draft": draft})


def simplified(draft: Graph) -> Graph:
    """Simplify a cell, and keep the parameters that it still reads."""
    return verify(with_used_parameters(simplify(draft), {item.name: item for item in draft.parameters}))


def data_of(graph: Graph, draft: Graph, data: Data) -> Data:
    """Return the data of a draft for one of its forms, which may have fewer parameters."""
    inputs, states, weights = split_tensors(draft, data.tensors)
    return replace(data, tensors=(*inputs, *states, *(weights[item.name] for item in graph.parameters)))


def rounded_data(data: Data) -> Data:
    """Round data in float64 to float32."""
    return data.to(torch.float32).to(torch.float64)


def rounded_numbers(graph: Graph) -> Graph:
    """Round the numbers in a cell to float32."""
    nodes = Nodes()
    made: dict[Node, Node] = {}
    for node in graph.nodes:
        attribute = float(np.float32(node.attribute)) if node.op == "number" else node.attribute
        made[node] = nodes.make(node.op, (made[arg] for arg in node.args), attribute)
    return graph.rebuild(made.__getitem__)
