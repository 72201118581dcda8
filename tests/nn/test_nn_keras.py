"""What Keras documents of its recurrent layers, and its formulas typed out in NumPy."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from elman.data.ragged.ragged import Ragged
from elman.errors import ShapeError
from elman.nn import GRU, LSTM, Recurrent, SimpleRNN

BATCH, TIME, FEATURES, UNITS = 2, 5, 3, 4
LAYERS = {"simple_rnn": SimpleRNN, "lstm": LSTM, "gru": GRU}
STATES = {"simple_rnn": 1, "lstm": 2, "gru": 1}

Array = np.ndarray


def running_sum(**settings) -> Recurrent:
    """One linear unit with W = H = 1 and b = 0."""
    layer = SimpleRNN(1, 1, activation="linear", **settings)
    layer.set_weights([np.ones((1, 1)), np.ones((1, 1)), np.zeros(1)])
    return layer


FIRST, SECOND = torch.tensor([[[1.0], [2.0], [3.0]]]), torch.tensor([[[4.0], [5.0], [6.0]]])


def test_running_sum_without_carried_state():
    layer = running_sum()
    assert layer(FIRST)[0].flatten().tolist() == [1, 3, 6]
    assert [layer(part)[1].h.item() for part in (FIRST, SECOND)] == [6, 15]


def test_running_sum_of_a_stateful_layer():
    layer = running_sum(stateful=True)
    assert [layer(part)[1].h.item() for part in (FIRST, SECOND)] == [6, 21]
    layer.reset_state()
    assert layer(SECOND)[1].h.item() == 15


def test_running_sum_with_an_explicit_state():
    layer = running_sum()
    _, last = layer(FIRST)
    steps, last = layer(SECOND, last)
    assert last.h.item() == 21
    assert steps.flatten().tolist() == [10, 15, 21]


@pytest.mark.parametrize(("features", "units"), [(1, 1), (26, 200), (300, 7)])
def test_parameter_counts(features: int, units: int):
    def count(layer: Recurrent) -> int:
        return sum(parameter.numel() for parameter in layer.parameters())

    simple = (features + units + 1) * units
    assert count(SimpleRNN(features, units)) == simple
    assert count(LSTM(features, units)) == 4 * simple
    assert count(GRU(features, units, reset_after=False)) == 3 * simple
    assert count(SimpleRNN(features, units, bidirectional=True)) == 2 * simple
    assert count(LSTM(features, units, num_layers=2)) == 4 * simple + 4 * (units + units + 1) * units


def keras_answer(layer: Recurrent, inputs, *, return_sequences: bool, return_state: bool) -> list:
    """What Keras's layer of these two settings returns, as a list."""
    steps, last = layer(inputs)
    output = steps if return_sequences else last.output
    directions = (False, True) if layer.bidirectional else (False,)
    states = [last.layer(0, backward=backward)[name] for backward in directions for name in last.names]
    outputs = list(output) if isinstance(output, tuple) else [output]
    return outputs + (states if return_state else [])


# The documentation's shapes: outputs by merge mode, all steps or the last; then the states of both directions.
MERGED = {
    False: {"concat": [UNITS]},
    True: {"concat": [2 * UNITS], "sum": [UNITS], "mul": [UNITS], "average": [UNITS], None: [UNITS, UNITS]},
}
CASES = [(both, merge, widths) for both, table in MERGED.items() for merge, widths in table.items()]


@pytest.mark.parametrize("form", ["dense", "ragged"])
@pytest.mark.parametrize("return_state", [False, True])
@pytest.mark.parametrize("return_sequences", [False, True])
@pytest.mark.parametrize(("bidirectional", "merge", "widths"), CASES)
@pytest.mark.parametrize("name", LAYERS)
def test_shapes_as_keras_documents_them(name, bidirectional, merge, widths, return_sequences, return_state, form):
    layer = LAYERS[name](FEATURES, UNITS, bidirectional=bidirectional, merge=merge)
    inputs = torch.randn(BATCH, TIME, FEATURES)
    given = inputs if form == "dense" else Ragged(inputs.flatten(0, 1), [TIME] * BATCH)
    answer = keras_answer(layer, given, return_sequences=return_sequences, return_state=return_state)
    shapes = [tuple(part.to_padded().shape if isinstance(part, Ragged) else part.shape) for part in answer]
    axes = (BATCH, TIME) if return_sequences else (BATCH,)
    states = [(BATCH, UNITS)] * STATES[name] * (2 if bidirectional else 1)
    assert shapes == [(*axes, width) for width in widths] + (states if return_state else [])


