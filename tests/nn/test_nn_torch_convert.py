"""From torch's modules to elman's layer and back."""

import pytest
import torch
from torch import nn

from elman import Next, affine, cell, tanh
from elman.cells import CELLS
from elman.data.ragged.ragged import Ragged
from elman.errors import UsageError
from elman.nn import GRU, LSTM, Recurrent, SimpleRNN
from elman.nn import torch as mine
from elman.nn.torch import from_torch, to_torch
from elman.nn.torch_layout import LAYOUTS

KINDS = [("RNN", {}), ("RNN", {"nonlinearity": "relu"}), ("LSTM", {}), ("LSTM", {"proj_size": 2}), ("GRU", {})]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("num_layers", [1, 3])
@pytest.mark.parametrize("source", [nn, mine], ids=["torch", "elman"])
@pytest.mark.parametrize(("kind", "options"), KINDS, ids=str)
def test_the_same_results_from_torch_and_back(kind, options, source, num_layers, bidirectional, bias):
    module = getattr(source, kind)(3, 5, num_layers, bidirectional=bidirectional, bias=bias, **options)
    inputs = torch.randn(4, 6, 3)
    expected, states = module(inputs.transpose(0, 1))
    layer = from_torch(module)
    for model in (layer, to_torch(layer)):
        steps, last = model(inputs)
        torch.testing.assert_close(steps, expected.transpose(0, 1), rtol=0, atol=1e-6)
    wanted = states if kind == "LSTM" else (states,)
    found = layer(inputs)[1].tensors
    for name, state in zip(found, wanted, strict=True):
        torch.testing.assert_close(found[name], state, rtol=0, atol=1e-6)
        torch.testing.assert_close(last[list(found).index(name)] if kind == "LSTM" else last, state, rtol=0, atol=1e-6)


MINE = {
    "simple_rnn": lambda **settings: SimpleRNN(3, 6, **settings),
    "simple_rnn relu": lambda **settings: SimpleRNN(3, 6, activation="relu", **settings),
    "lstm": lambda **settings: LSTM(3, 6, **settings),
    "gru_reset_after": lambda **settings: GRU(3, 6, **settings),
    "projected_lstm": lambda **settings: Recurrent("projected_lstm", 3, 6, **settings),
    "projected_lstm to 2": lambda **settings: Recurrent(
        CELLS["projected_lstm"].with_options(projection=2), 3, 6, **settings
    ),
}


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("name", MINE)
def test_the_same_results_in_torch_and_back(name, bidirectional):
    layer = MINE[name](num_layers=2, bidirectional=bidirectional)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.uniform_(-0.5, 0.5)
    inputs = torch.randn(4, 5, 3)
    module = to_torch(layer)
    torch.testing.assert_close(module(inputs)[0], layer(inputs)[0], rtol=0, atol=1e-6)
    again = from_torch(module)
    for (key, a), (other, b) in zip(layer.named_parameters(), again.named_parameters(), strict=True):
        assert key == other
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_type_mode_and_further_settings_are_kept():
    module = nn.GRU(3, 5, num_layers=2, dtype=torch.float64).eval()
    layer = from_torch(module, stateful=True, dropout=0.5)
    assert next(layer.parameters()).dtype == torch.float64
    assert (layer.training, layer.stateful, layer.dropout) == (False, True, 0.5)
    back = to_torch(from_torch(module))
    assert back.weight_ih_l0.dtype == torch.float64
    assert not back.training


@pytest.mark.parametrize("source", [nn, mine], ids=["torch", "elman"])
@pytest.mark.parametrize(("kind", "options"), KINDS, ids=str)
def test_a_module_without_biases_is_a_layer_without_biases(kind, options, source):
    module = getattr(source, kind)(3, 5, 2, bidirectional=True, bias=False, **options)
    layer = from_torch(module)
    assert not [name for name, _ in layer.named_parameters() if "bias" in name]
    assert sum(value.numel() for value in layer.parameters()) == sum(value.numel() for value in module.parameters())
    back = to_torch(layer)
    assert not back.bias
    assert back.state_dict().keys() == module.state_dict().keys()
    assert all(torch.equal(value, back.state_dict()[name]) for name, value in module.state_dict().items())
    # Training does not make biases.
    layer(torch.randn(2, 4, 3))[0].sum().backward()
    assert all(value.grad is not None for value in layer.parameters())
    assert [array.shape for array in layer.get_weights()] == [
        array.shape for array in from_torch(to_torch(layer)).get_weights()
    ]


FROZEN = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]


