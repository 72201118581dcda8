"""A sound graph passes; every kind of damage to one is refused."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from elman import CELLS
from elman.compiler.graph import Graph, Node, Parameter
from elman.compiler.operations import Mismatch
from elman.compiler.verify import verify

SOUND = CELLS["lstm"].trace(3, 4)
X, (H, C) = SOUND.inputs[0], SOUND.states


def renamed(graph: Graph, change: Callable[[Parameter], Parameter]) -> Graph:
    first, *others = graph.parameters
    return replace(graph, parameters=(change(first), *others))


def with_output(node: Node) -> Graph:
    return replace(SOUND, outputs=(node,))


DAMAGE: dict[str, tuple[Callable[[], Graph], str]] = {
    "another size than the operation's": (
        lambda: with_output(Node("tanh", (H,), None, 7)),
        "<tanh  (7)> should have size 4",
    ),
    "sizes that do not fit": (lambda: with_output(Node("add", (X, H), None, 4)), "sizes 3 and 4 do not fit together"),
    "no operation": (
        lambda: with_output(Node("erfinv", (H,), None, 4)),
        "`erfinv` is not an operation of the language",
    ),
    "a missing argument": (lambda: with_output(Node("add", (H,), None, 4)), "`add` takes 2 values and got 1"),
    "an attribute of another kind": (
        lambda: with_output(Node("slice", (H,), None, 4)),
        "`slice` cannot have the attribute None",
    ),
    "features outside the value": (
        lambda: with_output(Node("slice", (H,), (2, 9), 7)),
        "features 2 to 9 are not within a value of size 4",
    ),
    "a matrix of other rows": (
        lambda: with_output(Node("product", (H,), ("input/0", 3, 4), 4)),
        "the matrix input/0 has 3 rows and the value has size 4",
    ),
    "one matrix of two shapes": (
        lambda: with_output(Node("product", (X,), ("input/0", 3, 9), 9)),
        "parameter input/0 is used as (3, 9) and declared as (3, 4)",
    ),
    "a parameter declared with another shape": (
        lambda: renamed(SOUND, lambda item: replace(item, shape=(3, 5))),
        "parameter input/0 is used as (3, 4) and declared as (3, 5)",
    ),
    "a parameter that is not declared": (
        lambda: replace(SOUND, parameters=SOUND.parameters[1:]),
        "parameter input/0 is used as (3, 4) and declared as None",
    ),
    "a parameter that is not used": (
        lambda: replace(SOUND, parameters=(*SOUND.parameters, Parameter("more", (2,), "vector"))),
        "parameter more is used as None and declared as (2,)",
    ),
    "a parameter declared twice": (
        lambda: replace(SOUND, parameters=(*SOUND.parameters, SOUND.parameters[0])),
        "two parameters have the same name",
    ),
    "a state in the place of the input": (lambda: replace(SOUND, inputs=(H,)), "is listed as input"),
    "an input in the place of a state": (
        lambda: replace(SOUND, states=(X, C)),
        "is listed as state",
    ),
    "a next value of another size": (
        lambda: replace(SOUND, following=(X, C)),
        "state h has size 4 and its next value 3",
    ),
    "a next value that is missing": (lambda: replace(SOUND, following=(H,)), "2 states have 1 next values"),
    "no state": (lambda: replace(SOUND, states=(), following=()), "0 states have 0 next values"),
    "a state that is not listed": (
        lambda: replace(SOUND, states=(H,), following=SOUND.following[:1]),
        "is not an input or a state of the step",
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_refused(kind: str):
    make, reason = DAMAGE[kind]
    with pytest.raises(Mismatch) as caught:
        verify(make())
    assert str(caught.value).startswith("lstm: ")
    assert reason in str(caught.value)


def test_all_damage_is_told_at_once():
    with pytest.raises(Mismatch, match=r"parameter cell/0 .*; .*parameter cell/1 "):
        verify(replace(SOUND, parameters=()))


@pytest.mark.parametrize("name", CELLS)
def test_a_traced_graph_is_sound(name: str):
    graph = CELLS[name].trace(3, 4)
    assert verify(graph) is graph
