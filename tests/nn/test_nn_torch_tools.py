"""elman's own layers under torch's tools: parametrizations, pruning, hooks, checkpointing, functional calls."""

import copy
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, prune
from torch.utils import checkpoint

from elman import CELLS, Next, affine, cell, parameter, tanh
from elman.data.ragged.ragged import Ragged
from elman.errors import UsageError
from elman.nn import LSTM, Recurrent
from elman.nn.torch import to_torch


@cell
def of_taken_names(x, h):
    """Its parameters have names of methods and attributes of modules, and of elman's own."""
    names = ("half", "type", "forward", "to", "train", "parameters", "graph", "values", "init", "training")
    for name in names:
        h = h + parameter(name, h.size)
    return tanh(affine("float", x) + h)


class Halved(nn.Module):
    """A parametrization that can be reversed."""

    def forward(self, value: Tensor) -> Tensor:
        return value / 2

    def right_inverse(self, value: Tensor) -> Tensor:
        return value * 2


class Squared(nn.Module):
    """A parametrization that cannot be reversed."""

    def forward(self, value: Tensor) -> Tensor:
        return value * value


def plain_with(layer: Recurrent) -> Recurrent:
    """A layer without tools whose parameters are what the layer's step uses."""
    other = Recurrent(layer.cell, layer.input_size, layer.hidden_size, num_layers=layer.num_layers).double()
    for index in range(layer.num_layers):
        for name, value in layer.weights(index).items():
            other.weights(index)[name].detach().copy_(value.detach())
    return other


def halve(weights: nn.Module, name: str) -> None:
    parametrize.register_parametrization(weights, name, Halved())


