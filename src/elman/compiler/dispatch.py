"""Which target runs a step, and why."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from elman.compiler import reference
from elman.compiler.autocast import autocast_type, lowered, without_autocast
from elman.compiler.graph import Graph, all_learned
from elman.compiler.targets import eager
from elman.compiler.targets import torch as fused
from elman.errors import ShapeError, UsageError, nearest
from elman.order import TimeMajor
from elman.tensors import is_recorded, is_transformed, read

# Attributes of all tensors of a call are read by `map`, which is faster than a loop.
_shape_of, _requires_grad = attrgetter("shape"), attrgetter("requires_grad")

# Outputs at every step and last states of a step; see `targets.eager.run`.
Result = tuple[tuple[Tensor, ...], tuple[Tensor, ...]]


@dataclass(frozen=True)
class Target:
    """What runs a step.

    Args:
        run: runs the step over a batch; see `targets.eager.run`.
        refusal: returns why the target does not run a step, "" if it does; None if it runs every step.
        reads_memory: whether it reads tensors by their addresses in the memory of the CPU.
        takes_ids: whether `run` takes `ids`, with which the first input is a table and each step reads a row of it.
        step_kernels: returns a module that runs one step at a time, with a `StepKernel` and a `LinearKernel` as
            those of `targets.llvm.stream`.
        batch_kernels: returns a module that runs forward and backward apart, with the functions of `targets.llvm.run`
            that `operation` calls.
    """

    run: Callable[..., Result]
    refusal: Callable[[Graph], str] | None = None
    reads_memory: bool = False
    takes_ids: bool = False
    step_kernels: Callable[[], Any] | None = None
    batch_kernels: Callable[[], Any] | None = None


@dataclass(frozen=True)
class Choice:
    """A target and the reason for choosing it."""

    target: str
    reason: str

    def __str__(self) -> str:
        return f"{self.target}: {self.reason}"


KERNELS = Choice("llvm", "kernels compiled for this processor")


def _run_reference(
    graph: Graph,
    weights: Mapping[str, Tensor],
    inputs: Sequence[Tensor],
    states: Sequence[Tensor],
    order: TimeMajor,
    *,
    backward: bool = False,
) -> Result:
    if torch.is_grad_enabled() and any(value.requires_grad for value in (*weights.values(), *inputs, *states)):
        raise UsageError(
            "The target `reference` gives no gradients.",
            fix="Run it under torch.no_grad(), or use another target.",
        )
    plain = lambda value: value.detach().cpu().numpy()  # noqa: E731
    outputs, last = reference.run(
        graph,
        {name: plain(value) for name, value in weights.items()},
        [plain(value) for value in inputs],
        [plain(value) for value in states],
        order.lengths.tolist(),
        backward=backward,
    )
    again = lambda value: torch.as_tensor(value).to(inputs[0])  # noqa: E731
    return tuple(map(again, outputs)), tuple(map(again, last))


def _run_llvm(
    graph: Graph,
    weights: Mapping[str, Tensor],
    inputs: Sequence[Tensor],
    states: Sequence[Tensor],
    order: TimeMajor,
    *,
    backward: bool = False,
    ids: Tensor | None = None,
) -> Result:
    return _llvm_batch_kernels().run(graph, weights, inputs, states, order, backward=backward, ids=ids)


def _llvm_batch_kernels() -> Any:
    # llvmlite is only needed where kernels are built.
    from elman.compiler.targets.llvm import run

    return run


def _llvm_step_kernels() -> Any:
    from elman.compiler.targets.llvm import stream

    return stream


TARGETS: dict[str, Target] = {
    "llvm": Target(
        _run_llvm,
        reads_memory=True,
        takes_ids=True,
        step_kernels=_llvm_step_kernels,
        batch_kernels=_llvm_batch_kernels,
    ),
    "torch": Target(fused.run, fused.refusal),
    "eager": Target(eager.run),
    "reference": Target(_run_reference),
}

# Targets that run every step.
GENERAL = tuple(name for name, target in TARGETS.items() if target.refusal is None)


def step_kernels(target: str) -> Any:
    """Return the module of a target's kernels for single steps, None if it has none."""
    load = TARGETS[target].step_kernels
    return load() if load else None


def batch_kernels(target: str) -> Any:
    """Return the module of a target's kernels for batches, None if it has none."""
    load = TARGETS[target].batch_kernels
    return load() if load else None


