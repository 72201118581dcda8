"""Where kernels cannot run, torch's operations do: right numbers, and it is said."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from elman import CELLS, Next, Recurrent, affine, cell, tanh
from elman.compiler import dispatch
from elman.compiler.graph import Graph
from elman.compiler.targets.llvm import machine
from elman.compiler.testing.compare import backward, forward
from elman.compiler.testing.data import Data, fill, split_tensors
from elman.errors import ShapeError
from tests.laws.cases import every_cell, every_dtype
from tests.laws.tolerances import assert_near

LENGTHS = (3, 0, 1, 2)


def drawn(name: str) -> tuple[Graph, Data]:
    graph = CELLS[name].trace(3, 5)
    return graph, fill(graph, LENGTHS, 4)


def output_of(
    graph: Graph, data: Data, tensors: list[Tensor] | tuple[Tensor, ...], target: str | None = None
) -> Tensor:
    inputs, states, weights = split_tensors(graph, tensors)
    return dispatch.run(graph, weights, inputs, states, data.order, target=target)[0]


# Transformations


@every_cell
def test_vmap_over_inputs_and_weights(cell: str):
    graph, data = drawn(cell)
    several = [torch.stack([tensor, 0.5 * tensor, -tensor]) for tensor in data.tensors]
    reasons = []

    def one(*tensors: Tensor) -> Tensor:
        reasons.append(str(dispatch.choose(None)))
        return output_of(graph, data, tensors)

    found = torch.func.vmap(one)(*several)
    wanted = [output_of(graph, data, [stack[place] for stack in several], "reference") for place in range(3)]
    assert_near(found, torch.stack(wanted), torch.float64)
    assert all(reason.startswith("eager: ") and "vmap" in reason for reason in reasons)


@every_cell
def test_per_sample_gradients(cell: str):
    graph, data = drawn(cell)
    scales = torch.tensor([1.0, 0.5, -2.0], dtype=torch.float64)

    def loss(weight: Tensor, scale: Tensor) -> Tensor:
        return (scale * output_of(graph, data, [*data.tensors[:-1], weight]).square()).sum()

    found = torch.func.vmap(torch.func.grad(loss), (None, 0))(data.tensors[-1], scales)
    leaf = data.tensors[-1].clone().requires_grad_()
    wanted = [torch.autograd.grad(loss(leaf, scale), leaf)[0] for scale in scales]
    assert_near(found, torch.stack(wanted), torch.float64)


def test_a_layer_says_what_runs_it_within_a_transformation():
    layer = Recurrent("gru", 3, 5).double()
    batches = torch.randn(4, 2, 7, 3, dtype=torch.float64)
    said = []

    def call(batch: Tensor) -> Tensor:
        said.append(layer.explain())
        return layer(batch)[0]

    with torch.no_grad():
        found = torch.func.vmap(call)(batches)
        assert_near(found, torch.stack([layer(batch)[0] for batch in batches]), torch.float64)
    assert said[0].startswith("eager: ")
    assert "vmap" in said[0]
    assert layer.explain().startswith("llvm: ")


# Types


@every_cell
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_types_without_kernels_go_to_torch(cell: str, dtype: torch.dtype):
    layer = Recurrent(cell, 3, 5).to(dtype)
    judge = Recurrent(cell, 3, 5).double()
    judge.load_state_dict(layer.state_dict())
    # The weights of a reservoir have no gradient.
    batch = torch.randn(2, 4, 3).to(dtype).requires_grad_()
    assert layer.explain().startswith("eager: ")
    assert str(dtype) in layer.explain()
    found, wanted = layer(batch)[0], judge(batch.double())[0]
    assert found.dtype == dtype
    torch.testing.assert_close(found.double(), wanted, rtol=0.05, atol=0.05)
    found.sum().backward()
    wanted.sum().backward()
    for one, other in zip(layer.parameters(), judge.parameters(), strict=True):
        torch.testing.assert_close(one.grad.double(), other.grad, rtol=0.1, atol=0.25)  # type: ignore[union-attr]


@pytest.mark.parametrize("target", dispatch.TARGETS)
def test_tensors_of_several_types_are_refused(target: str):
    @cell
    def listening(x, h, *, context):
        return Next(h=tanh(affine("hidden", x, h, context)))

    layer = Recurrent(listening, 3, 5, constants={"context": 2}, target=target)
    with torch.no_grad(), pytest.raises(ShapeError, match=r"(?s)float32.*float64.*one type"):
        layer(torch.zeros(2, 4, 3), context=torch.zeros(2, 2, dtype=torch.float64))


# Machines


@pytest.fixture
def forgotten() -> Iterator[None]:
    """What is known of this machine's kernels is found out anew, before and after."""

    def forget() -> None:
        dispatch._why_no_kernels.cache_clear()
        dispatch._tell_once.cache_clear()

    forget()
    yield
    forget()


def refuse(*_: object, **__: object) -> None:
    raise machine.Unavailable("This machine is made of wood.", fix="Wait.")


@every_dtype
@pytest.mark.parametrize("part", ["host", "compile"])
@pytest.mark.usefixtures("forgotten")
def test_a_machine_without_kernels_warns_once_and_gives_right_numbers(
    dtype: torch.dtype, part: str, monkeypatch: pytest.MonkeyPatch
):
    @cell
    def never_built(x, h):
        return tanh(affine(f"{part}_refused", x, h))

    graph = never_built.trace(3, 5)
    data = fill(graph, LENGTHS).to(dtype)
    monkeypatch.setattr(machine, part, refuse)
    monkeypatch.setattr(f"elman.compiler.targets.llvm.loop.machine.{part}", refuse)
    with pytest.warns(RuntimeWarning, match="without compiled kernels") as told:
        found = [*forward(graph, data, None), *backward(graph, data, None), *backward(graph, data, None)]
    assert len(told) == 1
    assert "made of wood" in str(told[0].message)
    wanted = [*forward(graph, data, "eager"), *2 * backward(graph, data, "eager")]
    assert all(torch.equal(one, other) for (_, one), (_, other) in zip(found, wanted, strict=True))


@pytest.mark.usefixtures("forgotten")
def test_a_machine_without_kernels_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(machine, "host", refuse)
    with pytest.warns(RuntimeWarning):
        said = Recurrent("lstm", 3, 5).explain()
    assert said.startswith("eager: ")
    assert "made of wood" in said
