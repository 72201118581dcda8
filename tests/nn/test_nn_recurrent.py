"""`Recurrent`: initial and carried states, shared use, constants, options, and what it says to wrong input."""

import copy

import pytest
import torch

from elman import Next, affine, cell, tanh
from elman.data.ragged.ragged import Ragged
from elman.errors import CellError, ShapeError, UsageError
from elman.nn import LSTM, Recurrent, SimpleRNN, State

BATCH, TIME, FEATURES, UNITS = 2, 5, 3, 4


@cell
def steered(x, h, *, context, offset):
    """A step with two constants."""
    return tanh(affine("hidden", x, h, context) + offset)


@cell
def counted(x, h, n):
    """A step whose output is no state, and whose states differ in size."""
    n = n + 1.0
    h = tanh(affine("hidden", x, h, size=2))
    return Next(h=h, n=affine("count", n, size=1, bias=None), output=affine("answer", h, size=3))


@pytest.fixture
def inputs() -> torch.Tensor:
    return torch.randn(BATCH, TIME, FEATURES)


def test_every_form_of_an_initial_state_gives_the_same(inputs):
    layer = LSTM(FEATURES, UNITS)
    h, c = torch.randn(BATCH, UNITS), torch.randn(BATCH, UNITS)
    forms = [
        {"h": h, "c": c},
        {"c": c, "h": h[None]},
        State({"h": h[None], "c": c[None]}),
        State({"c": c[None], "h": h[None]}),
    ]
    results = [layer(inputs, form) for form in forms]
    for steps, last in results[1:]:
        assert torch.equal(steps, results[0][0])
        assert torch.equal(last.c, results[0][1].c)
    assert not torch.equal(results[0][0], layer(inputs)[0])


def test_a_cell_of_one_state_takes_its_tensor(inputs):
    layer = SimpleRNN(FEATURES, UNITS)
    h = torch.randn(BATCH, UNITS)
    assert torch.equal(layer(inputs, h)[0], layer(inputs, {"h": h})[0])
    assert torch.equal(layer(inputs, h[None])[0], layer(inputs, {"h": h})[0])


def test_a_stack_of_two_directions_takes_one_state_for_each_place(inputs):
    layer = LSTM(FEATURES, UNITS, num_layers=2, bidirectional=True)
    states = {name: torch.randn(4, BATCH, UNITS) for name in "hc"}
    steps, last = layer(inputs, states)
    assert last.h.shape == last.c.shape == (4, BATCH, UNITS)
    other = {name: value.clone() for name, value in states.items()}
    other["h"][3] += 1
    changed, _ = layer(inputs, other)
    assert torch.equal(changed[..., :UNITS], steps[..., :UNITS])
    assert not torch.equal(changed[..., UNITS:], steps[..., UNITS:])


def test_the_gradient_reaches_an_initial_state(inputs):
    h = torch.randn(BATCH, UNITS, requires_grad=True)
    SimpleRNN(FEATURES, UNITS)(inputs, h)[1].h.sum().backward()
    assert h.grad is not None
    assert (h.grad != 0).all()


def test_a_sequence_in_two_parts_with_the_state_between_is_the_whole(inputs):
    layer = Recurrent("peephole_lstm", FEATURES, UNITS, num_layers=2)
    whole, end = layer(inputs)
    first, between = layer(inputs[:, :2])
    second, last = layer(inputs[:, 2:], between)
    torch.testing.assert_close(torch.cat([first, second], 1), whole)
    torch.testing.assert_close(last.c, end.c)


def test_an_empty_sequence_ends_where_it_began():
    layer = LSTM(FEATURES, UNITS)
    initial = {"h": torch.randn(3, UNITS), "c": torch.randn(3, UNITS)}
    steps, last = layer(Ragged(torch.randn(3, FEATURES), [2, 0, 1]), initial)
    assert steps.lengths.tolist() == [2, 0, 1]
    assert torch.equal(last.h[1], initial["h"][1])
    assert torch.equal(last.c[1], initial["c"][1])
    assert torch.equal(last.output[1], initial["h"][1])


@pytest.mark.parametrize("shape", [(0, TIME, FEATURES), (BATCH, 0, FEATURES)])
def test_no_sequences_and_no_steps_are_legal(shape):
    steps, last = LSTM(FEATURES, UNITS, bidirectional=True)(torch.zeros(shape))
    assert steps.shape == (*shape[:2], 2 * UNITS)
    assert last.h.shape == (2, shape[0], UNITS)


