"""Random cells, compared; and the comparison itself, on targets and gradients made wrong."""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from elman.compiler import dispatch, gradient, reference, simplify
from elman.compiler.graph import Graph, Node, Nodes, show
from elman.compiler.operations import OPERATIONS
from elman.compiler.testing.compare import (
    ALL_KERNELS,
    NotCompared,
    backward,
    compare,
    differences,
    find_truth,
    kernels_in_turn,
)
from elman.compiler.testing.data import SPECIAL, Data, draw, fill, split_tensors
from elman.compiler.testing.forms import rounded_data, rounded_numbers, simplified
from elman.compiler.testing.interpreted import interpreted_gradients
from elman.compiler.testing.jumps import distance_to_jumps
from elman.compiler.testing.search import Findings, search
from elman.compiler.testing.shrink import shrink
from elman.compiler.testing.steps import MOST, random_draft
from elman.compiler.verify import verify

FEW = range(60)


def random_step(seed: int) -> Graph:
    """Draw the cell of a seed, simplified."""
    return simplified(random_draft(seed))


def test_random_cells_are_right():
    # `tests/compiler/test_random_steps.py` draws others at each run of a longer profile.
    found = search(6, thorough=True)
    assert not found.failures
    assert found.count >= 5
    assert found.count + sum(found.not_compared.values()) == 6


# The cells


def test_a_seed_gives_one_cell_and_others_give_others():
    assert show(random_step(7)) == show(random_step(7))
    assert len({show(random_step(seed)) for seed in FEW}) > 0.95 * len(FEW)


def test_cells_use_every_operation_and_every_kind_of_door():
    graphs = [random_step(seed) for seed in range(200)]
    seen = Counter(node.op for graph in graphs for node in graph.nodes)
    assert set(seen) == set(OPERATIONS)
    assert {len(graph.states) for graph in graphs} == {1, 2, 3}
    assert {len(graph.inputs) for graph in graphs} == {1, 2, 3}
    assert any(len({state.size for state in graph.states}) == 3 for graph in graphs)
    following = Counter(node.op for graph in graphs for node in graph.following)
    assert {"input", "state", "vector", "number", "expand"} <= set(following)
    outputs = Counter(graph.output.op for graph in graphs)
    assert {"input", "state", "vector", "product", "concat"} <= set(outputs)
    unread = [state for graph in graphs for state in graph.states if len(reads(graph, state)) == 0]
    assert unread


def reads(graph: Graph, state: Any) -> list[Any]:
    return [node for node in graph.nodes if state in node.args]


@pytest.mark.parametrize("seed", FEW)
def test_values_of_a_cell_are_moderate(seed: int):
    graph = random_step(seed)
    everything = replace(verify(graph), outputs=(graph.output, *graph.nodes))
    data = fill(graph, [3, 1, 0, 4], seed)
    inputs, states, weights = split_tensors(graph, data.tensors)
    named = {name: value.numpy() for name, value in weights.items()}
    values, _ = reference.run(
        everything, named, [value.numpy() for value in inputs], [value.numpy() for value in states], data.lengths
    )
    assert all(abs(value).max(initial=0.0) <= 1.5 * MOST * graph.output.size for value in values)


# The comparison


def wrong_by(part: float) -> Callable[..., Any]:
    """The eager target with its output a little wrong."""
    right = dispatch.TARGETS["eager"].run

    def run(*args: Any, **named: Any) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        outputs, last = right(*args, **named)
        return tuple(output * (1.0 + part) for output in outputs), last

    return run


