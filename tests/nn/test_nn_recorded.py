"""Layers where torch compiles, exports, traces or only infers shapes: one operation, and the same numbers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.utils.rnn import pack_sequence

import elman
from elman import CELLS, Ragged, Recurrent, zoneout
from elman.nn import torch as dropins
from tests.laws.tolerances import assert_near

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch.*"),
    pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning"),
    # torch.compile looks at tensors on both sides of a break in its graph.
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning"),
    # torch's own layers warn of the same: shapes are checked in Python while they are traced.
    pytest.mark.filterwarnings("ignore:Converting a tensor to a Python:torch.jit.TracerWarning"),
    pytest.mark.filterwarnings("ignore:Iterating over a tensor:torch.jit.TracerWarning"),
]

LAYERS: dict[str, Callable[[], nn.Module]] = {
    "simple_rnn": lambda: elman.SimpleRNN(3, 5),
    "lstm": lambda: elman.LSTM(3, 5, num_layers=2, bidirectional=True),
    "gru": lambda: elman.GRU(3, 5, go_backwards=True),
    "projected": lambda: Recurrent("projected_lstm", 3, 6, bidirectional=True, merge="sum"),
    "min_gru": lambda: Recurrent("min_gru", 3, 5),
    "zoneout": lambda: Recurrent(zoneout(CELLS["lstm"], 0.3), 3, 5).eval(),
    "torch.LSTM": lambda: dropins.LSTM(3, 5, 2, bidirectional=True),
    "torch.GRU": lambda: dropins.GRU(3, 5, batch_first=True),
    "torch.RNN": lambda: dropins.RNN(3, 5),
}
every_layer = pytest.mark.parametrize("name", LAYERS)


def batch(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def results(layer: nn.Module, inputs: Any) -> list[Tensor]:
    """The output at every step and every last state."""
    steps, last = layer(inputs)
    states = last.tensors.values() if hasattr(last, "tensors") else last if isinstance(last, tuple) else [last]
    return [steps.data if isinstance(steps, Ragged) else steps, *states]


class Results(nn.Module):
    def __init__(self, layer: nn.Module):
        super().__init__()
        self.layer = layer

    def forward(self, inputs: Any) -> tuple[Tensor, ...]:
        return tuple(results(self.layer, inputs))


def gradients(module: nn.Module, found: Any, inputs: Tensor | None = None) -> list[Tensor]:
    leaves = [*module.parameters(), *([] if inputs is None else [inputs])]
    return list(torch.autograd.grad(sum((one**2).sum() for one in found), leaves))


@every_layer
def test_a_compiled_layer_is_the_layer(name: str):
    torch._dynamo.reset()
    module = Results(LAYERS[name]())
    # Of torch's own classes, and so of those that are instances of them, torch.compile makes no graph.
    compiled = torch.compile(module, backend="aot_eager", fullgraph=not name.startswith("torch."))
    inputs = batch(4, 6, 3).requires_grad_()
    found, wanted = compiled(inputs), module(inputs)
    assert_near(found, wanted, torch.float32)
    assert_near(gradients(module, found, inputs), gradients(module, wanted, inputs), torch.float32)


def test_a_layer_compiled_once_runs_batches_of_other_sizes():
    torch._dynamo.reset()
    graphs = []

    def count(graph: torch.fx.GraphModule, _: Any) -> Any:
        graphs.append([node.target for node in graph.graph.nodes if "elman" in str(node.target)])
        return graph.forward

    layer = Recurrent("lstm", 3, 5)
    compiled = torch.compile(Results(layer), backend=count, fullgraph=True, dynamic=True)
    for sizes in ((2, 4), (5, 7), (8, 6)):
        inputs = batch(*sizes, 3)
        assert_near(compiled(inputs), tuple(results(layer, inputs)), torch.float32)
    assert graphs == [[torch.ops.elman.recurrence]]


def test_a_compiled_layer_takes_ragged_batches_ids_and_autocast():
    torch._dynamo.reset()
    layer = elman.LSTM(3, 5, num_layers=2, bidirectional=True)
    compiled = torch.compile(Results(layer), backend="aot_eager", fullgraph=True)
    ragged = Ragged.from_list([batch(5, 3), batch(0, 3), batch(2, 3)])
    assert_near(compiled(ragged), tuple(results(layer, ragged)), torch.float32)
    with torch.autocast("cpu"):
        found = compiled(batch(2, 4, 3))
        assert found[0].dtype == torch.bfloat16
    table = nn.Parameter(batch(7, 3))
    read = torch.compile(lambda ids: layer(ids, table=table)[0], backend="aot_eager", fullgraph=True)
    ids = torch.arange(30).reshape(2, 15) % 7
    assert_near(read(ids), layer(ids, table=table)[0], torch.float32)
    slopes = [
        torch.autograd.grad((one(ids) ** 2).sum(), table)[0] for one in (read, lambda ids: layer(ids, table=table)[0])
    ]
    assert_near(*slopes, torch.float32)


def test_a_compiled_layer_drops_while_it_trains():
    torch._dynamo.reset()
    layer = elman.LSTM(3, 5, num_layers=2, dropout=0.5, weight_drop=0.5)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    assert not torch.equal(compiled(batch(2, 4, 3))[0], compiled(batch(2, 4, 3))[0])


def test_packed_sequences_compile_with_a_break_in_the_graph():
    torch._dynamo.reset()
    layer = dropins.LSTM(3, 5)
    packed = pack_sequence([batch(5, 3), batch(2, 3)])
    found = torch.compile(layer, backend="aot_eager")(packed)[0].data
    assert_near(found, layer(packed)[0].data, torch.float32)


@every_layer
@pytest.mark.parametrize("strict", [False, True])
def test_an_exported_layer_takes_other_sizes_and_is_loaded(name: str, strict: bool, tmp_path: Path):
    module = Results(LAYERS[name]())
    if strict and name.startswith("torch."):
        pytest.skip("torch's strict export refuses all instances of its recurrent classes")
    sizes = {"inputs": {0: torch.export.Dim("first"), 1: torch.export.Dim("second")}}
    program = torch.export.export(module, (batch(2, 5, 3),), dynamic_shapes=sizes, strict=strict)
    torch.export.save(program, tmp_path / "layer.pt2")
    other = batch(3, 7, 3)
    assert_near(torch.export.load(tmp_path / "layer.pt2").module()(other), module(other), torch.float32)


@every_layer
def test_a_traced_layer_takes_other_lengths_and_batches(name: str, tmp_path: Path):
    module = Results(LAYERS[name]())
    traced = torch.jit.trace(module, batch(2, 5, 3))
    traced.save(tmp_path / "layer.pt")  # type: ignore[union-attr]
    other = batch(3, 7, 3).requires_grad_()
    for each in (traced, torch.jit.load(tmp_path / "layer.pt")):
        assert_near(each(other), module(other), torch.float32)
    slopes = [torch.autograd.grad(sum((one**2).sum() for one in each(other)), other)[0] for each in (traced, module)]
    assert_near(*slopes, torch.float32)


@every_layer
@pytest.mark.parametrize("mode", ["real", "fake", "symbolic"])
def test_make_fx_records_a_layer_and_its_gradient(name: str, mode: str):
    module = Results(LAYERS[name]())

    def loss(inputs: Tensor) -> list[Tensor]:
        return gradients(module, module(inputs))

    inputs = batch(2, 5, 3)
    recorded = make_fx(loss, tracing_mode=mode, _allow_non_fake_inputs=mode != "real")(inputs)
    assert {"elman.recurrence_keeping.default", "elman.recurrence_backward.default"} <= {
        str(node.target) for node in recorded.graph.nodes
    }
    assert_near(recorded(inputs), loss(inputs), torch.float32)


@every_layer
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_fake_tensors_give_shapes_and_leave_nothing_behind(name: str, dtype: torch.dtype):
    sizes = 3, 11, 3  # a shape that no other test uses
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with FakeTensorMode():
            module = Results(LAYERS[name]())
            found = module(torch.randn(*sizes))
            shapes = [one.shape for one in found]
            gradients(module, found)
    finally:
        torch.set_default_dtype(before)
    real = Results(LAYERS[name]().to(dtype))
    wanted = real(batch(*sizes).to(dtype))
    assert shapes == [one.shape for one in wanted]
    gradients(real, wanted)


@every_layer
def test_a_shape_first_seen_elsewhere_trains_afterwards(name: str):
    inputs = batch(2, 13, 3)
    module = Results(LAYERS[name]())
    with torch.device("meta"):
        assert_near(module(inputs), module(inputs), torch.float32)
    with torch.inference_mode():
        module(inputs)
        Results(LAYERS[name]().bfloat16())(inputs.bfloat16())
    gradients(module, module(inputs))
    narrow = Results(LAYERS[name]().bfloat16())
    gradients(narrow, narrow(inputs.bfloat16()))


@every_layer
def test_a_layer_on_the_meta_device_gives_shapes(name: str):
    module = Results(LAYERS[name]())
    wanted = [one.shape for one in module(batch(2, 5, 3))]
    assert [one.shape for one in module.to("meta")(torch.empty(2, 5, 3, device="meta"))] == wanted


# What is no plain memory


class Wrapper(torch.Tensor):
    """A tensor that only its own dispatch can read."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor):
        made = Tensor._make_wrapper_subclass(cls, inner.shape, inner.stride(), dtype=inner.dtype, device=inner.device)
        made.inner = inner
        return made

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        inside = lambda value: value.inner if isinstance(value, Wrapper) else value  # noqa: E731
        outside = lambda value: Wrapper(value) if type(value) is Tensor else value  # noqa: E731
        tree_map = torch.utils._pytree.tree_map
        return tree_map(outside, function(*tree_map(inside, args), **tree_map(inside, kwargs or {})))


