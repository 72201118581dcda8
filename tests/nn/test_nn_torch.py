"""The drop-in names against `torch.nn`, over settings that hypothesis draws."""

import copy
import io
import pickle
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pack_sequence

from elman.data.ragged.ragged import Ragged
from elman.nn import torch as mine
from tests.examples import draws

# torch says so once in a process, and only for layers with proj_size.

FORWARD = {torch.float32: 1e-6, torch.float64: 1e-14}
BACKWARD = {torch.float32: 5e-6, torch.float64: 1e-13}


@dataclass(frozen=True)
class Settings:
    kind: str
    options: dict[str, Any]
    seed: int

    def build(self) -> tuple[nn.Module, Any]:
        """The layer of elman and that of torch, each made after the same seed."""
        layers = []
        for module in (mine, nn):
            torch.manual_seed(self.seed)
            layers.append(getattr(module, self.kind)(**self.options))
        return layers[0], layers[1]


@st.composite
def drawn(draw, **fixed: Any) -> Settings:
    kind = draw(st.sampled_from(["RNN", "LSTM", "GRU"]))
    hidden_size = draw(st.integers(1, 7))
    options = {
        "input_size": draw(st.integers(1, 5)),
        "hidden_size": hidden_size,
        "num_layers": draw(st.integers(1, 3)),
        "bias": draw(st.booleans()),
        "batch_first": draw(st.booleans()),
        "bidirectional": draw(st.booleans()),
        "dtype": draw(st.sampled_from([torch.float32, torch.float64])),
    }
    if kind == "RNN":
        options["nonlinearity"] = draw(st.sampled_from(["tanh", "relu"]))
    if kind == "LSTM":
        options["proj_size"] = draw(st.integers(0, hidden_size - 1))
    return Settings(kind, options | fixed, draw(st.integers(0, 2**31)))


def make_states(layer: Any, batch: tuple[int, ...]) -> Any:
    places = layer.num_layers * (2 if layer.bidirectional else 1)
    sizes = [layer.proj_size or layer.hidden_size, layer.hidden_size]
    states = [torch.randn(places, *batch, size, dtype=layer.weight_ih_l0.dtype) for size in sizes]
    return tuple(states) if layer.mode == "LSTM" else states[0]


def fresh(value: Any) -> Any:
    """A leaf of its own with the same numbers, so that each layer has its own gradients."""
    if isinstance(value, tuple) and not isinstance(value, PackedSequence):
        return tuple(map(fresh, value))
    return None if value is None else value.detach().clone().requires_grad_()


def flat(value: Any) -> list[Tensor]:
    if isinstance(value, PackedSequence | Ragged):
        return [value.data]
    return [value] if isinstance(value, Tensor) else [tensor for part in value for tensor in flat(part)]


def close(found: Tensor, expected: Tensor, tolerances: dict[torch.dtype, float]) -> None:
    tolerance = tolerances[expected.dtype]
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


def compare(case: Settings, inputs: Tensor, hx: Any, wrap: Any = lambda value: value) -> tuple[Any, Any]:
    """Forward and backward of both layers agree; returns both outputs."""
    results = []
    for layer in case.build():
        given, states = fresh(inputs), fresh(hx)
        output, last = layer(wrap(given), states)
        tensors = flat((output, last))
        generator = torch.Generator().manual_seed(case.seed)
        sum(
            (tensor * torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype)).sum() / tensor.numel() ** 0.5
            for tensor in tensors
        ).backward()
        leaves = [given, *(flat(states) if states is not None else []), *layer.parameters()]
        results.append((output, tensors, [leaf.grad for leaf in leaves]))
    (output, tensors, gradients), (theirs, expected, wanted) = results
    for found, value in zip(tensors, expected, strict=True):
        close(found, value, FORWARD)
    for found, value in zip(gradients, wanted, strict=True):
        close(found, value, BACKWARD)
    return output, theirs


