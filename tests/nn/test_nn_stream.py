"""A layer fed step by step gives what it gives for whole sequences, and its state can be read, set and branched."""

import numpy as np
import pytest
import torch

from elman import CELLS, Next, Recurrent, State, affine, cell, tanh
from elman.errors import ShapeError, UsageError
from elman.nn import stream as nn_stream

BATCH, TIME, FEATURES = 3, 6, 5


def fed(layer: Recurrent, data: torch.Tensor, state=None):
    stream = layer.stream(state, batch_size=len(data))
    return torch.stack([stream.step(data[:, time]) for time in range(data.shape[1])], 1), stream


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", CELLS)
def test_step_by_step_is_all_at_once(name, dtype):
    layer = Recurrent(name, FEATURES, 7, num_layers=2).to(dtype)
    data = torch.randn(BATCH, TIME, FEATURES, dtype=dtype)
    outputs, stream = fed(layer, data)
    with torch.no_grad():
        steps, last = layer(data)
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    torch.testing.assert_close(outputs, steps, rtol=tolerance, atol=tolerance)
    for state in last.names:
        torch.testing.assert_close(stream.state[state], last[state], rtol=tolerance, atol=tolerance)


@cell
def projecting(x, h):
    h = tanh(affine("hidden", x, h))
    return Next(h=h, output=affine("output", h, size=2))


@pytest.mark.parametrize("target", ["llvm", "eager", None])
def test_a_cell_that_no_kernel_takes_step_by_step_is_streamed_all_the_same(target):
    layer = Recurrent(projecting, FEATURES, 7, target=target)
    data = torch.randn(BATCH, TIME, FEATURES)
    outputs, stream = fed(layer, data)
    with torch.no_grad():
        torch.testing.assert_close(outputs, layer(data)[0])
    assert stream.target.target == "eager"
    assert stream.target.reason


def test_a_stream_goes_on_from_a_state_and_can_be_rewound():
    layer = Recurrent("lstm", FEATURES, 7)
    data = torch.randn(BATCH, TIME, FEATURES)
    with torch.no_grad():
        whole, _ = layer(data)
        _, half = layer(data[:, :3])
    outputs, stream = fed(layer, data[:, 3:], half)
    torch.testing.assert_close(outputs, whole[:, 3:])
    stream.state = half
    torch.testing.assert_close(stream.step(data[:, 3]), whole[:, 3])


def test_what_a_stream_gave_stays_as_it_was():
    layer = Recurrent("gru", FEATURES, 7)
    stream = layer.stream()
    first = stream.step(torch.ones(1, FEATURES))
    kept, state = first.clone(), stream.state.h.clone()
    before = stream.state
    stream.step(torch.ones(1, FEATURES))
    assert torch.equal(first, kept)
    assert torch.equal(before.h, state)
    assert not torch.equal(stream.state.h, state)


def test_a_stream_has_the_weights_it_was_made_with():
    layer = Recurrent("gru", FEATURES, 7)
    stream, x = layer.stream(), torch.ones(1, FEATURES)
    expected = layer.stream().step(x)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
    assert torch.equal(stream.step(x), expected)


@pytest.mark.parametrize("target", ["llvm", "eager"])
def test_nothing_is_dropped_and_later_changes_of_the_layer_are_not_seen(target):
    layer = Recurrent("gru", FEATURES, 7, num_layers=2, dropout=0.5, target=target).train()
    data = torch.randn(BATCH, TIME, FEATURES)
    with torch.no_grad():
        steps, _ = layer.eval()(data)
    stream = layer.train().stream(batch_size=BATCH)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
    outputs = torch.stack([stream.step(data[:, time]) for time in range(TIME)], 1)
    torch.testing.assert_close(outputs, steps)
    assert layer.training


@pytest.mark.parametrize("numbers", [0, 1 << 20])
@pytest.mark.parametrize("target", ["llvm", "eager"])
@pytest.mark.parametrize("name", CELLS)
def test_reading_from_a_table_is_reading_its_rows(monkeypatch, name, target, numbers):
    monkeypatch.setattr(nn_stream, "TABLE_NUMBERS", numbers)
    layer, rows = Recurrent(name, FEATURES, 7, num_layers=2, target=target), torch.randn(11, FEATURES)
    plain, stream = layer.stream(batch_size=BATCH), layer.stream(batch_size=BATCH)
    read = stream.reader(rows)
    for index in torch.randint(11, (TIME, BATCH)):
        read(index.numpy())
        torch.testing.assert_close(stream.output, plain.step(rows[index]), rtol=1e-5, atol=1e-6)