UNUSUAL: dict[str, Tensor] = {
    "a view with a sign": torch.randn(2, 5, 3, dtype=torch.cfloat).conj().imag,
    "a view of a view with a sign": torch.randn(5, 3, 2, dtype=torch.cfloat).conj().imag.permute(2, 0, 1),
    "zeros without memory": torch._efficientzerotensor((2, 5, 3)),  # type: ignore[attr-defined]
    "a wrapper": Wrapper(torch.randn(2, 5, 3)),
    "expanded": torch.randn(1, 1, 3).expand(2, 5, 3),
    "with steps reversed": torch.randn(5, 2, 3).transpose(0, 1),
}


def in_memory(tensor: Tensor) -> Tensor:
    """The same numbers in memory of their own."""
    return (tensor.inner if isinstance(tensor, Wrapper) else tensor).resolve_neg().clone()


@every_layer
@pytest.mark.parametrize("kind", UNUSUAL)
def test_tensors_of_any_kind_are_read_as_what_they_mean(name: str, kind: str):
    module = Results(LAYERS[name]())
    found = [one.inner if isinstance(one, Wrapper) else one for one in module(UNUSUAL[kind])]
    assert_near(found, list(module(in_memory(UNUSUAL[kind]))), torch.float32)


@pytest.mark.parametrize("kind", ["a view with a sign", "zeros without memory"])
def test_states_and_gradients_of_any_kind(kind: str):
    layer = dropins.LSTM(3, 3)
    reference = nn.LSTM(3, 3)
    reference.load_state_dict(layer.state_dict())
    # torch's LSTM gets copies in memory: with oneDNN, torch 2.13 reads memory that is not initialised for states that
    # are zeros without memory, so that its results are NaN now and then.
    given, plain = UNUSUAL[kind], in_memory(UNUSUAL[kind])
    inputs = batch(2, 5, 3).requires_grad_()
    slopes = []
    for each, values in ((layer, given), (reference, plain)):
        output, _ = each(inputs, (values[:1], values[:1]))
        slopes.append(torch.autograd.grad(output, [inputs, *each.parameters()], values))
    assert_near(*slopes, torch.float32)


