"""`elman explain`: what it says of cells and models, and of what is neither."""

from collections.abc import Callable
from pathlib import Path

import pytest

from elman import CELLS
from elman.compiler.explain import Explanation

TITLES = [
    "Run by",
    "The step, with one product for each value",
    "Wide products",
    "Before the loop, for all steps of all sequences at once",
    "Inside the loop, each sequence from its first step to its last",
    "After the loop, for all steps at once",
    "Saved for the backward step",
    "Computed again in the backward step, which is cheaper than saving",
    "The backward step",
    "Backward: before the loop, for all steps of all sequences at once",
    "Backward: inside the loop, in the opposite order",
    "Backward: after the loop, for all steps at once",
    "Gradients of the parameters, one product or sum over all steps each",
    "Memory, numbers for every step of every sequence",
]


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_the_explanation_of_a_cell(name: str, golden: Callable[[str, str], None]):
    golden(f"explain_{name}.txt", str(Explanation(CELLS[name].trace(3, 4))))


@pytest.mark.parametrize("name", CELLS)
def test_every_cell_is_explained_under_the_same_titles(name: str, elman):
    done = elman("explain", name, "--input-size", 3, "--hidden-size", 4)
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0] == f"{name}, input 3, hidden 4"
    assert [line for line in lines if line and not line.startswith(" ")][1:] == TITLES
    assert not [line for line in lines if line != line.rstrip()]


def test_a_cell_as_json(elman):
    (layer,) = elman("explain", "gru", "--input-size", 3, "--hidden-size", 4, "--json").json["layers"]
    assert (layer["cell"], layer["input_size"], layer["hidden_size"]) == ("gru", 3, 4)
    assert layer["target"] in ("llvm", "eager")
    assert layer["reason"]
    assert [product["matrices"] for product in layer["wide_products"]] == [
        ["update/0", "reset/0", "candidate/0"],
        ["update/1", "reset/1"],
        ["candidate/1"],
    ]
    assert len(layer["before"]) == 1
    assert [len(phase["whole"]) for phase in layer["inside"]] == [1, 1]
    assert layer["inside"][-1]["next_states"] == ["h"]
    assert layer["after"] == []
    # The state before, both gates, the candidate, and the reset state.
    assert sum(value["size"] for value in layer["saved"] if value["copied"]) == 5 * 4
    assert layer["numbers_per_step"]["saved"] == 5 * 4
    assert layer["backward"]["after"]


def test_neither_an_output_that_the_backward_step_reads_nor_the_one_before_it_is_counted_twice(elman):
    (layer,) = elman("explain", "simple_rnn", "--input-size", 3, "--hidden-size", 4, "--json").json["layers"]
    assert [value["value"] for value in layer["saved"] if value["copied"]] == []
    assert (layer["numbers_per_step"]["saved"], layer["numbers_per_step"]["output"]) == (0, 4)


def test_the_sizes_are_64_and_128_if_none_are_given(elman):
    (layer,) = elman("explain", "lstm", "--json").json["layers"]
    assert (layer["input_size"], layer["hidden_size"]) == (64, 128)


CELL = """
from elman import Next, affine, cell, max, parameter, tanh

@cell
def mine(x, h, c, *, context):
    c = tanh(affine("a", x, h, context)) + 0.5 * c
    return Next(h=x, c=c - max(c), output=affine("out", c, size=3))
"""


def test_a_cell_of_the_users_own_with_a_constant_and_an_output_after_the_loop(elman, tmp_path: Path):
    file = tmp_path / "cells.py"
    file.write_text(CELL)
    done = elman("explain", f"{file}:mine", "--input-size", 4, "--hidden-size", 4)
    assert done.code == 0
    assert "mine, input 4, hidden 4" in done.out
    assert "the largest feature of" in done.out
    after = done.out.split("After the loop, for all steps at once\n")[1]
    assert "times out/0" in after.splitlines()[0]


def test_each_layer_of_a_model_is_explained(elman, model: Path, tmp_path: Path):
    done = elman("explain", model)
    assert done.code == 0
    assert "body layer 0: lstm, input 64, hidden 8" in done.out
    (layer,) = elman("explain", model, "--json").json["layers"]
    assert (layer["layer"], layer["hidden_size"]) == ("body layer 0", 8)


def test_a_model_has_its_own_sizes(elman, model: Path):
    done = elman("explain", model, "--hidden-size", 3)
    assert done.code == 2
    assert "Leave out" in done.err


def test_what_is_no_cell_and_no_model(elman, tmp_path: Path):
    done = elman("explain", "lstn")
    assert done.code == 2
    assert "Did you mean `lstm`?" in done.err
    assert elman("explain", tmp_path).code == 1
    assert elman("explain", tmp_path / "no.py:cell").code == 2
    assert elman("explain", "lstm", "--hidden-size", 0).code == 2


def test_stacked_layers_are_explained_one_by_one(elman, words: Path, tmp_path: Path):
    size = ("--hidden-size", 4, "--epochs", 1, "--num-layers", 2)
    assert elman("train", "classify", words, "--out", tmp_path / "m", *size).code == 0
    layers = elman("explain", tmp_path / "m", "--json").json["layers"]
    assert [(layer["layer"], layer["input_size"]) for layer in layers] == [("body layer 0", 64), ("body layer 1", 8)]
    assert all(layer["bidirectional"] for layer in layers)