@draws(60)
@given(drawn(), st.integers(1, 4), st.integers(1, 7), st.booleans(), st.booleans())
def test_dense_tensors(case: Settings, batch: int, time: int, batched: bool, with_states: bool):
    layer, theirs = case.build()
    axes = (batch,) if batched else ()
    shape = (*axes, time) if layer.batch_first else (time, *axes)
    inputs = torch.randn(*shape, layer.input_size, dtype=case.options["dtype"])
    compare(case, inputs, make_states(theirs, axes) if with_states else None)


@draws(60)
@given(drawn(), st.lists(st.integers(1, 6), min_size=1, max_size=5), st.booleans(), st.booleans())
def test_packed_sequences(case: Settings, lengths: list[int], sort: bool, with_states: bool):
    _, theirs = case.build()
    lengths = sorted(lengths, reverse=True) if sort else lengths
    batch_first = theirs.batch_first
    axes = (len(lengths), max(lengths)) if batch_first else (max(lengths), len(lengths))
    padded = torch.randn(*axes, theirs.input_size, dtype=case.options["dtype"])

    def pack(value: Tensor) -> PackedSequence:
        return pack_padded_sequence(value, torch.tensor(lengths), batch_first, enforce_sorted=sort)

    found, expected = compare(case, padded, make_states(theirs, (len(lengths),)) if with_states else None, pack)
    assert isinstance(found, PackedSequence)
    assert torch.equal(found.batch_sizes, expected.batch_sizes)
    for name in ("sorted_indices", "unsorted_indices"):
        a, b = getattr(found, name), getattr(expected, name)
        assert (a is None and b is None) or torch.equal(a, b)


@draws(30)
@given(drawn(), st.lists(st.integers(0, 5), max_size=5))
def test_ragged_batches_with_empty_sequences(case: Settings, lengths: list[int]):
    layer, theirs = case.build()
    batch = Ragged(torch.randn(sum(lengths), layer.input_size, dtype=case.options["dtype"]), lengths)
    hx = make_states(theirs, (len(lengths),))
    output, last = layer(batch, hx)
    assert isinstance(output, Ragged)
    assert output.lengths.tolist() == lengths
    for index, sequence in enumerate(batch):
        alone = tuple(state[:, index].contiguous() for state in flat(hx))
        one = alone if theirs.mode == "LSTM" else alone[0]
        steps, end = theirs(sequence, one) if len(sequence) else (output[index], one)
        close(output[index], steps, FORWARD)
        for found, expected in zip(flat(last), flat(end), strict=True):
            close(found[:, index], expected, FORWARD)


@draws(40)
@given(drawn())
def test_names_initial_values_and_state_dict(case: Settings):
    layer, theirs = case.build()
    assert repr(layer) == repr(theirs)
    for (name, found), (wanted, expected) in zip(layer.named_parameters(), theirs.named_parameters(), strict=True):
        assert name == wanted
        assert torch.equal(found, expected)
    for weights, expected in zip(layer.all_weights, theirs.all_weights, strict=True):
        assert [tuple(weight.shape) for weight in weights] == [tuple(weight.shape) for weight in expected]
    for source, target in ((layer, theirs), (theirs, layer)):
        with torch.no_grad():
            for parameter in source.parameters():
                parameter.normal_()
        target.load_state_dict(source.state_dict(), strict=True)
        assert all(torch.equal(a, b) for a, b in zip(layer.parameters(), theirs.parameters(), strict=True))


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_positional_arguments_stand_in_torchs_order(kind: str):
    order = (3, 5, 2, "relu", False, True, 0.5, True) if kind == "RNN" else (3, 5, 2, False, True, 0.5, True)
    assert repr(getattr(mine, kind)(*order)) == repr(getattr(nn, kind)(*order))


