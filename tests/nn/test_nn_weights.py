"""Where parameters start from."""

import math

import pytest
import torch

from elman.cells import CELLS
from elman.nn import GRU, LSTM, Recurrent, SimpleRNN

FEATURES, UNITS = 40, 60


@pytest.mark.parametrize(("layer", "gates"), [(SimpleRNN, 1), (GRU, 3), (LSTM, 4)])
def test_kernels_are_glorot_uniform_over_all_gates_together(layer, gates):
    kernel = layer(FEATURES, UNITS).get_weights()[0]
    bound = math.sqrt(6 / (FEATURES + gates * UNITS))
    assert kernel.shape == (FEATURES, gates * UNITS)
    assert 0.99 * bound < kernel.abs().max() <= bound
    assert kernel.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)


@pytest.mark.parametrize("layer", [SimpleRNN, GRU, LSTM])
def test_the_wide_recurrent_matrix_is_orthogonal(layer):
    matrix = layer(FEATURES, UNITS).double()
    matrix.layer0.reset_parameters()
    wide = matrix.get_weights()[1]
    torch.testing.assert_close(wide @ wide.T, torch.eye(UNITS).double(), rtol=0, atol=1e-6)


def test_forget_biases_start_from_one_and_the_others_from_zero():
    weights = LSTM(FEATURES, UNITS).weights()
    for name in ("input", "forget", "cell", "output"):
        assert weights[f"{name}/bias"].unique().tolist() == [1.0 if name == "forget" else 0.0]
    for layer in (SimpleRNN(FEATURES, UNITS), GRU(FEATURES, UNITS)):
        assert layer.get_weights()[2].count_nonzero() == 0


def test_vectors_start_from_what_the_cell_says():
    weights = Recurrent("layer_norm_lstm", FEATURES, UNITS).weights()
    assert weights["input_gain"].unique().tolist() == [1.0]
    assert weights["forget_bias"].unique().tolist() == [1.0]
    assert weights["cell_shift"].unique().tolist() == [0.0]


def test_init_torch_is_uniform_within_one_over_the_root_of_the_hidden_size():
    bound = 1 / math.sqrt(UNITS)
    for array in LSTM(FEATURES, UNITS, init="torch").get_weights():
        assert 0.95 * bound < array.abs().max() <= bound
        assert array.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.15)


@pytest.mark.parametrize("init", ["keras", "torch"])
@pytest.mark.parametrize("name", CELLS)
def test_every_cell_starts_from_finite_numbers_that_the_seed_decides(name, init):
    def draw(seed: int) -> list[torch.Tensor]:
        torch.manual_seed(seed)
        return Recurrent(name, 5, 7, init=init).get_weights()

    first, again, other = draw(1), draw(1), draw(2)
    assert all(array.isfinite().all() for array in first)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])