def test_bidirectional_states_are_forward_h_c_then_backward_h_c():
    layer = LSTM(FEATURES, UNITS, bidirectional=True)
    inputs = torch.randn(BATCH, TIME, FEATURES)
    steps, last = layer(inputs)
    both, fh, fc, bh, bc = keras_answer(layer, inputs, return_sequences=False, return_state=True)
    assert torch.equal(both, torch.cat([fh, bh], -1))
    assert torch.equal(fh, steps[:, -1, :UNITS])
    assert torch.equal(bh, steps[:, 0, UNITS:])
    assert torch.equal(last.h, torch.stack([fh, bh]))
    assert torch.equal(last.c, torch.stack([fc, bc]))


@pytest.mark.parametrize("merge", ["concat", "sum", "mul", "average", None])
def test_merges_are_made_of_the_two_directions(merge):
    layer = GRU(FEATURES, UNITS, bidirectional=True, merge=merge)
    arrays = layer.get_weights()
    forward, backward = GRU(FEATURES, UNITS), GRU(FEATURES, UNITS, go_backwards=True)
    forward.set_weights(arrays[:3])
    backward.set_weights(arrays[3:])
    inputs = torch.randn(BATCH, TIME, FEATURES)
    (a, last_a), (b, last_b) = forward(inputs), backward(inputs)
    merged: dict[object, Callable] = {
        "concat": lambda a, b: torch.cat([a, b], -1),
        "sum": lambda a, b: a + b,
        "mul": lambda a, b: a * b,
        "average": lambda a, b: (a + b) / 2,
        None: lambda a, b: (a, b),
    }
    steps, last = layer(inputs)
    torch.testing.assert_close(steps, merged[merge](a, b.flip(1)))
    torch.testing.assert_close(last.output, merged[merge](last_a.h, last_b.h))


def test_go_backwards_gives_the_outputs_in_the_order_read():
    layer, backward = LSTM(FEATURES, UNITS), LSTM(FEATURES, UNITS, go_backwards=True)
    backward.load_state_dict(layer.state_dict())
    inputs = torch.randn(BATCH, TIME, FEATURES)
    expected, end = layer(inputs.flip(1))
    steps, last = backward(inputs)
    torch.testing.assert_close(steps, expected)
    torch.testing.assert_close(last.c, end.c)
    torch.testing.assert_close(last.output, steps[:, -1])


def test_go_backwards_reads_each_ragged_sequence_from_its_own_end():
    layer, backward = LSTM(FEATURES, UNITS), LSTM(FEATURES, UNITS, go_backwards=True)
    backward.load_state_dict(layer.state_dict())
    sequences = [torch.randn(length, FEATURES) for length in (3, 0, 5, 1)]
    steps, _ = backward(Ragged.from_list(sequences))
    for one, sequence in zip(steps.to_list(), sequences, strict=True):
        torch.testing.assert_close(one, layer(sequence.flip(0)[None])[0][0])


@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_stack_is_one_layer_after_the_other(bidirectional):
    stack = GRU(FEATURES, UNITS, num_layers=3, bidirectional=bidirectional)
    places = 2 if bidirectional else 1
    arrays = stack.get_weights()
    batch = Ragged(torch.randn(6, FEATURES), [4, 0, 2])
    steps, last = stack(batch)
    data = batch
    for layer in range(3):
        single = GRU(data.data.shape[1], UNITS, bidirectional=bidirectional)
        single.set_weights(arrays[3 * places * layer : 3 * places * (layer + 1)])
        data, end = single(data)
        torch.testing.assert_close(last.layer(layer).h, end.layer(0).h)
        torch.testing.assert_close(last.layer(layer, backward=bidirectional).h, end.layer(0, backward=bidirectional).h)
    torch.testing.assert_close(steps.data, data.data)
    torch.testing.assert_close(last.output, end.output)


# Keras's formulas. x (time, features), W (features, n·units), U (units, n·units), b.
def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def simple_rnn_step(x: Array, states: list[Array], W: Array, U: Array, b: Array) -> list[Array]:
    return [np.tanh(x @ W + states[0] @ U + b)]