@every_layer
@pytest.mark.parametrize(
    "given",
    [
        torch.zeros(2, 5, 3).to_sparse(),
        torch.nested.nested_tensor([torch.zeros(2, 3), torch.zeros(4, 3)], layout=torch.jagged),
    ],
    ids=["sparse", "nested"],
)
def test_layouts_that_no_layer_reads_are_refused(name: str, given: Tensor):
    with pytest.raises(elman.ElmanError, match=r"Expected a plain tensor(?s:.*)Convert it first"):
        LAYERS[name]()(given)


def test_memory_that_was_taken_away_is_refused():
    inputs = torch.randn(2, 5, 3)
    inputs.untyped_storage().resize_(0)
    with pytest.raises(elman.ElmanError, match="memory"):
        elman.LSTM(3, 5)(inputs)
    layer = elman.LSTM(3, 5)
    next(layer.parameters()).untyped_storage().resize_(4)
    with pytest.raises(elman.ElmanError, match="memory"):
        layer(torch.randn(2, 5, 3))


# Autocast


@pytest.mark.parametrize("name", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("given", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("state", [None, torch.float32, torch.bfloat16])
def test_autocast_gives_the_types_of_torchs_layers(name: str, given: torch.dtype, state: torch.dtype | None):
    if given == torch.float64 and state is not None:
        pytest.skip("torch refuses states of another type than float64")
    mine, judge = (getattr(module, name)(3, 5) for module in (dropins, nn))
    mine.load_state_dict(judge.state_dict())
    kind = torch.float64 if given == torch.float64 else torch.float32
    inputs = batch(4, 2, 3).to(given)
    start = None if state is None else torch.ones(1, 2, 5, dtype=state)
    hx = (start, start) if name == "LSTM" and start is not None else start
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, wanted = (Results(each.to(kind)).layer(inputs, hx) for each in (mine, judge))
    assert found[0].dtype == wanted[0].dtype
    last = [one[1][0] if isinstance(one[1], tuple) else one[1] for one in (found, wanted)]
    assert last[0].dtype == last[1].dtype
    torch.testing.assert_close(found[0].double(), wanted[0].double(), rtol=0.02, atol=0.02)
    found[0].sum().backward()
    assert all(parameter.grad.dtype == kind for parameter in mine.parameters())  # type: ignore[union-attr]


@pytest.mark.parametrize("cell", ["lstm", "gru", "min_gru"])
def test_own_layers_give_autocasts_type_and_take_their_own_states_back(cell: str):
    layer = Recurrent(cell, 3, 5, num_layers=2)
    inputs = batch(2, 6, 3)
    wanted = layer(inputs)[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        first, state = layer(inputs[:, :4])
        second, _ = layer(inputs[:, 4:].bfloat16(), state)
    assert (first.dtype, state.h.dtype, second.dtype) == (torch.bfloat16,) * 3
    torch.testing.assert_close(torch.cat([first, second], 1).float(), wanted, rtol=0.03, atol=0.03)


# Batched and second gradients


@every_layer
def test_gradients_are_taken_in_batches(name: str):
    module = Results(LAYERS[name]())
    inputs = batch(2, 3, 3).requires_grad_()
    leaves = [inputs, *module.parameters()]
    (output, *_) = module(inputs)
    slopes = torch.eye(output.numel()).view(-1, *output.shape)
    found = torch.autograd.grad(output, leaves, slopes, is_grads_batched=True, retain_graph=True)
    wanted = [torch.autograd.grad(output, leaves, slope, retain_graph=True) for slope in slopes]
    assert_near(list(found), [torch.stack(each) for each in zip(*wanted, strict=True)], torch.float32)


@every_layer
@pytest.mark.parametrize("strategy", ["reverse-mode", "forward-mode"])
def test_jacobians_are_vectorised(name: str, strategy: str):
    module, inputs = Results(LAYERS[name]()), batch(2, 3, 3)
    jacobian = torch.autograd.functional.jacobian
    function = lambda inputs: module(inputs)[0]  # noqa: E731
    found = jacobian(function, inputs, vectorize=True, strategy=strategy)
    assert_near(found, jacobian(function, inputs), torch.float32)
    assert_near(torch.func.jacrev(function)(inputs), found, torch.float32)


@elman.cell
def counting(x, h, count):
    """A state that depends on nothing that is learned."""
    return elman.Next(h=elman.tanh(elman.affine("hidden", x, h)), count=count + 1.0)


@pytest.mark.parametrize("cell", [counting, CELLS["lstm"]], ids=["counting", "lstm"])
@pytest.mark.parametrize("lengths", [[1, 1], [3, 0, 1], [0, 0], [0], []], ids=str)
@pytest.mark.parametrize("target", [None, "eager"])
def test_second_gradients_of_batches_of_any_lengths(cell: Any, lengths: list[int], target: str | None):
    layer = Recurrent(cell, 3, 4, num_layers=2, target=target).double()
    judge = Recurrent(cell, 3, 4, num_layers=2, target="eager").double()
    judge.load_state_dict(layer.state_dict())
    found = []
    for each in (layer, judge):
        data = batch(sum(lengths), 3).double().requires_grad_()
        steps, last = each(Ragged(data, lengths))
        loss = steps.data.square().sum() + last.tensors["h"].sum()
        leaves = [data, *each.parameters()]
        slopes = torch.autograd.grad(loss, leaves, create_graph=True, materialize_grads=True)
        again = torch.autograd.grad(sum(slope.square().sum() for slope in slopes), leaves, materialize_grads=True)
        found.append([*slopes, *again])
    assert_near(*found, torch.float64)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_batches_without_a_step_have_gradients_of_zero(dtype: torch.dtype):
    layer = elman.LSTM(3, 4, num_layers=2, bidirectional=True).to(dtype)
    steps, last = layer(Ragged(torch.zeros(0, 3, dtype=dtype), [0, 0]))
    (steps.data.sum() + last.h.sum() + last.c.sum()).backward()
    assert all(parameter.grad is not None and not parameter.grad.any() for parameter in layer.parameters())
