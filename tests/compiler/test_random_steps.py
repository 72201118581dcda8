"""Simplifying, planning and the targets, over steps drawn at random."""

import json

import pytest
import torch
from hypothesis import given

from elman import cell
from elman.compiler.dispatch import GENERAL
from elman.compiler.fission import split_loop
from elman.compiler.graph import Graph, dependants, from_json, ordered, show, to_json
from elman.compiler.simplify import simplify
from elman.compiler.tolerances import TOLERANCES
from elman.compiler.verify import verify
from elman.compiler.widen import widen
from tests.compiler.random_steps import STEPS, RandomStep
from tests.compiler.run import drawn, run, unsimplified
from tests.examples import draws
from tests.laws.differences import central_differences
from tests.laws.tolerances import assert_near, assert_near_differences

INPUT, HIDDEN = 3, 2
LENGTHS = (2, 0, 3)

targets = pytest.mark.parametrize("target", [name for name in GENERAL if name != "reference"])
both_ways = pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])


def traced(step: RandomStep) -> Graph:
    return cell(step.function()).trace(INPUT, HIDDEN)


@given(step=STEPS)
@draws(100)
def test_simplified_gives_the_same_numbers(step: RandomStep):
    plain = unsimplified(step.function(), INPUT, HIDDEN)
    simple = simplify(plain)
    tensors = drawn(plain, LENGTHS)
    assert_near(run(simple, tensors, LENGTHS, "reference"), run(plain, tensors, LENGTHS, "reference"), torch.float64)
    assert len(verify(simple).nodes) <= len(plain.nodes)
    assert show(simplify(simple)) == show(simple)


@given(step=STEPS)
@draws(60)
def test_the_eager_target_needs_no_simplified_graph(step: RandomStep):
    plain = unsimplified(step.function(), INPUT, HIDDEN)
    tensors = drawn(plain, LENGTHS)
    assert_near(run(plain, tensors, LENGTHS, "eager"), run(plain, tensors, LENGTHS, "reference"), torch.float64)


@targets
@both_ways
@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@given(step=STEPS)
@draws(25)
def test_a_target_gives_what_the_reference_gives(target: str, backward: bool, dtype: torch.dtype, step: RandomStep):
    graph = traced(step)
    tensors = [tensor.to(dtype) for tensor in drawn(graph, LENGTHS)]
    assert_near(
        run(graph, tensors, LENGTHS, target, backward), run(graph, tensors, LENGTHS, "reference", backward), dtype
    )


@targets
@given(step=STEPS)
@draws(15)
def test_gradients_are_the_central_differences_of_the_reference(target: str, step: RandomStep):
    graph = traced(step)
    tensors = drawn(graph, LENGTHS)
    total = lambda results: torch.stack([result.sin().sum() for result in results]).sum()  # noqa: E731
    expected = list(central_differences(lambda: float(total(run(graph, tensors, LENGTHS, "reference"))), tensors))
    asked = [tensor.requires_grad_() for tensor in tensors]
    gradients = torch.autograd.grad(total(run(graph, asked, LENGTHS, target)), asked, materialize_grads=True)
    assert_near_differences(list(gradients), expected, torch.float64)


@given(step=STEPS)
@draws(100)
def test_fission_cuts_the_step_where_states_come_in_and_where_none_is_fed(step: RandomStep):
    graph = traced(step)
    wide = widen(graph)
    cut = split_loop(wide.graph)
    verify(cut.graph)
    assert sorted(name for names in wide.parts.values() for name in names) == sorted(
        parameter.name for parameter in graph.parameters if len(parameter.shape) == 2
    )
    graph = cut.graph
    doors = {*graph.inputs, *graph.states}
    stateful = dependants(graph.nodes, graph.states)
    feeding = set(ordered(graph.following))
    assert sorted(map(id, {*cut.before, *cut.inside, *cut.after} - doors)) == sorted(map(id, set(graph.nodes) - doors))
    assert not stateful & set(cut.before)
    assert set(cut.inside) - doors == (stateful & feeding) - doors
    assert not feeding & set(cut.after)
    products = [(node.args[0], node in feeding) for node in graph.nodes if node.op == "product"]
    assert len(set(products)) == len(products)


@given(step=STEPS)
@draws(60)
def test_a_graph_written_and_read_is_the_same(step: RandomStep):
    graph = traced(step)
    again = verify(from_json(json.loads(json.dumps(to_json(graph)))))
    assert show(again) == show(graph)
    assert again.parameters == graph.parameters
    assert to_json(again) == to_json(graph)
