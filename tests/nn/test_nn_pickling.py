"""Layers through pickle, copy, torch.save and processes that start anew."""

import copy
import io
import multiprocessing
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from elman import CELLS, Next, affine, bernoulli, cell, parameter, sigmoid, tanh, zoneout
from elman.cells.archive import cell_from_json, cell_to_json
from elman.data.ragged.ragged import Ragged
from elman.errors import UsageError
from elman.nn import Attention, Embedding, Pooling, Recurrent, SequenceDropout
from elman.nn import torch as drop_in


@cell
def leaky(x, h, *, leak=0.5, activation=tanh):
    """A user's cell, at the top of a module."""
    gain = parameter("half", h.size, initial=1.0)
    return leak * h + (1.0 - leak) * activation(gain * affine("hidden", x, h))


@cell
def with_context(x, h, *, context):
    return tanh(affine("hidden", x, h, context))


@cell
def noisy(x, h):
    return tanh(affine("hidden", x, h)) * bernoulli("kept", 0.5, size=h.size)


@cell
def without_parameters(x, h):
    return 0.5 * h + x


def inside() -> Any:
    """A cell that no other program can import."""

    @cell
    def hidden_away(x, h, c):
        c = sigmoid(affine("gate", x, h)) * c + affine("value", x)
        return Next(h=tanh(c), c=c)

    return hidden_away


def restored(name: str) -> Any:
    """A cell as a model folder gives it."""
    sizes = [(3, 3, {}), (3, 5, {})]
    return cell_from_json(cell_to_json(CELLS[name], sizes))


MAKERS: dict[str, Callable[[], Recurrent]] = {
    **{name: lambda name=name: Recurrent(name, 3, 5) for name in CELLS},
    "a user's": lambda: Recurrent(leaky, 3, 5, num_layers=2, bidirectional=True),
    "options": lambda: Recurrent(leaky.with_options(leak=0.25, activation="relu"), 3, 5),
    "a lambda as an option": lambda: Recurrent(leaky.with_options(activation=lambda value: sigmoid(value)), 3, 5),
    "zoneout": lambda: Recurrent(zoneout(CELLS["lstm"], {"h": 0.1, "c": 0.5}), 3, 5),
    "zoneout of a user's": lambda: Recurrent(zoneout(leaky, 0.1), 3, 5),
    "draws": lambda: Recurrent(noisy, 3, 5, dropout=0.2, num_layers=2, weight_drop=0.5),
    "in a function": lambda: Recurrent(inside(), 3, 5, num_layers=2),
    "zoneout of one in a function": lambda: Recurrent(zoneout(inside(), 0.5), 3, 5),
    "restored": lambda: Recurrent(restored("gru"), 3, 5),
    "no parameters": lambda: Recurrent(without_parameters, 3, 3),
    "settings": lambda: Recurrent("gru", 3, 5, go_backwards=True, stateful=True, init="torch", target="eager"),
    "float64": lambda: Recurrent("lstm", 3, 5, merge=None, bidirectional=True).double(),
}


