"""The cells that torch has too, with the same weights, against torch.nn."""

import pytest
import torch
from torch import Tensor, nn

from elman import CELLS, Recurrent
from elman.compiler.cell import Cell
from elman.compiler.tolerances import TOLERANCES
from tests.laws.tolerances import assert_near

INPUT, HIDDEN, BATCH, TIME = 7, 5, 3, 6

# For each gate of torch, in torch's order: the affine of elman that is the same.
LSTM = ("input", "forget", "cell", "output")
GRU = ("reset", "update")

dtypes = pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
targets = pytest.mark.parametrize("target", ["eager", "llvm", "reference"])


def pair(cell: Cell | str, theirs: nn.Module, dtype: torch.dtype, target: str) -> tuple[Recurrent, nn.Module]:
    theirs = theirs.to(dtype)
    return Recurrent(cell, INPUT, HIDDEN, target=target).to(dtype), theirs


def copy_gates(ours: dict[str, Tensor], theirs: nn.Module, gates: tuple[str, ...]) -> None:
    """The first gates of torch's stacked weights, with torch's two biases added up."""
    for place, gate in enumerate(gates):
        rows = slice(place * HIDDEN, (place + 1) * HIDDEN)
        ours[f"{gate}/0"].copy_(theirs.weight_ih_l0[rows].T)
        ours[f"{gate}/1"].copy_(theirs.weight_hh_l0[rows].T)
        ours[f"{gate}/bias"].copy_(theirs.bias_ih_l0[rows] + theirs.bias_hh_l0[rows])


@dtypes
@targets
@torch.no_grad()
def test_lstm_is_torchs(dtype: torch.dtype, target: str):
    ours, theirs = pair("lstm", nn.LSTM(INPUT, HIDDEN, batch_first=True), dtype, target)
    copy_gates(ours.weights(), theirs, LSTM)
    x, h, c = (torch.randn(*shape, dtype=dtype) for shape in ((BATCH, TIME, INPUT), (BATCH, HIDDEN), (BATCH, HIDDEN)))
    steps, last = ours(x, {"h": h, "c": c})
    expected, (last_h, last_c) = theirs(x, (h[None], c[None]))
    assert_near([steps, last.h, last.c], [expected, last_h[0], last_c[0]], dtype)


@dtypes
@targets
@torch.no_grad()
def test_gru_reset_after_is_torchs_gru(dtype: torch.dtype, target: str):
    ours, theirs = pair("gru_reset_after", nn.GRU(INPUT, HIDDEN, batch_first=True), dtype, target)
    copy_gates(ours.weights(), theirs, GRU)
    candidate = slice(2 * HIDDEN, None)
    for name, bias in (("candidate", "bias_ih_l0"), ("memory", "bias_hh_l0")):
        ours.weights()[f"{name}/bias"].copy_(getattr(theirs, bias)[candidate])
    ours.weights()["candidate/0"].copy_(theirs.weight_ih_l0[candidate].T)
    ours.weights()["memory/0"].copy_(theirs.weight_hh_l0[candidate].T)
    x, h = torch.randn(BATCH, TIME, INPUT, dtype=dtype), torch.randn(BATCH, HIDDEN, dtype=dtype)
    steps, last = ours(x, h)
    expected, last_h = theirs(x, h[None])
    assert_near([steps, last.h], [expected, last_h[0]], dtype)


@dtypes
@targets
@pytest.mark.parametrize("activation", ["tanh", "relu"])
@torch.no_grad()
def test_simple_rnn_is_torchs(dtype: torch.dtype, target: str, activation: str):
    cell = CELLS["simple_rnn"].with_options(activation=activation)
    ours, theirs = pair(cell, nn.RNN(INPUT, HIDDEN, nonlinearity=activation, batch_first=True), dtype, target)
    copy_gates(ours.weights(), theirs, ("hidden",))
    x, h = torch.randn(BATCH, TIME, INPUT, dtype=dtype), torch.randn(BATCH, HIDDEN, dtype=dtype)
    steps, last = ours(x, h)
    expected, last_h = theirs(x, h[None])
    assert_near([steps, last.h], [expected, last_h[0]], dtype)


def test_gradients_are_torchs():
    ours, theirs = pair("lstm", nn.LSTM(INPUT, HIDDEN, batch_first=True), torch.float64, "eager")
    with torch.no_grad():
        copy_gates(ours.weights(), theirs, LSTM)
    x = torch.randn(BATCH, TIME, INPUT, dtype=torch.float64)
    (mine,) = torch.autograd.grad(ours(x)[0].square().sum(), [ours.weights()["forget/1"]])
    (stacked,) = torch.autograd.grad(theirs(x)[0].square().sum(), [theirs.weight_hh_l0])
    assert_near(mine, stacked[HIDDEN : 2 * HIDDEN].T, torch.float64)
