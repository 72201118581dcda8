"""Steps as compiled kernels, forward and backward, under torch's autograd."""

import threading
from collections.abc import Mapping, Sequence
from functools import cache, cached_property, lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from elman.compiler.gradient import TRANSPOSED, Gradient, differentiate
from elman.compiler.graph import Graph, Node
from elman.compiler.order import TimeMajor
from elman.compiler.schedule import LEAVES, Schedule, schedule
from elman.compiler.targets import eager
from elman.compiler.targets.llvm.execute import Products, finish, new_rows, run_loop
from elman.compiler.targets.llvm.loop import Kernel, build
from elman.compiler.widen import Wide, widen


class Program:
    """A step compiled for one dtype: kernels are built when they are first needed.

    Args:
        graph: the step.
        dtype: float32 or float64.
    """

    def __init__(self, graph: Graph, dtype: torch.dtype):
        self.graph = graph
        self.dtype = np.dtype(str(dtype).removeprefix("torch."))
        self.wide: Wide = widen(graph)
        self._building = threading.Lock()
        self.wanted = cache(self._wanted)  # its own: one of the class would keep every program for ever
        self.names = tuple(parameter.name for parameter in self.wide.graph.parameters)
        self.parts = [(name, self.wide.parts.get(name, (name,))) for name in self.names]
        sizes = {parameter.name: parameter.shape[-1] for parameter in graph.parameters}
        self.columns = {name: [sizes[part] for part in parts] for name, parts in self.parts}

    def wide_weights(self, tensors: Sequence[Tensor]) -> dict[str, Tensor]:
        """The parameters of the wide step from all parts, in the order of `parts`."""
        rest = iter(tensors)
        found = {name: [next(rest) for _ in names] for name, names in self.parts}
        return {name: parts[0] if len(parts) == 1 else torch.cat(parts, 1) for name, parts in found.items()}

    @cached_property
    def gradient(self) -> Gradient:
        """The step with its gradient."""
        return differentiate(self.wide.graph)

    @cached_property
    def inference(self) -> Kernel:
        """The step alone, without saved values."""
        return build(schedule(self.wide.graph), self.dtype)

    @cached_property
    def inference_by_id(self) -> Kernel:
        """The same where the first input is a table, and each step reads the row of its id."""
        return self._build_by_id(self.wide.graph)

    @cached_property
    def forward(self) -> Kernel:
        """The step, saving what the backward step reads."""
        return build(schedule(self.gradient.kept), self.dtype)

    @cached_property
    def forward_by_id(self) -> Kernel:
        """The same where the first input is a table, and each step reads the row of its id."""
        return self._build_by_id(self.gradient.kept)

    def _build_by_id(self, graph: Graph) -> Kernel:
        plan = schedule(graph)
        return build(plan, self.dtype, frozenset(_products_of_input(plan)))

    @cached_property
    def can_read_by_id(self) -> bool:
        """Whether the step reads its first input only through products that can be made once for each id."""
        return _reads_products_only(schedule(self.wide.graph)) and _reads_products_only(schedule(self.gradient.kept))

    @cached_property
    def backward(self) -> Kernel:
        """The backward step."""
        return build(schedule(self.gradient.backward), self.dtype)

    def build(self, *, trains: bool) -> None:
        """Build the kernels of a step, or both of a training step, now: what cannot be built is known at once."""
        # Two threads would each make a gradient, and take nodes of one for those of the other.
        with self._building:
            _ = (self.forward, self.backward) if trains else self.inference

    def _wanted(self, inputs: tuple[bool, ...]) -> tuple[Node, ...]:
        """The outputs of the backward step that are needed, given which inputs need a gradient."""
        gradient = self.gradient
        found = {output for output, wish in zip(gradient.inputs, inputs, strict=True) if output is not None and wish}
        found |= {output for output, _, _ in gradient.vectors.values()}
        found |= {output for _, output in gradient.matrices.values()}
        return tuple(gradient.backward.outputs[output] for output in sorted(found))


def _products_of_input(plan: Schedule) -> list[Node]:
    return [node for node in plan.before if node.op == "product" and node.args[0] is plan.graph.inputs[0]]


def _reads_products_only(plan: Schedule) -> bool:
    graph, products = plan.graph, _products_of_input(plan)
    x = graph.inputs[0]
    users = [node for node in graph.nodes if x in node.args]
    # What backward reads of the input itself, for its matrices' gradients, is read after the loop.
    kept = {*graph.outputs, *graph.following} - {x}
    return set(users) <= set(products) and not kept & set(products) and x not in (graph.output, *graph.following)