def test_a_layer_used_twice_sums_its_gradients():
    layer = LSTM(UNITS, UNITS)
    inputs = torch.randn(BATCH, TIME, UNITS)
    middle, _ = layer(inputs)
    layer(middle)[0].square().sum().backward()
    together = {name: parameter.grad.clone() for name, parameter in layer.named_parameters()}

    first, second = copy.deepcopy(layer), copy.deepcopy(layer)
    first.zero_grad()
    second.zero_grad()
    second(first(inputs)[0])[0].square().sum().backward()
    for (name, a), b in zip(first.named_parameters(), second.parameters(), strict=True):
        torch.testing.assert_close(together[name], a.grad + b.grad)


def test_one_layer_takes_batches_of_every_size_and_length():
    layer = SimpleRNN(FEATURES, UNITS)
    for batch, time in ((1, 9), (7, 1), (3, 4)):
        assert layer(torch.randn(batch, time, FEATURES))[0].shape == (batch, time, UNITS)


def test_a_stateful_layer_refuses_another_batch_size_until_it_is_reset(inputs):
    layer = LSTM(FEATURES, UNITS, stateful=True)
    fresh, _ = layer(inputs[:1])
    with pytest.raises(UsageError, match=r"Expected a batch of 1 sequences.*got 2") as error:
        layer(inputs)
    assert "reset_state()" in str(error.value)
    layer.reset_state()
    assert layer(inputs)[0].shape == (BATCH, TIME, UNITS)
    layer.reset_state()
    assert torch.equal(layer(inputs[:1])[0], fresh)


def test_a_stateful_layer_carries_no_gradient_and_no_parameters(inputs):
    layer = LSTM(FEATURES, UNITS, stateful=True)
    names = set(layer.state_dict())
    layer(inputs)
    assert set(layer.state_dict()) == names
    layer(inputs)[0].sum().backward()
    layer(inputs)[0].sum().backward()


def test_a_state_given_to_a_stateful_layer_goes_before_the_carried_one(inputs):
    layer = SimpleRNN(FEATURES, UNITS, stateful=True)
    zeros, _ = layer(inputs)
    layer(inputs)
    assert torch.equal(layer(inputs, torch.zeros(BATCH, UNITS))[0], zeros)


def test_a_carried_state_follows_the_layer_to_another_type(inputs):
    layer = SimpleRNN(FEATURES, UNITS, stateful=True)
    _, last = layer(inputs)
    layer.double()
    expected, _ = copy.deepcopy(layer)(inputs.double(), last.to(torch.float64))
    assert torch.equal(layer(inputs.double())[0], expected)


def test_constants_are_the_same_at_every_step_of_their_sequence():
    layer = Recurrent(steered, FEATURES, UNITS, constants={"context": 2, "offset": UNITS})
    batch = Ragged(torch.randn(5, FEATURES), [2, 0, 3])
    context, offset = torch.randn(3, 2), torch.randn(3, UNITS)
    steps, last = layer(batch, context=context, offset=offset)
    W, U, V, b = (layer.weights()[f"hidden/{name}"] for name in (0, 1, 2, "bias"))
    for sequence, rows in enumerate(batch):
        h = torch.zeros(UNITS)
        for row, found in zip(rows, steps[sequence], strict=True):
            h = torch.tanh(row @ W + h @ U + context[sequence] @ V + b + offset[sequence])
            torch.testing.assert_close(found, h)
        torch.testing.assert_close(last.h[sequence], h)


def test_constants_that_do_not_fit_are_named():
    layer = Recurrent(steered, FEATURES, UNITS, constants={"context": 2, "offset": UNITS})
    inputs = torch.zeros(BATCH, TIME, FEATURES)
    for given in ({}, {"context": torch.zeros(BATCH, 2)}, {"context": torch.zeros(2), "offset": torch.zeros(2, UNITS)}):
        with pytest.raises(ShapeError, match=r"Expected the constants .*context.*offset"):
            layer(inputs, **given)
    with pytest.raises(UsageError, match=r"\['context', 'offset'\]"):
        Recurrent(steered, FEATURES, UNITS)


