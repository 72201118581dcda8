"""The numbers of a case: inputs, weights and the gradient of the outputs, the same for every side."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from elman.bench.cases import GATES, Case
from elman.devices import CPU, moved


@dataclass(frozen=True)
class Side:
    """One way to do the work of a case.

    Args:
        run: does it once. Gives the outputs in the side's own form, and the gradients (the input's first) in a case
            that asks for them.
        flat: from the side's own form of steps to `(total, feature)`, one sequence after the other.
    """

    run: Callable[[], tuple[Any, Any]]
    flat: Callable[[Any], Tensor]


@dataclass(frozen=True)
class Matrices:
    """The parameters of one layer; gates stand side by side: update, reset, candidate, or input, forget, cell, output.

    Args:
        input: `(input size, gates · hidden)`.
        hidden: `(hidden, gates · hidden)`.
        bias: `(gates · hidden,)`.
        memory_bias: `(hidden,)`, added to the candidate's product with the state; of `gru_reset_after` alone.
    """

    input: Tensor
    hidden: Tensor
    bias: Tensor
    memory_bias: Tensor


class Work:
    """What every side of a case is given.

    Args:
        case: the case; its numbers are drawn from a seed of their own.
        device: where every side computes.

    Attributes:
        lengths: `(batch,)`.
        inputs: `(batch, time, input_size)`, zeros beyond each sequence's length.
        gradient: of the outputs, `(batch, time, hidden_size)`, zeros likewise.
        layers: the parameters of each layer.
    """

    def __init__(self, case: Case, device: torch.device = CPU):
        self.case = case
        self.device = device
        self.lengths = torch.tensor(case.lengths)
        self.longest = max(case.lengths)
        exists = torch.arange(self.longest) < self.lengths[:, None]
        draw = torch.Generator().manual_seed(0)
        inputs, gradient = (_rows(case.batch, size, exists, draw) for size in (case.input_size, case.hidden_size))
        self.exists, self.inputs, self.gradient = moved((exists, inputs, gradient), device)
        sizes = [case.input_size] + [case.hidden_size] * (case.layers - 1)
        layers = tuple(draw_matrices(size, case.hidden_size, GATES[case.cell], draw) for size in sizes)
        self.layers = moved(layers, device)

    def flat(self, rows: Tensor) -> Tensor:
        """Flatten `(batch, time, feature)` to `(total, feature)`."""
        return rows[self.exists]


def _rows(batch: int, size: int, exists: Tensor, draw: torch.Generator) -> Tensor:
    return torch.randn(batch, exists.shape[1], size, generator=draw) * exists[:, :, None]


def draw_matrices(input_size: int, hidden: int, gates: int, draw: torch.Generator) -> Matrices:
    """Draw the parameters of one layer as torch does.

    Args:
        input_size: features of its input.
        hidden: size of its states.
        gates: matrices of each kind.
        draw: the generator.
    """
    scale = hidden**-0.5
    columns = gates * hidden
    shapes = (input_size, columns), (hidden, columns), (columns,), (hidden,)
    return Matrices(*((2 * torch.rand(shape, generator=draw) - 1) * scale for shape in shapes))
