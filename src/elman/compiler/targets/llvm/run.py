"""Steps as compiled kernels, forward and backward, under torch's autograd."""

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import cached_property
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from elman.compiler.derivation import Derivation, Engine, Kept, Values, WideParts, gradients
from elman.compiler.fission import LEAVES
from elman.compiler.gradient import Gradient
from elman.compiler.graph import Graph, Node, matrix_of
from elman.compiler.schedule import Schedule, schedule
from elman.compiler.targets import eager
from elman.compiler.targets.llvm import machine
from elman.compiler.targets.llvm.execute import Products, finish, new_rows, run_loop
from elman.compiler.targets.llvm.loop import Kernel, build
from elman.errors import ShapeError
from elman.order import TimeMajor
from elman.tensors import read, without_modes


class Program:
    """A step compiled for one dtype: kernels are built when they are first needed.

    Args:
        graph: the step.
        dtype: float32 or float64.

    Attributes:
        derivation: the step with its gradient.
    """

    def __init__(self, graph: Graph, dtype: torch.dtype):
        self.dtype = np.dtype(str(dtype).removeprefix("torch."))
        self.derivation = Derivation(graph)
        self._building = threading.Lock()
        self._refusals: dict[bool, str] = {}

    @property
    def graph(self) -> Graph:
        """The step in which every value is multiplied once."""
        return self.derivation.wide.graph

    @property
    def gradient(self) -> Gradient:
        """The step with its gradient."""
        return self.derivation.gradient

    @cached_property
    def inference(self) -> Kernel:
        """The step alone, without saved values."""
        return build(schedule(self.graph), self.dtype)

    @cached_property
    def inference_by_id(self) -> Kernel:
        """The same kernel for a first input that is a table, of which each step reads the row of its id."""
        return self._build_by_id(self.graph)

    @cached_property
    def forward(self) -> Kernel:
        """The step, which also saves what the backward step reads."""
        return build(schedule(self.gradient.kept), self.dtype)

    @cached_property
    def forward_by_id(self) -> Kernel:
        """The same kernel for a first input that is a table, of which each step reads the row of its id."""
        return self._build_by_id(self.gradient.kept)

    def _build_by_id(self, graph: Graph) -> Kernel:
        plan = schedule(graph)
        return build(plan, self.dtype, frozenset(_products_of_input(plan)))

    @cached_property
    def can_read_by_id(self) -> bool:
        """Whether the step reads its first input only through products that can be made once for each id."""
        plans = schedule(self.graph), schedule(self.gradient.kept)
        # The table's gradient is computed with those of the matrices, and fixed matrices have none.
        are_learned = all(
            matrix_of(node)[0] not in plan.graph.fixed for plan in plans for node in _products_of_input(plan)
        )
        return are_learned and all(map(_reads_products_only, plans))

    @cached_property
    def backward(self) -> Kernel:
        """The backward step."""
        return build(schedule(self.gradient.backward), self.dtype)

    def refusal(self, *, trains: bool) -> str:
        """Build the kernels of a step, or both of a training step.

        Returns:
            Why they cannot be built, "" if they were built.
        """
        if trains not in self._refusals:
            # Two threads would each make a gradient, and mix up their nodes.
            with self._building:
                if trains not in self._refusals:
                    self._refusals[trains] = self._try_to_build(trains)
        return self._refusals[trains]

    def _try_to_build(self, trains: bool) -> str:
        try:
            _ = (self.forward, self.backward) if trains else self.inference
        except machine.Unavailable as reason:
            return reason.problem
        return ""


def _products_of_input(plan: Schedule) -> list[Node]:
    return [node for node in plan.before if node.op == "product" and node.args[0] is plan.graph.inputs[0]]


def _reads_products_only(plan: Schedule) -> bool:
    graph, products = plan.graph, _products_of_input(plan)
    x = graph.inputs[0]
    users = [node for node in graph.nodes if x in node.args]
    # The backward step reads the input itself only after the loop, for the gradients of the matrices.
    kept = {*graph.outputs, *graph.following} - {x}
    return set(users) <= set(products) and not kept & set(products) and x not in (graph.output, *graph.following)