def test_an_option_is_a_function_of_the_language_or_its_name(inputs):
    by_name, by_function = SimpleRNN(FEATURES, UNITS, activation="tanh"), SimpleRNN(FEATURES, UNITS, activation=tanh)
    linear = SimpleRNN(FEATURES, UNITS, activation="linear")
    by_function.load_state_dict(by_name.state_dict())
    linear.load_state_dict(by_name.state_dict())
    assert torch.equal(by_name(inputs)[0], by_function(inputs)[0])
    one = inputs[:, :1]
    torch.testing.assert_close(linear(one)[0].tanh(), by_name(one)[0])


def test_an_unknown_option_or_name_is_told_with_the_nearest():
    with pytest.raises(UsageError, match="Did you mean `tanh`"):
        SimpleRNN(FEATURES, UNITS, activation="tanhh")
    with pytest.raises(UsageError, match="no option `activaton`"):
        Recurrent("lstm", FEATURES, UNITS).cell.with_options(activaton="relu")
    with pytest.raises(UsageError, match="`activation` of `simple_rnn` is 3"):
        SimpleRNN(FEATURES, UNITS, activation=3)
    with pytest.raises(CellError, match="not callable"):
        SimpleRNN(FEATURES, UNITS, activation=[3])


def test_an_output_that_is_no_state_and_states_of_other_sizes(inputs):
    layer = Recurrent(counted, FEATURES, UNITS)
    steps, last = layer(inputs)
    assert (steps.shape, last.h.shape, last.n.shape) == ((BATCH, TIME, 3), (BATCH, 2), (BATCH, 1))
    assert torch.equal(last.output, steps[:, -1])
    ragged, end = layer(Ragged(inputs.flatten(0, 1), [7, 0, 3]))
    assert torch.equal(end.output, torch.stack([ragged[0][-1], torch.zeros(3), ragged[2][-1]]))


def test_weights_are_the_parameters_themselves():
    layer = SimpleRNN(FEATURES, UNITS, num_layers=2, bidirectional=True)
    with torch.no_grad():
        layer.weights(1, backward=True)["hidden/bias"].fill_(3)
    assert layer.get_weights()[-1].unique().item() == 3
    assert {name: tuple(value.shape) for name, value in layer.weights(1).items()} == {
        "hidden/0": (2 * UNITS, UNITS),
        "hidden/1": (UNITS, UNITS),
        "hidden/bias": (UNITS,),
    }
    for layer_index, backward in ((2, False), (-3, False), (7, True)):
        with pytest.raises(UsageError, match="layer0, layer0_backward, layer1, layer1_backward"):
            layer.weights(layer_index, backward)


WRONG_SETTINGS = {
    "num_layers": (0, -1, 1.5, True),
    "merge": ("cat", "add"),
    "dropout": (-0.1, 1, "half", True),
    "init": ("glorot", None),
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in WRONG_SETTINGS.items() for value in values]
)
def test_a_wrong_setting_is_named(name, value):
    with pytest.raises(UsageError, match=f"Expected {name} to be .*got {value!r}"):
        LSTM(FEATURES, UNITS, **{name: value})


def test_all_wrong_settings_are_reported_at_once():
    with pytest.raises(UsageError) as error:
        Recurrent("lstm", FEATURES, UNITS, num_layers=0, merge="cat", dropout=2, bidirectional=True, go_backwards=True)
    assert all(word in str(error.value) for word in ("num_layers", "concat", "dropout", "go_backwards"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("lstn", 3, 4), "Did you mean `lstm`"),
        (("lstm", 0, 4), "input_size is 0"),
        (("lstm", 3, 2.5), "hidden_size is 2.5"),
    ],
)
def test_a_wrong_cell_or_size_is_named(arguments, message):
    with pytest.raises(UsageError, match=message):
        Recurrent(*arguments)


def test_an_unknown_target_is_named():
    with pytest.raises(UsageError, match="no target `cuda`"):
        LSTM(FEATURES, UNITS, target="cuda")


WRONG_INPUTS = {
    "a list": ([[1.0]], "got a list"),
    "one sequence": (torch.zeros(TIME, FEATURES), r"got a tensor of shape \(5, 3\)"),
    "other features": (torch.zeros(BATCH, TIME, 7), "with 3 features"),
    "ids": (Ragged(torch.tensor([1, 2]), [2]), "Embed ids"),
    "whole numbers": (torch.zeros(BATCH, TIME, FEATURES, dtype=torch.int64), "torch.int64"),
    "another type": (torch.zeros(BATCH, TIME, FEATURES).double(), "torch.float64"),
}