@pytest.mark.parametrize("enforce_sorted", [False, True])
def test_ties_keep_the_order_of_the_input(enforce_sorted: bool):
    sequences = [torch.randn(length, 3) for length in (4, 2, 2, 2)]
    packed = pack_sequence(sequences, enforce_sorted)
    if not enforce_sorted:
        order = torch.tensor([0, 3, 1, 2])
        rows = pack_sequence([sequences[index] for index in order]).data
        packed = PackedSequence(rows, packed.batch_sizes, order, torch.argsort(order))
    layer, theirs = mine.LSTM(3, 5, bidirectional=True), nn.LSTM(3, 5, bidirectional=True)
    theirs.load_state_dict(layer.state_dict())
    for found, expected in zip(flat(layer(packed)), flat(theirs(packed)), strict=True):
        close(found, expected, FORWARD)


def test_dense_outputs_can_be_viewed_as_those_of_torch():
    output, last = mine.GRU(3, 5, 2, bidirectional=True)(torch.randn(7, 2, 3))
    assert output.view(14, 10).shape == (14, 10)
    assert last.view(2, 2, 2, 5).shape == (2, 2, 2, 5)


@pytest.mark.parametrize("shape", [(0, 2, 3), (4, 0, 3), (0, 3)])
def test_no_steps_and_no_sequences_are_legal(shape):
    output, (h, c) = mine.LSTM(3, 5, 2)(torch.zeros(shape))
    assert output.shape == (*shape[:-1], 5)
    assert h.shape == c.shape == (2, *shape[1:-1], 5)
    assert h.count_nonzero() == 0


def test_dropout_drops_elements_between_layers_in_training():
    stack = mine.GRU(3, 5, 2, batch_first=True, dropout=0.4)
    first, second = mine.GRU(3, 5, batch_first=True), mine.GRU(5, 5, batch_first=True)
    names = {name: name.replace("_l1", "_l0") for name in stack.state_dict()}
    for layer, ending in ((first, "_l0"), (second, "_l1")):
        layer.load_state_dict({names[name]: v for name, v in stack.state_dict().items() if name.endswith(ending)})
    inputs = torch.randn(2, 7, 3)
    torch.manual_seed(3)
    found, _ = stack(inputs)
    torch.manual_seed(3)
    expected, _ = second(nn.functional.dropout(first(inputs)[0], 0.4))
    assert torch.equal(found, expected)
    assert torch.equal(stack.eval()(inputs)[0], second(first(inputs)[0])[0])


def test_dropout_of_everything_leaves_the_last_layer_without_input():
    stack = mine.RNN(3, 5, 2, dropout=1.0)
    found, _ = stack(torch.randn(4, 2, 3))
    assert torch.equal(found, stack(torch.randn(4, 2, 3))[0])


def test_dropout_in_a_single_layer_warns_as_torch_does():
    with pytest.warns(UserWarning, match="num_layers greater than 1"):
        mine.LSTM(3, 5, dropout=0.5)


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_pickled_copied_saved_and_converted(kind: str):
    layer = getattr(mine, kind)(3, 5, 2, bidirectional=True)
    layer.flatten_parameters()
    inputs = torch.randn(7, 2, 3)
    expected, _ = layer(inputs)
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    for other in (
        pickle.loads(pickle.dumps(layer)),
        copy.deepcopy(layer),
        torch.load(file, weights_only=False),
    ):
        assert torch.equal(other(inputs)[0], expected)
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        output, last = copy.deepcopy(layer).to(dtype)(inputs.to(dtype))
        assert {tensor.dtype for tensor in flat((output, last))} == {dtype}
        torch.testing.assert_close(output.float(), expected, rtol=0, atol=0.03)
    assert layer.half().weight_ih_l0.dtype == torch.float16


def test_a_parametrized_weight_is_used_and_learns():
    layer = parametrizations.weight_norm(mine.LSTM(3, 5), "weight_hh_l0")
    inputs = torch.randn(7, 2, 3)
    layer(inputs)[0].sum().backward()
    assert all(parameter.grad is not None for parameter in layer.parameters())
    plain = mine.LSTM(3, 5)
    plain.load_state_dict({name: getattr(layer, name) for name in plain.state_dict()})
    assert torch.equal(plain(inputs)[0], layer(inputs)[0])


