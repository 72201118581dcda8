"""Cells that draw: every target agrees on them; evaluated, each draw is its mean."""

import json

import numpy as np
import pytest
import torch

from elman import CELLS, Next, Recurrent, affine, bernoulli, cell, concat, dropout, mean, sum, tanh, zoneout
from elman.compiler.cell import Cell
from elman.compiler.draws import expectation
from elman.compiler.graph import Graph, from_json, to_json
from elman.compiler.testing.compare import differences, find_truth, forward
from elman.compiler.testing.data import fill
from elman.compiler.verify import verify
from tests.laws.cases import every_cell, every_dtype, every_general_target
from tests.laws.tolerances import assert_near

LENGTHS = [3, 0, 1, 5, 2, 2, 4, 1, 3]


@cell
def wide_readers(x, h):
    """Draws that are read by everything that does not stretch one number over all features."""
    first = bernoulli("first", 0.25, size=3)
    second = bernoulli("second", 0.5, per="sequence")
    read = affine("read", first, concat(first[1:], second * 2.0))
    return tanh(read + affine("hidden", x, h) + sum(first) * mean(second))


@cell
def drawn_states(x, h, c):
    """A draw is the next value of a state, and another the output."""
    h = h * 0.5 + affine("read", x, c)
    return Next(h=h, c=bernoulli("state", 0.125), output=bernoulli("output", 0.75, size=2))


DRAWING: dict[str, Cell] = {
    **{f"{name} zoned out": zoneout(found, 0.3) for name, found in CELLS.items()},
    "lstm by state": zoneout(CELLS["lstm"], {"c": 0.5, "h": 0.05}),
    **{
        f"{name} with dropout": CELLS[name].with_options(candidate_dropout=0.25)
        for name in ("lstm", "gru", "gru_reset_after")
    },
    "wide_readers": wide_readers,
    "drawn_states": drawn_states,
}

every_drawing_cell = pytest.mark.parametrize("name", DRAWING)


def with_draws(graph: Graph, data, seed: int = 0):
    """The data with ones and zeros for the draws."""
    generator = torch.Generator().manual_seed(seed)
    tensors = list(data.tensors)
    for place, draw in enumerate(graph.draws, start=len(graph.given)):
        tensors[place] = torch.empty_like(tensors[place]).bernoulli_(draw.probability, generator=generator)
    return type(data)(data.lengths, data.backward, tuple(tensors), data.d_results, data.threads)


@every_drawing_cell
@pytest.mark.parametrize("backward", [False, True])
def test_every_target_gives_the_same_results_and_gradients(name: str, backward: bool):
    graph = DRAWING[name].trace(5, 19)
    data = with_draws(graph, fill(graph, LENGTHS, 1, backward=backward))
    assert not [str(difference) for difference in differences(graph, data, find_truth(graph, data))]


@every_drawing_cell
@every_general_target
def test_the_expectation_is_the_step_with_the_probability_drawn_everywhere(name: str, target: str):
    graph = DRAWING[name].trace(5, 19)
    data = fill(graph, LENGTHS, 2)
    tensors, given = list(data.tensors), len(graph.given)
    for place, draw in enumerate(graph.draws, start=given):
        tensors[place] = torch.full_like(tensors[place], draw.probability)
    expected = verify(expectation(graph))
    assert not expected.draws
    assert expected.inputs == expected.given
    without = tensors[:given] + tensors[len(graph.inputs) :]
    plain = type(data)(data.lengths, data.backward, tuple(without), data.d_results)
    full = type(data)(data.lengths, data.backward, tuple(tensors), data.d_results)
    for (one, found), (other, wanted) in zip(
        forward(expected, plain, target), forward(graph, full, target), strict=True
    ):
        assert one == other
        assert_near(found, wanted, torch.float64)


@every_drawing_cell
def test_draws_are_written_and_read_with_the_graph(name: str):
    graph = DRAWING[name].trace(5, 19)
    again = verify(from_json(json.loads(json.dumps(to_json(graph), allow_nan=False))))
    assert again.draws == graph.draws
    assert [node.attribute for node in again.drawn] == [node.attribute for node in graph.drawn]
    data = with_draws(graph, fill(graph, LENGTHS, 3))
    for (_, found), (_, wanted) in zip(forward(again, data, "llvm"), forward(graph, data, "llvm"), strict=True):
        assert torch.equal(found, wanted)


