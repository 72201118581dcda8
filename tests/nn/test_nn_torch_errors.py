"""What torch's layers refuse, elman's refuse with an error that is also an instance of torch's, and with a repair."""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence

from elman.data.ragged.ragged import Ragged
from elman.errors import ElmanError, ShapeError, UsageError
from elman.nn import torch as mine

LAYERS = ("RNN", "LSTM", "GRU")
CELLS = ("RNNCell", "LSTMCell", "GRUCell")


def error_of(call: Callable[[], Any]) -> Exception | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            call()
        except Exception as error:
            return error
    return None


def compare(call: Callable[[Any], Any]) -> ElmanError:
    """Both refuse the call, elman with an error that is an instance of torch's and says what to do."""
    expected, found = error_of(lambda: call(nn)), error_of(lambda: call(mine))
    assert expected is not None, "torch does not refuse this"
    assert isinstance(found, type(expected)), f"torch: {expected!r}; elman: {found!r}"
    assert isinstance(found, ElmanError)
    assert found.fix
    return found


WRONG_SETTINGS: dict[str, tuple[Any, ...]] = {
    "input_size": (0, -1, 2.5, "3", None, np.int64(3)),
    "hidden_size": (0, -1, 2.5, "3", None, np.int64(3)),
    "num_layers": (0, -1, 2.5, 2.0, "2", None),
    "bias": (0, 1, "True", None, np.True_),
    "batch_first": (0, 1, "False", None, np.True_),
    "dropout": (-0.1, 1.5, True, "a", None, [0.1], float("nan"), torch.tensor(0.5), 0.5 + 0j),
    "device": ("nowhere", 3.5),
    "dtype": ("float32", 3, torch.int64),
}
WRONG_OF_ONE: list[tuple[str, str, Any]] = [
    *(("LSTM", "proj_size", value) for value in (-1, 5, 6, 1.5, "a", None, True)),
    *((kind, "proj_size", value) for kind in ("RNN", "GRU") for value in (2, -1, 1.5)),
    *(("RNN", "nonlinearity", value) for value in ("rel", None, 3, [])),
]
ALL_WRONG = [
    *((kind, name, value) for kind in LAYERS for name, values in WRONG_SETTINGS.items() for value in values),
    *WRONG_OF_ONE,
]


@pytest.mark.parametrize(("kind", "name", "value"), ALL_WRONG)
def test_a_wrong_setting_is_named(kind: str, name: str, value: Any):
    found = compare(lambda module: getattr(module, kind)(**({"input_size": 3, "hidden_size": 5} | {name: value})))
    assert isinstance(found, UsageError)
    assert name in str(found)


@pytest.mark.parametrize("value", [0, 1, "yes", None, np.True_])
@pytest.mark.parametrize("kind", LAYERS)
def test_a_bidirectional_that_is_no_bool_is_refused_at_once(kind: str, value: Any):
    """torch builds such a layer and then cannot run it."""
    found = compare(lambda module: getattr(module, kind)(3, 5, bidirectional=value)(torch.zeros(7, 2, 3)))
    assert "bidirectional" in found.problem


@pytest.mark.parametrize(
    ("name", "value"),
    [("num_layers", np.int64(2)), ("dropout", np.float32(0.5)), ("dropout", 1), ("proj_size", np.int64(2))],
)
def test_numbers_of_numpy_are_taken_where_torch_takes_them(name: str, value: Any):
    settings = {"input_size": 3, "hidden_size": 5, "num_layers": 2} | {name: value}
    layer, theirs = mine.LSTM(**settings), nn.LSTM(**settings)
    theirs.load_state_dict(layer.state_dict())
    assert repr(layer) == repr(theirs)
    inputs = torch.randn(4, 2, 3)
    torch.testing.assert_close(layer.eval()(inputs)[0], theirs.eval()(inputs)[0], rtol=0, atol=1e-6)


def test_all_wrong_settings_are_named_at_once():
    with pytest.raises(UsageError) as error:
        mine.RNN(0, 5.5, "2", "rel", bias=0, batch_first="False", dropout=2)  # type: ignore[arg-type]
    for name in ("input_size", "hidden_size", "num_layers", "nonlinearity", "bias", "batch_first", "dropout"):
        assert name in error.value.problem
    assert "Did you mean `relu`" in str(error.value)


