"""The target that runs torch's own fused kernels, for a step whose graph is theirs: see `compiler.fused`.

They are cuDNN's on a GPU, and oneDNN's or torch's own on a CPU. Sequences of unequal length are run as torch runs a
packed sequence: in the order of time, without padding.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from elman.compiler.derivation import derive
from elman.compiler.fused import Fused, find_fused
from elman.compiler.graph import Graph
from elman.compiler.targets import eager
from elman.errors import UsageError
from elman.order import TimeMajor
from elman.tensors import read

KERNELS: dict[str, Callable[..., Any]] = {
    "lstm": torch.lstm,
    "gru": torch.gru,
    "rnn_tanh": torch.rnn_tanh,
    "rnn_relu": torch.rnn_relu,
}


def refusal(graph: Graph) -> str:
    """Return why no kernel of torch runs a step, "" if one does."""
    if find_fused(graph) is not None:
        return ""
    return f"the step of {graph.name} is not that of torch's LSTM, GRU (reset after the product) or RNN (tanh, relu)"


def run(
    graph: Graph,
    weights: Mapping[str, Tensor],
    inputs: Sequence[Tensor],
    states: Sequence[Tensor],
    order: TimeMajor,
    *,
    backward: bool = False,
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Run a step over every sequence of a batch, as `targets.eager.run` does.

    Raises:
        UsageError: the step is not that of one of torch's kernels.
    """
    if reason := refusal(graph):
        raise UsageError(f"Expected a step for the target `torch`: {reason}.", fix="Leave out the target.")
    if not order.total:
        return eager.run(graph, weights, inputs, states, order, backward=backward)
    tensors = [*inputs, *states, *(weights[name] for name in derive(graph).parameters)]
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
        output, *last = _Run.apply(graph, order, backward, *tensors)  # type: ignore[misc]
    else:
        output, *last = _compute(graph, order, backward, tensors, trains=False)
    return (output,), tuple(last)


def _compute(
    graph: Graph, order: TimeMajor, reads_backward: bool, tensors: Sequence[Tensor], *, trains: bool
) -> list[Tensor]:
    """Return the output at every step and the last states, in memory of their own."""
    derivation = derive(graph)
    (data,), states, learned = derivation.split(tensors)
    found = find_fused(graph)
    assert found is not None
    arrays = _contiguous(found.arrays(dict(zip(derivation.parameters, learned, strict=True))))
    settings = found.has_biases, 1, 0.0, trains, False
    run_steps = _run_equal if order.longest * order.batch == order.total else _run_packed
    output, ends = run_steps(
        found, data, [states[index] for index in found.states], order, reads_backward, arrays, settings
    )
    last = dict(zip(found.states, ends, strict=True))
    return [output, *(last[index] for index in range(len(states)))]


def _run_equal(
    found: Fused,
    data: Tensor,
    states: Sequence[Tensor],
    order: TimeMajor,
    reads_backward: bool,
    arrays: list[Tensor],
    settings: tuple[Any, ...],
) -> tuple[Tensor, list[Tensor]]:
    """Run sequences of one length as they are: `(batch, time, size)`."""
    steps = data.reshape(order.batch, order.longest, -1)
    steps = steps.flip(1) if reads_backward else steps
    initial = [state.unsqueeze(0).contiguous() for state in states]
    output, *last = KERNELS[found.kind](steps, _given(found, initial), arrays, *settings, True)
    output = output.flip(1) if reads_backward else output
    # The last state may be a view of the output, which the caller may change.
    return output.reshape(order.total, -1), [state.squeeze(0).clone() for state in last]


def _run_packed(
    found: Fused,
    data: Tensor,
    states: Sequence[Tensor],
    order: TimeMajor,
    reads_backward: bool,
    arrays: list[Tensor],
    settings: tuple[Any, ...],
) -> tuple[Tensor, list[Tensor]]:
    """Run the steps in the order of time. Sequences without steps keep their states."""
    device, running = data.device, order.rows[0]
    index = (order.backward_index if reads_backward else order.index).to(device)
    sorted_by_length, restored = order.sequences.to(device), order.restored.to(device)
    entering = [state.index_select(0, sorted_by_length) for state in states]
    initial = [state[:running].unsqueeze(0).contiguous() for state in entering]
    sizes = torch.tensor(order.rows, dtype=torch.int64, device="cpu")
    output, *last = KERNELS[found.kind](data.index_select(0, index), sizes, _given(found, initial), arrays, *settings)
    ends = [
        torch.cat([end.squeeze(0), state[running:]]).index_select(0, restored)
        for end, state in zip(last, entering, strict=True)
    ]
    return output.new_empty(output.shape).index_copy(0, index, output), ends


def _given(found: Fused, initial: list[Tensor]) -> Any:
    return initial if found.kind == "lstm" else initial[0]


def _contiguous(arrays: list[Tensor]) -> list[Tensor]:
    """Return the kernel's parameters in contiguous memory, on a GPU in one piece."""
    if arrays[0].device.type != "cuda":
        return [array.contiguous() for array in arrays]
    # cuDNN reads one piece without a copy if all matrices are before the vectors.
    ordered = sorted(range(len(arrays)), key=lambda position: -arrays[position].dim())
    pieces = torch.cat([arrays[position].reshape(-1) for position in ordered]).split(
        [arrays[position].numel() for position in ordered]
    )
    views = {position: piece.view(arrays[position].shape) for position, piece in zip(ordered, pieces, strict=True)}
    return [views[position] for position in range(len(arrays))]


class _Run(torch.autograd.Function):
    """A step as torch's autograd sees it: of (step, order, direction, inputs, states, parameters).

    The kernels have no second derivative. The graph of the kernel is therefore saved within this function, which runs
    the step on torch's operations where a gradient is to be differentiated again.
    """

    @staticmethod
    def forward(ctx: Any, graph: Graph, order: TimeMajor, reads_backward: bool, *tensors: Tensor) -> Any:
        with torch.enable_grad():
            own = [tensor.detach().requires_grad_(tensor.requires_grad) for tensor in tensors]
            results = _compute(graph, order, reads_backward, own, trains=True)
        # A saved result holds the kernel's graph, so that autograd frees it with the saved tensors.
        ctx.save_for_backward(*tensors, *own, *results)
        ctx.graph, ctx.order, ctx.reads_backward, ctx.count = graph, order, reads_backward, len(tensors)
        return tuple(result.detach() for result in results)

    @staticmethod
    def backward(ctx: Any, *given: Tensor) -> Any:
        saved, count = ctx.saved_tensors, ctx.count
        tensors, own, results = saved[:count], saved[count : 2 * count], saved[2 * count :]
        slopes, has_others = read(given)
        # Hooks on saved tensors, as of checkpoint, return results without the kernel's graph.
        if torch.is_grad_enabled() or has_others or any(result.grad_fn is None for result in results):
            arguments = ctx.graph, derive(ctx.graph), tensors, ctx.order, ctx.reads_backward, None, slopes
            return None, None, None, *eager.gradients(*arguments)
        wanted = [tensor for tensor in own if tensor.requires_grad]
        found = iter(torch.autograd.grad(results, wanted, slopes, retain_graph=True, allow_unused=True))
        return None, None, None, *(next(found) if tensor.requires_grad else None for tensor in own)
