"""Cells as one writes them by hand in torch: a module with a step, and a loop over time."""

import torch
from torch import Tensor, nn

from elman.bench.work import Matrices, Side, Work


class HandWritten(nn.Module):
    """A loop over the steps of a padded batch.

    Args:
        matrices: the parameters.
    """

    def __init__(self, matrices: Matrices):
        super().__init__()
        self.hidden_size = matrices.hidden.shape[0]
        self.from_input = _linear(matrices.input, matrices.bias)

    def step(self, x: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        """Compute the next states, each `(batch, hidden)`. The first is the output."""
        return self.step_on(self.from_input(x), *states)

    def step_on(self, read: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        """Compute the next states from the product of the input, `(batch, gates · hidden)`."""
        raise NotImplementedError

    def zeros(self, batch: int) -> tuple[Tensor, ...]:
        """Return the initial states."""
        return (self._zeros(batch),)

    def _zeros(self, batch: int) -> Tensor:
        return self.from_input.weight.new_zeros(batch, self.hidden_size)

    def forward(self, inputs: Tensor) -> Tensor:
        """Compute outputs `(batch, time, hidden)` from inputs `(batch, time, feature)`."""
        states = self.zeros(inputs.shape[0])
        outputs = []
        for x in inputs.unbind(1):
            states = self.step(x, *states)
            outputs.append(states[0])
        return torch.stack(outputs, 1)


class ResetBeforeGRU(HandWritten):
    """`elman.CELLS["gru"]`."""

    def __init__(self, matrices: Matrices):
        super().__init__(matrices)
        self.gates = _linear(matrices.hidden[:, : 2 * self.hidden_size])
        self.candidate = _linear(matrices.hidden[:, 2 * self.hidden_size :])

    def step_on(self, read: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        """One step."""
        (h,) = states
        x_z, x_r, x_n = read.chunk(3, 1)
        h_z, h_r = self.gates(h).chunk(2, 1)
        z = torch.sigmoid(x_z + h_z)
        r = torch.sigmoid(x_r + h_r)
        n = torch.tanh(x_n + self.candidate(r * h))
        return (z * h + (1 - z) * n,)


class ResetAfterGRU(HandWritten):
    """`elman.CELLS["gru_reset_after"]`."""

    def __init__(self, matrices: Matrices):
        super().__init__(matrices)
        self.from_hidden = _linear(matrices.hidden)
        self.memory_bias = nn.Parameter(matrices.memory_bias.clone())

    def step_on(self, read: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        """One step."""
        (h,) = states
        x_z, x_r, x_n = read.chunk(3, 1)
        h_z, h_r, h_n = self.from_hidden(h).chunk(3, 1)
        z = torch.sigmoid(x_z + h_z)
        r = torch.sigmoid(x_r + h_r)
        n = torch.tanh(x_n + r * (h_n + self.memory_bias))
        return (z * h + (1 - z) * n,)


class LSTM(HandWritten):
    """`elman.CELLS["lstm"]`."""

    def __init__(self, matrices: Matrices):
        super().__init__(matrices)
        self.from_hidden = _linear(matrices.hidden)

    def zeros(self, batch: int) -> tuple[Tensor, ...]:
        """Return the initial states."""
        return self._zeros(batch), self._zeros(batch)

    def step_on(self, read: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        """One step."""
        h, c = states
        i, f, g, o = (read + self.from_hidden(h)).chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c


class Indexed(nn.Module):
    """The input product of all steps at once, then a loop that indexes it.

    The gradient of each `read[:, t]` is a tensor as large as `read`, zero but for one step: O(time²) in the backward
    pass.

    Args:
        loop: the cell.
    """

    def __init__(self, loop: HandWritten):
        super().__init__()
        self.loop = loop

    def forward(self, inputs: Tensor) -> Tensor:
        """Compute outputs `(batch, time, hidden)` from inputs `(batch, time, feature)`."""
        states = self.loop.zeros(inputs.shape[0])
        read = self.loop.from_input(inputs)
        outputs = []
        for t in range(inputs.shape[1]):
            states = self.loop.step_on(read[:, t], *states)
            outputs.append(states[0])
        return torch.stack(outputs, 1)


LOOPS: dict[str, type[HandWritten]] = {"gru": ResetBeforeGRU, "gru_reset_after": ResetAfterGRU, "lstm": LSTM}


def side(work: Work) -> Side:
    """Return the loop on the padded batch."""
    return padded_side(work, LOOPS[work.case.cell](work.layers[0]))


def indexed(work: Work) -> Side:
    """Return the loop that indexes its steps, on a batch of equal lengths."""
    return padded_side(work, Indexed(LOOPS[work.case.cell](work.layers[0])))


def padded_side(work: Work, module: nn.Module) -> Side:
    """Return a module as a side: `(batch, time, feature)` in, outputs of the same form out."""
    learned = list(module.parameters())

    @torch.no_grad()
    def forward() -> tuple[Tensor, None]:
        return module(work.inputs), None

    def both() -> tuple[Tensor, tuple[Tensor, ...]]:
        leaf = work.inputs.detach().requires_grad_()
        outputs = module(leaf)
        return outputs, torch.autograd.grad(outputs, [leaf, *learned], work.gradient)

    return Side(both if work.case.mode == "forward+backward" else forward, work.flat)


def streaming(work: Work) -> Side:
    """Run the steps of all layers, one after the other."""
    modules = [LOOPS[work.case.cell](matrices) for matrices in work.layers]
    states = [module.zeros(1) for module in modules]

    @torch.no_grad()
    def step() -> tuple[Tensor, None]:
        x = work.inputs[:, 0]
        for place, module in enumerate(modules):
            states[place] = module.step(x, *states[place])
            x = states[place][0]
        return x, None

    return Side(step, lambda rows: rows)


def _linear(matrix: Tensor, bias: Tensor | None = None) -> nn.Linear:
    layer = nn.Linear(*matrix.shape, bias=bias is not None, device=matrix.device)
    layer.weight.data.copy_(matrix.T)
    if bias is not None:
        layer.bias.data.copy_(bias)
    return layer