def lstm_step(x: Array, states: list[Array], W: Array, U: Array, b: Array) -> list[Array]:
    h, c = states
    i, f, g, o = np.split(x @ W + h @ U + b, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return [sigmoid(o) * np.tanh(c), c]


def gru_step(x: Array, states: list[Array], W: Array, U: Array, b: Array) -> list[Array]:
    (h,) = states
    x_z, x_r, x_h = np.split(x @ W + b, 3)
    U_z, U_r, U_h = np.split(U, 3, axis=1)
    z, r = sigmoid(x_z + h @ U_z), sigmoid(x_r + h @ U_r)
    return [z * h + (1 - z) * np.tanh(x_h + (r * h) @ U_h)]


def gru_reset_after_step(x: Array, states: list[Array], W: Array, U: Array, b: Array) -> list[Array]:
    (h,) = states
    x_z, x_r, x_h = np.split(x @ W + b[0], 3)
    h_z, h_r, h_h = np.split(h @ U + b[1], 3)
    z, r = sigmoid(x_z + h_z), sigmoid(x_r + h_r)
    return [z * h + (1 - z) * np.tanh(x_h + r * h_h)]


FORMULAS = {
    "simple_rnn": (simple_rnn_step, 1, 1, False),
    "lstm": (lstm_step, 2, 4, False),
    "gru": (gru_step, 1, 3, False),
    "gru_reset_after": (gru_reset_after_step, 1, 3, True),
}


def keras_arrays(generator: np.random.Generator, features: int, gates: int, two_biases: bool) -> list[Array]:
    width = gates * UNITS
    shapes = [(features, width), (UNITS, width), (2, width) if two_biases else (width,)]
    return [generator.normal(size=shape) for shape in shapes]


def keras_run(step: Callable, x: Array, count: int, arrays: list[Array]) -> tuple[Array, list[Array]]:
    states = [np.zeros(UNITS)] * count
    outputs = []
    for row in x:
        states = step(row, states, *arrays)
        outputs.append(states[0])
    return np.stack(outputs), states


@pytest.mark.parametrize("name", FORMULAS)
def test_weights_set_in_keras_order_give_keras_results(name):
    step, count, gates, two_biases = FORMULAS[name]
    generator = np.random.default_rng(7)
    arrays = keras_arrays(generator, FEATURES, gates, two_biases)
    layer = Recurrent(name, FEATURES, UNITS).double()
    layer.set_weights(arrays)
    x = generator.normal(size=(BATCH, TIME, FEATURES))
    steps, last = layer(torch.from_numpy(x))
    for sequence in range(BATCH):
        outputs, states = keras_run(step, x[sequence], count, arrays)
        np.testing.assert_allclose(steps[sequence].detach().numpy(), outputs, rtol=1e-12, atol=1e-13)
        for state, found in zip(states, last.tensors.values(), strict=True):
            np.testing.assert_allclose(found[0, sequence].detach().numpy(), state, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", FORMULAS)
def test_get_weights_gives_keras_arrays_that_mean_the_same(name):
    step, count, gates, two_biases = FORMULAS[name]
    generator = np.random.default_rng(8)
    arrays = keras_arrays(generator, FEATURES, gates, two_biases)
    layer = Recurrent(name, FEATURES, UNITS).double()
    layer.set_weights(arrays)
    found = [array.numpy() for array in layer.get_weights()]
    assert [array.shape for array in found] == [array.shape for array in arrays]
    for mine, given in zip(found[:2] if two_biases else found, arrays, strict=False):
        np.testing.assert_array_equal(mine, given)
    x = generator.normal(size=(TIME, FEATURES))
    np.testing.assert_allclose(keras_run(step, x, count, found)[0], keras_run(step, x, count, arrays)[0], rtol=1e-12)


def test_the_two_biases_of_reset_after_are_summed_for_the_gates_alone():
    layer = GRU(FEATURES, UNITS).double()
    arrays = keras_arrays(np.random.default_rng(9), FEATURES, 3, two_biases=True)
    layer.set_weights(arrays)
    first, second = layer.get_weights()[2].numpy()
    gates = 2 * UNITS
    np.testing.assert_allclose(first[:gates], arrays[2].sum(0)[:gates])
    np.testing.assert_array_equal(first[gates:], arrays[2][0, gates:])
    np.testing.assert_array_equal(second, np.concatenate([np.zeros(gates), arrays[2][1, gates:]]))


def test_weights_of_a_bidirectional_stack_are_forward_then_backward_layer_by_layer():
    layer = LSTM(FEATURES, UNITS, num_layers=2, bidirectional=True)
    one_layer = [(FEATURES, 16), (UNITS, 16), (16,)] * 2 + [(2 * UNITS, 16), (UNITS, 16), (16,)] * 2
    assert [tuple(array.shape) for array in layer.get_weights()] == one_layer
    arrays = [torch.full_like(array, index) for index, array in enumerate(layer.get_weights())]
    layer.set_weights(arrays)
    assert layer.weights(0, backward=True)["forget/1"].unique().tolist() == [4]
    assert layer.weights(-1)["output/bias"].unique().tolist() == [8]


def test_set_weights_changes_nothing_when_one_array_does_not_fit():
    layer = LSTM(FEATURES, UNITS)
    before = layer.get_weights()
    wrong = [*(torch.zeros_like(array) for array in before[:2]), torch.zeros(UNITS)]
    for arrays in (wrong, before[:2], []):
        with pytest.raises(ShapeError, match=r"\(3, 16\), \(4, 16\), \(16,\)"):
            layer.set_weights(arrays)
    assert all(torch.equal(a, b) for a, b in zip(before, layer.get_weights(), strict=True))


def test_get_weights_are_copies():
    layer = SimpleRNN(FEATURES, UNITS)
    layer.get_weights()[0].fill_(7)
    assert not (layer.get_weights()[0] == 7).any()
