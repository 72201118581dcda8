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
    """The cell by the names of its forms: `simplified`, and `draft` where that is another."""
    simple = simplified(draft)
    return {"simplified": simple} | ({} if show(simple) == show(draft) else {"draft": draft})


def simplified(draft: Graph) -> Graph:
    """The simplified cell, with the parameters that it still reads."""
    return verify(with_used_parameters(simplify(draft), {item.name: item for item in draft.parameters}))


def data_of(graph: Graph, draft: Graph, data: Data) -> Data:
    """The data of a draft for a form of it, which may have fewer parameters."""
    inputs, states, weights = split_tensors(draft, data.tensors)
    return replace(data, tensors=(*inputs, *states, *(weights[item.name] for item in graph.parameters)))


def rounded_data(data: Data) -> Data:
    """The data in float64, rounded to float32."""
    return data.to(torch.float32).to(torch.float64)


def rounded_numbers(graph: Graph) -> Graph:
    """The cell with its numbers rounded to float32."""
    nodes = Nodes()
    made: dict[Node, Node] = {}
    for node in graph.nodes:
        attribute = float(np.float32(node.attribute)) if node.op == "number" else node.attribute
        made[node] = nodes.make(node.op, (made[arg] for arg in node.args), attribute)
    return graph.rebuild(made.__getitem__)
