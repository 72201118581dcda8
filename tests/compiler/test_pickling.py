"""Cells and graphs through pickle and copy."""

import copy
import multiprocessing
import pickle
import subprocess
import sys
from typing import Any

import pytest

from elman import CELLS, Next, affine, cell, sigmoid, tanh, zoneout
from elman.compiler.cell import Cell, describe_options
from elman.compiler.graph import Graph
from elman.compiler.language import WORDS
from elman.compiler.pickling import CellPicklingError
from elman.errors import UsageError


@cell
def gated(x, h, *, activation=tanh, sharpness=1.0):
    """A user's cell at the top of a module: the decorator has put the cell in the place of the function."""
    z = sigmoid(sharpness * affine("gate", x, h))
    return z * h + (1.0 - z) * activation(affine("candidate", x, h))


def plain(x, h):
    return tanh(affine("hidden", x, h))


from_plain = Cell(plain)


class Cells:
    """A namespace for cells."""

    @cell
    @staticmethod
    def inner(x, h):
        return sigmoid(affine("hidden", x, h))


class Scaled:
    """A step that is an object."""

    def __init__(self, scale: float):
        self.scale = scale
        self.__name__ = "scaled"

    def __call__(self, x, h):
        return tanh(self.scale * affine("hidden", x, h))


def deep(x, h):
    for _ in range(3000):
        h = h + 0.5 * tanh(h)
    return h + affine("hidden", x)


def local_cell() -> Cell:
    @cell
    def local(x, h, c):
        c = c + affine("hidden", x, h)
        return Next(h=tanh(c), c=c)

    return local


FOUND_BY_NAME = {
    **CELLS,
    "a user's": gated,
    "options": gated.with_options(activation="relu", sharpness=2.0),
    "an option by function": CELLS["lstm"].with_options(activation=sigmoid),
    "undecorated": from_plain,
    "in a class": Cells.inner,
    "an object": Cell(Scaled(0.5)),
    "zoneout": zoneout(CELLS["lstm"], {"c": 0.5, "h": 0.05}),
    "zoneout twice": zoneout(zoneout(gated, 0.1), 0.2),
    "zoneout of options": zoneout(gated.with_options(sharpness=3.0), 0.25),
}


def again(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


@pytest.mark.parametrize("name", FOUND_BY_NAME)
def test_a_cell_that_can_be_imported_comes_back_whole(name: str):
    first = FOUND_BY_NAME[name]
    other = again(first)
    assert repr(other) == repr(first)
    assert describe_options(other) == describe_options(first)
    # For sizes that it was not traced for before.
    assert str(other.trace(3, 11)) == str(first.trace(3, 11))
    assert other.trace(3, 11).draws == first.trace(3, 11).draws


def test_a_cell_under_its_name_is_that_cell():
    assert again(CELLS["gru"]) is CELLS["gru"]
    assert again(gated) is gated
    assert again(gated.with_options(sharpness=2.0)) is not gated


@pytest.mark.parametrize("word", WORDS)
def test_every_word_can_be_an_option(word: str):
    assert again({"word": WORDS[word]})["word"] is WORDS[word]


@pytest.mark.parametrize("name", FOUND_BY_NAME)
def test_a_copied_cell_is_the_cell(name: str):
    first = FOUND_BY_NAME[name]
    assert copy.copy(first) is copy.deepcopy(first) is first
    graph = first.trace(3, 5)
    assert copy.copy(graph) is copy.deepcopy(graph) is graph


LOCAL = {
    "in a function": local_cell,
    "a lambda": lambda: Cell(lambda x, h: tanh(affine("hidden", x, h))),
    "an option that is a lambda": lambda: gated.with_options(activation=lambda value: 0.5 * tanh(value)),
    "zoneout of one in a function": lambda: zoneout(local_cell(), 0.25),
    "replaced in its module": lambda: Cell(type(plain)(plain.__code__, plain.__globals__, "plain")),
}


@pytest.mark.parametrize("name", LOCAL)
def test_another_cell_comes_back_for_the_sizes_it_was_traced_for(name: str):
    first = LOCAL[name]()
    graphs = [first.trace(3, 5), first.trace(5, 5)]
    other = again(again(first))
    assert [str(other.trace(3, 5)), str(other.trace(5, 5))] == [str(graph) for graph in graphs]
    assert (other.name, other.states, other.input) == (first.name, first.states, first.input)
    with pytest.raises(UsageError, match="has only the sizes"):
        other.trace(3, 6)


@pytest.mark.parametrize("name", LOCAL)
def test_another_cell_without_a_graph_is_refused_with_the_repair(name: str):
    with pytest.raises(CellPicklingError, match="cannot be pickled") as error:
        pickle.dumps(LOCAL[name]())
    assert isinstance(error.value, pickle.PicklingError)
    assert "top of a module" in str(error.value.fix)


def test_a_step_that_is_gone_is_named():
    data = pickle.dumps(gated).replace(b"gated", b"gatex")
    with pytest.raises(CellPicklingError, match="`gatex` of the module"):
        pickle.loads(data)


def test_a_graph_comes_back_with_its_draws_and_parameters():
    graph = zoneout(CELLS["layer_norm_lstm"], 0.25).trace(3, 5)
    other = again(graph)
    assert isinstance(other, Graph)
    assert str(other) == str(graph)
    assert (other.parameters, other.draws) == (graph.parameters, graph.draws)
    # What is shared stays shared: two directions of a layer have one graph.
    first, second = again([graph, graph])
    assert first is second


def test_a_step_of_thousands_of_operations_is_not_too_deep():
    graph = Cell(deep).trace(3, 5)
    assert len(graph.nodes) > 6000
    assert len(again(graph).nodes) == len(graph.nodes)
    assert copy.deepcopy(graph) is graph


def trace_there(given: Cell) -> str:
    return str(given.trace(2, 7))


def test_cells_go_to_processes_that_start_anew():
    cells = [CELLS["gru"], gated.with_options(sharpness=2.0), zoneout(gated, 0.5)]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(trace_there, cells) == [trace_there(each) for each in cells]


def test_a_cell_of_the_main_program_is_pickled(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "import pickle\n"
        "from elman import affine, cell, tanh\n"
        "@cell\n"
        "def mine(x, h):\n"
        "    return tanh(affine('hidden', x, h))\n"
        "print(pickle.loads(pickle.dumps(mine)).trace(2, 3).name)\n"
    )
    found = subprocess.run([sys.executable, program], capture_output=True, text=True, check=True)
    assert found.stdout == "mine\n"
