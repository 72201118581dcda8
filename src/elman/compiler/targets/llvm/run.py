"""Steps as compiled kernels, forward and backward, under torch's autograd."""

import threading
from collections.abc import Mapping, Sequence
from functools import cache, cached_property, lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from elman.compiler.gradient import Gradient, Use, differentiate
from elman.compiler.graph import TRANSPOSED, Graph, Node, matrix_of, transposed
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
        # Each parameter once, in the order in which the wide step reads them.
        self.learned = tuple(dict.fromkeys(part.removesuffix(TRANSPOSED) for _, parts in self.parts for part in parts))
        sizes = {node.attribute[0]: node.size for node in graph.nodes if node.op == "product"}
        self.columns = {name: [sizes.get(part, 0) for part in parts] for name, parts in self.parts}

    def wide_weights(self, tensors: Sequence[Tensor]) -> dict[str, Tensor]:
        """The parameters of the wide step from those of the step, in the order of `learned`."""
        return eager.side_by_side(self.wide.parts, self.names, dict(zip(self.learned, tensors, strict=True)))

    def narrow_gradients(self, wide: Mapping[str, Tensor]) -> list[Tensor | None]:
        """The gradients of the step's parameters, in the order of `learned`, from those of the wide step's.

        A matrix that stands in several wide ones gets the sum.
        """
        totals: dict[str, Tensor] = {}
        for name, parts in self.parts:
            found = wide.get(name)
            if found is None:
                continue
            for part, piece in zip(
                parts, _apart(found, self.columns[name]) if len(parts) > 1 else [found], strict=True
            ):
                own = part.removesuffix(TRANSPOSED)
                piece = piece if part == own else piece.t()
                totals[own] = totals[own] + piece if own in totals else piece
        return [totals.get(name) for name in self.learned]

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
        plans = schedule(self.wide.graph), schedule(self.gradient.kept)
        # The gradient of the table goes through the sums for the matrices' gradients, which fixed ones have not.
        are_learned = all(
            matrix_of(node)[0] not in plan.graph.fixed for plan in plans for node in _products_of_input(plan)
        )
        return are_learned and all(map(_reads_products_only, plans))

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
        found |= {use.output for use in gradient.uses}
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
    learned = [weights[name] for name in compiled.learned]
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
    products = Products(kernel, ctx.weights)
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
    found: dict[str, Tensor] = {}

    def add_outer(use: Use, operand: Tensor, d_product: Tensor) -> None:
        left, right = (d_product, operand) if use.is_transposed else (operand, d_product)
        found[use.name] = products.outer(left, right, found.get(use.name))

    later = []
    for use in gradient.uses:
        state = gradient.shifted.get(gradient.saved[use.operand])
        if state is None:
            later.append(use)
        else:
            add_outer(use, _before(ctx, states[state], output), values[outputs[use.output]])
    values = finish(kernel, products, values, ctx.order.total, compiled.wanted(by_loop))
    d_inputs = [
        values[outputs[place]] if place is not None and wish else None
        for place, wish in zip(gradient.inputs, by_loop, strict=True)
    ]
    # Where steps read a table, all that comes after the loop is linear: it can wait until steps of one id are summed.
    by_id: dict[Use, Tensor] = {}
    if ids is not None:
        x = gradient.saved.index(graph.inputs[0])
        for use in later:
            if use.operand == x:
                by_id[use] = products.sum_by_id(values[outputs[use.output]], ids, len(inputs[0]))
        if wishes[0]:
            parts = [products.by_matrix(value, transposed(use.matrix)) for use, value in by_id.items()]
            d_inputs[0] = sum(parts[1:], parts[0])[:, : inputs[0].shape[1]]
    for use in later:
        if use in by_id:
            add_outer(use, inputs[0], by_id[use])
        else:
            add_outer(use, saved[use.operand], values[outputs[use.output]])
    sums: dict[int, Tensor] = {}
    for name, (place, start, stop) in gradient.vectors.items():
        if place not in sums:
            sums[place] = values[outputs[place]].sum(0)
        found[name] = sums[place][start:stop]
    return [*d_inputs, *d_states, *compiled.narrow_gradients(found)]


def _before(ctx: Any, initial: Tensor, steps: Tensor) -> Tensor:
    """What a state was before each step."""
    out = new_rows(steps.shape[0], steps.shape[1], steps.dtype)
    return ctx.order.step_before(steps, initial, out, backward=ctx.reads_backward)


def _apart(wide: Tensor, columns: Sequence[int]) -> Sequence[Tensor]:
    """Matrices that stand side by side, each in one piece if they are of one size: autograd would copy each again."""
    if len(set(columns)) > 1:
        return wide.split_with_sizes(list(columns), 1)
    return wide.unflatten(1, (len(columns), -1)).transpose(0, 1).contiguous().unbind(0)


def _eager_gradients(ctx: Any, tensors: Sequence[Tensor], given: Sequence[Tensor]) -> list[Tensor | None]:
    """Gradients that can be differentiated again: the step once more on torch's operations."""
    graph = ctx.compiled.graph
    inputs, states, learned = _parts(graph, tensors)
    named = dict(zip(ctx.compiled.learned, learned, strict=True))
    given_inputs = inputs
    if ctx.ids is not None:
        given_inputs = [functional.embedding(ctx.ids, inputs[0]), *inputs[1:]]
    outputs, last = eager.run(graph, named, given_inputs, states, ctx.order, backward=ctx.reads_backward)
    wanted = [tensor for tensor in tensors if tensor.requires_grad]
    found = iter(torch.autograd.grad((*outputs, *last), wanted, given, create_graph=True, allow_unused=True))
    return [next(found) if tensor.requires_grad else None for tensor in tensors]
