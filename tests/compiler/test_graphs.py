"""Graphs and plans as text: golden files, so that a change in any of them is seen."""

from collections.abc import Callable

import pytest

from elman import CELLS, Next, affine, cell, parameter, relu, sigmoid, tanh
from elman.compiler.fission import Fission, split_loop
from elman.compiler.gradient import differentiate
from elman.compiler.graph import (
    Graph,
    Node,
    Nodes,
    dependants,
    from_json,
    is_work,
    line_of,
    names_of,
    ordered,
    show,
    to_json,
)
from elman.compiler.widen import widen


def describe(graph: Graph) -> str:
    """The graph, its three parts, and its backward step."""
    learned = [
        f"{item.role} {item.name} {item.shape} from {item.initial}".removesuffix(".0")
        + ("" if item.is_learned else ", not learned")
        for item in graph.parameters
    ]
    gradient = differentiate(widen(graph).graph)
    saved = f"saved: {' '.join(map(_word, gradient.saved))}"
    return "\n".join([show(graph), *learned, show_fission(fission_of(graph)), show(gradient.backward), saved])


def fission_of(graph: Graph) -> Fission:
    return split_loop(widen(graph).graph)


def show_fission(cut: Fission) -> str:
    names = names_of(cut.graph)
    parts = {
        "before the loop, for all steps at once": cut.before,
        "inside the loop, step by step": cut.inside,
        "after the loop": cut.after,
    }
    lines = [f"{cut.graph.name}"]
    for title, nodes in parts.items():
        lines += [f"  {title}:"] + [
            f"    {line_of(node, names)}" for node in cut.graph.nodes if node in nodes and is_work(node)
        ]
    return "\n".join(lines)


def _word(node: Node) -> str:
    return node.attribute[0] if node.op in ("input", "state", "vector", "product") else node.op


@cell
def projected(x, h, c):
    f = sigmoid(affine("forget", x, h, bias=1.0))
    c = f * c + (1.0 - f) * relu(affine("cell", x))
    h = affine("projection", tanh(c), size=2, bias=None)
    return Next(h=h, c=c, output=affine("output", h, c, size=3) * parameter("scale", 3, initial=1.0))


@pytest.mark.parametrize("name", CELLS)
def test_the_graph_of_a_cell(name: str, golden: Callable[[str, str], None]):
    golden(f"{name}.txt", describe(CELLS[name].trace(3, 4)))


def test_the_graph_of_a_cell_with_an_output_projection(golden: Callable[[str, str], None]):
    golden("projected.txt", describe(projected.trace(3, 4)))


def test_printing_a_graph_is_showing_it():
    graph = CELLS["lstm"].trace(3, 4)
    assert str(graph) == show(graph)
    assert graph.state_names == ("h", "c")


def test_equal_nodes_are_one_node():
    nodes = Nodes()
    x = nodes.make("input", attribute=("x", 3))
    assert nodes.make("tanh", [x]) is nodes.make("tanh", [x])
    assert nodes.make("tanh", [x]) is not nodes.make("sigmoid", [x])
    assert nodes.make("slice", [x], (0, 1)) is not nodes.make("slice", [x], (0, 2))


def test_a_deep_graph_is_walked_without_recursion():
    nodes = Nodes()
    first = last = nodes.make("input", attribute=("x", 1))
    for _ in range(5000):
        last = nodes.make("tanh", [last])
    walked = ordered([last])
    assert walked[0] is first
    assert walked[-1] is last
    assert len(walked) == len(dependants(walked, [first])) == 5001


def test_every_argument_stands_before_its_user():
    for found in CELLS.values():
        place = {node: index for index, node in enumerate(found.trace(3, 4).nodes)}
        assert all(place[arg] < index for node, index in place.items() for arg in node.args)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data.pop("states"),
        lambda data: data["nodes"].reverse(),
        lambda data: data.update(outputs=[10_000]),
        lambda data: data.update(inputs=[-1]),
        lambda data: data["nodes"][-1].__setitem__(1, [-1, -1]),
        lambda data: data["nodes"].__setitem__(0, ["input"]),
        lambda data: data["parameters"][0].pop(),
        lambda data: data.update(nodes=None),
    ],
)
def test_damaged_data_is_no_graph(damage: Callable[[dict], object]):
    data = to_json(CELLS["lstm"].trace(3, 4))
    damage(data)
    with pytest.raises((KeyError, TypeError, ValueError)):
        from_json(data)


def parts(name: str) -> dict[str, set[str]]:
    cut = fission_of(CELLS[name].trace(3, 4))
    return {
        part: {_word(node) for node in getattr(cut, part) if node.op == "product"}
        for part in ("before", "inside", "after")
    }


def test_the_plan_of_an_lstm_has_its_input_products_before_and_its_others_inside():
    assert parts("lstm") == {
        "before": {"input/0 forget/0 cell/0 output/0"},
        "inside": {"input/1 forget/1 cell/1 output/1"},
        "after": set(),
    }


def test_the_plan_of_a_gru_multiplies_the_reset_state_inside():
    assert parts("gru")["inside"] == {"update/1 reset/1", "candidate/1"}
    assert parts("gru")["before"] == {"update/0 reset/0 candidate/0"}


def test_the_plan_of_a_min_gru_leaves_two_operations_inside():
    cut = fission_of(CELLS["min_gru"].trace(3, 4))
    assert [node.op for node in cut.inside if node.op != "state"] == ["mul", "add"]
    assert cut.after == ()


def test_an_output_projection_stands_after_the_loop():
    cut = fission_of(projected.trace(3, 4))
    products = {node.attribute[0] for node in cut.after if node.op == "product"}
    assert products == {"output/0", "output/1"}
    assert {node.attribute[0] for node in cut.inside if node.op == "product"} == {"forget/1", "projection/0"}


@pytest.mark.parametrize(
    ("name", "shifted"), [("simple_rnn", ["h"]), ("lstm", ["h"]), ("gru", []), ("peephole_lstm", ["h"])]
)
def test_a_state_that_is_the_output_of_the_step_before_is_not_saved_twice(name: str, shifted: list[str]):
    gradient = differentiate(widen(CELLS[name].trace(3, 4)).graph)
    states = gradient.forward.states
    assert [states[number].attribute[0] for number in gradient.shifted.values()] == shifted
    assert not set(gradient.kept.outputs) & set(gradient.shifted)