def choose(
    requested: str | None,
    device: torch.device | None = None,
    dtype: torch.dtype | None = None,
    graph: Graph | None = None,
    *,
    trains: bool = True,
) -> Choice:
    """Choose the target for a call.

    Args:
        requested: a target by name, or `None` to leave the choice to elman.
        device: where the tensors are; the CPU if not given.
        dtype: of the tensors; float32 if not given.
        graph: the step; if not given, one whose kernels can be built, as nearly all can.
        trains: whether gradients are needed.

    Raises:
        UsageError: the target does not exist, or cannot read the memory of this device.
    """
    if requested is not None:
        if requested not in TARGETS:
            raise UsageError(f"There is no target `{requested}`.", fix=nearest(requested, TARGETS))
        if TARGETS[requested].reads_memory and device is not None and device.type != "cpu":
            raise _no_memory(requested, f"tensors on {device}")
        return Choice(requested, "asked for by name")
    is_on_gpu = device is not None and device.type == "cuda"
    if is_on_gpu and graph is not None and not fused.refusal(graph) and not is_transformed():
        return Choice("torch", "torch's fused kernels for a GPU, of which the step has the equations")
    if device is not None and device.type != "cpu":
        return Choice("eager", f"torch's operations, step by step: kernels are for the CPU, and this is {device.type}")
    if dtype not in (None, torch.float32, torch.float64):
        return Choice("eager", f"torch's operations, step by step: kernels are for float32 and float64, not {dtype}")
    if is_transformed():
        return Choice("eager", "torch's operations, step by step: a transformation of torch (vmap, jvp) needs them")
    if reason := _why_no_kernels():
        return Choice("eager", f"torch's operations, step by step: {reason}")
    if graph is not None and (reason := _why_not_built(graph, dtype or torch.float32, trains)):
        return Choice("eager", f"torch's operations, step by step: {reason}")
    return KERNELS


def _no_memory(target: str, got: str) -> UsageError:
    return UsageError(
        f"Expected plain tensors on the CPU for the target `{target}`, got {got}.",
        fix="Leave out the target, so that elman chooses one.",
    )


@cache
def _why_no_kernels() -> str:
    """Return why this machine has no kernels and warn once, or "" if it has them."""
    from elman.compiler.targets.llvm import machine

    try:
        machine.host()
    except machine.Unavailable as reason:
        _tell_once(f"elman runs without compiled kernels, which is slower. {reason}")
        return reason.problem
    return ""


