"""Starts by which recurrent layers remember long: of their recurrent matrices, and of the biases of their gates."""

import torch
from torch import Tensor, nn

from elman.compiler import starts as compiled
from elman.compiler.graph import Graph
from elman.compiler.spelling import read_word
from elman.compiler.starts import Start
from elman.errors import UsageError
from elman.nn import starts
from elman.nn.recurrent import Recurrent
from elman.nn.weights import Weights

MATRICES = ("identity", "orthogonal", "glorot", "uniform", "normal", "sparse", "ring", "delay_line", "small_world")
# The bias that grows with the memory, and the one that starts from its opposite.
GATES = {
    "lstm": ("forget/bias", "input/bias"),
    "peephole_lstm": ("forget/bias", "input/bias"),
    "projected_lstm": ("forget/bias", "input/bias"),
    "gru": ("update/bias", None),
    "gru_reset_after": ("update/bias", None),
}


@torch.no_grad()
def start_with_memory(
    body: nn.Module, *, recurrent: str | Start | None = None, longest_memory: float | None = None
) -> None:
    """Draw recurrent matrices, and biases of gates, anew.

    Args:
        body: with recurrent layers, all of which are changed.
        recurrent: what each matrix starts from through which a state reaches a later one, such as `identity`,
            `identity(0.5)` or `sparse(0.9, 0.1)`; as they are if not given.
        longest_memory: longest dependency to expect, in steps. The biases of gates that keep a state are then
            ln(u - 1), where u is uniform from 2 to this number; see `elman.compiler.starts.chrono`.

    Raises:
        UsageError: a start that does not fit the matrices, a cell without recurrent matrices or without such gates.

    Source:
        Q. V. Le, N. Jaitly, G. E. Hinton, A Simple Way to Initialize Recurrent Networks of Rectified Linear Units,
        2015; A. M. Saxe et al., 2014; C. Tallec, Y. Ollivier, Can Recurrent Neural Networks Warp Time?, 2018.
    """
    for layer in (each for each in body.modules() if isinstance(each, Recurrent)):
        for weights in layer._all_weights():
            if recurrent is not None:
                _draw_matrices(weights, _read(recurrent))
            if longest_memory is not None:
                _draw_gates(weights, compiled.chrono(longest_memory))


def _read(start: str | Start) -> Start:
    return start if isinstance(start, Start) else read_word(start, MATRICES)()


def _draw_matrices(weights: Weights, start: Start) -> None:
    graph = weights.graph
    if not graph.recurrent_matrices:
        raise UsageError(
            f"The cell `{graph.name}` has no recurrent matrix to start from {start}.",
            fix="Leave out recurrent_start (--recurrent-start), or give another cell.",
        )
    for parameter in (each for each in graph.parameters if each.name in graph.recurrent_matrices):
        try:
            start.check(parameter.shape)
        except UsageError as error:
            raise UsageError(f"{graph.name}: {parameter.name}: {error.problem}", fix=error.fix) from None
        _assign(weights, parameter.name, start)


def _draw_gates(weights: Weights, start: Start) -> None:
    keeping, other = GATES.get(weights.graph.name, (None, None))
    if keeping not in _names(weights.graph):
        raise UsageError(
            f"The cell `{weights.graph.name}` has no bias of a gate that keeps a state.",
            fix=f"Leave out longest_memory (--longest-memory), or give one of {', '.join(GATES)}, with biases.",
        )
    assert keeping is not None
    drawn = _assign(weights, keeping, start)
    if other is not None:
        weights.assign(other, -drawn)


def _assign(weights: Weights, name: str, start: Start) -> Tensor:
    tensor = torch.empty_like(weights.named()[name])
    starts.draw(start, tensor)
    weights.assign(name, tensor)
    return tensor


def _names(graph: Graph) -> set[str]:
    return {parameter.name for parameter in graph.parameters}