@pytest.mark.parametrize("name", ["lstm", "gru", "gru_reset_after"])
def test_dropout_inside_a_step_leaves_nothing_in_evaluation(name: str):
    dropping = CELLS[name].with_options(candidate_dropout=0.3).trace(3, 4)
    assert str(expectation(dropping)) == str(CELLS[name].trace(3, 4))
    assert CELLS[name].with_options(candidate_dropout=0.0).trace(3, 4).draws == ()


# Zoneout


@every_cell
@every_dtype
def test_zoneout_is_its_formula_on_what_the_cell_gives(cell: str, dtype: torch.dtype):
    """Step by step in NumPy, around the cell itself."""
    plain, zoned = CELLS[cell], zoneout(CELLS[cell], 0.4)
    graph, inner = zoned.trace(3, 5), plain.trace(3, 5)
    data = with_draws(graph, fill(graph, [4], 5)).to(dtype)
    found = dict(forward(graph, data, "llvm"))
    x, *masks = data.tensors[: len(graph.inputs)]
    states = data.tensors[len(graph.inputs) : len(graph.inputs) + len(graph.states)]
    learned = data.tensors[len(graph.inputs) + len(graph.states) :]
    stays = {draw.name: mask.numpy() for draw, mask in zip(graph.draws, masks, strict=True)}
    current = list(states)
    for step in range(4):
        one = type(data)((1,), False, (x[step : step + 1], *current, *learned), ())
        results = dict(forward(inner, one, "reference"))
        for place, name in enumerate(inner.state_names):
            new, mask = results[f"last {name}"].numpy(), stays[f"zoneout_{name}/draw"][step]
            current[place] = torch.as_tensor(np.where(mask == 1, current[place].numpy(), new), dtype=dtype)
    for name, state in zip(inner.state_names, current, strict=True):
        assert_near(found[f"last {name}"], state, dtype)


@every_cell
@every_general_target
@every_dtype
@torch.no_grad()
def test_a_state_that_always_stays_has_the_bits_it_had(cell: str, target: str, dtype: torch.dtype):
    torch.manual_seed(0)
    layer = Recurrent(zoneout(CELLS[cell], 1.0), 3, 5, target=target).to(dtype)
    start = layer.zero_state(4)
    for tensor in start.tensors.values():
        tensor.normal_()
    for training in (True, False):
        last = layer.train(training)(torch.randn(4, 6, 3, dtype=dtype), start)[1]
        assert all(torch.equal(last.tensors[name], start.tensors[name]) for name in last.names)


@every_cell
def test_without_zoneout_the_cell_is_itself(cell: str):
    plain = CELLS[cell]
    assert zoneout(plain, 0.0) is plain
    assert zoneout(plain, dict.fromkeys(plain.states, 0.0)) is plain
    assert zoneout(plain, {}) is plain


def test_an_output_that_is_a_state_is_zoned_out_with_it():
    @cell
    def telling(x, h, c):
        h, c = tanh(affine("h", x, h)), affine("c", x, c)
        return Next(h=h, c=c, output=c)

    zoned = zoneout(telling, {"c": 0.5}).trace(2, 3)
    assert zoned.output is zoned.following[1]
    assert zoned.following[0].op == "tanh"


def test_zoneout_keeps_options_names_and_sizes():
    zoned = zoneout(CELLS["projected_lstm"], 0.1)
    assert (zoned.name, zoned.states, zoned.options) == (
        "projected_lstm",
        CELLS["projected_lstm"].states,
        CELLS["projected_lstm"].options,
    )
    for input_size, hidden_size in ((3, 8), (8, 3), (1, 1)):
        graph = zoned.trace(input_size, hidden_size)
        plain = CELLS["projected_lstm"].trace(input_size, hidden_size)
        sizes = [node.size for node in plain.states]
        assert [node.size for node in graph.drawn] == [node.size for node in graph.states] == sizes
    relu = zoneout(CELLS["simple_rnn"], 0.1).with_options(activation="relu").trace(2, 3)
    assert "relu" in {node.op for node in relu.nodes}


def test_cells_with_draws_compose():
    @cell
    def twice(x, h):
        return dropout("outer", zoneout(CELLS["simple_rnn"], 0.5)(x, h), 0.25, per="sequence")

    draws = [(draw.name, draw.probability, draw.per) for draw in twice.trace(2, 3).draws]
    assert draws == [("zoneout_h/draw", 0.5, "step"), ("outer/draw", 0.75, "sequence")]