def run(
    graph: Graph,
    weights: Mapping[str, Tensor],
    inputs: Sequence[Tensor],
    states: Sequence[Tensor],
    order: TimeMajor,
    *,
    backward: bool = False,
    target: str | None = None,
    ids: Tensor | None = None,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Run a step over a batch on the target that fits, as `targets.eager.run` does.

    With `ids`, `(total,)`, the first input is a table, and each step reads the row of its id. Under autocast the
    results have autocast's type, as with torch's layers.

    Raises:
        UsageError: the target does not exist.
        ShapeError: the tensors have several types or devices, or shapes that are not those of the step.
    """
    low = autocast_type([*inputs, *states, *weights.values()])
    if low is None:
        return _run(graph, weights, inputs, states, order, backward, target, ids)
    inputs, states, learned = (lowered(tensors, low) for tensors in (inputs, states, [*weights.values()]))
    with without_autocast(inputs[0].device.type):
        output, last = _run(
            graph, dict(zip(weights, learned, strict=True)), inputs, states, order, backward, target, ids
        )
    return output.to(low), tuple(state.to(low) for state in last)


def _run(
    graph: Graph,
    weights: Mapping[str, Tensor],
    inputs: Sequence[Tensor],
    states: Sequence[Tensor],
    order: TimeMajor,
    backward: bool,
    target: str | None,
    ids: Tensor | None,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    tensors = [*inputs, *states, *weights.values()]
    check_kinds(tensors)
    if not torch.compiler.is_compiling() and graph.fixed and torch.is_grad_enabled():
        # A fixed parameter has a gradient if the caller requires one.
        graph = all_learned(graph) if any(weights[name].requires_grad for name in graph.fixed) else graph
    if target is None and is_recorded(inputs[0]) and not is_transformed():
        # Imported only where a layer is compiled, exported or traced.
        from elman.compiler.operation import run_recorded

        return run_recorded(graph, weights, inputs, states, order, backward=backward, ids=ids)
    check_shapes(graph, inputs, states, weights, order, ids)
    resolved, has_others = read(tensors)
    if resolved is not tensors:
        others = len(inputs) + len(states)
        inputs, states = resolved[: len(inputs)], resolved[len(inputs) : others]
        weights = dict(zip(weights, resolved[others:], strict=True))
    trains = torch.is_grad_enabled() and any(map(_requires_grad, resolved))
    if target is None and has_others:
        target = "eager"
    if target in TARGETS and TARGETS[target].reads_memory and has_others:
        raise _no_memory(target, "a wrapper, a fake or a batched tensor")
    chosen = choose(target, inputs[0].device, inputs[0].dtype, graph, trains=trains)
    found, by_id = TARGETS[chosen.target], {}
    if ids is not None and found.takes_ids:
        by_id = {"ids": ids}
    elif ids is not None:
        inputs = [functional.embedding(ids, inputs[0]), *inputs[1:]]
    outputs, last = found.run(graph, weights, inputs, states, order, backward=backward, **by_id)
    return outputs[0], last


def check_kinds(tensors: Sequence[Tensor]) -> None:
    """Refuse tensors of several types or devices, which kernels would read wrongly.

    Raises:
        ShapeError: the types or the devices differ.
    """
    dtype, device = tensors[0].dtype, tensors[0].device
    if any(tensor.dtype != dtype or tensor.device != device for tensor in tensors):
        kinds = {(tensor.dtype, tensor.device) for tensor in tensors}
        got = ", ".join(sorted(f"{dtype} on {device}" for dtype, device in kinds))
        raise ShapeError(
            f"Expected inputs, states, constants and parameters of one type on one device, got {got}.",
            fix="Convert them to one type and one device with .to(...).",
        )


def _declared(graph: Graph) -> tuple[list[int], list[int], tuple[str, ...], list[tuple[int, ...]]]:
    """Return the sizes of inputs and states, and the names and shapes of parameters."""
    if _declared not in graph.derived:
        sizes = ([node.size for node in nodes] for nodes in (graph.inputs, graph.states))
        shapes = [item.shape for item in graph.parameters]
        graph.derived[_declared] = (*sizes, graph.parameter_names, shapes)
    return graph.derived[_declared]


def check_shapes(
    graph: Graph,
    inputs: Sequence[Tensor],
    states: Sequence[Tensor],
    weights: Mapping[str, Tensor],
    order: TimeMajor,
    ids: Tensor | None,
) -> None:
    """Refuse tensors whose shapes are not those of the step, which kernels would read beyond.

    Raises:
        ShapeError: names each tensor that does not fit.
    """
    batch, total, declared = order.batch, order.total, graph.parameters
    first = total if ids is None else len(inputs[0])
    rows = [first, *[total] * (len(inputs) - 1)]
    wide, deep, names, shapes = _declared(graph)
    if (
        [*map(_shape_of, inputs)] == [*zip(rows, wide, strict=True)]
        and [*map(_shape_of, states)] == [(batch, size) for size in deep]
        and [*map(_shape_of, map(weights.__getitem__, names))] == shapes
        and (ids is None or ids.shape == (total,))
    ):
        return
    wanted = {node.attribute[0]: (count, node.size) for count, node in zip(rows, graph.inputs, strict=True)}
    wanted |= {node.attribute[0]: (batch, node.size) for node in graph.states}
    wanted |= {parameter.name: parameter.shape for parameter in declared}
    found = {node.attribute[0]: value for node, value in zip(graph.inputs, inputs, strict=True)}
    found |= {node.attribute[0]: value for node, value in zip(graph.states, states, strict=True)}
    found |= dict(weights)
    if ids is not None:
        wanted["ids"], found["ids"] = (total,), ids
    wrong = [
        f"{name}: expected {shape}, got {tuple(found[name].shape)}"
        for name, shape in wanted.items()
        if tuple(found[name].shape) != tuple(shape)
    ]
    number = "1 tensor does" if len(wrong) == 1 else f"{len(wrong)} tensors do"
    raise ShapeError(
        f"{graph.name}: {number} not have the shape that the step expects.",
        where="\n".join(wrong),
        fix="Give each the expected shape; check whether a parameter was replaced or data was resized.",
    )


def _why_not_built(graph: Graph, dtype: torch.dtype, trains: bool) -> str:
    """Return why LLVM refuses the kernels of a step, "" if it does not."""
    from elman.compiler.targets.llvm.run import program

    key = _why_not_built, dtype, trains
    reason = graph.derived.get(key)
    if reason is None:
        reason = graph.derived[key] = program(graph, dtype).refusal(trains=trains)
    if reason:
        _tell_once(f"{graph.name} runs without compiled kernels, which is slower. {reason}")
    return reason


@lru_cache(maxsize=256)
def _tell_once(text: str) -> None:
    warnings.warn(text, RuntimeWarning, stacklevel=2)