@pytest.mark.parametrize("kind", [*LAYERS, *CELLS])
@pytest.mark.parametrize("arguments", [((), {}), ((3,), {}), ((3, 5), {"unknown": 1})])
def test_missing_and_unknown_arguments_are_type_errors(kind: str, arguments: tuple[tuple[Any, ...], dict[str, Any]]):
    for module in (nn, mine):
        with pytest.raises(TypeError):
            getattr(module, kind)(*arguments[0], **arguments[1])


CELL_SETTINGS: list[tuple[str, str, Any]] = [
    *(
        (kind, name, value)
        for kind in CELLS
        for name in ("input_size", "hidden_size")
        for value in (-1, 2.5, "3", None)
    ),
    *((kind, name, value) for kind in CELLS for name, value in (("device", "nowhere"), ("dtype", torch.int64))),
]


@pytest.mark.parametrize(("kind", "name", "value"), CELL_SETTINGS)
def test_a_wrong_setting_of_a_cell_is_named(kind: str, name: str, value: Any):
    found = compare(lambda module: getattr(module, kind)(**({"input_size": 3, "hidden_size": 5} | {name: value})))
    assert name in str(found)


def test_an_unknown_nonlinearity_of_a_cell_is_refused_at_once():
    """torch builds such a cell and then cannot run it."""
    found = compare(lambda module: module.RNNCell(3, 5, nonlinearity="rel")(torch.zeros(2, 3)))
    assert "Did you mean `relu`" in str(found)


def states_of(kind: str, *shape: int) -> Any:
    return (torch.zeros(shape), torch.zeros(shape)) if kind.startswith("LSTM") else torch.zeros(shape)


def each(states: Any, change: Callable[[Tensor], Any]) -> Any:
    return tuple(map(change, states)) if isinstance(states, tuple) else change(states)


def pack(*lengths: int, features: int = 3, sort: bool = True, dtype: torch.dtype = torch.float32) -> PackedSequence:
    return pack_sequence([torch.zeros(length, features, dtype=dtype) for length in lengths], enforce_sorted=sort)


def wrong_calls(kind: str) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Calls of a layer that reads 3 features and has a state of 5."""
    x, fit = torch.zeros(7, 2, 3), states_of(kind, 1, 2, 5)
    yield "other features", (torch.zeros(7, 2, 4),)
    for shape in ((7, 2, 1, 3), (3,), ()):
        yield f"input of {len(shape)} axes", (torch.zeros(shape),)
    for dtype in (torch.float64, torch.int64, torch.complex64):
        yield f"{dtype}", (x.to(dtype),)
    yield "on another device", (x.to("meta"),)
    for value in ([[1.0]], None, np.zeros((7, 2, 3), "float32"), "text"):
        yield f"a {type(value).__name__}", (value,)
    yield "packed ids", (pack_sequence([torch.tensor([1])]),)
    yield "packed float64", (pack(4, 2, dtype=torch.float64),)
    for shape in ((1, 3, 5), (1, 2, 4), (2, 2, 5), (1, 5), (1, 1, 2, 5), (5,), ()):
        yield f"states {shape}", (x, states_of(kind, *shape))
    for shape in ((1, 1, 5), (1, 4), (5,), (2, 5)):
        yield f"no batch, states {shape}", (x[:, 0], states_of(kind, *shape))
    for shape in ((1, 3, 5), (1, 1, 5), (1, 2, 4), (1, 5)):
        yield f"packed, states {shape}", (pack(4, 2), states_of(kind, *shape))
    yield "packed unsorted, smaller batch", (pack(2, 4, sort=False), states_of(kind, 1, 1, 5))
    yield "states of float64", (x, each(fit, Tensor.double))
    yield "states of whole numbers", (x, each(fit, Tensor.long))
    yield "states on another device", (x, each(fit, lambda state: state.to("meta")))
    yield "states of numpy", (x, each(fit, lambda state: state.numpy()))
    for name, value in {
        "too few": fit[:1],
        "none": (),
        "three": (x[:1], x[:1], x[:1]),
        "dict": {"h": x},
        "text": "ab",
    }.items():
        yield f"states: {name}", (x, value if kind == "LSTM" or name != "too few" else (fit,))
    yield "states: one tensor or a pair", (x, (fit, fit) if kind != "LSTM" else fit[0])
    yield "states: no tensors", (x, (1, 2) if kind == "LSTM" else 1)
    if kind == "LSTM":
        yield "c without batch", (x, (fit[0], fit[0][0]))
        yield "c of another size", (x, (fit[0], fit[0][..., :4]))
        yield "a pair of None", (x, (None, None))


CALLS = [(kind, name) for kind in LAYERS for name, _ in wrong_calls(kind)]


@pytest.mark.parametrize(("kind", "name"), CALLS)
def test_a_wrong_call_is_refused_with_the_repair(kind: str, name: str):
    arguments = dict(wrong_calls(kind))[name]
    found = compare(lambda module: getattr(module, kind)(3, 5)(*arguments))
    assert isinstance(found, ShapeError)


def test_what_torch_takes_without_a_word_and_reads_wrongly_is_refused():
    """torch's LSTM reads beyond a packed batch of other features, and drops the states of more sequences."""
    for kind in LAYERS:
        with pytest.raises(ShapeError, match="input_size"):
            getattr(mine, kind)(3, 5)(pack(4, 2, features=2))
        with pytest.raises(ShapeError, match="Expected hidden"):
            getattr(mine, kind)(3, 5)(pack(2, 4, sort=False), states_of(kind, 1, 3, 5))


