"""A penalty on gradients that shrink or grow from step to step on their way back."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from elman.data.ragged.ragged import Ragged
from elman.dynamics.trajectory import Trajectory, layers_of
from elman.errors import UsageError
from elman.nn.recurrent import Recurrent


class Call(NamedTuple):
    """One call of a recurrent layer, with outputs whose gradients are kept."""

    layer: Recurrent
    given: tuple
    named: Mapping[str, Any]
    steps: Tensor
    last: Tensor


class VanishingPenalty:
    """The regulariser of Pascanu, Mikolov and Bengio, for every recurrent layer of a model.

    Ω = Σ_t (‖∂C/∂h_(t+1) · ∂h_(t+1)/∂h_t‖ / ‖∂C/∂h_(t+1)‖ - 1)², the mean over the sequences. The states h and the
    gradients ∂C/∂h are constants in it, and only recurrent matrices get its gradient. Steps whose gradient is 0 are
    left out, and so is the first, whose state before it is given. h has all states of the cell.

    Args:
        model: its recurrent layers have one layer in one direction each, and an output that is a state.
        weight: of Ω in the objective.

    Raises:
        UsageError: the model has no recurrent layer, or one that is not as described.

    Source:
        R. Pascanu, T. Mikolov, Y. Bengio, On the Difficulty of Training Recurrent Neural Networks, 2013, equations 9
        and 10.
    """

    def __init__(self, model: nn.Module, weight: float):
        self._layers = [each for each in model.modules() if isinstance(each, Recurrent)]
        self._weight = weight
        for layer in self._layers:
            _check(layer)
        if not self._layers:
            raise _refusal("a network with a recurrent layer, got one without")

    @contextmanager
    def observed(self) -> Iterator[list[Call]]:
        """Collect the calls of the recurrent layers while inside."""
        calls: list[Call] = []

        def keep(module: nn.Module, given: tuple, named: dict[str, Any], found: Any) -> None:
            steps = found[0].data if isinstance(found[0], Ragged) else found[0]
            last = found[1].output
            if steps.requires_grad and isinstance(module, Recurrent):
                steps.retain_grad()
                last.retain_grad()
                calls.append(Call(module, given, named, steps, last))

        hooks = [layer.register_forward_hook(keep, with_kwargs=True) for layer in self._layers]
        try:
            yield calls
        finally:
            for hook in hooks:
                hook.remove()

    def add_gradient(self, calls: list[Call]) -> float:
        """Add the gradient of the penalty to that of the loss, and return the penalty.

        Args:
            calls: after the backward pass of the loss.
        """
        total = 0.0
        for call in calls:
            if call.steps.grad is None and call.last.grad is None:
                continue
            trajectory, slopes = _slopes(call)
            weights = call.layer._weights_of(0, False)
            named = {name: value.detach() for name, value in weights.named().items()}
            live = {name: weights.named()[name] for name in weights.graph.recurrent_matrices}
            with torch.enable_grad():
                penalty = penalty_of(trajectory, slopes, {**named, **live})
                if penalty.requires_grad:
                    # Frozen ones have no gradient.
                    trained = [each for each in weights.parameters() if each.grad is not None]
                    (self._weight * penalty).backward(inputs=trained)
            total += float(penalty.detach())
        return total


def penalty_of(trajectory: Trajectory, slopes: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
    """Return Ω as a function of the weights, with the states and the gradients as constants.

    Args:
        trajectory: with the states.
        slopes: ∂C/∂h after each step, in the form of `trajectory.states`; zeros after the end of a sequence.
        weights: each parameter of the layer.
    """
    times, sequences = slopes[2:].flatten(2).norm(dim=2).gt(0).nonzero(as_tuple=True)
    before = trajectory.states[times + 1, sequences].requires_grad_()
    slope = slopes[times + 2, sequences]
    after = trajectory.step(before, times + 1, sequences, weights)
    pulled = torch.autograd.grad(after, before, slope, create_graph=True)[0]
    ratios = pulled.norm(dim=1) / slope.norm(dim=1)
    return (ratios - 1.0).square().sum() / len(trajectory.lengths)


@torch.no_grad()
def _slopes(call: Call) -> tuple[Trajectory, Tensor]:
    """Return the states of a call, and the gradient of the loss by each of them."""
    (layer,) = layers_of(call.layer, *call.given, **call.named, dtype=call.steps.dtype)
    trajectory = Trajectory(layer)
    slopes = _direct(call, trajectory, layer.inputs[0])
    for time in range(trajectory.lengths[0] - 1, 0, -1):
        running = trajectory.running(time)
        times, sequences = torch.full((running,), time), torch.arange(running)
        pulled = trajectory.pull(slopes[time + 1, :running, None], times, sequences)
        slopes[time, :running] += pulled[:, 0]
    return trajectory, slopes


def _direct(call: Call, trajectory: Trajectory, batch: Ragged) -> Tensor:
    """Return the gradient of the loss by each state as the output of its step."""
    graph, slopes = trajectory.layer.graph, torch.zeros_like(trajectory.states)
    assert graph.output_state is not None
    first = sum(node.size for node in graph.states[: graph.output_state])
    own = slice(first, first + graph.states[graph.output_state].size)
    if call.steps.grad is not None:
        rows = batch.replace(call.steps.grad.view(batch.total, -1)).select(trajectory.order)
        slopes[1:, :, own] += rows.to_padded(batch_first=False)
    if call.last.grad is not None:
        ends = torch.tensor(trajectory.lengths)
        slopes[ends, torch.arange(len(ends)), own] += call.last.grad[trajectory.order]
    return slopes


def _check(layer: Recurrent) -> None:
    if layer.num_layers > 1 or layer.bidirectional or layer.go_backwards:
        raise _refusal("recurrent layers in one forward direction each, got others")
    graph = layer._weights_of(0, False).graph
    if graph.output_state is None or not graph.recurrent_matrices:
        raise _refusal(f"a cell with a recurrent matrix whose output is a state, got `{graph.name}`")


def _refusal(expected: str) -> UsageError:
    return UsageError(
        f"The penalty on vanishing gradients expects {expected}.",
        fix="Leave out vanishing_penalty (--vanishing-penalty), or build the network with one forward layer "
        "(--no-bidirectional --num-layers 1; several with --layer-sizes).",
    )
