"""Runs a plan with torch's own operations: any device, any float type, gradients of any order."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from elman.compiler.graph import Node
from elman.compiler.order import TimeMajor
from elman.compiler.plan import Plan

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
    """Values of a plan's nodes; what is shared by all steps is computed once.

    A value has shape `(rows, size)`; one that depends on no input and no state, `(size,)`.
    """

    def __init__(self, plan: Plan, weights: Mapping[str, Tensor], like: Tensor):
        self.plan = plan
        self.weights = weights
        self.like = like
        self.matrices = {
            operand: torch.cat([weights[node.attribute[0]] for node in products], 1)
            for operand, products in plan.wide.items()
        }

    def run(self, nodes: Sequence[Node], values: dict[Node, Tensor]) -> None:
        """Compute the nodes in order, into `values`."""
        for node in nodes:
            if node not in values:
                self._compute(node, values)

    def _compute(self, node: Node, values: dict[Node, Tensor]) -> None:
        if node.op == "product":
            self._wide_product(node.args[0], values)
        elif node.op == "number":
            values[node] = torch.tensor([node.attribute], dtype=torch.float64).to(self.like)
        elif node.op == "vector":
            values[node] = self.weights[node.attribute[0]]
        elif node.op == "slice":
            values[node] = values[node.args[0]][..., slice(*node.attribute)]
        elif node.op == "concat":
            parts = [values[arg] for arg in node.args]
            rows = max((part.shape[:-1] for part in parts), key=len)
            values[node] = torch.cat([part.expand(*rows, part.shape[-1]) for part in parts], -1)
        else:
            values[node] = TORCH[node.op](*(values[arg] for arg in node.args))

    def _wide_product(self, operand: Node, values: dict[Node, Tensor]) -> None:
        products = self.plan.wide[operand]
        wide = values[operand] @ self.matrices[operand]
        values.update(zip(products, wide.split([node.size for node in products], -1), strict=True))


def run(
    plan: Plan,
    weights: Mapping[str, Tensor],
    inputs: Sequence[Tensor],
    states: Sequence[Tensor],
    order: TimeMajor,
    *,
    backward: bool = False,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Run a step over every sequence of a batch.

    Args:
        plan: the step.
        weights: a tensor for each parameter of the step.
        inputs: the input and each constant, `(total, size)`, sequence after sequence.
        states: each initial state, `(batch, size)`.
        order: of the batch.
        backward: read every sequence from its last step to its first.

    Returns:
        The output at every step, `(total, size)`, where its input stands; the last states, `(batch, size)` each.
    """
    graph = plan.graph
    index = order.backward_index if backward else order.index
    index = index.to(inputs[0].device)
    evaluation = Evaluation(plan, weights, inputs[0])
    values: dict[Node, Tensor] = {
        node: value.index_select(0, index) for node, value in zip(graph.inputs, inputs, strict=True)
    }
    evaluation.run(plan.before, values)
    last, kept = _loop(evaluation, values, states, order)
    values.update(kept)
    evaluation.run(plan.after, values)
    output = values[graph.output].expand(order.total, graph.output.size)
    return output.new_empty(output.shape).index_copy(0, index, output), last


def _loop(
    evaluation: Evaluation, values: Mapping[Node, Tensor], states: Sequence[Tensor], order: TimeMajor
) -> tuple[tuple[Tensor, ...], dict[Node, Tensor]]:
    plan = evaluation.plan
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
