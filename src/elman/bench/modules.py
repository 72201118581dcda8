"""torch's own layers: `torch.nn.GRU` and `torch.nn.LSTM`, padded, packed, and one step at a time.

Beside `gru`, torch's GRU is another cell: it resets after the product, since torch has no other.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from elman.bench.loops import padded_side
from elman.bench.work import Matrices, Side, Work


class Outputs(nn.Module):
    """A layer of torch's, of whose two results only the outputs are given."""

    def __init__(self, layer: nn.RNNBase):
        super().__init__()
        self.layer = layer

    def forward(self, inputs: Tensor) -> Tensor:
        """Compute the output at every step."""
        return self.layer(inputs)[0]


def padded(work: Work) -> Side:
    """Return the layer on the padded batch."""
    return padded_side(work, Outputs(layer_of(work)))


def packed(work: Work) -> Side:
    """Return the layer on the packed batch. Packing is not part of the work."""
    layer = layer_of(work)
    learned = list(layer.parameters())
    inputs, gradient = (
        pack_padded_sequence(rows, work.lengths, batch_first=True, enforce_sorted=False)
        for rows in (work.inputs, work.gradient)
    )

    @torch.no_grad()
    def forward() -> tuple[Tensor, None]:
        return layer(inputs)[0].data, None

    def both() -> tuple[Tensor, tuple[Tensor, ...]]:
        leaf = inputs.data.detach().requires_grad_()
        outputs = layer(_like(inputs, leaf))[0].data
        return outputs, torch.autograd.grad(outputs, [leaf, *learned], gradient.data)

    def flat(rows: Tensor) -> Tensor:
        return work.flat(pad_packed_sequence(_like(inputs, rows), batch_first=True)[0])

    return Side(both if work.case.mode == "forward+backward" else forward, flat)


def streaming(work: Work) -> Side:
    """Return the layer on sequences of one step, with its state carried on."""
    layer = layer_of(work)
    state = None

    @torch.no_grad()
    def step() -> tuple[Tensor, None]:
        nonlocal state
        outputs, state = layer(work.inputs, state)
        return outputs, None

    return Side(step, lambda rows: rows[:, 0])


def streaming_cells(work: Work) -> Side:
    """`torch.nn.GRUCell` or `torch.nn.LSTMCell`, one for each layer."""
    kind = nn.LSTMCell if work.case.cell == "lstm" else nn.GRUCell
    cells = [kind(matrices.input.shape[0], work.case.hidden_size).to(work.device) for matrices in work.layers]
    for cell, matrices in zip(cells, work.layers, strict=True):
        fill([cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh], matrices, work.case.cell)
    states: list[Any] = [None] * len(cells)

    @torch.no_grad()
    def step() -> tuple[Tensor, None]:
        x = work.inputs[:, 0]
        for place, cell in enumerate(cells):
            states[place] = cell(x, states[place])
            x = states[place][0] if work.case.cell == "lstm" else states[place]
        return x, None

    return Side(step, lambda rows: rows)


def layer_of(work: Work) -> nn.GRU | nn.LSTM:
    """Build the layer with the weights of the case."""
    case = work.case
    kind = nn.LSTM if case.cell == "lstm" else nn.GRU
    layer = kind(case.input_size, case.hidden_size, case.layers, batch_first=True).to(work.device)
    for parameters, matrices in zip(layer.all_weights, work.layers, strict=True):
        fill(parameters, matrices, case.cell)
    return layer


@torch.no_grad()
def fill(parameters: Sequence[Tensor], matrices: Matrices, cell: str) -> None:
    """Give a layer or a cell of torch's the parameters of a case, in the order of `all_weights`."""
    from_input, from_hidden, bias, hidden_bias = parameters
    from_input.copy_(_gates(matrices.input, cell).T)
    from_hidden.copy_(_gates(matrices.hidden, cell).T)
    bias.copy_(_gates(matrices.bias, cell))
    hidden_bias.zero_()
    if cell == "gru_reset_after":
        hidden_bias[-len(matrices.memory_bias) :].copy_(matrices.memory_bias)


def _gates(columns: Tensor, cell: str) -> Tensor:
    """Reorder the gates as torch does: a GRU's reset gate before its update gate."""
    if cell == "lstm":
        return columns
    update, reset, candidate = columns.chunk(3, -1)
    return torch.cat([reset, update, candidate], -1)


def _like(packed: PackedSequence, data: Tensor) -> PackedSequence:
    return PackedSequence(data, packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices)
