"""The target that runs on torch's own operations: any device, any float type, gradients of any order."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from elman.compiler.derivation import Derivation, Values, WideParts, joined
from elman.compiler.fission import Fission, split_loop
from elman.compiler.graph import Graph, Node, find_matrix
from elman.compiler.widen import Parts, widen
from elman.order import TimeMajor

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
    "sign": lambda a: torch.where(a.isnan(), a.detach(), torch.sign(a)),
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
    "floor": torch.floor,
    "round": torch.round,
    "erf": torch.erf,
    "erfc": torch.erfc,
    "log1p": torch.log1p,
    # The gradient of `expm1` is its value plus 1 in torch, which has few digits below 0; that of `elu` has all.
    "expm1": lambda a: torch.where(a < 0.0, torch.nn.functional.elu(a), torch.expm1(a)),
    # Beyond a threshold torch gives the argument itself, which from 40 is right in float64, too.
    "softplus": lambda a: torch.nn.functional.softplus(a, threshold=40.0),
    "stop_gradient": torch.detach,
    "remainder": torch.remainder,
    "power": torch.pow,
    "outer": lambda a, b: (a.unsqueeze(-1) * b.unsqueeze(-2)).flatten(-2),
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
                return torch.tensor([node.attribute], dtype=torch.float64, device="cpu").to(self.like)
            case "vector":
                return self.weights[node.attribute[0]]
            case "slice":
                return args[0][..., slice(*node.attribute)]
            case "expand":
                return args[0].expand(*args[0].shape[:-1], node.size)
            case "concat":
                rows = max((arg.shape[:-1] for arg in args), key=len)
                return torch.cat([arg.expand(*rows, arg.shape[-1]) for arg in args], -1)
            case "power" if node.args[1].op == "number":
                return torch.pow(args[0], node.args[1].attribute)
            case "cumsum":
                return args[0].flip(-1).cumsum(-1).flip(-1) if node.attribute else args[0].cumsum(-1)
            case "contract":
                return _contract(*args, transposed=node.attribute)
        return TORCH[node.op](*args)


def _contract(entries: Tensor, value: Tensor, *, transposed: bool) -> Tensor:
    size = value.shape[-1]
    matrix = entries.unflatten(-1, (size, -1)).mT if transposed else entries.unflatten(-1, (-1, size))
    return (matrix @ value.unsqueeze(-1)).squeeze(-1)


def side_by_side(parts: Parts, names: Iterable[str], weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Make the parameters of a wide step from those of the step as it was written."""
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
        The outputs at every step, `(total, size)`, in the rows of their inputs; the last states, `(batch, size)`.
    """
    parts, cut = _cut(graph)
    index = order.backward_index if backward else order.index
    index = index.to(inputs[0].device)
    names = [parameter.name for parameter in cut.graph.parameters]
    evaluation = Evaluation(side_by_side(parts, names, weights), inputs[0])
    values: dict[Node, Tensor] = {
        node: value.index_select(0, index) for node, value in zip(cut.graph.inputs, inputs, strict=True)
    }
    evaluation.run(cut.before, values)
    last, kept = _loop(cut, evaluation, values, states, order)
    values.update(kept)
    evaluation.run(cut.after, values)
    outputs = [values[node].expand(order.total, node.size) for node in cut.graph.outputs]
    found = tuple(output.new_empty(output.shape).index_copy(0, index, output) for output in outputs)
    if order.longest == 0 and (anchor := _anchor([*inputs, *states, *weights.values()])) is not None:
        return tuple(output + anchor for output in found), tuple(state + anchor for state in last)
    return found, last


def _cut(step: Graph) -> tuple[Parts, Fission]:
    """Cut the wide form of a step into three parts, once, and keep them with the step."""
    if _cut not in step.derived:
        wide = widen(step)
        step.derived[_cut] = wide.parts, split_loop(wide.graph)
    return step.derived[_cut]


def _loop(
    cut: Fission, evaluation: Evaluation, values: Mapping[Node, Tensor], states: Sequence[Tensor], order: TimeMajor
) -> tuple[tuple[Tensor, ...], dict[Node, Tensor]]:
    entering = {node: _by_step(values[node], order.rows) for node in cut.entering}
    device = states[0].device
    sorted_by_length = order.sequences.to(device)
    current = [state.index_select(0, sorted_by_length) for state in states]
    ended: list[list[Tensor]] = [[] for _ in states]
    kept: dict[Node, list[Tensor]] = {node: [] for node in cut.kept}
    for step, rows in enumerate(order.rows):
        if rows < len(current[0]):
            for position, state in enumerate(current):
                current[position], done = state.tensor_split([rows])
                ended[position].append(done)
        here = {node: steps[step] for node, steps in entering.items()}
        here.update(zip(cut.graph.states, current, strict=True))
        evaluation.run(cut.inside, here)
        for node, steps in kept.items():
            steps.append(here[node])
        current = [here[node].expand(rows, node.size) for node in cut.graph.following]
    restored = order.restored.to(device)
    last = tuple(
        torch.cat([state, *reversed(done)]).index_select(0, restored)
        for state, done in zip(current, ended, strict=True)
    )
    empty = {node: evaluation.like.new_zeros((0, node.size)) for node in kept}
    return last, {node: torch.cat(steps) if steps else empty[node] for node, steps in kept.items()}


def _anchor(tensors: Sequence[Tensor]) -> Tensor | None:
    """Return a zero that depends on all tensors.

    Where no step is run, it makes their gradients zeros; otherwise these would be missing.
    """
    zeros = [tensor.reshape(-1)[:0].sum() for tensor in tensors if tensor.requires_grad]
    return sum(zeros[1:], zeros[0]) if zeros and torch.is_grad_enabled() else None


def _by_step(value: Tensor, rows: list[int]) -> Sequence[Tensor]:
    """Return the value at each step, the same at all if it depends on no input."""
    return value.split(rows) if value.dim() == 2 else [value] * len(rows)


def gradients(
    graph: Graph,
    derivation: Derivation,
    tensors: Sequence[Tensor],
    order: TimeMajor,
    reads_backward: bool,
    ids: Tensor | None,
    given: Sequence[Tensor],
) -> list[Tensor | None]:
    """Compute gradients that can be differentiated again, or batched.

    They run the step once more on torch's operations.
    """
    create_graph = torch.is_grad_enabled()
    with torch.enable_grad():
        if not create_graph:
            tensors = [tensor.detach().requires_grad_(tensor.requires_grad) for tensor in tensors]
        inputs, states, learned = derivation.split(tensors)
        if ids is not None:
            inputs = [functional.embedding(ids, inputs[0]), *inputs[1:]]
        named = dict(zip(derivation.parameters, learned, strict=True))
        outputs, last = run(graph, named, inputs, states, order, backward=reads_backward)
    results = [(one, d) for one, d in zip((*outputs, *last), given, strict=True) if one.requires_grad]
    wanted = [tensor for tensor in tensors if tensor.requires_grad]
    if not results or not wanted:
        return [None] * len(tensors)
    ends, slopes = zip(*results, strict=True)
    found = iter(torch.autograd.grad(ends, wanted, slopes, create_graph=create_graph, allow_unused=True))
    return [next(found) if tensor.requires_grad else None for tensor in tensors]


class BackwardLoop:
    """The backward step of a batch on torch's operations, without autograd: an `Engine`.

    Args:
        step: the backward step.
        order: of the batch.
        reads_backward: read every sequence from its last step to its first.
    """

    def __init__(self, step: Graph, order: TimeMajor, reads_backward: bool):
        self.step, self.order, self.reads_backward = step, order, reads_backward

    def loop(
        self, weights: WideParts, inputs: Sequence[Tensor], states: Sequence[Tensor]
    ) -> tuple[Values, Sequence[Tensor]]:
        """Run the steps."""
        self.weights = joined(weights)
        outputs, last = run(self.step, self.weights, inputs, states, self.order, backward=self.reads_backward)
        return dict(zip(self.step.outputs, outputs, strict=True)), last

    def finish(self, values: Values, wanted: tuple[Node, ...]) -> Values:
        """Return the values, all of which are known."""
        return values

    def new_rows(self, like: Tensor) -> Tensor:
        """Allocate memory of the shape and type of a tensor."""
        return torch.empty_like(like)

    def outer(self, operand: Tensor, gradient: Tensor, total: Tensor | None = None) -> Tensor:
        """Sum the outer products over all steps, and add them to a total."""
        found = operand.t() @ gradient
        return found if total is None else total + found

    def by_matrix(self, operand: Tensor, name: str) -> Tensor:
        """Multiply by a parameter."""
        return operand @ find_matrix(self.weights, name)

    def sum_by_id(self, value: Tensor, ids: Tensor, count: int) -> Tensor:
        """Sum the rows of each id."""
        return value.new_zeros(count, value.shape[1]).index_add_(0, ids, value)