def weight_norm_of_old(weights: nn.Module, name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        nn.utils.weight_norm(weights, name)


TOOLS: dict[str, Callable[[nn.Module, str], Any]] = {
    "parametrization": halve,
    "weight_norm": parametrizations.weight_norm,
    "spectral_norm": parametrizations.spectral_norm,
    "orthogonal": parametrizations.orthogonal,
    "weight_norm of old": weight_norm_of_old,
    "spectral_norm of old": nn.utils.spectral_norm,
    "pruning at random": lambda weights, name: prune.random_unstructured(weights, name, 0.5),
    "pruning of rows": lambda weights, name: prune.ln_structured(weights, name, 0.4, n=2, dim=0),
}


@pytest.mark.parametrize("target", [None, "eager"])
@pytest.mark.parametrize("tool", TOOLS)
def test_what_a_tool_makes_of_a_matrix_is_used_and_learns(tool: str, target: str | None):
    layer = Recurrent("lstm", 3, 5, num_layers=2, target=target).double()
    inputs = torch.randn(2, 4, 3, dtype=torch.float64)
    before = layer(inputs)[0].detach()
    TOOLS[tool](layer.layer1, "forget/1")
    optimizer = torch.optim.SGD(layer.parameters(), 0.5)
    for _ in range(3):
        optimizer.zero_grad()
        layer(inputs)[0].square().sum().backward()
        assert all(value.grad is not None for value in layer.parameters())
        optimizer.step()
    layer.eval()
    found = layer(inputs)[0]
    assert not torch.allclose(found, before)
    torch.testing.assert_close(plain_with(layer)(inputs)[0], found, rtol=0, atol=1e-12)
    assert layer.weights(1).keys() == Recurrent("lstm", 3, 5).weights().keys()


@pytest.mark.parametrize("name", ["half", "type", "forward", "to"])
@pytest.mark.parametrize("tool", ["parametrization", "pruning at random"])
def test_a_parameter_may_have_the_name_of_a_method(tool: str, name: str):
    layer = Recurrent(of_taken_names, 3, 5)
    inputs = torch.randn(2, 4, 3)
    with torch.no_grad():
        for value in layer.parameters():
            value.normal_()
    assert getattr(layer.layer0, name) is layer.weights()[name]
    expected = layer.weights()[name].detach().clone()
    TOOLS[tool](layer.layer0, name)
    layer(inputs)[0].sum().backward()
    layer.half().double().float()
    if tool == "parametrization":
        parametrize.remove_parametrizations(layer.layer0, name)
        torch.testing.assert_close(layer.weights()[name], expected, rtol=0, atol=1e-2)
    else:
        prune.remove(layer.layer0, name)
        assert layer.weights()[name].count_nonzero() == 3  # 0.5 of 5, rounded to even, is pruned
    assert set(layer.state_dict()) == set(Recurrent(of_taken_names, 3, 5).state_dict())
    layer(inputs)[0].sum().backward()


def test_names_of_methods_leave_the_layer_working():
    layer = Recurrent(of_taken_names, 3, 5)
    assert set(layer.state_dict()) == {f"layer0.{name}" for name in layer.weights()}
    other = copy.deepcopy(layer).eval().double().train()
    other.load_state_dict(layer.state_dict())
    assert repr(other) == repr(layer)
    other.apply(lambda module: None).zero_grad()
    inputs = torch.randn(2, 4, 3)
    torch.testing.assert_close(other(inputs.double())[0].float(), layer(inputs)[0])


def test_state_dict_keeps_its_names_where_no_tool_is():
    layer = LSTM(3, 5, bidirectional=True)
    parametrizations.weight_norm(layer.layer0, "cell/0")
    names = set(layer.state_dict())
    assert {name for name in names if name.startswith("layer0_backward")} == {
        f"layer0_backward.{name}" for name in layer.weights(backward=True)
    }
    assert "layer0.cell/0" not in names
    assert "layer0.parametrizations.cell/0.original0" in names
    other = LSTM(3, 5, bidirectional=True)
    parametrizations.weight_norm(other.layer0, "cell/0")
    other.load_state_dict(layer.state_dict(), strict=True)
    inputs = torch.randn(2, 4, 3)
    assert torch.equal(other(inputs)[0], layer(inputs)[0])


def test_a_tool_can_be_removed():
    layer, inputs = Recurrent("gru", 3, 5), torch.randn(2, 4, 3)
    parametrizations.weight_norm(layer.layer0, "update/1")
    prune.random_unstructured(layer.layer0, "reset/1", 0.5)
    expected = layer(inputs)[0]
    parametrize.remove_parametrizations(layer.layer0, "update/1")
    prune.remove(layer.layer0, "reset/1")
    assert set(layer.state_dict()) == set(Recurrent("gru", 3, 5).state_dict())
    torch.testing.assert_close(layer(inputs)[0], expected)
    assert (layer.weights()["reset/1"] == 0).sum() >= 12


def test_setting_weights_sets_what_they_are_computed_from():
    layer, other = Recurrent("lstm", 3, 5), Recurrent("lstm", 3, 5)
    halve(layer.layer0, "cell/0")
    parametrizations.weight_norm(layer.layer0, "input/1")
    layer.set_weights(other.get_weights())
    inputs = torch.randn(2, 4, 3)
    torch.testing.assert_close(layer(inputs)[0], other(inputs)[0])
    torch.testing.assert_close(layer.layer0.parametrizations["cell/0"].original, 2 * other.weights()["cell/0"])
    layer.layer0.reset_parameters()
    assert not torch.allclose(layer.weights()["cell/0"], other.weights()["cell/0"])


def test_pruned_weights_stay_pruned_when_weights_are_set():
    layer, other = Recurrent("gru", 3, 5), Recurrent("gru", 3, 5)
    prune.random_unstructured(layer.layer0, "update/1", 0.5)
    layer.set_weights(other.get_weights())
    mask = layer.layer0.get_buffer("update/1_mask")
    assert torch.equal(layer.weights()["update/1"], mask * other.weights()["update/1"])
    assert torch.equal(layer.layer0.get_parameter("update/1_orig"), other.weights()["update/1"])


def test_setting_what_cannot_be_reversed_is_refused():
    layer = Recurrent("gru", 3, 5)
    parametrize.register_parametrization(layer.layer0, "update/1", Squared())
    with pytest.raises(UsageError, match="`update/1` cannot be set"):
        layer.set_weights(layer.get_weights())
    other = Recurrent("gru", 3, 5)
    weight_norm_of_old(other.layer0, "update/1")
    with pytest.raises(UsageError, match="computed before each call"):
        other.set_weights(other.get_weights())


def test_a_step_of_spectral_norm_is_taken_once_a_call():
    layer = Recurrent("gru", 3, 5)
    parametrizations.spectral_norm(layer.layer0, "update/1")
    calls = []
    layer.layer0.parametrizations["update/1"][0].register_forward_hook(lambda *_: calls.append(1))
    layer(torch.randn(2, 4, 3))
    assert len(calls) == 1


def test_parametrized_layers_stream_and_convert_with_what_the_step_uses():
    layer = LSTM(3, 5)
    halve(layer.layer0, "cell/0")
    prune.random_unstructured(layer.layer0, "output/1", 0.5)
    inputs = torch.randn(2, 4, 3)
    expected = layer(inputs)[0]
    stream = layer.stream(batch_size=2)
    found = torch.stack([stream.step(inputs[:, step]) for step in range(4)], 1)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(to_torch(layer)(inputs)[0], expected, rtol=0, atol=1e-6)


def test_global_pruning_finds_the_matrices():
    layer = LSTM(3, 5, num_layers=2)
    matrices = [(layer.layer0, f"{gate}/1") for gate in ("input", "forget", "cell", "output")]
    prune.global_unstructured(matrices, pruning_method=prune.L1Unstructured, amount=0.25)
    layer(torch.randn(2, 4, 3))[0].sum().backward()
    assert sum(int((layer.weights()[name] == 0).sum()) for _, name in matrices) == 25


def batches() -> list[Any]:
    return [torch.randn(2, 4, 3, requires_grad=True), Ragged(torch.randn(5, 3, requires_grad=True), [3, 0, 2])]


@pytest.mark.parametrize("kind", [0, 1], ids=["dense", "ragged"])
def test_hooks_run_and_change_nothing(kind: int):
    batch = batches()[kind]
    gradients, seen = [], []
    for hooked in (False, True):
        torch.manual_seed(0)
        layer = LSTM(3, 5)
        if hooked:
            layer.register_full_backward_hook(lambda module, given, made: seen.append("backward"))
            layer.register_full_backward_pre_hook(lambda module, made: seen.append("pre"))
            layer.register_forward_hook(lambda module, given, made: seen.append(type(made[1]).__name__))
            layer.register_forward_pre_hook(lambda module, given: seen.append("before"))
        steps, last = layer(batch)
        data = steps.data if isinstance(steps, Ragged) else steps
        gradients.append(torch.autograd.grad(data.sum() + last.c.square().sum(), list(layer.parameters())))
    assert seen[:2] == ["before", "State"]
    assert all(map(torch.equal, *gradients))


@pytest.mark.parametrize("kind", [0, 1], ids=["dense", "ragged"])
def test_checkpointing_gives_the_same_gradients(kind: int):
    batch, layer = batches()[kind], LSTM(3, 5)
    data = batch.data if isinstance(batch, Ragged) else batch

    def loss(steps: Any, last: Any) -> Tensor:
        return (steps.data if isinstance(steps, Ragged) else steps).sum() + last.c.square().sum()

    leaves = [data, *layer.parameters()]
    expected = torch.autograd.grad(loss(*layer(batch)), leaves)
    found = torch.autograd.grad(loss(*checkpoint.checkpoint(layer, batch, use_reentrant=False)), leaves)
    assert all(map(torch.equal, found, expected))


@pytest.mark.parametrize("name", ["lstm", "gru", "layer_norm_lstm"])
def test_functional_call_uses_the_given_parameters(name: str):
    layer, other = Recurrent(name, 3, 5), Recurrent(name, 3, 5)
    inputs = torch.randn(2, 4, 3)
    found, _ = torch.func.functional_call(layer, dict(other.named_parameters()), (inputs,))
    assert torch.equal(found, other(inputs)[0])


def test_functional_call_reaches_what_a_parametrization_is_computed_from():
    layer, inputs = Recurrent("gru", 3, 5), torch.randn(2, 4, 3)
    halve(layer.layer0, "update/1")
    given = {name: 2 * value for name, value in layer.named_parameters()}
    found, _ = torch.func.functional_call(layer, given, (inputs,))
    with torch.no_grad():
        for value in layer.parameters():
            value.mul_(2)
    assert torch.equal(found, layer(inputs)[0])


def test_a_replica_of_data_parallel_uses_its_tensors():
    layer, inputs = Recurrent("gru", 3, 5), torch.randn(2, 4, 3)
    replica = layer._replicate_for_data_parallel()
    part = layer.layer0._replicate_for_data_parallel()
    part._parameters = {}
    for name, value in layer.weights().items():
        # As torch.nn.parallel.replicate does it: copies that are no parameters.
        setattr(part, name, value * 1.0)
    replica._modules = {"layer0": part}
    found = replica(inputs)[0]
    assert torch.equal(found, layer(inputs)[0])
    found.sum().backward()
    assert all(value.grad is not None for value in layer.parameters())


@cell
def decay(x, h, c):
    """A cell without parameters."""
    c = 0.5 * c + x
    return Next(h=tanh(c), c=c)


DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_cell_without_parameters_runs_in_the_type_of_its_input(dtype: torch.dtype):
    layer = Recurrent(decay, 3, 3, num_layers=2, bidirectional=False)
    inputs = torch.randn(2, 4, 3).to(dtype)
    steps, last = layer(inputs)
    assert {steps.dtype, last.h.dtype, last.c.dtype} == {dtype}
    c = first = torch.zeros(2, 3, dtype=torch.float64)
    for step in inputs.double().unbind(1):
        first = 0.5 * first + step
        c = 0.5 * c + torch.tanh(first)
    torch.testing.assert_close(last.layer(1).c.double(), c, rtol=0, atol={torch.float64: 1e-12}.get(dtype, 0.03))
    again, _ = layer(inputs, last)
    assert again.dtype == dtype
    ragged, _ = layer(Ragged(inputs.flatten(0, 1), [5, 0, 3]))
    assert ragged.data.dtype == dtype
    assert layer.double()(inputs)[0].dtype == dtype


def test_a_cell_without_parameters_on_a_device_without_numbers():
    with torch.no_grad():
        steps, last = Recurrent(decay, 3, 3)(torch.zeros(2, 4, 3, device="meta"))
    assert steps.device.type == last.c.device.type == "meta"


@pytest.mark.parametrize("dtype", DTYPES[:3], ids=str)
def test_a_cell_without_parameters_streams(dtype: torch.dtype):
    layer, inputs = Recurrent(decay, 3, 3), torch.randn(2, 4, 3).to(dtype)
    stream = layer.stream(layer.zero_state(2, like=inputs))
    found = torch.stack([stream.step(inputs[:, step]) for step in range(4)], 1)
    torch.testing.assert_close(found, layer(inputs)[0], rtol=0, atol=0.02 if dtype == torch.bfloat16 else 1e-6)
    assert layer.stream().step(torch.ones(1, 3)).dtype == torch.float32


def test_a_cell_without_parameters_elsewhere():
    layer = Recurrent(decay, 3, 3, stateful=True)
    assert layer.weights() == layer.state_dict() == {}
    assert layer.get_weights() == []
    layer.set_weights([])
    assert "llvm" in layer.explain()
    inputs = torch.randn(2, 4, 3, dtype=torch.float64)
    whole, _ = Recurrent(decay, 3, 3)(inputs)
    parts = [layer(inputs[:, :2])[0], layer(inputs[:, 2:])[0]]
    torch.testing.assert_close(torch.cat(parts, 1), whole)
    with pytest.raises(UsageError, match="the cell is"):
        to_torch(layer)


def test_a_stateful_layer_with_a_table_keeps_the_type_of_its_states():
    layer, table, ids = Recurrent("gru", 3, 5, stateful=True), torch.randn(7, 3), torch.tensor([[1, 2, 6], [0, 0, 3]])
    whole, _ = Recurrent.forward(copy.deepcopy(layer), ids, table=table)
    parts = [layer(ids[:, :1], table=table)[0], layer(ids[:, 1:], table=table)[0]]
    torch.testing.assert_close(torch.cat(parts, 1), whole, rtol=0, atol=1e-6)


def test_every_cell_follows_its_parameters():
    for name in CELLS:
        layer = Recurrent(name, 3, 5).double()
        assert {value.dtype for value in layer.zero_state(2).tensors.values()} == {torch.float64}