@pytest.mark.parametrize("name", WRONG_INPUTS)
def test_a_wrong_input_is_reported_with_the_repair(name):
    given, message = WRONG_INPUTS[name]
    with pytest.raises(ShapeError, match=message) as error:
        LSTM(FEATURES, UNITS)(given)
    assert error.value.fix


WRONG_STATES = {
    "of another batch": {name: torch.zeros(3, UNITS) for name in "hc"},
    "of another size": {name: torch.zeros(BATCH, 7) for name in "hc"},
    "of more layers": State({name: torch.zeros(2, BATCH, UNITS) for name in "hc"}),
    "one of two": {"h": torch.zeros(BATCH, UNITS)},
    "with another name": {name: torch.zeros(BATCH, UNITS) for name in "hs"},
    "a tensor for two states": torch.zeros(BATCH, UNITS),
    "a list": [torch.zeros(BATCH, UNITS)] * 3,
    "another type": {name: torch.zeros(BATCH, UNITS).double() for name in "hc"},
    "arrays": {name: torch.zeros(BATCH, UNITS).numpy() for name in "hc"},
}


@pytest.mark.parametrize("name", WRONG_STATES)
def test_a_wrong_initial_state_is_reported_with_the_repair(name, inputs):
    with pytest.raises(ShapeError, match="initial state") as error:
        LSTM(FEATURES, UNITS)(inputs, WRONG_STATES[name])
    assert error.value.fix


def test_dropout_acts_on_the_input_of_each_layer_in_training_alone(inputs):
    layer = LSTM(FEATURES, UNITS, num_layers=2, dropout=0.5)
    plain = LSTM(FEATURES, UNITS, num_layers=2)
    plain.load_state_dict(layer.state_dict())
    assert torch.equal(layer.eval()(inputs)[0], plain(inputs)[0])
    layer.train()
    assert not torch.equal(layer(inputs)[0], layer(inputs)[0])
    torch.manual_seed(5)
    first = layer(inputs)[0]
    torch.manual_seed(5)
    assert torch.equal(layer(inputs)[0], first)


def test_explain_tells_the_target():
    assert LSTM(FEATURES, UNITS).explain().startswith("llvm: ")
    assert LSTM(FEATURES, UNITS, target="reference").explain() == "reference: asked for by name"


def test_a_deep_copy_is_a_layer_of_its_own(inputs):
    layer = LSTM(FEATURES, UNITS, num_layers=2)
    other = copy.deepcopy(layer)
    assert torch.equal(layer(inputs)[0], other(inputs)[0])
    with torch.no_grad():
        other.weights()["input/0"].zero_()
    assert not torch.equal(layer(inputs)[0], other(inputs)[0])


@cell
def without_parameters(x, h):
    """A step that learns nothing."""
    return tanh(h + x)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_a_layer_without_parameters_has_the_type_that_it_was_moved_to(dtype: torch.dtype):
    layer = Recurrent(without_parameters, FEATURES, FEATURES, num_layers=2).to(dtype)
    inputs = torch.randn(BATCH, TIME, FEATURES, dtype=torch.float64).to(dtype)
    assert layer.like.dtype == layer.zero_state(BATCH).h.dtype == dtype
    steps, _ = layer(inputs, layer.zero_state(BATCH))
    assert torch.equal(steps, layer(inputs)[0])
    stream = layer.stream(batch_size=BATCH)
    outputs = torch.stack([stream.step(inputs[:, time]) for time in range(TIME)], 1)
    assert outputs.dtype == dtype
    torch.testing.assert_close(outputs, steps, rtol=1e-12 if dtype == torch.float64 else 0.02, atol=0.0)
    assert layer.state_dict() == {}
    assert copy.deepcopy(layer).like.dtype == dtype
    assert layer.to("meta").zero_state(1).h.device.type == "meta"


def test_a_layer_without_parameters_explains_the_type_that_it_has():
    layer = Recurrent(without_parameters, FEATURES, FEATURES)
    assert "llvm" in layer.explain()
    assert "eager" in layer.bfloat16().explain()
