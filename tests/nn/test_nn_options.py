"""Options of the cells that come with elman: biases, forget biases, activations of each direction and of the output."""

import pytest
import torch

from elman import CELLS, GRU, LSTM, Ragged, Recurrent, SequenceClassifier, SimpleRNN
from elman.errors import UsageError
from elman.nn.torch_convert import from_torch, to_torch
from tests.laws.tolerances import assert_near

LENGTHS = [4, 0, 1, 6, 3]


def batch() -> Ragged:
    torch.manual_seed(1)
    return Ragged(torch.randn(14, 3), LENGTHS)


@pytest.mark.parametrize("name", [name for name, cell in CELLS.items() if "use_bias" in cell.options])
def test_a_cell_without_bias_is_that_cell_with_biases_of_zero(name: str):
    plain = Recurrent(CELLS[name].with_options(use_bias=False), 3, 5)
    biased = Recurrent(name, 3, 5)
    weights = plain.weights()
    assert not any(item.role == "bias" for item in plain._weights_of(0, False).graph.parameters)
    with torch.no_grad():
        for key, tensor in biased.weights().items():
            tensor.copy_(weights[key]) if key in weights else tensor.zero_()
    assert set(weights) < set(biased.weights())
    assert_near(plain(batch())[0].data, biased(batch())[0].data, torch.float32)


@pytest.mark.parametrize("name", ["lstm", "peephole_lstm", "projected_lstm", "layer_norm_lstm"])
def test_forget_biases_start_from_1_or_from_0(name: str):
    key = "forget_bias" if name == "layer_norm_lstm" else "forget/bias"
    off = CELLS[name].with_options(unit_forget_bias=False)
    assert Recurrent(name, 3, 5).weights()[key].tolist() == [1.0] * 5
    assert Recurrent(off, 3, 5).weights()[key].tolist() == [0.0] * 5


@pytest.mark.parametrize(
    ("layer", "shapes"),
    [
        (SimpleRNN(3, 5, use_bias=False), [(3, 5), (5, 5)]),
        (LSTM(3, 5, use_bias=False), [(3, 20), (5, 20)]),
        (GRU(3, 5, use_bias=False), [(3, 15), (5, 15)]),
        (GRU(3, 5, use_bias=False, reset_after=False), [(3, 15), (5, 15)]),
    ],
)
def test_kerass_arrays_without_biases(layer: Recurrent, shapes: list[tuple[int, ...]]):
    arrays = layer.get_weights()
    assert [tuple(array.shape) for array in arrays] == shapes
    before = layer(batch())[0].data
    layer.set_weights([array.numpy() for array in arrays])
    assert torch.equal(layer(batch())[0].data, before)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    "make",
    [
        lambda bias: torch.nn.LSTM(3, 5, bias=bias, bidirectional=True, batch_first=True),
        lambda bias: torch.nn.LSTM(3, 5, bias=bias, proj_size=2, batch_first=True),
        lambda bias: torch.nn.GRU(3, 5, num_layers=2, bias=bias, batch_first=True),
        lambda bias: torch.nn.RNN(3, 5, nonlinearity="relu", bias=bias, batch_first=True),
    ],
)
def test_layers_go_to_torch_and_back_with_and_without_biases(make, bias: bool):
    module = make(bias)
    layer = from_torch(module)
    assert any("bias" in name for name in layer.weights()) == bias
    again = to_torch(layer)
    assert again.bias == bias
    x = torch.randn(2, 4, 3)
    assert_near(layer(x)[0], module(x)[0], torch.float32)
    assert_near(again(x)[0], module(x)[0], torch.float32)


@pytest.mark.parametrize("name", ["lstm", "peephole_lstm", "projected_lstm"])
def test_the_activations_of_the_candidate_and_of_the_output_may_differ(name: str):
    cell = CELLS[name].with_options(
        activation="relu", output_activation="softsign", recurrent_activation="hard_sigmoid"
    )
    layer = Recurrent(cell, 3, 4).double()
    w = layer.weights()
    x = torch.randn(1, 6, 3, dtype=torch.float64)
    c = x.new_zeros(4)
    h = x.new_zeros(w["projection/0"].shape[1] if name == "projected_lstm" else 4)
    gate = torch.nn.functional.hardsigmoid
    peep = lambda key: w.get(f"{key}_peephole", torch.zeros(()))  # noqa: E731
    pre = lambda key, x, h: x @ w[f"{key}/0"] + h @ w[f"{key}/1"] + w[f"{key}/bias"]  # noqa: E731
    for step in x[0]:
        i, f = (gate(pre(key, step, h) + peep(key) * c) for key in ("input", "forget"))
        new = f * c + i * torch.relu(pre("cell", step, h))
        o = gate(pre("output", step, h) + peep("output") * new)
        c, h = new, o * torch.nn.functional.softsign(new)
        h = h @ w["projection/0"] if name == "projected_lstm" else h
    last = layer(x)[1]
    assert_near([last.h[0], last.c[0]], [h, c], torch.float64)


@pytest.mark.parametrize("merge", ["concat", "sum"])
def test_each_direction_has_its_own_activation(merge: str):
    layer = SimpleRNN(3, 5, activation=("tanh", "relu"), bidirectional=True, merge=merge)
    forward, backward = SimpleRNN(3, 5), SimpleRNN(3, 5, activation="relu", go_backwards=True)
    with torch.no_grad():
        for single, is_backward in ((forward, False), (backward, True)):
            for name, tensor in single.weights().items():
                tensor.copy_(layer.weights(backward=is_backward)[name])
    given = batch()
    steps, last = layer(given)
    first, second = forward(given)[0].data, backward(given)[0].reverse().data
    assert_near(steps.data, torch.cat([first, second], 1) if merge == "concat" else first + second, torch.float32)
    assert_near(last.h[1], backward(given)[1].h, torch.float32)


def test_what_cannot_be_a_pair_of_cells_is_refused():
    with pytest.raises(UsageError, match="Expected one cell, since bidirectional is False, got 2"):
        SimpleRNN(3, 5, activation=("tanh", "relu"))
    with pytest.raises(UsageError, match="Expected one value of `activation` or two, got 3"):
        SimpleRNN(3, 5, activation=("tanh", "relu", "tanh"), bidirectional=True)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="Expected two cells with the same states"):
        Recurrent(("gru", "lstm"), 3, 5, bidirectional=True)
    with pytest.raises(UsageError, match="its directions have different cells"):
        to_torch(SimpleRNN(3, 5, activation=("tanh", "relu"), bidirectional=True))
    with pytest.raises(UsageError, match="Give True or False"):
        LSTM(3, 5, use_bias=0)  # type: ignore[arg-type]


def test_a_classifier_takes_the_options_from_a_cell_and_by_name():
    words, labels = ["ab", "ba", "aab", "bba"] * 4, ["x", "y"] * 8
    for settings in (
        {"cell": CELLS["lstm"].with_options(use_bias=False)},
        {"cell": "lstm", "cell_options": {"use_bias": False, "output_activation": "relu"}},
    ):
        model = SequenceClassifier(hidden_size=4, epochs=1, **settings).fit(words, labels)
        assert not any("bias" in name and "layer0" in name for name, _ in model.model_.named_parameters())
