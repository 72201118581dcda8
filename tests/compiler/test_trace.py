"""What tracing finds: sizes, roles, constants, options, composition."""

import pytest
import torch

import elman
from elman import Next, Recurrent, affine, cell, concat, mean, parameter, relu, sigmoid, tanh
from elman.cells import CELLS
from elman.compiler.cell import Cell, describe_options
from elman.compiler.dispatch import GENERAL
from elman.compiler.graph import Graph, show
from elman.errors import CellError, UsageError
from tests.compiler.run import drawn, run
from tests.laws.tolerances import assert_near


def sizes(graph: Graph) -> dict[str, int]:
    return {node.attribute[0]: node.size for node in graph.states}


def test_a_signature_declares_the_step():
    @cell
    def step(x, h, c, *, context, speed, gain=2.0, activation=tanh):
        """What it does."""
        return Next(h=activation(affine("a", x, h, context, speed)) * gain, c=c)

    assert (step.input, step.states, step.constants) == ("x", ("h", "c"), ("context", "speed"))
    assert (step.name, step.__name__, step.__doc__) == ("step", "step", "What it does.")
    assert describe_options(step) == {"gain": 2.0, "activation": "tanh"}
    assert repr(step) == "Cell(step, gain=2.0, activation=tanh)"
    graph = step.trace(3, 4, {"context": 2, "speed": 1})
    assert [(node.attribute, node.size) for node in graph.inputs] == [
        (("x", 3), 3),
        (("context", 2), 2),
        (("speed", 1), 1),
    ]
    assert {item.name: item.shape for item in graph.parameters}["a/2"] == (2, 4)


def test_the_first_state_is_the_output_unless_said_otherwise():
    @cell
    def plain(x, h, c):
        return Next(c=h, h=tanh(c))

    @cell
    def spoken(x, h):
        return Next(h=tanh(h), output=x)

    assert plain.trace(3, 4).output is plain.trace(3, 4).following[0]
    assert spoken.trace(3, 4).output is spoken.trace(3, 4).inputs[0]


def test_a_state_has_the_size_of_its_next_value():
    @cell
    def narrow(x, h, c):
        c = tanh(affine("cell", x, h))
        return Next(h=affine("projection", c, size=2), c=c)

    graph = narrow.trace(3, 5)
    assert sizes(graph) == {"h": 2, "c": 5}
    assert {item.name: item.shape for item in graph.parameters}["cell/1"] == (2, 5)


def test_sizes_find_their_way_through_a_chain_of_states():
    @cell
    def delays(x, a, b, c, d, e, f):
        return Next(a=affine("in", x, size=7), b=a, c=b, d=c, e=d, f=e)

    assert sizes(delays.trace(3, 2)) == dict.fromkeys("abcdef", 7)


def test_a_state_of_size_one_counts():
    @cell
    def counter(x, h, n):
        return Next(h=tanh(affine("a", x, h)) / mean(n), n=mean(n) + 1.0)

    assert sizes(counter.trace(3, 4)) == {"h": 4, "n": 1}


def test_states_may_change_places():
    @cell
    def swap(x, h, c):
        return Next(h=c, c=h)

    graph = swap.trace(1, 2)
    tensors = drawn(graph, [3, 2, 0])
    _, h, c = tensors
    for target in GENERAL:
        _, last_h, last_c = run(graph, tensors, [3, 2, 0], target)
        assert torch.equal(last_h, torch.stack([c[0], h[1], h[2]]))
        assert torch.equal(last_c, torch.stack([h[0], c[1], c[2]]))


@pytest.mark.parametrize("target", GENERAL)
def test_a_state_may_forget_what_it_was(target: str):
    @cell
    def last_input(x, h, n, p):
        return Next(h=x, n=tanh(0.5) + 0.0 * n, p=parameter("p", 2))

    graph = last_input.trace(3, 4)
    tensors = drawn(graph, [2, 0])
    output, h, n, p = run(graph, tensors, [2, 0], target)
    assert torch.equal(output, tensors[0])
    assert torch.equal(h, torch.stack([tensors[0][1], tensors[1][1]]))
    assert_near(n[0], torch.full((4,), 0.5).double().tanh(), torch.float64)
    assert torch.equal(p[0], tensors[4])


@pytest.mark.parametrize("target", GENERAL)
def test_a_number_may_stand_wherever_a_value_may(target: str):
    @cell
    def numbers(x, h):
        half = sigmoid(0.0)
        return Next(h=affine("a", half, bias=None) * mean(half), output=concat(x, half, elman.max(tanh(1.0))))

    graph = numbers.trace(2, 3)
    tensors = drawn(graph, [2, 1])
    output, h = run(graph, tensors, [2, 1], target)
    assert output.shape == (3, 4)
    assert_near(output[:, 2:], torch.tensor([[0.5, torch.tensor(1.0).double().tanh()]] * 3).double(), torch.float64)
    assert_near(h, (0.25 * tensors[2]).expand(2, 3), torch.float64)


