"""Every target means the same: that of the reference, forward and backward."""

import json
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor

from elman import CELLS
from elman.compiler import dispatch, reference
from elman.compiler.graph import Graph, from_json, to_json
from elman.order import TimeMajor
from tests.laws.cases import (
    BUSY_CASES,
    CASES,
    Case,
    answer,
    assume_supported,
    every_cell,
    every_differentiable_target,
    every_dtype,
    every_target,
    make_batch,
    make_layer,
    make_state,
    over,
    rows,
)
from tests.laws.differences import central_differences
from tests.laws.tolerances import assert_near, assert_near_differences

SMALL = Case(lengths=(3, 0, 1, 2), input_size=3, hidden_size=2, seed=5)
TINY = Case(lengths=(2, 0, 1), input_size=2, hidden_size=2, seed=7)

both_ways = pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])


@every_cell
@every_differentiable_target
@every_dtype
@over(CASES)
def test_a_target_gives_what_the_reference_gives(cell: str, target: str, dtype: torch.dtype, case: Case):
    layer = make_layer(cell, case, dtype, bidirectional=True, target=target)
    judge = make_layer(cell, case, dtype, bidirectional=True, target="reference")
    batch, state = make_batch(case, dtype), make_state(layer, case, dtype)
    assert_near(answer(layer, batch, state), answer(judge, batch, state), dtype)


def leaves(graph: Graph, case: Case, dtype: torch.dtype) -> list[Tensor]:
    """The input, each state and each parameter."""
    shapes = [(sum(case.lengths), case.input_size), *((len(case.lengths), state.size) for state in graph.states)]
    shapes += [parameter.shape for parameter in graph.parameters]
    return [rows(case, *shape, dtype=dtype, draw=draw) * 0.7 for draw, shape in enumerate(shapes)]


def run(graph: Graph, case: Case, tensors: list[Tensor], target: str, backward: bool) -> tuple[Tensor, ...]:
    """The output at every step and the last states."""
    assume_supported(graph, target)
    count = 1 + len(graph.states)
    weights = dict(zip((item.name for item in graph.parameters), tensors[count:], strict=True))
    order = TimeMajor(torch.tensor(case.lengths))
    output, last = dispatch.run(graph, weights, tensors[:1], tensors[1:count], order, backward=backward, target=target)
    return output, *last


def weighed(case: Case, results: tuple[Tensor, ...]) -> Tensor:
    """One number that every result has a part in."""
    parts = (result * rows(case, *result.shape, dtype=result.dtype, draw=-9 - i) for i, result in enumerate(results))
    return torch.stack([part.sum() for part in parts]).sum()


@cache
def differences_of_the_reference(cell: str, backward: bool) -> list[Tensor]:
    """The central differences of one small case, which every target and dtype is compared with."""
    graph = CELLS[cell].trace(SMALL.input_size, SMALL.hidden_size)
    plain = leaves(graph, SMALL, torch.float64)
    value = lambda: float(weighed(SMALL, run(graph, SMALL, plain, "reference", backward)))  # noqa: E731
    return list(central_differences(value, plain))


@every_cell
@every_differentiable_target
@every_dtype
@both_ways
def test_gradients_are_the_central_differences_of_the_reference(
    cell: str, target: str, dtype: torch.dtype, backward: bool
):
    graph = CELLS[cell].trace(SMALL.input_size, SMALL.hidden_size)
    expected = differences_of_the_reference(cell, backward)
    asked = [tensor.to(dtype).requires_grad_() for tensor in leaves(graph, SMALL, torch.float64)]
    gradients = torch.autograd.grad(weighed(SMALL, run(graph, SMALL, asked, target, backward)), asked)
    assert all(gradient.abs().max() > 0 for gradient in gradients)
    assert_near_differences([item.double() for item in gradients], expected, dtype)


@every_cell
@every_differentiable_target
@both_ways
def test_gradients_have_gradients(cell: str, target: str, backward: bool):
    graph = CELLS[cell].trace(TINY.input_size, TINY.hidden_size)
    asked = [tensor.requires_grad_() for tensor in leaves(graph, TINY, torch.float64)]
    function = lambda *tensors: run(graph, TINY, list(tensors), target, backward)  # noqa: E731
    assert torch.autograd.gradgradcheck(function, asked, fast_mode=True)


@every_cell
@every_target
@every_dtype
@over(BUSY_CASES, examples=4)
def test_a_graph_written_and_read_gives_the_same_numbers(cell: str, target: str, dtype: torch.dtype, case: Case):
    graph = CELLS[cell].trace(case.input_size, case.hidden_size)
    again = from_json(json.loads(json.dumps(to_json(graph), allow_nan=False)))
    tensors = leaves(graph, case, dtype)
    for one, other in zip(
        run(graph, case, tensors, target, False), run(again, case, tensors, target, False), strict=True
    ):
        assert torch.equal(one, other)


@every_cell
@every_target
@every_dtype
@over(CASES, examples=4)
def test_two_runs_give_the_same_bits(cell: str, target: str, dtype: torch.dtype, case: Case):
    def once() -> list[Tensor]:
        layer = make_layer(cell, case, dtype, target=target)
        steps, last = answer(layer, make_batch(case, dtype), make_state(layer, case, dtype))
        return [steps, *last.values()]

    assert all(torch.equal(one, other) for one, other in zip(once(), once(), strict=True))


@every_cell
@every_differentiable_target
@every_dtype
@over(BUSY_CASES, examples=4)
def test_two_gradients_are_the_same_bits(cell: str, target: str, dtype: torch.dtype, case: Case):
    def once() -> list[Tensor]:
        layer, batch = make_layer(cell, case, dtype, target=target), make_batch(case, dtype)
        batch.data.requires_grad_()
        steps, _ = layer(batch)
        return list(torch.autograd.grad(steps.data.square().sum(), [batch.data, *layer.parameters()]))

    assert all(torch.equal(one, other) for one, other in zip(once(), once(), strict=True))


@every_cell
def test_the_reference_refuses_gradients(cell: str):
    layer = make_layer(cell, TINY, torch.float64, target="reference")
    with pytest.raises(ValueError, match=r"gives no gradients"):
        layer(make_batch(TINY, torch.float64).map(lambda data: data.requires_grad_()))


@every_cell
def test_the_reference_leaves_its_arguments_alone(cell: str):
    graph = CELLS[cell].trace(SMALL.input_size, SMALL.hidden_size)
    arrays = [tensor.numpy() for tensor in leaves(graph, SMALL, torch.float64)]
    before = [array.copy() for array in arrays]
    count = 1 + len(graph.states)
    weights = dict(zip((item.name for item in graph.parameters), arrays[count:], strict=True))
    reference.run(graph, weights, arrays[:1], arrays[1:count], SMALL.lengths)
    assert all(np.array_equal(one, other) for one, other in zip(arrays, before, strict=True))
