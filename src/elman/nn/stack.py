"""Recurrent layers of different sizes, one on the other."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from elman.compiler.cell import Cell
from elman.data.ragged.ragged import Ragged
from elman.nn.checks import refuse, wrong_probability, wrong_size
from elman.nn.recurrent import Recurrent
from elman.nn.regularisers import SequenceDropout
from elman.nn.state import State


class Stack(nn.Module):
    """Recurrent layers of different sizes, each of which reads the outputs of the layer before it.

    Args:
        cell: of all layers.
        input_size: features of a step of the input.
        hidden_sizes: units of each layer, the first one first.
        dropout: probability, from 0 to below 1, of dropping a feature between two layers in training.
        how: further arguments of each `Recurrent`.

    Attributes:
        layers: each a `Recurrent`.
        output_size: features of a step of the output.

    Raises:
        UsageError: as for `Recurrent`, or no sizes.

    >>> import torch
    >>> steps, last = Stack("lstm", 3, (5, 2), bidirectional=True)(Ragged(torch.zeros(4, 3), [3, 1]))
    >>> steps.feature_shape, last.h.shape
    (torch.Size([4]), torch.Size([2, 2, 2]))
    """

    def __init__(
        self, cell: Cell | str, input_size: int, hidden_sizes: Sequence[int], *, dropout: float = 0.0, **how: Any
    ):
        super().__init__()
        sizes = list(hidden_sizes) if isinstance(hidden_sizes, list | tuple) and hidden_sizes else [hidden_sizes]
        refuse(
            *(wrong_size("hidden_sizes", size) for size in sizes), wrong_probability("dropout", dropout, below_one=True)
        )
        self.layers = nn.ModuleList()
        width = input_size
        for size in sizes:
            layer = Recurrent(cell, width, size, **how)  # type: ignore[arg-type]
            width = layer.output_size
            self.layers.append(layer)
        self.output_size = width
        self.dropout = SequenceDropout(dropout) if dropout else None

    @property
    def cell(self) -> Cell:
        """The cell of the layers."""
        return self.layers[0].cell  # type: ignore[return-value]

    @property
    def cell_sizes(self) -> list[tuple[int, int, dict[str, int]]]:
        """Input size, hidden size and sizes of the constants of each layer."""
        return [sizes for layer in self.layers for sizes in layer.cell_sizes]  # type: ignore[union-attr]

    def forward(self, inputs: Ragged, initial: Any = None, table: Tensor | None = None) -> tuple[Ragged, State]:
        """Return the outputs of the last layer at every step, and its last states.

        Args:
            inputs: as for `Recurrent`.
            initial: states of the first layer.
            table: as for `Recurrent`.
        """
        first, *others = self.layers
        steps, last = first(inputs, initial, table)
        for layer in others:
            steps, last = layer(steps if self.dropout is None else self.dropout(steps))
        return steps, last
