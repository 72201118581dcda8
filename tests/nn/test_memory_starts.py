"""Starts with memory, and backpropagation through a limited number of steps."""

import math

import pytest
import torch

from elman.data.ragged.ragged import Ragged
from elman.errors import UsageError
from elman.network_parts import build_body
from elman.nn import Recurrent
from elman.nn.memory_starts import start_with_memory
from elman.nn.stack import Stack
from elman.nn.truncation import read_in_windows
from elman.settings.network import BodySettings


@pytest.mark.parametrize("cell", ["simple_rnn", "lstm", "gru"])
def test_every_recurrent_matrix_starts_as_asked(cell: str):
    body = Stack(cell, 3, (4, 5), bidirectional=True)
    start_with_memory(body, recurrent="identity(0.5)")
    count = 0
    for layer in body.layers:
        for weights in layer._all_weights():  # pyright: ignore
            for name in weights.graph.recurrent_matrices:
                matrix = weights.named()[name]
                assert torch.equal(matrix, 0.5 * torch.eye(*matrix.shape))
                count += 1
    assert count >= 4


def test_a_matrix_of_the_input_stays():
    torch.manual_seed(0)
    layer = Recurrent("simple_rnn", 4, 4)
    before = layer.weights()["hidden/0"].clone()
    start_with_memory(layer, recurrent="orthogonal")
    assert torch.equal(layer.weights()["hidden/0"], before)
    recurrent = layer.weights()["hidden/1"]
    torch.testing.assert_close(recurrent @ recurrent.T, torch.eye(4))


def test_gates_remember_as_long_as_asked():
    lstm, gru = Recurrent("lstm", 3, 500), Recurrent("gru", 3, 500)
    for layer in (lstm, gru):
        start_with_memory(layer, longest_memory=100)
    forget, update = lstm.weights()["forget/bias"].detach(), gru.weights()["update/bias"].detach()
    assert torch.equal(lstm.weights()["input/bias"], -forget)
    for bias in (forget, update):
        assert float(bias.min()) >= 0.0
        assert math.log(80) < float(bias.max()) <= math.log(99)


@pytest.mark.parametrize(
    ("cell", "how", "said"),
    [
        ("simple_rnn", {"longest_memory": 10}, "no bias of a gate"),
        ("min_gru", {"recurrent": "identity"}, "no recurrent matrix"),
        ("projected_lstm", {"recurrent": "ring"}, "is for square ones|cannot start"),
        ("simple_rnn", {"recurrent": "idntity"}, "identity"),
        ("simple_rnn", {"recurrent": "chrono"}, "word"),
    ],
)
def test_starts_that_do_not_fit_are_refused(cell: str, how: dict, said: str):
    if cell == "projected_lstm":
        from elman.cells import find_cell

        layer = Recurrent(find_cell(cell).with_options(projection=2), 3, 4)
    else:
        layer = Recurrent(cell, 3, 4)
    with pytest.raises(UsageError, match=said):
        start_with_memory(layer, **how)


def test_settings_reach_the_body():
    settings = BodySettings(cell="lstm", hidden_size=6, recurrent_start="identity", longest_memory=50)
    weights = build_body(settings, 3).weights()
    assert torch.equal(weights["cell/1"], torch.eye(6))
    assert torch.equal(weights["input/bias"], -weights["forget/bias"])


LENGTHS = [5, 0, 2, 7]


@pytest.mark.parametrize("cell", ["simple_rnn", "lstm"])
@pytest.mark.parametrize("window", [1, 3, 7, 20])
def test_windows_give_the_outputs_of_one_call(cell: str, window: int):
    torch.manual_seed(0)
    layer = Recurrent(cell, 2, 3, num_layers=2).double()
    batch = Ragged(torch.randn(14, 2, dtype=torch.float64), LENGTHS)
    steps, end = read_in_windows(layer, batch, window)
    wanted, last = layer(batch)
    torch.testing.assert_close(steps.data, wanted.data)
    torch.testing.assert_close(end, last.output)
    assert steps.lengths.tolist() == LENGTHS


def test_gradients_end_at_the_begin_of_a_window():
    torch.manual_seed(0)
    layer = Recurrent("gru", 2, 3)
    data = torch.randn(14, 2, requires_grad=True)
    _, end = read_in_windows(layer, Ragged(data, LENGTHS), 3)
    (gradient,) = torch.autograd.grad(end.sum(), data)
    reached = [rows.abs().sum(1).bool().tolist() for rows in gradient.split(LENGTHS)]
    assert reached == [[False] * 3 + [True] * 2, [], [True] * 2, [False] * 6 + [True]]


def test_ids_are_read_in_windows():
    layer, table = Recurrent("gru", 2, 3), torch.randn(4, 2)
    ids = Ragged(torch.tensor([0, 1, 2, 3, 0]), [3, 2])
    steps, _ = read_in_windows(layer, ids, 2, table=table)
    torch.testing.assert_close(steps.data, layer(ids, table=table)[0].data)