@pytest.mark.parametrize("kind", LAYERS)
def test_a_ragged_batch_is_checked_as_others_are(kind: str):
    layer = getattr(mine, kind)(3, 5)
    batch = Ragged(torch.zeros(4, 3), [3, 0, 1])
    for inputs, states, message in (
        (Ragged(torch.tensor([1]), [1]), None, "got 1D"),
        (batch.replace(torch.zeros(4, 2)), None, "Expected 3, got 2"),
        (batch.replace(batch.data.double()), None, "float64"),
        (batch, states_of(kind, 1, 2, 5), r"\(1, 3, 5\), got \[1, 2, 5\]"),
    ):
        with pytest.raises(ShapeError, match=message):
            layer(inputs, states)


def test_a_list_of_two_states_is_a_pair():
    layer, theirs = mine.LSTM(3, 5), nn.LSTM(3, 5)
    theirs.load_state_dict(layer.state_dict())
    inputs, hx = torch.randn(4, 2, 3), [torch.randn(1, 2, 5), torch.randn(1, 2, 5)]
    torch.testing.assert_close(layer(inputs, hx)[0], theirs(inputs, hx)[0], rtol=0, atol=1e-6)


def wrong_steps(kind: str) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Calls of a cell that reads 3 features and has a state of 5."""
    x, fit = torch.zeros(2, 3), states_of(kind, 2, 5)
    yield "other features", (torch.zeros(2, 4),)
    yield "one sequence of other features", (torch.zeros(4),)
    for shape in ((2, 2, 3), ()):
        yield f"input of {len(shape)} axes", (torch.zeros(shape),)
    for dtype in (torch.float64, torch.int64):
        yield f"{dtype}", (x.to(dtype),)
    for value in ([1.0], None, np.zeros((2, 3), "float32"), pack(4, 2)):
        yield f"a {type(value).__name__}", (value,)
    for shape in ((2, 4), (3, 5), (5,), (2, 1, 1, 5), (2, 1, 5), ()):
        yield f"states {shape}", (x, states_of(kind, *shape))
    for shape in ((2, 5), (1, 5), (4,), ()):
        yield f"no batch, states {shape}", (x[0], states_of(kind, *shape))
    yield "states of float64", (x, each(fit, Tensor.double))
    yield "states: too few", (x, fit[:1] if kind == "LSTMCell" else (fit,))
    yield "states: one tensor or a pair", (x, fit[0] if kind == "LSTMCell" else (fit, fit))
    yield "states: no tensors", (x, (1, 2) if kind == "LSTMCell" else 1)
    yield "states: none", (x, ())


STEPS = [(kind, name) for kind in CELLS for name, _ in wrong_steps(kind)]


@pytest.mark.parametrize(("kind", "name"), STEPS)
def test_a_wrong_step_is_refused_with_the_repair(kind: str, name: str):
    arguments = dict(wrong_steps(kind))[name]
    found = compare(lambda module: getattr(module, kind)(3, 5)(*arguments))
    assert isinstance(found, ShapeError)