def test_what_cannot_be_streamed_is_refused():
    with pytest.raises(UsageError, match="reads forward"):
        Recurrent("gru", 3, 4, bidirectional=True).stream()
    stream = Recurrent("gru", 3, 4).stream()
    with pytest.raises(ShapeError, match=r"\(1, 3\)"):
        stream.step(torch.ones(1, 4))
    with pytest.raises(ShapeError, match="states of shapes"):
        stream.state = Recurrent("gru", 3, 4).zero_state(2)


# What a stream is given


def first_step(layer: Recurrent, inputs: torch.Tensor, state: State) -> torch.Tensor:
    return layer(inputs[:, :1], state)[0][:, 0]


STATES = {
    "transposed": State({"h": torch.randn(1, 4, 2).mT, "c": torch.randn(1, 4, 2).mT}),
    "in another order": State({"c": torch.randn(1, 2, 4), "h": torch.randn(1, 2, 4)}),
    "views with a sign": State({name: torch._neg_view(torch.randn(1, 2, 4)) for name in ("h", "c")}),
}


@pytest.mark.parametrize("kind", STATES)
def test_a_stream_starts_from_a_state_as_the_layer_does(kind: str):
    layer, inputs = Recurrent("lstm", 3, 4), torch.randn(2, 5, 3)
    found = layer.stream(STATES[kind]).step(inputs[:, 0])
    torch.testing.assert_close(found, first_step(layer, inputs, STATES[kind]))


@pytest.mark.parametrize(
    "tensors",
    [
        {"h": torch.zeros(1, 2, 4)},
        {"h": torch.zeros(1, 64, 1), "c": torch.zeros(1, 64, 1)},
        {"h": torch.zeros(3, 2, 4), "c": torch.zeros(3, 2, 4)},
        {"h": torch.zeros(1, 2, 4).double(), "c": torch.zeros(1, 2, 4).double()},
    ],
    ids=["one is missing", "of another size", "of other layers", "of another type"],
)
def test_a_stream_refuses_a_state_that_the_layer_refuses(tensors: dict[str, torch.Tensor]):
    with pytest.raises(ShapeError, match="initial states"):
        Recurrent("lstm", 3, 4).stream(State(tensors))


def test_a_stream_refuses_parameters_that_the_layer_refuses():
    layer = Recurrent("gru", 3, 4, num_layers=2)
    layer.get_submodule("layer1").double()
    with pytest.raises(ShapeError, match="one type"):
        layer.stream()
    layer = Recurrent("gru", 3, 4)
    layer.get_submodule("layer0")._parameters["update/bias"] = torch.nn.Parameter(torch.zeros(1))
    with pytest.raises(ShapeError, match="update/bias: expected"):
        layer.stream()


def test_a_table_of_inputs_is_read_with_its_sign_and_within_its_rows():
    layer, table = Recurrent("lstm", 3, 4), torch._neg_view(torch.randn(5, 3))
    stream = layer.stream(batch_size=2)
    read = stream.reader(table)
    read(np.array([4, 1]))
    torch.testing.assert_close(stream.output, layer((table * 1.0)[[4, 1]].unsqueeze(1))[0][:, 0])
    for wrong in ([5, 0], [0, -1], [0], [0, 1, 2]):
        with pytest.raises(ShapeError, match="from 0 to 4"):
            read(np.array(wrong))
    with pytest.raises(ShapeError, match="rows of 3 features"):
        stream.reader(torch.zeros(5, 7))


def test_a_stream_made_in_inference_mode_goes_on_outside_of_it():
    layer, inputs = Recurrent("lstm", 3, 4), torch.randn(2, 5, 3)
    with torch.inference_mode():
        stream = layer.stream(batch_size=2)
    torch.testing.assert_close(stream.step(inputs[:, 0]), layer(inputs[:, :1])[0][:, 0])
