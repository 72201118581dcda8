"""The backward step means the gradient, by itself and through every door of autograd."""

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad

from elman import CELLS, Next, Recurrent, affine, cell, parameter, tanh
from elman.compiler import dispatch
from elman.compiler.graph import Graph
from elman.compiler.testing.compare import backward
from elman.compiler.testing.data import Data, fill, split_tensors
from elman.compiler.testing.interpreted import interpreted_gradients
from tests.laws.cases import (
    every_cell,
    every_differentiable_target,
    every_dtype,
    every_general_differentiable_target,
)
from tests.laws.tolerances import assert_near

both_ways = pytest.mark.parametrize("reads_backward", [False, True], ids=["forward", "backward"])
LENGTHS = (3, 0, 1, 2)


def drawn(name: str, reads_backward: bool = False) -> tuple[Graph, Data]:
    graph = CELLS[name].trace(3, 5)
    return graph, fill(graph, LENGTHS, 4, backward=reads_backward)


@every_cell
@both_ways
def test_the_interpreted_backward_step_is_what_autograd_gives(cell: str, reads_backward: bool):
    graph, data = drawn(cell, reads_backward)
    wanted = [value for name, value in backward(graph, data, "eager") if name.startswith("gradient")]
    assert_near(interpreted_gradients(graph, data), wanted, torch.float64)


@every_cell
@every_dtype
@both_ways
def test_kernels_give_the_gradients_that_autograd_gives(cell: str, dtype: torch.dtype, reads_backward: bool):
    graph, data = drawn(cell, reads_backward)
    found, wanted = backward(graph, data.to(dtype), "llvm"), backward(graph, data, "eager")
    for (name, one), (other_name, other) in zip(found, wanted, strict=True):
        assert name == other_name
        assert_near(one, other.to(dtype), dtype)


@every_cell
@every_differentiable_target
def test_gradients_can_be_asked_for_twice_and_add_up(cell: str, target: str):
    graph, data = drawn(cell)
    leaves = [tensor.clone().requires_grad_() for tensor in data.tensors]
    inputs, states, weights = split_tensors(graph, leaves)
    output, last = dispatch.run(graph, weights, inputs, states, data.order, target=target)
    torch.autograd.backward([output, *last], data.d_results, retain_graph=True)
    once = [leaf.grad.clone() for leaf in leaves]  # type: ignore[union-attr]
    torch.autograd.backward([output, *last], data.d_results)
    assert_near([leaf.grad for leaf in leaves], [2 * grad for grad in once], torch.float64)


@every_cell
@every_differentiable_target
@pytest.mark.parametrize("lengths", [(), (0,), (0, 0, 0)])
def test_gradients_of_nothing_are_zero(cell: str, target: str, lengths: tuple[int, ...]):
    graph = CELLS[cell].trace(3, 5)
    data = fill(graph, lengths)
    found = dict(backward(graph, data, target))
    for name, d_last in zip(graph.state_names, data.d_results[1:], strict=True):
        assert torch.equal(found.pop(f"gradient of {name}"), d_last)
    assert all(not value.any() for name, value in found.items() if name.startswith("gradient"))


@every_cell
@every_differentiable_target
@pytest.mark.parametrize("hidden_size", [5, 16])
def test_a_result_changed_in_place_is_refused_or_differentiated_rightly(cell: str, target: str, hidden_size: int):
    graph = CELLS[cell].trace(3, hidden_size)
    data = fill(graph, LENGTHS)

    def doubled(place: int, in_place: bool) -> list[Tensor]:
        leaves = [tensor.clone().requires_grad_() for tensor in data.tensors]
        inputs, states, weights = split_tensors(graph, leaves)
        output, last = dispatch.run(graph, weights, inputs, states, data.order, target=target)
        results = [output, *last]
        results[place] = results[place].mul_(2.0) if in_place else results[place] * 2.0
        return list(torch.autograd.grad(results, leaves, data.d_results))

    for place in range(1 + len(graph.states)):
        wanted = doubled(place, in_place=False)
        try:
            found = doubled(place, in_place=True)
        except RuntimeError as refusal:
            assert "modified" in str(refusal)  # noqa: PT017
        else:
            assert_near(found, wanted, torch.float64)


@every_general_differentiable_target
def test_an_output_has_memory_of_its_own(target: str):
    @cell
    def passing(x, h):
        return Next(h=tanh(affine("hidden", x, h)), output=x)

    @cell
    def constant(x, h):
        return Next(h=tanh(affine("hidden", x, h)), output=parameter("always", initial=2.0))

    for step in (passing, constant):
        layer = Recurrent(step, 3, 3, target=target)
        batch, before = torch.ones(2, 4, 3), {name: value.clone() for name, value in layer.weights().items()}
        with torch.no_grad():
            layer(batch)[0].add_(1.0)
        layer(batch)[0].detach().add_(1.0)
        assert torch.equal(batch, torch.ones(2, 4, 3))
        assert all(torch.equal(value, before[name]) for name, value in layer.weights().items())


@every_cell
@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")  # by torch's own rules for tangents
def test_tangents_pass_through_a_layer(cell: str):
    """Forward-mode differentiation goes to `eager`, also where no gradient is asked for."""
    graph, data = drawn(cell)
    directions = [torch.sin(torch.arange(tensor.numel())).view_as(tensor).double() for tensor in data.tensors]

    def total(shift: float) -> Tensor:
        moved = [tensor + shift * direction for tensor, direction in zip(data.tensors, directions, strict=True)]
        inputs, states, weights = split_tensors(graph, moved)
        return dispatch.run(graph, weights, inputs, states, data.order)[0].square().sum()

    with torch.no_grad(), forward_ad.dual_level():
        assert dispatch.choose(None).target == "eager"
        dual = [forward_ad.make_dual(*pair) for pair in zip(data.tensors, directions, strict=True)]
        inputs, states, weights = split_tensors(graph, dual)
        output, _ = dispatch.run(graph, weights, inputs, states, data.order)
        tangent = forward_ad.unpack_dual(output.square().sum()).tangent
    assert tangent is not None
    assert float(tangent) == pytest.approx(float(total(1e-6) - total(-1e-6)) / 2e-6, rel=1e-6)
    assert dispatch.choose(None).target == "llvm"


@every_general_differentiable_target
@every_dtype
def test_an_output_that_is_a_state_which_stays(target: str, dtype: torch.dtype):
    """The output of the step before is then what the gradient of the state's matrix reads, and an output too."""

    @cell
    def remembering(x, h, kept):
        return Next(h=tanh(affine("hidden", x, h[1:], kept)), kept=kept, output=kept)

    layer = Recurrent(remembering, 3, 4, target=target).to(dtype)
    judge = Recurrent(remembering, 3, 4, target="eager").double()
    judge.load_state_dict(layer.state_dict())
    batch, start = torch.randn(2, 3, 3, dtype=torch.float64), torch.randn(2, 2, 4, dtype=torch.float64)
    found, wanted = [], []
    for each, kind, results in ((layer, dtype, found), (judge, torch.float64, wanted)):
        steps, last = each(batch.to(kind), {"h": start[0].to(kind), "kept": start[1].to(kind)})
        loss = steps.square().sum() + last.h.sin().sum() + last.kept.sum()
        results += [steps.detach(), *torch.autograd.grad(loss, list(each.parameters()))]
    assert torch.equal(found[0], start[1].to(dtype).unsqueeze(1).expand(2, 3, 4))
    assert_near(found, [value.to(dtype) for value in wanted], dtype)