@pytest.mark.parametrize(("part", "is_found"), [(0.0, False), (1e-15, False), (1e-11, True), (1e-3, True)])
def test_a_wrong_output_is_found(part: float, is_found: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(dispatch.TARGETS, "llvm", dispatch.Target(wrong_by(part)))
    assert bool(compare(random_step(1), 1)) == is_found


def wrong_in(dtype: torch.dtype, wrong: Callable[[Tensor], Tensor]) -> Callable[..., Any]:
    """The eager target with its output changed where it has this dtype."""
    right = dispatch.TARGETS["eager"].run

    def run(*args: Any, **named: Any) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        outputs, last = right(*args, **named)
        return tuple(wrong(output) if output.dtype == dtype else output for output in outputs), last

    return run


@pytest.mark.parametrize(("part", "is_found"), [(1e-6, False), (1e-3, True)])
def test_an_error_of_float32_is_measured_by_the_scale_of_its_feature(
    part: float, is_found: bool, monkeypatch: pytest.MonkeyPatch
):
    """A small feature beside a large one, which alone has a wrong number."""
    nodes = Nodes()
    x, h = nodes.make("input", attribute=("x", 1)), nodes.make("state", attribute=("h", 1))
    small = nodes.make("mul", (x, nodes.make("number", attribute=1e-4)))
    large = nodes.make("mul", (x, nodes.make("number", attribute=8.0)))
    graph = verify(Graph("two", (x,), (h,), (h,), (nodes.make("concat", (small, large)),), ()))
    wrong = lambda output: output * torch.tensor([1.0 + part, 1.0])  # noqa: E731
    monkeypatch.setitem(dispatch.TARGETS, "llvm", dispatch.Target(wrong_in(torch.float32, wrong)))
    found = compare(graph, 4)
    assert isinstance(found, list)
    outputs = {difference.what for difference in found if difference.what.endswith("output")}
    assert outputs == ({"llvm float32: output", "llvm float32 alone: output"} if is_found else set())


def test_a_wrong_rule_that_simplifies_is_found(monkeypatch: pytest.MonkeyPatch):
    def wrong(nodes: Nodes, node: Node) -> Node | None:
        """x · 0.75 is taken for x."""
        return node.args[0] if node.op == "mul" and node.args[1].attribute == 0.75 else None

    nodes = Nodes()
    x, h = nodes.make("input", attribute=("x", 2)), nodes.make("state", attribute=("h", 2))
    following = nodes.make("tanh", (nodes.make("mul", (x, nodes.make("number", attribute=0.75))),))
    draft = verify(Graph("scaled", (x,), (h,), (following,), (following,), ()))
    assert compare(draft, 1) == []
    monkeypatch.setattr(simplify, "RULES", (*simplify.RULES, wrong))
    found = compare(draft, 1)
    assert isinstance(found, list)
    assert {"reference: output", "gradient: gradient of x", "llvm float32: output"} <= {each.what for each in found}
    assert not any("draft: output" in difference.what for difference in found)


def test_kernels_run_a_draft_as_it_is(monkeypatch: pytest.MonkeyPatch):
    ran: list[str] = []
    right = dispatch.TARGETS["llvm"].run

    def watched(graph: Graph, *args: Any, **named: Any) -> Any:
        ran.append(show(graph))
        return right(graph, *args, **named)

    monkeypatch.setitem(dispatch.TARGETS, "llvm", dispatch.Target(watched))
    nodes = Nodes()
    x, h = nodes.make("input", attribute=("x", 1)), nodes.make("state", attribute=("h", 1))
    half = nodes.make("number", attribute=0.5)
    sums = [nodes.make(op, (half,), attribute) for op, attribute in (("sum", None), ("max", None), ("slice", (0, 1)))]
    following = nodes.make("add", (nodes.make("neg", (nodes.make("neg", (x,)),)), nodes.make("concat", (half,))))
    for part in (*sums, nodes.make("expand", (half,), 1)):
        following = nodes.make("mul", (following, nodes.make("add", (part, h))))
    draft = verify(Graph("drafted", (x,), (h,), (following,), (following,), ()))
    assert compare(draft, 1) == []
    assert {text.count("neg") for text in ran} == {0, 2}
    assert len(ran) == len(ALL_KERNELS)


def test_kernels_of_all_kinds_have_their_turn():
    seen = {kernels for seed in range(4) for kernels in kernels_in_turn(seed)}
    assert seen == set(ALL_KERNELS)
    assert len(ALL_KERNELS) == 8


def step_of(make: Callable[[Nodes, Node, Node], Node]) -> Graph:
    nodes = Nodes()
    x, h = nodes.make("input", attribute=("x", 2)), nodes.make("state", attribute=("h", 2))
    made = make(nodes, x, h)
    return verify(Graph("made", (x,), (h,), (made,), (made,), ()))


def scaled(nodes: Nodes, node: Node, op: str, number: float) -> Node:
    return nodes.make(op, (node, nodes.make("number", attribute=number)))


def small_beside_zero(nodes: Nodes, x: Node, _: Node) -> Node:
    return nodes.make("less", (scaled(nodes, x, "mul", 1e-6), scaled(nodes, x, "mul", 0.0)))


def cancelling(nodes: Nodes, x: Node, _: Node) -> Node:
    return scaled(nodes, scaled(nodes, x, "add", 8192.0), "sub", 8192.0)


def cancelling_by_luck(nodes: Nodes, x: Node, _: Node) -> Node:
    """x / x has no slope, but the two terms of the slope are rounded alike only if each is computed as torch does."""
    return nodes.make(
        "mul", (nodes.make("reciprocal", (scaled(nodes, x, "mul", 1e-4),)), scaled(nodes, x, "mul", 1e-4))
    )


def overflowing(nodes: Nodes, x: Node, _: Node) -> Node:
    return nodes.make("exp", (scaled(nodes, nodes.make("square", (x,)), "add", 89.0),))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (small_beside_zero, NotCompared.JUMP),
        (cancelling, NotCompared.ROUGH),
        (cancelling_by_luck, NotCompared.ROUGH),
        (overflowing, NotCompared.OVERFLOW),
    ],
)
def test_a_cell_that_cannot_be_compared_gives_the_reason(make: Callable, reason: NotCompared):
    assert compare(step_of(make), 1) is reason


