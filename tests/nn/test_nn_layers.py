"""`SimpleRNN`, `LSTM` and `GRU` are classes whose arguments, those of `Recurrent` among them, help and editors show."""

import copy
import inspect
import io
import pickle
import pydoc
from collections.abc import Callable
from typing import Any

import pytest
import torch

import elman
from elman import CELLS, GRU, LSTM, Recurrent, SimpleRNN
from elman.errors import UsageError
from elman.nn.layers import LayerSettings

LAYERS = {"simple_rnn": SimpleRNN, "lstm": LSTM, "gru_reset_after": GRU}
every_layer = pytest.mark.parametrize("name", LAYERS)


def through_torch(value: Any) -> Any:
    file = io.BytesIO()
    torch.save(value, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@every_layer
def test_a_layer_is_an_instance_of_its_class_and_of_recurrent(name: str):
    layer = LAYERS[name](3, 4)
    assert type(layer) is LAYERS[name]
    assert isinstance(layer, Recurrent)
    assert layer.cell is CELLS[name]
    assert repr(layer).startswith(f"{type(layer).__name__}(\n  {name}, input_size=3, hidden_size=4")


@every_layer
@pytest.mark.parametrize("road", [lambda each: pickle.loads(pickle.dumps(each)), copy.deepcopy, through_torch])
def test_a_copy_is_of_the_same_class_and_gives_the_same(name: str, road: Callable[[Any], Any]):
    layer = LAYERS[name](3, 4, num_layers=2)
    other = road(layer)
    assert type(other) is type(layer)
    assert repr(other) == repr(layer)
    inputs = torch.randn(2, 5, 3)
    assert torch.equal(other(inputs)[0], layer(inputs)[0])


@every_layer
def test_a_subclass_has_arguments_of_its_own(name: str):
    class Narrow(LAYERS[name]):
        """One feature."""

        def __init__(self, units: int):
            super().__init__(1, units, bidirectional=True)

    layer = Narrow(4)
    assert isinstance(layer, LAYERS[name])
    assert layer(torch.zeros(2, 3, 1))[0].shape == (2, 3, 8)
    assert list(inspect.signature(Narrow).parameters) == ["units"]


@every_layer
def test_the_signature_and_help_have_every_argument(name: str):
    general = inspect.signature(Recurrent).parameters
    found = inspect.signature(LAYERS[name]).parameters
    options = CELLS[name].options.keys()
    assert found.keys() - {"reset_after"} == (general.keys() | options) - {"cell", "constants"}
    assert LayerSettings.__annotations__.keys() == general.keys() - {"cell", "input_size", "hidden_size", "constants"}
    text = pydoc.render_doc(LAYERS[name], renderer=pydoc.plaintext)
    assert [argument for argument in found if f"\n |      {argument}: " not in text] == []
    assert "  settings: " not in text
    for argument, each in found.items():
        if argument in general:
            assert each.default == general[argument].default


@pytest.mark.parametrize("name", ["Recurrent", "Embedding", "Pooling", "Attention", "State", *LAYERS])
def test_each_argument_of_a_public_class_is_described(name: str):
    kind = LAYERS.get(name) or getattr(elman, name)
    text = inspect.getdoc(kind) or ""
    assert [each for each in inspect.signature(kind).parameters if f"\n    {each}: " not in text] == []


@every_layer
@pytest.mark.parametrize(
    ("wrong", "repair"),
    [
        ({"units": 3}, "Write hidden_size"),
        ({"bias": False}, "Write use_bias"),
        ({"constants": {"topic": 3}}, "Valid: "),
        ({"num_layer": 3}, "Did you mean `num_layers`"),
        ({"use_biases": True}, "Did you mean `use_bias`"),
    ],
)
def test_an_unknown_argument_is_refused_with_the_nearest(name: str, wrong: dict[str, Any], repair: str):
    with pytest.raises(UsageError, match=rf"(?s)no setting `{next(iter(wrong))}`.*{repair}"):
        LAYERS[name](3, 4, **wrong)


def test_no_activation_is_the_identity_as_in_keras():
    inputs = torch.randn(2, 5, 3)
    torch.manual_seed(1)
    layer = SimpleRNN(3, 4, activation=None)
    torch.manual_seed(1)
    assert torch.equal(layer(inputs)[0], SimpleRNN(3, 4, activation="linear")(inputs)[0])