def test_roles_follow_what_a_matrix_multiplies():
    graph = CELLS["gru"].trace(3, 4)
    assert {item.name for item in graph.parameters if item.role == "recurrent"} == {
        "update/1",
        "reset/1",
        "candidate/1",
    }
    assert {item.role for item in graph.parameters if item.name.endswith("/0")} == {"input"}


def test_options_change_the_step_and_leave_the_cell_alone():
    changed = CELLS["simple_rnn"].with_options(activation="relu")
    assert [node.op for node in changed.trace(3, 4).nodes][-1] == "relu"
    assert [node.op for node in CELLS["simple_rnn"].trace(3, 4).nodes][-1] == "tanh"
    assert show(CELLS["simple_rnn"].with_options(activation=relu).trace(3, 4)) == show(changed.trace(3, 4))
    assert describe_options(changed) == {"activation": "relu", "use_bias": True}
    assert describe_options(changed.with_options(activation=sigmoid)) == {"activation": "sigmoid", "use_bias": True}


def test_the_options_that_a_cell_has_already_give_the_cell_itself():
    cell = CELLS["simple_rnn"]
    assert cell.with_options() is cell
    assert cell.with_options(activation="tanh", use_bias=True) is cell
    assert cell.with_options(activation="relu") is not cell
    assert cell.with_options(use_bias=False) is not cell


def test_a_default_that_is_no_word_is_refused():
    with pytest.raises(UsageError, match=r"(?s)`activation` of `step` is 'tahn'.*Did you mean `tanh`"):

        @cell
        def step(x, h, *, activation="tahn"):
            return activation(affine("a", x, h))


def test_a_cell_may_be_written_with_another():
    @cell
    def residual(x, h, c):
        inner = CELLS["lstm"](x, h, c)
        return Next(**inner.states, output=inner.states["h"] + affine("skip", x))

    @cell
    def activated(x, h):
        return CELLS["simple_rnn"](x, h, activation=relu) * 0.5

    graph = residual.trace(3, 4)
    assert graph.state_names == ("h", "c")
    assert {"forget/1", "skip/0"} <= {item.name for item in graph.parameters}
    assert {"relu", "mul"} <= {node.op for node in activated.trace(3, 4).nodes}


def test_a_cell_in_a_cell_keeps_its_options():
    inner = CELLS["simple_rnn"].with_options(activation="sigmoid")

    @cell
    def outer(x, h):
        return inner(x, h)

    assert show(outer.trace(3, 4)).splitlines()[1:] == show(inner.trace(3, 4)).splitlines()[1:]


def test_a_graph_is_traced_once_for_its_sizes():
    runs = []

    @cell
    def step(x, h):
        runs.append(1)
        return tanh(affine("a", x, h))

    graph = step.trace(3, 4)
    assert step.trace(3, 4) is graph
    assert step.trace(4, 4) is not graph
    assert len(runs) == 2
    for wrong in (3.0, True, "3", None):
        with pytest.raises(UsageError, match="Give whole numbers"):
            step.trace(wrong, 4)  # type: ignore[arg-type]


def test_a_step_that_fails_leaves_no_recording_behind():
    @cell
    def broken(x, h):
        return x.nothing

    with pytest.raises(CellError):
        broken.trace(3, 4)
    with pytest.raises(CellError, match="outside a step"):
        tanh(1.0)


def test_constants_stay_the_same_over_a_sequence():
    @cell
    def biased(x, h, *, context):
        return Next(h=h + context, output=affine("out", h, context, bias=None))

    layer = Recurrent(biased, 1, 2, constants={"context": 2}).double()
    context = torch.tensor([[1.0, 2.0], [10.0, 20.0]], dtype=torch.float64)
    steps, last = layer(torch.zeros(2, 3, 1, dtype=torch.float64), context=context)
    assert_near(last.h, 3 * context, torch.float64)
    weights = layer.weights()
    for time in range(3):
        expected = time * context @ weights["out/0"] + context @ weights["out/1"]
        assert_near(steps[:, time].detach(), expected.detach(), torch.float64)


def test_a_callable_object_may_be_a_step():
    class Step:
        def __call__(self, x, h):
            return tanh(affine("a", x, h))

    assert Cell(Step()).name == "Step"
    assert sizes(Cell(Step()).trace(3, 4)) == {"h": 4}