def through_a_file(value: Any) -> Any:
    file = io.BytesIO()
    torch.save(value, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


ROADS: dict[str, Callable[[Any], Any]] = {
    "pickle": lambda value: pickle.loads(pickle.dumps(value)),
    "old pickle": lambda value: pickle.loads(pickle.dumps(value, protocol=2)),
    "copy": copy.deepcopy,
    "torch.save": through_a_file,
}


def flat(steps: Any) -> list[Tensor]:
    return [steps] if isinstance(steps, Tensor) else [each for part in steps for each in flat(part)]


@pytest.mark.parametrize("road", ROADS)
@pytest.mark.parametrize("name", MAKERS)
def test_a_layer_comes_back_the_same(name: str, road: str):
    layer = MAKERS[name]()
    like = next(layer.parameters(), torch.empty(()))
    inputs = torch.randn(2, 4, 3).to(like)
    other = ROADS[road](layer)
    assert repr(other) == repr(layer)
    assert list(other.state_dict()) == list(layer.state_dict())
    for training in (True, False):
        results = []
        for each in (layer, other):
            each.train(training).reset_state()
            torch.manual_seed(3)
            steps, last = each(inputs)
            sum(part.square().sum() for part in flat(steps)).requires_grad_().backward()
            results.append([*flat(steps), *last.tensors.values(), *(value.grad for value in each.parameters())])
            each.zero_grad()
        assert all(map(torch.equal, *results))
    assert other.explain() == layer.explain()


@pytest.mark.parametrize("road", ROADS)
def test_a_copy_shares_no_numbers(road: str):
    layer = Recurrent("lstm", 3, 5)
    other = ROADS[road](layer)
    with torch.no_grad():
        for value in other.parameters():
            value.zero_()
    assert all(value.count_nonzero() for name, value in layer.weights().items() if name.endswith(("/0", "/1")))


def test_constants_are_kept():
    layer = Recurrent(with_context, 3, 5, constants={"context": 2})
    inputs, context = torch.randn(2, 4, 3), torch.randn(2, 2)
    for road in ROADS.values():
        assert torch.equal(road(layer)(inputs, context=context)[0], layer(inputs, context=context)[0])


def test_a_layer_of_a_cell_that_can_be_imported_gives_cells_for_other_sizes():
    other = pickle.loads(pickle.dumps(Recurrent(leaky, 3, 5)))
    assert Recurrent(other.cell, 4, 9)(torch.randn(1, 2, 4))[0].shape == (1, 2, 9)
    with pytest.raises(UsageError, match="has only the sizes"):
        Recurrent(pickle.loads(pickle.dumps(Recurrent(inside(), 3, 5))).cell, 4, 9)


def test_the_states_that_a_layer_carries_go_with_it():
    layer = Recurrent("gru", 3, 5, stateful=True)
    inputs = torch.randn(2, 4, 3)
    layer(inputs)
    for road in ROADS.values():
        other = road(layer)
        assert torch.equal(other(inputs)[0], copy.deepcopy(layer)(inputs)[0])


def test_a_network_comes_back_the_same():
    network = nn.ModuleDict(
        {
            "table": Embedding(7, 3, dropout=0.1),
            "drop": SequenceDropout(0.2),
            "body": Recurrent(leaky, 3, 5, num_layers=2),
            "drop_in": drop_in.GRU(5, 4),
            "cell": drop_in.LSTMCell(4, 2),
            "attention": Attention(4),
            "pooling": Pooling(("last", "attention"), 4),
        }
    ).eval()
    ids = Ragged(torch.tensor([1, 2, 3, 6, 0]), [3, 2])

    def answer(modules: Any) -> Tensor:
        steps, _ = modules["body"](modules["drop"](modules["table"](ids)))
        rows = modules["drop_in"](steps)[0]
        return modules["cell"](modules["attention"](rows))[0]

    for road in ROADS.values():
        assert torch.equal(answer(road(network)), answer(network))


def answer_there(layer: nn.Module) -> Tensor:
    torch.manual_seed(0)
    return layer(torch.randn(2, 4, 3))[0].detach()


def test_layers_go_to_processes_that_start_anew():
    layers = [MAKERS[name]().eval() for name in ("lstm", "a user's", "zoneout", "in a function", "restored")]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found = pool.map(answer_there, layers)
    for layer, value in zip(layers, found, strict=True):
        assert torch.equal(value, answer_there(layer))


def test_what_torch_does_not_pickle_is_said_by_torch():
    layer = Recurrent("lstm", 3, 5)
    parametrizations.weight_norm(layer.layer0, "input/1")
    with pytest.raises(RuntimeError, match="only supported through state_dict"):
        pickle.dumps(layer)
    inputs = torch.randn(2, 4, 3)
    assert torch.equal(copy.deepcopy(layer)(inputs)[0], layer(inputs)[0])


def test_the_weights_alone_need_no_cell():
    layer = Recurrent("gru", 3, 5)
    other = pickle.loads(pickle.dumps(layer.layer0))
    assert str(other.graph) == str(layer.layer0.graph)
    assert all(map(torch.equal, other.parameters(), layer.layer0.parameters()))
