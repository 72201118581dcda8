"""Runs a step with torch's own operations: any device, any float type, gradients of any order."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor

from elman.compiler.graph import Graph, Node, find_matrix
from elman.compiler.order import TimeMajor
from elman.compiler.plan import Plan, plan
from elman.compiler.widen import Parts

TORCH: dict[str, Callable[..., Tensor]] = {
    "neg": torch.neg,
    "exp": torch.exp,
    "log": torch.log,
    "sqrt": torch.sqrt,
    "square": torch.square,
    "reciprocal": torch.reciprocal,
    "sin": torch.sin,
    "cos": torch.cos,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "relu": torch.relu,
    "abs": torch.abs,
    "sign": lambda a: torch.where(a.isnan(), a, torch.sign(a)),
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": torch.div,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "less": lambda a, b: (a < b).to(a.dtype),
    "less_equal": lambda a, b: (a <= b).to(a.dtype),
    "equal": lambda a, b: (a == b).to(a.dtype),
    "where": lambda condition, a, b: torch.where(condition != 0, a, b),
    "sum": lambda a: a.sum(-1, keepdim=True),
    "max": lambda a: a.amax(-1, keepdim=True),
}


class Evaluation:
    """Values of a step's nodes, computed with torch.

    A value has shape `(rows, size)`; one that depends on no input and no state, `(size,)`.
    """

    def __init__(self, weights: Mapping[str, Tensor], like: Tensor):
        self.weights = weights
        self.like = like

    def run(self, nodes: Sequence[Node], values: dict[Node, Tensor]) -> None:
        """Compute the nodes in order, into `values`."""
        for node in nodes:
            if node not in values:
                values[node] = self._compute(node, [values[arg] for arg in node.args])

    def _compute(self, node: Node, args: list[Tensor]) -> Tensor:
        match node.op:
            case "product":
                return args[0] @ find_matrix(self.weights, node.attribute[0])
            case "number":
                return torch.tensor([node.attribute], dtype=torch.float64).to(self.like)
            case "vector":
                return self.weights[node.attribute[0]]
            case "slice":
                return args[0][..., slice(*node.attribute)]
            case "expand":
                return args[0].expand(*args[0].shape[:-1], node.size)
            case "concat":
                rows = max((arg.shape[:-1] for arg in args), key=len)
                return torch.cat([arg.expand(*rows, arg.shape[-1]) for arg in args], -1)
        return TORCH[node.op](*args)


def side_by_side(parts: Parts, names: Iterable[str], weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The parameters of a wide step, from those of the step as it was written."""
    found = {name: [find_matrix(weights, part) for part in parts.get(name, (name,))] for name in names}
    return {name: tensors[0] if len(tensors) == 1 else torch.cat(tensors, 1) for name, tensors in found.items()}


def run(
    graph: Graph,
    weights: Mapping[str, Tensor],
    inputs: Sequence[Tensor],
    states: Sequence[Tensor],
    order: TimeMajor,
    *,
    backward: bool = False,
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Run a step over every sequence of a batch.

    Args:
        graph: the step.
        weights: a tensor for each parameter of the step.
        inputs: the input and each constant, `(total, size)`, sequence after sequence.
        states: each initial state, `(batch, size)`.
        order: of the batch.
        backward: read every sequence from its last step to its first.

    Returns:
        The outputs at every step, `(total, size)`, where their input stands; the last states, `(batch, size)`.
    """
    cut = plan(graph)
    index = order.backward_index if backward else order.index
    index = index.to(inputs[0].device)
    names = [parameter.name for parameter in cut.graph.parameters]
    evaluation = Evaluation(side_by_side(cut.parts, names, weights), inputs[0])
    values: dict[Node, Tensor] = {
        node: value.index_select(0, index) for node, value in zip(cut.graph.inputs, inputs, strict=True)
    }
    evaluation.run(cut.before, values)
    last, kept = _loop(cut, evaluation, values, states, order)
    values.update(kept)
    evaluation.run(cut.after, values)
    outputs = [values[node].expand(order.total, node.size) for node in cut.graph.outputs]
    return tuple(output.new_empty(output.shape).index_copy(0, index, output) for output in outputs), last


def _loop(
    plan: Plan, evaluation: Evaluation, values: Mapping[Node, Tensor], states: Sequence[Tensor], order: TimeMajor
) -> tuple[tuple[Tensor, ...], dict[Node, Tensor]]:
    entering = {node: _by_step(values[node], order.rows) for node in plan.entering}
    device = states[0].device
    sorted_by_length = order.sequences.to(device)
    current = [state.index_select(0, sorted_by_length) for state in states]
    ended: list[list[Tensor]] = [[] for _ in states]
    kept: dict[Node, list[Tensor]] = {node: [] for node in plan.leaving}
    for step, rows in enumerate(order.rows):
        if rows < len(current[0]):
            for position, state in enumerate(current):
                current[position], done = state.tensor_split([rows])
                ended[position].append(done)
        here = {node: steps[step] for node, steps in entering.items()}
        here.update(zip(plan.graph.states, current, strict=True))
        evaluation.run(plan.inside, here)
        for node, steps in kept.items():
            steps.append(here[node])
        current = [here[node].expand(rows, node.size) for node in plan.graph.following]
    restored = order.restored.to(device)
    last = tuple(
        torch.cat([state, *reversed(done)]).index_select(0, restored)
        for state, done in zip(current, ended, strict=True)
    )
    empty = {node: evaluation.like.new_zeros((0, node.size)) for node in kept}
    return last, {node: torch.cat(steps) if steps else empty[node] for node, steps in kept.items()}


def _by_step(value: Tensor, rows: list[int]) -> Sequence[Tensor]:
    """The value of each step; one that no input changes is the same at all of them."""
    return value.split(rows) if value.dim() == 2 else [value] * len(rows)
