"""elman's own side of a case."""

import time

import torch
from torch import Tensor

from elman.bench.cases import AnyCase
from elman.bench.language_case import GENERATING, TRAINING
from elman.bench.news_case import CLASSIFYING
from elman.bench.work import Matrices, Side, Work
from elman.compiler.cell import Cell, Step
from elman.data.ragged.ragged import Ragged
from elman.nn.recurrent import Recurrent

# Affines in the order of the gates in `Matrices`.
AFFINES = {
    "gru": ("update", "reset", "candidate"),
    "gru_reset_after": ("update", "reset", "candidate"),
    "lstm": ("input", "forget", "cell", "output"),
}


def side(work: Work) -> Side:
    """elman, on a batch without padding."""
    return _batch_side(work, work.lengths, work.flat(work.inputs), work.flat(work.gradient))


def same_steps(work: Work) -> Side:
    """Return elman on the same number of steps in sequences of equal length, within one step."""
    total, batch = int(work.lengths.sum()), work.case.batch
    lengths = torch.tensor([total // batch + (place < total % batch) for place in range(batch)])
    return _batch_side(work, lengths, work.flat(work.inputs), work.flat(work.gradient))


def streaming(work: Work) -> Side:
    """elman, one step at a time."""
    stream = layer_of(work).stream()
    x = work.inputs[:, 0]
    return Side(lambda: (stream.step(x), None), lambda rows: rows)


def layer_of(work: Work) -> Recurrent:
    """Build the layer with the weights of the case."""
    case = work.case
    layer = Recurrent(case.cell, case.input_size, case.hidden_size, num_layers=case.layers).to(work.device)
    for index, matrices in enumerate(work.layers):
        fill(layer.weights(index), matrices, case.cell)
    return layer


def first_call_ms(step: Step, case: AnyCase) -> float:
    """Measure the first call of a cell that was never compiled, in milliseconds.

    Args:
        step: of the cell.
        case: says the sizes, and whether there is a backward pass, or steps come one at a time.

    That is: trace, gradient, plan, compile, and one step of one sequence. What all cells share (the kernels of matrix
    products, the threads) and the initial weights are not part of it.
    """
    fresh = Cell(step)
    began = time.perf_counter()
    fresh.trace(case.input_size, case.hidden_size)
    traced = time.perf_counter() - began
    layer = Recurrent(fresh, case.input_size, case.hidden_size, num_layers=case.layers)
    x = torch.zeros(1, 1, case.input_size, requires_grad=True)
    began = time.perf_counter()
    if case.mode in ("forward+backward", TRAINING, CLASSIFYING):
        layer(x)[0].sum().backward()
    elif case.mode in ("streaming", GENERATING):
        layer.stream().step(x.detach()[:, 0])
    else:
        with torch.no_grad():
            layer(x)
    return 1000 * (traced + time.perf_counter() - began)


def _batch_side(work: Work, lengths: Tensor, data: Tensor, gradient: Tensor) -> Side:
    layer = layer_of(work)
    learned = list(layer.parameters())

    @torch.no_grad()
    def forward() -> tuple[Ragged, None]:
        return layer(Ragged(data, lengths))[0], None

    def both() -> tuple[Ragged, tuple[Tensor, ...]]:
        leaf = data.detach().requires_grad_()
        outputs, _ = layer(Ragged(leaf, lengths))
        return outputs, torch.autograd.grad(outputs.data, [leaf, *learned], gradient)

    return Side(both if work.case.mode == "forward+backward" else forward, _rows)


def _rows(steps: Ragged | Tensor) -> Tensor:
    return steps.data if isinstance(steps, Ragged) else steps


@torch.no_grad()
def fill(weights: dict[str, Tensor], matrices: Matrices, cell: str) -> None:
    """Give a layer of elman the parameters of a case."""
    count = len(AFFINES[cell])
    parts = zip(
        AFFINES[cell],
        matrices.input.chunk(count, 1),
        matrices.hidden.chunk(count, 1),
        matrices.bias.chunk(count),
        strict=True,
    )
    for name, from_input, from_hidden, bias in parts:
        weights[f"{name}/0"].copy_(from_input)
        weights[f"{name}/bias"].copy_(bias)
        hidden = "memory/0" if (cell, name) == ("gru_reset_after", "candidate") else f"{name}/1"
        weights[hidden].copy_(from_hidden)
    if cell == "gru_reset_after":
        weights["memory/bias"].copy_(matrices.memory_bias)