def test_functional_call_uses_the_given_parameters():
    layer, other = mine.GRU(3, 5), mine.GRU(3, 5)
    inputs = torch.randn(7, 2, 3)
    output, _ = torch.func.functional_call(layer, other.state_dict(), (inputs,))
    assert torch.equal(output, other(inputs)[0])


def test_gradients_of_gradients():
    layer = mine.LSTM(2, 3, proj_size=2, dtype=torch.float64)
    inputs = torch.randn(3, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda value: layer(value)[0], inputs)


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_the_layers_are_torchs_to_code_that_looks_for_them(kind: str):
    model = nn.Sequential(getattr(mine, kind)(3, 5, 2, bidirectional=True))
    found = [module for module in model.modules() if isinstance(module, nn.RNNBase)]
    assert [type(module) for module in found] == [getattr(mine, kind)]
    assert isinstance(model[0], getattr(nn, kind))

    def init(module: nn.Module) -> None:
        if isinstance(module, getattr(nn, kind)):
            for parameter in module.parameters():
                nn.init.constant_(parameter, 0.5)

    model.apply(init)
    assert all(parameter.unique().tolist() == [0.5] for parameter in model.parameters())
    hooked = []
    model[0].register_forward_hook(lambda module, inputs, output: hooked.append(output[0].shape))
    model(torch.zeros(4, 2, 3))
    assert hooked == [(4, 2, 10)]


@draws(20)
@given(drawn())
def test_torchs_other_names_answer_as_torchs(case: Settings):
    layer, theirs = case.build()
    assert layer._flat_weights_names == theirs._flat_weights_names
    assert layer._all_weights == theirs._all_weights
    assert all(a is b for a, b in zip(layer._flat_weights, layer.parameters(), strict=True))
    layer.flatten_parameters()
    inputs = torch.zeros(4, 2, layer.input_size, dtype=case.options["dtype"])
    expected = theirs.get_expected_hidden_size(inputs, None)
    assert layer.get_expected_hidden_size(inputs, None) == expected
    hx = make_states(theirs, (4 if theirs.batch_first else 2,))
    layer.check_input(inputs, None)
    layer.check_forward_args(inputs, hx, None)
    layer.check_hidden_size(flat(hx)[0], expected)
    index = torch.arange(flat(hx)[0].shape[1]).flip(0)
    for found, state in zip(flat(layer.permute_hidden(hx, index)), flat(hx), strict=True):
        assert torch.equal(found, state.flip(1))
    assert layer.permute_hidden(hx, None) is hx
    assert not layer._weights_have_changed()
    replica = layer._replicate_for_data_parallel()
    assert replica._flat_weights is not layer._flat_weights
    assert layer.__constants__ == theirs.__constants__


def test_flat_weights_follow_the_parameters():
    layer, inputs = mine.LSTM(3, 5), torch.randn(4, 2, 3)
    before = layer(inputs)[0]
    layer.weight_hh_l0 = nn.Parameter(torch.zeros(20, 5))
    assert layer._flat_weights[1] is layer.weight_hh_l0
    assert not torch.equal(layer(inputs)[0], before)
    layer.double()
    assert {weight.dtype for weight in layer._flat_weights} == {torch.float64}
    assert all(a is b for a, b in zip(layer._flat_weights, layer.parameters(), strict=True))
    frozen = copy.deepcopy(layer)
    del frozen.weight_hh_l0
    frozen.register_parameter("weight_hh_l0", nn.Parameter(torch.ones(20, 5, dtype=torch.float64)))
    frozen(inputs.double())
    assert frozen._flat_weights[1] is frozen.weight_hh_l0


def test_a_pruned_weight_is_used_and_learns():
    layer, inputs = mine.GRU(3, 5), torch.randn(4, 2, 3)
    prune.random_unstructured(layer, "weight_hh_l0", 0.5)
    layer(inputs)[0].sum().backward()
    assert layer.weight_hh_l0_orig.grad[layer.weight_hh_l0_mask == 0].count_nonzero() == 0
    plain = mine.GRU(3, 5)
    plain.load_state_dict({name: getattr(layer, name) for name in plain.state_dict()})
    assert torch.equal(plain(inputs)[0], layer(inputs)[0])