@pytest.mark.parametrize("operation", ["tanh", "mul", "slice", "concat", "sum", "max", "where", "div", "product"])
def test_a_wrong_rule_of_the_gradient_is_found(operation: str, monkeypatch: pytest.MonkeyPatch):
    rule = gradient.RULES[operation]

    def wrong(b: Any, node: Any, g: Any) -> None:
        rule(b, node, b.make("mul", g, b.number(1.0 + 1e-6)))

    monkeypatch.setitem(gradient.RULES, operation, wrong)
    graphs = [graph for graph in map(random_step, range(120)) if operation in {node.op for node in graph.nodes}]
    assert any(differs(graph) for graph in graphs[:12])


def differs(graph: Graph) -> bool:
    data = fill(graph, [2, 0, 3], 1)
    wanted = [value for name, value in backward(graph, data, "eager") if name.startswith("gradient")]
    pairs = zip(interpreted_gradients(graph, data), wanted, strict=True)
    return any(not torch.allclose(one, other, rtol=1e-9, atol=1e-9) for one, other in pairs)


def test_a_jump_nearby_is_seen():
    nodes = Nodes()
    x, h = nodes.make("input", attribute=("x", 2)), nodes.make("state", attribute=("h", 2))
    step = nodes.make("less", (x, nodes.make("number", attribute=0.5)))
    graph = Graph("jumping", (x,), (h,), (step,), (step,), ())
    data = fill(graph, [3])
    for distance in (1e-3, 1e-6):
        inputs = torch.full((3, 2), 0.5 + distance, dtype=torch.float64)
        found = distance_to_jumps(graph, replace(data, tensors=(inputs, *data.tensors[1:])))
        assert found == pytest.approx(distance, rel=1e-6)


def test_a_tie_that_is_no_accident_is_no_jump():
    nodes = Nodes()
    x, h = nodes.make("input", attribute=("x", 2)), nodes.make("state", attribute=("h", 2))
    both = nodes.make("maximum", (x, x))
    graph = Graph("tied", (x,), (h,), (both,), (both,), ())
    data = draw(graph, 3)
    assert distance_to_jumps(graph, data) == float("inf")
    assert not list(differences(graph, data, find_truth(graph, data)))


def test_numbers_and_data_are_rounded_to_float32_alike():
    """Data at a jump are at it in every dtype."""
    graph = rounded_numbers(step_of(lambda nodes, x, _: scaled(nodes, x, "less_equal", 0.1)))
    inputs = torch.full((1, 2), 0.1, dtype=torch.float64)
    data = rounded_data(replace(fill(graph, [1]), tensors=(inputs, torch.zeros(1, 2, dtype=torch.float64))))
    assert distance_to_jumps(graph, data) == float("inf")
    truth = find_truth(graph, data)
    assert truth.results[0][1].tolist() == [[1.0, 1.0]]
    assert not list(differences(graph, data, truth))