@pytest.mark.parametrize("source", [nn, mine], ids=["torch", "elman"])
@pytest.mark.parametrize(("kind", "options"), KINDS, ids=str)
@pytest.mark.parametrize("frozen", [(), ("weight_ih",), ("weight_hh", "bias_ih", "bias_hh"), tuple(FROZEN)])
def test_what_is_not_learned_stays_so(kind, options, source, frozen):
    module = getattr(source, kind)(3, 5, 2, bidirectional=True, **options)
    for name, value in module.named_parameters():
        if name.startswith(frozen) and "l1" in name:
            value.requires_grad_(False)
    layer = from_torch(module)
    for name, value in layer.named_parameters():
        place, key = name.split(".")
        kind_of = {"0": "weight_ih", "1": "weight_hh", "bias": "bias_ih"}[key.split("/")[1]]
        if key == "memory/0":
            kind_of = "weight_hh"
        is_projection = key == "projection/0"
        assert value.requires_grad == (is_projection or place.startswith("layer0") or kind_of not in frozen), name
    back = to_torch(layer)
    for (name, found), (_, expected) in zip(back.named_parameters(), module.named_parameters(), strict=True):
        assert found.requires_grad == expected.requires_grad, name
    assert all(value.is_leaf for value in (*layer.parameters(), *back.parameters()))


def test_a_sum_of_biases_is_learned_if_one_of_them_is():
    module = nn.GRU(3, 5)
    module.bias_hh_l0.requires_grad_(False)
    flags = {name: value.requires_grad for name, value in from_torch(module).weights().items() if "bias" in name}
    assert flags == {"update/bias": True, "reset/bias": True, "candidate/bias": True, "memory/bias": False}


def test_gates_that_are_learned_in_part_are_named():
    layer = LSTM(3, 5, num_layers=2)
    layer.weights(1)["forget/1"].requires_grad_(False)
    with pytest.raises(UsageError, match="weight_hh_l1 would be learned in part") as error:
        to_torch(layer)
    assert "weight_ih_l1" not in str(error.value)


def test_parametrized_modules_are_converted_as_they_are():
    module = nn.utils.parametrizations.weight_norm(nn.LSTM(3, 5), "weight_hh_l0")
    layer, inputs = from_torch(module), torch.randn(4, 2, 3)
    torch.testing.assert_close(layer(inputs)[0], module(inputs.transpose(0, 1))[0].transpose(0, 1), rtol=0, atol=1e-6)
    assert all(value.requires_grad and value.is_leaf for value in layer.parameters())


def test_a_converted_layer_shares_nothing_with_the_module():
    module = nn.LSTM(3, 5)
    layer = from_torch(module)
    before = layer.get_weights()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
    assert all(torch.equal(a, b) for a, b in zip(before, layer.get_weights(), strict=True))


def test_a_converted_layer_takes_ragged_batches_with_empty_sequences():
    module = nn.LSTM(3, 5)
    batch = Ragged(torch.randn(5, 3), [2, 0, 3])
    steps, _ = from_torch(module)(batch)
    torch.testing.assert_close(steps[2], module(batch[2])[0], rtol=0, atol=1e-6)


@cell
def lstm(x, h, c):
    """A user's own cell under the name of another."""
    c = c + tanh(affine("cell", x, h))
    return Next(h=tanh(c), c=c)


NOT_TORCHS = {
    "another cell": (lambda: GRU(3, 5, reset_after=False), "the cell is"),
    "another activation": (lambda: SimpleRNN(3, 5, activation="linear"), "activation=linear"),
    "another activation of gates": (
        lambda: Recurrent(CELLS["lstm"].with_options(recurrent_activation="hard_sigmoid"), 3, 5),
        "hard_sigmoid",
    ),
    "a user's own": (lambda: Recurrent(lstm, 3, 5), "the cell is"),
    "another merge": (lambda: LSTM(3, 5, bidirectional=True, merge="sum"), "merge is 'sum'"),
    "backwards": (lambda: LSTM(3, 5, go_backwards=True), "go_backwards is set"),
    "stateful": (lambda: LSTM(3, 5, stateful=True), "it is stateful"),
    "a projection that is none": (
        lambda: Recurrent(CELLS["projected_lstm"].with_options(projection=5), 3, 5),
        "5 features, not less than 5",
    ),
}


@pytest.mark.parametrize("name", NOT_TORCHS)
def test_what_torch_does_not_have_is_named(name):
    make, message = NOT_TORCHS[name]
    with pytest.raises(UsageError, match=message) as error:
        to_torch(make())
    assert "gru_reset_after" in str(error.value)


def test_all_that_stands_in_the_way_is_named_at_once():
    with pytest.raises(UsageError) as error:
        to_torch(GRU(3, 5, reset_after=False, go_backwards=True, stateful=True))
    assert all(word in str(error.value) for word in ("the cell", "go_backwards", "stateful"))


@pytest.mark.parametrize("module", [nn.Linear(3, 5), nn.LSTMCell(3, 5), None, LSTM(3, 5)])
def test_only_recurrent_modules_of_torch_are_converted(module):
    with pytest.raises(UsageError, match="Expected a recurrent module of torch"):
        from_torch(module)


def test_every_layout_names_all_parameters_of_its_cell_once():
    for layout in LAYOUTS.values():
        graph = layout.cell.trace(3, 5)
        named = {name for gate in layout.gates for name in gate}
        assert named == {parameter.name for parameter in graph.parameters}