RECENT = 32  # programs that are kept for new layers, besides those in use
_PROGRAMS: WeakValueDictionary[tuple[str, torch.dtype, int], Program] = WeakValueDictionary()
_LATEST: OrderedDict[tuple[str, torch.dtype, int], Program] = OrderedDict()
_TABLE = threading.Lock()


def program(graph: Graph, dtype: torch.dtype) -> Program:
    """Return the compiled step, one for all steps with the same equations."""
    bits = machine.host().bits
    found = graph.derived.get((dtype, bits))
    if found is None:
        key = graph.equations, dtype, bits
        with _TABLE:
            found = _PROGRAMS.get(key)
            if found is None:
                found = _PROGRAMS[key] = Program(graph, dtype)
            _LATEST[key] = found
            _LATEST.move_to_end(key)
            if len(_LATEST) > RECENT:
                _LATEST.popitem(last=False)
        graph.derived[dtype, bits] = found
    return found


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
    """Run a step over every sequence of a batch, as `targets.eager.run` does.

    With `ids`, `(total,)`, the first input is a table, and each step reads the row of its id. Where the step reads
    only products of it, and the table has at most as many rows as the batch has steps, the table itself is multiplied,
    and not a row for each step.

    Raises:
        Unavailable: this machine has no kernels.
    """
    compiled = program(graph, inputs[0].dtype)
    learned = (weights[name] for name in compiled.derivation.parameters)
    tensors, ids = by_id(compiled, [*inputs, *states, *learned], ids)
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
        output, *last = _Run.apply(compiled, graph, order, backward, ids, *tensors)  # type: ignore[misc]
        return (output,), tuple(last)
    # A context takes longer than the question whether it is needed.
    with torch.no_grad() if torch.is_grad_enabled() else nullcontext(), without_modes():
        output, last = infer(compiled, tensors, private(ids, tensors[0]), order, backward)
    return (output,), last


def by_id(compiled: Program, tensors: Sequence[Tensor], ids: Tensor | None) -> tuple[list[Tensor], Tensor | None]:
    """Return the tensors and the ids to read by.

    Where it is better to give each step the row of its id, the rows are in the tensors, and the ids are None.
    """
    table = tensors[0]
    if ids is None or (len(table) <= len(ids) and compiled.can_read_by_id):
        return list(tensors), ids
    return [functional.embedding(ids, table), *tensors[1:]], None


def private(ids: Tensor | None, table: Tensor) -> Tensor | None:
    """Check ids and copy them, so that they stay valid if the original changes.

    Raises:
        ShapeError: an id is not a row of the table.
    """
    if ids is None or not len(ids):
        return ids
    ids = ids.clone(memory_format=torch.contiguous_format)
    least, most = torch.aminmax(ids)
    if not 0 <= int(least) <= int(most) < len(table):
        raise ShapeError(
            f"Expected ids from 0 to {len(table) - 1}, got ids from {int(least)} to {int(most)}.",
            fix="Give a table with a row for each id.",
        )
    return ids


