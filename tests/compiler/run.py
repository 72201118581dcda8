"""Short ways to run a step in a test."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from elman import Next, cell
from elman.compiler import dispatch
from elman.compiler.graph import Graph
from elman.compiler.trace import _run_once
from elman.compiler.value import Value
from elman.order import TimeMajor


def unsimplified(step: Callable, input_size: int, hidden_size: int, **constants: int) -> Graph:
    """The graph just as the step says it."""
    made = cell(step)
    return _run_once(made, input_size, hidden_size, constants, dict.fromkeys(made.states, hidden_size))[0]


def run(
    graph: Graph, tensors: Sequence[Tensor], lengths: Sequence[int], target: str, backward: bool = False
) -> list[Tensor]:
    """The output and the last states, of tensors in the order of `shapes`."""
    doors, states = len(graph.inputs), len(graph.states)
    weights = dict(zip((item.name for item in graph.parameters), tensors[doors + states :], strict=True))
    order = TimeMajor(torch.tensor(list(lengths), dtype=torch.int64))
    output, last = dispatch.run(
        graph, weights, tensors[:doors], tensors[doors : doors + states], order, backward=backward, target=target
    )
    return [output, *last]


def shapes(graph: Graph, lengths: Sequence[int]) -> list[tuple[int, ...]]:
    """The shapes of the inputs, the states and the parameters."""
    return [
        *((sum(lengths), node.size) for node in graph.inputs),
        *((len(lengths), node.size) for node in graph.states),
        *(parameter.shape for parameter in graph.parameters),
    ]


def drawn(graph: Graph, lengths: Sequence[int], seed: int = 0) -> list[Tensor]:
    """Random tensors of these shapes."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes(graph, lengths)]


def evaluate(expression: Callable[..., Value], *rows: Tensor, target: str = "reference") -> Tensor:
    """The expression of the rows, which all have one size `(total, size)`: computed as a step's output."""

    def step(x, h):
        parts = [x[place * rows[0].shape[1] : (place + 1) * rows[0].shape[1]] for place in range(len(rows))]
        return Next(h=h, output=expression(*parts))

    data = torch.cat(rows, 1)
    graph = cell(step).trace(data.shape[1], 1)
    return run(graph, [data, data.new_zeros(1, 1)], [len(data)], target)[0]