def test_data_have_special_numbers_and_ties():
    drawn = [draw(random_step(seed), seed) for seed in FEW]
    numbers = [torch.cat([tensor.flatten() for tensor in data.tensors]) for data in drawn]
    special = [torch.isin(each, torch.tensor(SPECIAL, dtype=each.dtype)).double().mean().item() for each in numbers]
    assert 0.2 < sum(part == 0.0 for part in special) / len(special) < 0.8
    everything = torch.cat(numbers)
    for value in SPECIAL:
        found = everything == value
        assert (everything[found].signbit() == (math.copysign(1.0, value) < 0.0)).any()


def test_what_is_0_by_a_rounding_only_is_no_distance():
    nodes = Nodes()
    x, h = nodes.make("input", attribute=("x", 1)), nodes.make("state", attribute=("h", 1))
    times = lambda factor: nodes.make("mul", (x, nodes.make("number", attribute=factor)))  # noqa: E731
    total = nodes.make("sub", (nodes.make("add", (times(0.1), times(0.2))), times(0.3)))
    graph = Graph("rounded", (x,), (h,), (h,), (nodes.make("sign", (total,)),), ())
    data = Data((1,), False, (torch.ones(1, 1).double(), torch.zeros(1, 1).double()), ())
    assert distance_to_jumps(graph, data) == 0.0
    assert distance_to_jumps(graph, replace(data, tensors=tuple(0.0 * tensor for tensor in data.tensors))) == math.inf


# The search


def uses(graph: Graph, op: str) -> bool:
    return any(node.op == op for node in graph.nodes)


def test_a_failing_cell_is_made_smaller_and_shown():
    graph = next(graph for graph in map(random_step, FEW) if len(graph.nodes) > 40 and uses(graph, "less"))
    smallest = shrink(graph, lambda other: uses(other, "less"))
    assert verify(smallest) is smallest
    assert uses(smallest, "less")
    assert len(smallest.nodes) < len(graph.nodes) / 2


def test_failures_come_with_their_seed_and_the_search_goes_on(monkeypatch: pytest.MonkeyPatch):
    def broken(graph: Graph, *_: Any, **__: Any) -> None:
        raise KeyError(f"lost in {graph.name}")

    monkeypatch.setitem(dispatch.TARGETS, "llvm", dispatch.Target(broken))
    told: list[Findings] = []
    found = search(3, 40, watch=told.append)
    assert [failure.seed for failure in found.failures] == [40, 41, 42]
    assert found.failures[0].differences == ("raises KeyError: 'lost in step40'",)
    assert found.failures[0].graph.startswith("step40(")
    assert [len(each.failures) for each in told] == [1, 2, 3]
    assert (found.count, found.not_compared, found.seed) == (3, {}, 40)


def test_cells_that_were_not_compared_are_counted_by_their_reason(monkeypatch: pytest.MonkeyPatch):
    reasons = iter([NotCompared.JUMP, [], NotCompared.ROUGH, NotCompared.JUMP])
    monkeypatch.setattr("elman.compiler.testing.search.compare", lambda *_: next(reasons))
    found = search(4)
    assert found.count == 1
    assert found.not_compared == {NotCompared.JUMP.value: 2, NotCompared.ROUGH.value: 1}


def test_a_failing_draft_is_made_smaller_without_being_simplified():
    """What fails only as it was drawn must not lose that on the way."""
    draft = step_of(
        lambda nodes, x, _: nodes.make("tanh", (nodes.make("neg", (nodes.make("neg", (nodes.make("sin", (x,)),)),)),))
    )
    smallest = shrink(draft, lambda other: sum(node.op == "neg" for node in other.nodes) == 2)
    assert [node.op for node in smallest.nodes] == ["input", "state", "neg", "neg"]


def test_the_search_stops_when_its_time_is_over():
    assert search(1000, seconds=0.0).count == 1
