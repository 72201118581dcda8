"""A sparse reservoir against its dense form."""

import pickle

import pytest
import torch

from elman.compiler.targets.llvm import sparse_steps
from elman.nn.reservoirs import Reservoirs
from elman.nn.sparse_steps import UNITS, CompressedRows, Slots, compressed
from elman.settings import check_settings
from elman.settings.reservoir import ReservoirSettings

KINDS = {
    Slots: pytest.mark.skipif(not sparse_steps.is_available(), reason="the kernel needs vectors of 512 bits"),
    CompressedRows: pytest.mark.skipif(
        not torch.backends.mkl.is_available(), reason="products of compressed rows need MKL"
    ),
}
each_kind = pytest.mark.parametrize("kind", [pytest.param(kind, marks=mark) for kind, mark in KINDS.items()])
needs_either = pytest.mark.skipif(
    not sparse_steps.is_available() and not torch.backends.mkl.is_available(), reason="needs 512 bits or MKL"
)


def drawn(**settings):
    torch.manual_seed(0)
    return Reservoirs(1, 0, check_settings(ReservoirSettings, {"hidden_size": UNITS, **settings}))


def parts_of(reservoirs):
    return [reservoir for stack in reservoirs.side for reservoir in stack]


@each_kind
@pytest.mark.parametrize(("leak", "activation"), [(1.0, "tanh"), (0.3, "tanh"), (0.3, "linear")])
@pytest.mark.parametrize("precision", [torch.float64, torch.float32])
def test_a_sparse_reservoir_equals_its_dense_form(kind, leak, activation, precision, monkeypatch):
    reservoirs = drawn(recurrent="sparse(0.8, 0.05)", leak=leak, activation=activation).to(precision)
    inputs = torch.randn(1, 40, 1, dtype=precision)
    monkeypatch.setattr("elman.nn.reservoirs.compressed", kind)
    first, state = reservoirs(inputs[:, :15])
    second, last = reservoirs(inputs[:, 15:], None, state)
    monkeypatch.setattr("elman.nn.reservoirs.compressed", lambda recurrent: None)
    for reservoir in parts_of(reservoirs):
        assert isinstance(reservoir._compressed[1], kind)
        reservoir._compressed = None
    dense, dense_last = reservoirs(inputs)
    torch.testing.assert_close(torch.cat([first, second], 1), dense)
    torch.testing.assert_close(last[0].h, dense_last[0].h)


@each_kind
@pytest.mark.parametrize("units", [1, 7, 33, 130])
def test_any_number_of_units_and_any_matrix(kind, units):
    torch.manual_seed(units)
    drive = torch.randn(5, units, dtype=torch.float64)
    state = torch.randn(units, dtype=torch.float64)
    for density in (0.0, 0.02, 0.5, 1.0):
        matrix = torch.randn(units, units, dtype=torch.float64) * (torch.rand(units, units) < density)
        expected, before = [], state
        for row in drive:
            before = torch.tanh(row + before @ matrix)
            expected.append(before)
        found = kind(matrix).run(drive, state, leak=1.0, is_linear=False)
        torch.testing.assert_close(found, torch.stack(expected))
    assert kind(matrix).run(drive[:0], state, leak=1.0, is_linear=False).shape == (0, units)


@needs_either
def test_only_large_matrices_of_few_weights_are_run_without_their_zeros():
    assert compressed(torch.eye(UNITS)) is not None
    assert compressed(torch.eye(UNITS - 1)) is None
    assert compressed(torch.ones(UNITS, UNITS)) is None
    assert compressed(torch.eye(UNITS).half()) is None


@needs_either
def test_changed_weights_are_read_and_copies_are_pickled():
    reservoirs = drawn(recurrent="ring(0.8)").double()
    inputs = torch.ones(1, 5, 1, dtype=torch.float64)
    before, _ = reservoirs(inputs)
    again, _ = pickle.loads(pickle.dumps(reservoirs))(inputs)
    assert torch.equal(before, again)
    for reservoir in parts_of(reservoirs):
        reservoir.layer.weights()["recurrent"].zero_()
    after, _ = reservoirs(inputs)
    assert torch.equal(after[0, 1], after[0, 0])