def test_a_subclass_of_ones_own_is_built_and_pickled():
    layer = Stack(3, 5, 2, batch_first=True)
    inputs = torch.randn(2, 4, 3)
    assert repr(layer).startswith("Stack(3, 5, num_layers=2, batch_first=True")
    assert torch.equal(pickle.loads(pickle.dumps(layer))(inputs)[0], layer(inputs)[0])


class Stack(mine.LSTM):
    """A user's subclass, which passes its arguments on."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)


def test_code_that_torch_trains_trains_the_same():
    """The same training loop, with another import."""
    losses = []
    for module in (mine, nn):
        torch.manual_seed(0)
        layer = module.LSTM(3, 5, 2, batch_first=True, bidirectional=True)
        head = nn.Linear(10, 1)
        optimizer = torch.optim.Adam([*layer.parameters(), *head.parameters()], 0.05)
        generator = torch.Generator().manual_seed(1)
        inputs, targets = torch.randn(8, 6, 3, generator=generator), torch.randn(8, 6, 1, generator=generator)
        found = []
        for _ in range(10):
            optimizer.zero_grad()
            loss = (head(layer(inputs)[0]) - targets).square().mean()
            loss.backward()
            nn.utils.clip_grad_norm_(layer.parameters(), 0.5)
            optimizer.step()
            found.append(loss.item())
        losses.append(found)
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert losses[0][-1] < losses[0][0]


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_what_is_assigned_into_flat_weights_is_used_as_by_torch(kind: str):
    layer, theirs = (getattr(module, kind)(3, 4, num_layers=2, bidirectional=True) for module in (mine, nn))
    theirs.load_state_dict(layer.state_dict())
    inputs, start = torch.randn(5, 2, 3), torch.randn(4, 2, 4)
    hx = (start, start) if kind == "LSTM" else start
    before = layer(inputs, hx)[0]
    for index in (1, 6):
        given = torch.zeros_like(layer._flat_weights[index]).requires_grad_()
        layer._flat_weights[index] = theirs._flat_weights[index] = given
    found, expected = layer(inputs, hx)[0], theirs(inputs, hx)[0]
    assert not torch.allclose(found, before)
    torch.testing.assert_close(found, expected)
    gradients = [
        torch.autograd.grad(out.sum(), net._flat_weights[6])[0] for out, net in ((found, layer), (expected, theirs))
    ]
    torch.testing.assert_close(*gradients)
    layer._flat_weights[1] = torch.zeros(2, 2)
    with pytest.raises(RuntimeError, match=r"weight_hh_l0: expected .* got \(2, 2\)"):
        layer(inputs, hx)


def test_parameters_that_follow_an_assignment_into_flat_weights_are_used_as_by_torch():
    layer, theirs = mine.GRU(3, 4), nn.GRU(3, 4)
    theirs.load_state_dict(layer.state_dict())
    inputs, weight = torch.randn(5, 2, 3), nn.Parameter(torch.randn(12, 4))
    for net in (layer, theirs):
        net._flat_weights[0] = torch.zeros(12, 3)
        net.weight_hh_l0 = weight
    torch.testing.assert_close(layer(inputs)[0], theirs(inputs)[0])


def test_the_docs_name_the_empty_input_that_torch_refuses():
    assert "Expected sequence length to be larger than 0" in " ".join((mine.__doc__ or "").split())
    with pytest.raises(RuntimeError, match="Expected sequence length to be larger than 0"):
        nn.GRU(3, 4)(torch.zeros(0, 2, 3))
    start = torch.randn(1, 2, 4)
    output, last = mine.GRU(3, 4)(torch.zeros(0, 2, 3), start)
    assert output.shape == (0, 2, 4)
    assert torch.equal(last, start)