def infer(
    compiled: Program, tensors: Sequence[Tensor], ids: Tensor | None, order: TimeMajor, reads_backward: bool
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Compute the output and the last states, without saving values and without autograd."""
    inputs, states, learned = compiled.derivation.split(tensors)
    kernel = compiled.inference if ids is None else compiled.inference_by_id
    products = Products(kernel, compiled.derivation.parts_of(learned))
    values, last = run_loop(kernel, products, inputs, states, order, backward=reads_backward, ids=ids)
    output = compiled.graph.output
    return _own(finish(kernel, products, values, order.total, [output])[output], output), last


def forward(
    compiled: Program, tensors: Sequence[Tensor], ids: Tensor | None, order: TimeMajor, reads_backward: bool
) -> tuple[tuple[Tensor, ...], Kept]:
    """Compute the last states, the output and the saved values, without autograd."""
    derivation, graph = compiled.derivation, compiled.gradient.kept
    inputs, states, learned = derivation.split(tensors)
    kernel = compiled.forward if ids is None else compiled.forward_by_id
    products = Products(kernel, derivation.parts_of(learned))
    values, last = run_loop(kernel, products, inputs, states, order, backward=reads_backward, ids=ids)
    values = finish(kernel, products, values, order.total, graph.outputs)
    output = _own(values[graph.output], graph.output)
    return last, Kept(output, [values[node] for node in derivation.kept_nodes])


class _BackwardKernel:
    """The kernel of a backward step over a batch: an `Engine`."""

    def __init__(self, kernel: Kernel, order: TimeMajor, reads_backward: bool):
        self.kernel, self.order, self.reads_backward = kernel, order, reads_backward

    def loop(
        self, weights: WideParts, inputs: Sequence[Tensor], states: Sequence[Tensor]
    ) -> tuple[Values, Sequence[Tensor]]:
        self.products = Products(self.kernel, weights)
        return run_loop(self.kernel, self.products, inputs, states, self.order, backward=self.reads_backward)

    def finish(self, values: Values, wanted: tuple[Node, ...]) -> Values:
        return finish(self.kernel, self.products, values, self.order.total, wanted)

    def new_rows(self, like: Tensor) -> Tensor:
        return new_rows(like.shape[0], like.shape[1], like.dtype)

    def outer(self, operand: Tensor, gradient: Tensor, total: Tensor | None = None) -> Tensor:
        return self.products.outer(operand, gradient, total)

    def by_matrix(self, operand: Tensor, name: str) -> Tensor:
        return self.products.by_matrix(operand, name)

    def sum_by_id(self, value: Tensor, ids: Tensor, count: int) -> Tensor:
        return self.products.sum_by_id(value, ids, count)


def backward_engine(compiled: Program, order: TimeMajor, reads_backward: bool) -> Engine:
    """Return the backward step's engine for sequences that were read in this direction."""
    return _BackwardKernel(compiled.backward, order, not reads_backward)


class _Run(torch.autograd.Function):
    """A step as torch's autograd sees it: of (program, step, order, direction, ids, inputs, states, parameters)."""

    @staticmethod
    def forward(
        ctx: Any,
        compiled: Program,
        graph: Graph,
        order: TimeMajor,
        reads_backward: bool,
        ids: Tensor | None,
        *tensors: Tensor,
    ) -> Any:
        with without_modes():
            own_ids = private(ids, tensors[0])
            last, kept = forward(compiled, tensors, own_ids, order, reads_backward)
        # Autograd checks that the given ids have not changed; the copy is the one that is read.
        saved_ids = () if ids is None else (ids, own_ids)
        ctx.save_for_backward(*tensors, *saved_ids, kept.output, *kept.values)
        ctx.counts = len(tensors), len(saved_ids)
        ctx.compiled, ctx.graph, ctx.order, ctx.reads_backward = compiled, graph, order, reads_backward
        return kept.output, *last

    @staticmethod
    def backward(ctx: Any, *given: Tensor) -> Any:
        tensors, ids = ctx.counts
        read_all, has_others = read((*given, *ctx.saved_tensors))
        slopes, saved = read_all[: len(given)], read_all[len(given) :]
        given_ids, saved = saved[tensors : tensors + ids], (*saved[:tensors], *saved[tensors + ids :])
        own_ids = given_ids[-1] if given_ids else None
        first, rest = saved[:tensors], saved[tensors:]
        if torch.is_grad_enabled() or has_others:
            found = eager.gradients(
                ctx.graph, ctx.compiled.derivation, first, ctx.order, ctx.reads_backward, own_ids, slopes
            )
            return (*[None] * NO_TENSORS, *found)
        kept = Kept(rest[0], rest[1:])
        with without_modes():
            wishes = ctx.needs_input_grad[NO_TENSORS:][: len(ctx.graph.inputs)]
            engine = backward_engine(ctx.compiled, ctx.order, ctx.reads_backward)
            found = gradients(ctx.compiled.derivation, engine, first, kept, slopes, own_ids, wishes)
        return (*[None] * NO_TENSORS, *found)


NO_TENSORS = 5  # the first arguments of `_Run`


def _own(value: Tensor, node: Node) -> Tensor:
    """Copy a value that is an input or a parameter, so that the caller may change the output."""
    return value.clone(memory_format=torch.contiguous_format) if node.op in ("input", *LEAVES) else value