@lru_cache(maxsize=256)
def program(graph: Graph, dtype: torch.dtype) -> Program:
    """The compiled step; made once for each graph and dtype."""
    return Program(graph, dtype)


def run(
    graph: Graph,
    weights: Mapping[str, Tensor],
    inputs: Sequence[Tensor],
    states: Sequence[Tensor],
    order: TimeMajor,
    *,
    backward: bool = False,
    ids: Tensor | None = None,
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Run a step over every sequence of a batch; see `targets.eager.run`.

    With `ids`, `(total,)`, the first input is a table, and each step reads the row of its id. Where the step reads
    nothing but products of it, and the table has no more rows than the batch steps, the products are made of the
    table: there is no row for each step.

    Raises:
        Unavailable: this machine has no kernels.
    """
    compiled = program(graph, inputs[0].dtype)
    if ids is not None and not (len(inputs[0]) <= len(ids) and compiled.can_read_by_id):
        inputs, ids = [functional.embedding(ids, inputs[0]), *inputs[1:]], None
    learned = [weights[part] for _, parts in compiled.parts for part in parts]
    tensors = [*inputs, *states, *learned]
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
        compiled.build(trains=True)
        output, *last = _Run.apply(compiled, order, backward, ids, *tensors)  # type: ignore[misc]
        return (output,), tuple(last)
    with torch.no_grad():
        kernel = compiled.inference if ids is None else compiled.inference_by_id
        products = Products(kernel, compiled.wide_weights(learned))
        values, last = run_loop(kernel, products, inputs, states, order, backward=backward, ids=ids)
        values = finish(kernel, products, values, order.total, compiled.wide.graph.outputs)
    return tuple(_own(values[node], node) for node in compiled.wide.graph.outputs), last


class _Run(torch.autograd.Function):
    """A step as torch's autograd sees it: of (program, order, direction, ids, inputs, states, parameters)."""

    @staticmethod
    def forward(
        ctx: Any, compiled: Program, order: TimeMajor, reads_backward: bool, ids: Tensor | None, *tensors: Tensor
    ) -> Any:
        graph = compiled.gradient.kept
        inputs, states, learned = _parts(graph, tensors)
        kernel = compiled.forward if ids is None else compiled.forward_by_id
        weights = compiled.wide_weights(learned)
        products = Products(kernel, weights)
        values, last = run_loop(kernel, products, inputs, states, order, backward=reads_backward, ids=ids)
        values = finish(kernel, products, values, order.total, graph.outputs)
        output = _own(values[graph.output], graph.output)
        own = {node: values[node] for node in graph.outputs[1:] if node not in graph.inputs}
        # The output can be changed by whoever gets it, so that autograd must watch it; nobody else has the others.
        ctx.save_for_backward(*tensors, output)
        ctx.own, ctx.weights, ctx.ids = own, weights, ids
        ctx.compiled, ctx.order, ctx.reads_backward = compiled, order, reads_backward
        return output, *last

    @staticmethod
    def backward(ctx: Any, *given: Tensor) -> Any:
        *tensors, output = ctx.saved_tensors
        if torch.is_grad_enabled():
            return (None, None, None, None, *_eager_gradients(ctx, tensors, given))
        return (None, None, None, None, *_gradients(ctx, tensors, output, given))


def _own(value: Tensor, node: Node) -> Tensor:
    """The value in memory of its own: whoever changes an output must not change an input or a parameter."""
    return value.clone(memory_format=torch.contiguous_format) if node.op in ("input", *LEAVES) else value


def _parts(graph: Graph, tensors: Sequence[Tensor]) -> tuple[Sequence[Tensor], Sequence[Tensor], Sequence[Tensor]]:
    inputs, states = len(graph.inputs), len(graph.inputs) + len(graph.states)
    return tensors[:inputs], tensors[inputs:states], tensors[states:]


def _gradients(ctx: Any, tensors: Sequence[Tensor], output: Tensor, given: Sequence[Tensor]) -> list[Tensor | None]:
    compiled: Program = ctx.compiled
    gradient, kernel = compiled.gradient, compiled.backward
    graph = gradient.forward
    inputs, states, _ = _parts(graph, tensors)
    named: dict[str, Tensor] = ctx.weights
    transposed = {name + TRANSPOSED: value.t() for name, value in named.items() if value.dim() == 2}
    products = Products(kernel, {**named, **transposed})
    known = {graph.output: output, **dict(zip(graph.inputs, inputs, strict=True)), **ctx.own}
    saved = [known.get(node, output) for node in gradient.saved]  # nothing in the loop reads one that is not known
    wishes = tuple(ctx.needs_input_grad[4 : 4 + len(inputs)])
    ids: Tensor | None = ctx.ids
    by_loop = wishes if ids is None else (False, *wishes[1:])
    outputs = gradient.backward.outputs
    values, d_states = run_loop(
        kernel, products, [*saved, given[0]], given[1:], ctx.order, backward=not ctx.reads_backward
    )
    # Here and not later: what stood before each step takes memory that the rest can have after it.
    shifted = {
        name: _outer_before(
            ctx, products, states[gradient.shifted[gradient.saved[operand]]], output, values[outputs[place]]
        )
        for name, (operand, place) in gradient.matrices.items()
        if gradient.saved[operand] in gradient.shifted
    }
    values = finish(kernel, products, values, ctx.order.total, compiled.wanted(by_loop))
    d_inputs = [
        values[outputs[place]] if place is not None and wish else None
        for place, wish in zip(gradient.inputs, by_loop, strict=True)
    ]
    # Where steps read a table, all that comes after the loop is linear: it can wait until steps of one id are summed.
    by_id: dict[str, Tensor] = {}
    if ids is not None:
        x = gradient.saved.index(graph.inputs[0])
        for name, (operand, place) in gradient.matrices.items():
            if operand == x:
                by_id[name] = products.sum_by_id(values[outputs[place]], ids, len(inputs[0]))
        if wishes[0]:
            parts = [products.by_matrix(value, name + TRANSPOSED) for name, value in by_id.items()]
            d_inputs[0] = sum(parts[1:], parts[0])[:, : inputs[0].shape[1]]
    sums: dict[int, Tensor] = {}

    def of_parameter(name: str) -> Tensor | None:
        if name in gradient.matrices:
            operand, place = gradient.matrices[name]
            if name in shifted:
                return shifted[name]
            if name in by_id:
                return products.outer(inputs[0], by_id[name])
            return products.outer(saved[operand], values[outputs[place]])
        if name not in gradient.vectors:
            return None
        place, start, stop = gradient.vectors[name]
        if place not in sums:
            sums[place] = values[outputs[place]].sum(0)
        return sums[place][start:stop]

    learned: list[Tensor | None] = []
    for name, parts in compiled.parts:
        found = of_parameter(name)
        if found is None or len(parts) == 1:
            learned += [found] * len(parts)
        else:
            learned += _apart(found, compiled.columns[name])
    return [*d_inputs, *d_states, *learned]


def _outer_before(ctx: Any, products: Products, initial: Tensor, steps: Tensor, gradient: Tensor) -> Tensor:
    """The sum over all steps of the outer products of what a state was before the step and the step's gradient."""
    out = new_rows(steps.shape[0], steps.shape[1], steps.dtype)
    before = ctx.order.step_before(steps, initial, out, backward=ctx.reads_backward)
    return products.outer(before, gradient)


def _apart(wide: Tensor, columns: Sequence[int]) -> Sequence[Tensor]:
    """Matrices that stand side by side, each in one piece if they are of one size: autograd would copy each again."""
    if len(set(columns)) > 1:
        return wide.split_with_sizes(list(columns), 1)
    return wide.unflatten(1, (len(columns), -1)).transpose(0, 1).contiguous().unbind(0)


def _eager_gradients(ctx: Any, tensors: Sequence[Tensor], given: Sequence[Tensor]) -> list[Tensor | None]:
    """Gradients that can be differentiated again: the step once more on torch's operations."""
    graph = ctx.compiled.graph
    inputs, states, learned = _parts(graph, tensors)
    named = dict(zip([part for _, parts in ctx.compiled.parts for part in parts], learned, strict=True))
    given_inputs = inputs
    if ctx.ids is not None:
        given_inputs = [functional.embedding(ctx.ids, inputs[0]), *inputs[1:]]
    outputs, last = eager.run(graph, named, given_inputs, states, ctx.order, backward=ctx.reads_backward)
    wanted = [tensor for tensor in tensors if tensor.requires_grad]
    found = iter(torch.autograd.grad((*outputs, *last), wanted, given, create_graph=True, allow_unused=True))
    return [next(found) if tensor.requires_grad else None for tensor in tensors]
