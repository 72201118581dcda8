"""A step over a batch as one operation of torch, for torch.compile, torch.export, make_fx, jit.trace and fake tensors.

`torch.ops.elman.recurrence` carries the step itself, as JSON: an exported program can be loaded wherever elman is
installed, after `import elman.nn`.
"""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from elman.compiler.derivation import Kept, derive, gradients, joined
from elman.compiler.graph import Graph, from_json, to_json
from elman.compiler.targets import eager
from elman.order import TimeMajor
from elman.tensors import constant_in_compiled_code, resolved

# The step, its tensors, the lengths of the sequences, ids of rows of the first tensor, whether each is read backward.
ARGUMENTS = "str step, Tensor[] tensors, Tensor lengths, Tensor? ids, bool reads_backward"
BACKWARD_ARGUMENTS = ARGUMENTS.replace("Tensor[] tensors", "Tensor[] tensors, Tensor[] kept, Tensor[] given")


def run_recorded(
    graph: Graph,
    weights: Mapping[str, Tensor],
    inputs: Sequence[Tensor],
    states: Sequence[Tensor],
    order: TimeMajor,
    *,
    backward: bool,
    ids: Tensor | None,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Run a step as one operation that torch records, as `dispatch.run` does."""
    step, parameters = _describe(graph)
    tensors = [*inputs, *states, *(weights[name] for name in parameters)]
    lengths = order.lengths
    if not order.is_traced and not torch.compiler.is_compiling():
        lengths = inputs[0].new_tensor(lengths.tolist(), dtype=torch.int64)  # a fake one beside fake inputs
    output, *last = torch.ops.elman.recurrence(step, tensors, lengths, ids, backward)
    return output, tuple(last)


@constant_in_compiled_code
def _describe(graph: Graph) -> tuple[str, tuple[str, ...]]:
    """Return the step as text, and its parameters' names in the order of the operation."""
    return write_step(graph), derive(graph).parameters


def write_step(graph: Graph) -> str:
    """Return the step as text, which is made once and kept with it."""
    if write_step not in graph.derived:
        graph.derived[write_step] = json.dumps(to_json(graph), separators=(",", ":"))
    return graph.derived[write_step]


@lru_cache(maxsize=64)
def read_step(step: str) -> Graph:
    """Return the step that `write_step` wrote."""
    return from_json(json.loads(step))


@lru_cache(maxsize=64)
def _order(lengths: bytes) -> TimeMajor:
    return TimeMajor(np.frombuffer(lengths, np.int64))


def _read_order(lengths: Tensor) -> TimeMajor:
    return _order(lengths.detach().cpu().contiguous().numpy().tobytes())


def _kernels(graph: Graph, tensors: Sequence[Tensor], *, trains: bool) -> Any:
    """Return the kernels of the target that runs the step, None for torch's operations."""
    # `dispatch` is above this file.
    from elman.compiler import dispatch

    return dispatch.batch_kernels(
        dispatch.choose(None, tensors[0].device, tensors[0].dtype, graph, trains=trains).target
    )


# What the operations compute


def _infer(step: str, tensors: list[Tensor], lengths: Tensor, ids: Tensor | None, reads_backward: bool) -> list[Tensor]:
    """Compute the output and the last states."""
    graph, order, tensors = read_step(step), _read_order(lengths), resolved(tensors)
    derivation = derive(graph)
    if kernels := _kernels(graph, tensors, trains=False):
        compiled = kernels.program(graph, tensors[0].dtype)
        read, own = kernels.by_id(compiled, tensors, ids)
        output, last = kernels.infer(compiled, read, kernels.private(own, read[0]), order, reads_backward)
        return _alone([output, *last])
    inputs, states, learned = derivation.split(_embedded(tensors, ids))
    weights = joined(derivation.parts_of(learned))
    outputs, last = eager.run(derivation.wide.graph, weights, inputs, states, order, backward=reads_backward)
    return _alone([outputs[0], *last])


def _keep(step: str, tensors: list[Tensor], lengths: Tensor, ids: Tensor | None, reads_backward: bool) -> list[Tensor]:
    """Compute the output, the last states, and what the backward operation reads."""
    graph, order, tensors = read_step(step), _read_order(lengths), resolved(tensors)
    derivation = derive(graph)
    if kernels := _kernels(graph, tensors, trains=True):
        compiled = kernels.program(graph, tensors[0].dtype)
        read, own = kernels.by_id(compiled, tensors, ids)
        last, kept = kernels.forward(compiled, read, kernels.private(own, read[0]), order, reads_backward)
    else:
        inputs, states, learned = derivation.split(_embedded(tensors, ids))
        weights, graph = joined(derivation.parts_of(learned)), derivation.gradient.kept
        outputs, last = eager.run(graph, weights, inputs, states, order, backward=reads_backward)
        values = dict(zip(graph.outputs, outputs, strict=True))
        kept = Kept(outputs[0], [values[node] for node in derivation.kept_nodes])
    return _alone([kept.output, *last, *kept.values])


def _differentiate(
    step: str,
    tensors: list[Tensor],
    kept: list[Tensor],
    given: list[Tensor],
    lengths: Tensor,
    ids: Tensor | None,
    reads_backward: bool,
) -> list[Tensor]:
    """Compute the gradient of each tensor from those of the output and the last states."""
    graph, order = read_step(step), _read_order(lengths)
    derivation, tensors, given = derive(graph), resolved(tensors), resolved(given)
    known, wishes = Kept(kept[0], kept[1:]), [True] * len(graph.inputs)
    if kernels := _kernels(graph, tensors, trains=True):
        compiled = kernels.program(graph, tensors[0].dtype)
        derivation = compiled.derivation
        read, own = kernels.by_id(compiled, tensors, ids)
        own, engine = kernels.private(own, read[0]), kernels.backward_engine(compiled, order, reads_backward)
    else:
        read, own = _embedded(tensors, ids), None
        engine = eager.BackwardLoop(derivation.gradient.backward, order, not reads_backward)
    found = gradients(derivation, engine, read, known, given, own, wishes)
    if ids is not None and own is None and found[0] is not None:
        found[0] = torch.zeros_like(tensors[0]).index_add_(0, ids, found[0])
    return _alone([torch.zeros_like(to) if each is None else each for each, to in zip(found, tensors, strict=True)])


def _embedded(tensors: Sequence[Tensor], ids: Tensor | None) -> list[Tensor]:
    """Replace the table by the row of each id."""
    return list(tensors) if ids is None else [functional.embedding(ids, tensors[0]), *tensors[1:]]


def _alone(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return the tensors in separate memory, which torch demands of an operation's results."""
    storages = [tensor.untyped_storage().data_ptr() for tensor in tensors]
    return [
        tensor.contiguous() if storages.count(storage) == 1 else tensor.clone(memory_format=torch.contiguous_format)
        for tensor, storage in zip(tensors, storages, strict=True)
    ]


# Their shapes


def _infer_shapes(
    step: str, tensors: list[Tensor], lengths: Tensor, ids: Tensor | None, reads_backward: bool
) -> list[Tensor]:
    graph, like, batch = read_step(step), tensors[0], lengths.shape[0]
    total = (like if ids is None else ids).shape[0]
    return [like.new_empty(total, graph.output.size), *(like.new_empty(batch, node.size) for node in graph.states)]


def _keep_shapes(
    step: str, tensors: list[Tensor], lengths: Tensor, ids: Tensor | None, reads_backward: bool
) -> list[Tensor]:
    found = _infer_shapes(step, tensors, lengths, ids, reads_backward)
    derivation, like, total = derive(read_step(step)), tensors[0], found[0].shape[0]
    return [*found, *(like.new_empty(total, node.size) for node in derivation.kept_nodes)]


def _differentiate_shapes(step: str, tensors: list[Tensor], *_: Any) -> list[Tensor]:
    return [tensor.new_empty(tensor.shape) for tensor in tensors]


# Autograd


class _Recorded(torch.autograd.Function):
    """The operation as autograd sees it."""

    @staticmethod
    def forward(
        ctx: Any, step: str, lengths: Tensor, ids: Tensor | None, reads_backward: bool, *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        found = torch.ops.elman.recurrence_keeping(step, list(tensors), lengths, ids, reads_backward)
        results = 1 + len(read_step(step).states)
        ids_saved = () if ids is None else (ids,)
        ctx.save_for_backward(*tensors, lengths, *ids_saved, found[0], *found[results:])
        ctx.step, ctx.reads_backward, ctx.counts = step, reads_backward, (len(tensors), len(ids_saved))
        return tuple(found[:results])

    @staticmethod
    def backward(ctx: Any, *given: Tensor) -> Any:
        saved, (count, has_ids) = ctx.saved_tensors, ctx.counts
        tensors, lengths, rest = list(saved[:count]), saved[count], list(saved[count + 1 :])
        ids, kept = rest[0] if has_ids else None, rest[has_ids:]
        if torch.is_grad_enabled():
            graph, order = read_step(ctx.step), _read_order(lengths)
            found = eager.gradients(graph, derive(graph), tensors, order, ctx.reads_backward, ids, given)
        else:
            arguments = ctx.step, tensors, kept, list(given), lengths, ids, ctx.reads_backward
            found = torch.ops.elman.recurrence_backward(*arguments)
        wishes = ctx.needs_input_grad[4:]
        return None, None, None, None, *(each if wish else None for each, wish in zip(found, wishes, strict=True))


def _recurrence(
    step: str, tensors: list[Tensor], lengths: Tensor, ids: Tensor | None, reads_backward: bool
) -> list[Tensor]:
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
        return list(_Recorded.apply(step, lengths, ids, reads_backward, *tensors))  # type: ignore[arg-type]
    with torch._C._AutoDispatchBelowAutograd():
        return torch.ops.elman.recurrence(step, tensors, lengths, ids, reads_backward)


def _register() -> torch.library.Library:
    library = torch.library.Library("elman", "DEF")
    for name, arguments, compute, shapes in (
        ("recurrence", ARGUMENTS, _infer, _infer_shapes),
        ("recurrence_keeping", ARGUMENTS, _keep, _keep_shapes),
        ("recurrence_backward", BACKWARD_ARGUMENTS, _differentiate, _differentiate_shapes),
    ):
        library.define(f"{name}({arguments}) -> Tensor[]", tags=(torch.Tag.pt2_compliant_tag,))
        library.impl(name, compute, "CompositeExplicitAutograd")
        torch.library.register_fake(f"elman::{name}", shapes, lib=library)
    library.impl("recurrence", _recurrence, "Autograd")
    return library


LIBRARY = _register()
