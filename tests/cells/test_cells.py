"""The list of cells, and what their docstrings and options promise."""

import pytest
import torch

from elman import CELLS, Recurrent, cell
from elman.cells import find_cell
from elman.errors import UsageError

STATES = {
    "simple_rnn": ("h",),
    "lstm": ("h", "c"),
    "gru": ("h",),
    "gru_reset_after": ("h",),
    "peephole_lstm": ("h", "c"),
    "projected_lstm": ("h", "c"),
    "layer_norm_lstm": ("h", "c"),
    "min_gru": ("h",),
    "reservoir": ("h",),
}


def test_the_cells_and_their_states():
    assert {name: found.states for name, found in CELLS.items()} == STATES


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_says_where_it_comes_from(name: str):
    text = CELLS[name].__doc__ or ""
    assert "Source:" in text
    assert "ifference" in text
    assert all(f"{option}:" in text for option in CELLS[name].options)


def test_a_cell_is_found_by_its_name_or_is_given():
    mine = cell(lambda x, h: h)
    assert find_cell("gru") is CELLS["gru"]
    assert find_cell(mine) is mine
    with pytest.raises(UsageError, match=r"(?s)no cell `lstn`.*Did you mean `lstm`\?"):
        find_cell("lstn")


@pytest.mark.parametrize("name", ["lstm", "peephole_lstm", "projected_lstm", "layer_norm_lstm"])
def test_forget_gates_start_open(name: str):
    weights = Recurrent(name, 3, 4).weights()
    starts = {key: tensor.tolist() for key, tensor in weights.items() if key in ("forget/bias", "forget_bias")}
    assert list(starts.values()) == [[1.0] * 4]


@pytest.mark.parametrize("name", ["lstm", "gru", "gru_reset_after"])
@torch.no_grad()
def test_gates_take_another_activation(name: str):
    torch.manual_seed(1)
    plain = Recurrent(name, 3, 4)
    changed = CELLS[name].with_options(activation="linear", recurrent_activation="hard_sigmoid")
    other = Recurrent(changed, 3, 4)
    other.load_state_dict(plain.state_dict())
    x = torch.randn(2, 3, 3)
    assert not torch.allclose(plain(x)[0], other(x)[0])
    opened = {operation.op for operation in changed.trace(3, 4).nodes}
    assert not opened & {"tanh", "sigmoid"}
    assert {"minimum", "maximum"} <= opened


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"activation": "tahn"}, "Did you mean `tanh`"),
        ({"activation": "where"}, "Valid: celu, cos, "),
        ({"activation": 3}, "Valid: celu, cos, "),
        ({"candidate_dropout": "half"}, "Give a number"),
    ],
)
def test_an_option_that_cannot_be_what_is_given_is_refused(options: dict, said: str):
    with pytest.raises(UsageError, match=said):
        CELLS["gru"].with_options(**options)
