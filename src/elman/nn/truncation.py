"""Backpropagation through time that goes back a limited number of steps."""

import torch
from torch import Tensor

from elman.data.ragged.ragged import Ragged
from elman.nn.recurrent import Recurrent


def read_in_windows(
    body: Recurrent, batch: Ragged, window: int, *, table: Tensor | None = None
) -> tuple[Ragged, Tensor]:
    """Read sequences in windows of steps, and end gradients where a window begins.

    States are carried from window to window, so that the outputs are those of one call. A gradient goes back to where
    its window begins: at most `window` steps.

    Args:
        body: reads forward only.
        batch: as for a call of the layer.
        window: steps.
        table: as for a call of the layer.

    Returns:
        The outputs at every step, and the last ones, `(batch, output_size)`.

    Source:
        R. J. Williams, J. Peng, An Efficient Gradient-Based Algorithm for On-Line Training of Recurrent Network
        Trajectories, 1990: BPTT(h; h').
    """
    lengths, index = batch.lengths, batch.step_index()
    outputs, rows, state = [], [], None
    for first in range(0, max(batch.longest, 1), window):
        own = ((index >= first) & (index < first + window)).nonzero().squeeze(1)
        part = Ragged(batch.data[own.to(batch.data.device)], (lengths - first).clamp(0, window))
        steps, state = body(part, state, table)
        state = state.detach()
        outputs.append(steps.data)
        rows.append(own)
    order = torch.cat(rows).argsort().to(batch.data.device)
    steps = batch.replace(torch.cat(outputs)[order])
    return steps, steps.last()
