"""A sparse reservoir against its dense form."""

import pickle

import pytest
import torch

from elman.nn.reservoirs import Reservoirs
from elman.nn.sparse_steps import UNITS, is_worthwhile, run_sparse, to_rows
from elman.settings import check_settings
from elman.settings.reservoir import ReservoirSettings

needs_mkl = pytest.mark.skipif(not torch.backends.mkl.is_available(), reason="products of sparse rows need MKL")


@needs_mkl
@pytest.mark.parametrize(("leak", "activation"), [(1.0, "tanh"), (0.3, "tanh"), (0.3, "linear")])
@pytest.mark.parametrize("precision", [torch.float64, torch.float32])
def test_a_sparse_reservoir_equals_its_dense_form(leak, activation, precision, monkeypatch):
    given = {"hidden_size": UNITS, "recurrent": "ring(0.8)", "leak": leak, "activation": activation}
    settings = check_settings(ReservoirSettings, given)
    torch.manual_seed(0)
    reservoirs = Reservoirs(1, 0, settings).to(precision)
    inputs = torch.randn(1, 40, 1, dtype=precision)
    first, state = reservoirs(inputs[:, :15])
    second, last = reservoirs(inputs[:, 15:], None, state)
    monkeypatch.setattr("elman.nn.reservoirs.is_worthwhile", lambda recurrent: False)
    for stack in reservoirs.side:
        for reservoir in stack:  # pyright: ignore[reportGeneralTypeIssues]
            assert reservoir._compressed[1] is not None
            reservoir._compressed = None
    dense, dense_last = reservoirs(inputs)
    torch.testing.assert_close(torch.cat([first, second], 1), dense)
    torch.testing.assert_close(last[0].h, dense_last[0].h)


@needs_mkl
def test_only_large_matrices_of_few_weights_are_run_without_their_zeros():
    few = torch.eye(UNITS)
    assert is_worthwhile(few)
    assert not is_worthwhile(torch.eye(UNITS - 1))
    assert not is_worthwhile(torch.ones(UNITS, UNITS))
    assert run_sparse(torch.zeros(0, UNITS), to_rows(few), few[0], leak=1.0, is_linear=False).shape == (0, UNITS)


@needs_mkl
def test_changed_weights_are_read_and_copies_are_pickled():
    reservoirs = Reservoirs(
        1, 0, check_settings(ReservoirSettings, {"hidden_size": UNITS, "recurrent": "ring(0.8)"})
    ).double()
    inputs = torch.ones(1, 5, 1, dtype=torch.float64)
    before, _ = reservoirs(inputs)
    again, _ = pickle.loads(pickle.dumps(reservoirs))(inputs)
    assert torch.equal(before, again)
    for stack in reservoirs.side:
        for reservoir in stack:  # pyright: ignore[reportGeneralTypeIssues]
            reservoir.layer.weights()["recurrent"].zero_()
    after, _ = reservoirs(inputs)
    assert torch.equal(after[0, 1], after[0, 0])
