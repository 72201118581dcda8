"""Which states a parallel scan can compute."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from elman import CELLS, Cell, Next, affine, cell, concat, maximum, parameter, sigmoid, sqrt, tanh, where
from elman import exp as exponential
from elman.compiler import reference
from elman.compiler.plan import plan
from elman.compiler.scan import scans
from elman.compiler.widen import widen


@cell
def qrnn(x, c):
    """Quasi-recurrent network, f-pooling with an output gate (J. Bradbury et al., 2017, equation 4)."""
    f = sigmoid(affine("forget", x))
    c = f * c + (1.0 - f) * tanh(affine("candidate", x))
    return Next(c=c, output=sigmoid(affine("output", x)) * c)


@cell
def linear_recurrent_unit(x, h):
    """The linear recurrent unit with real eigenvalues (A. Orvieto et al., 2023, equation 5)."""
    decay = exponential(-exponential(parameter("nu")))
    return decay * h + sqrt(1.0 - decay * decay) * affine("input", x, bias=None)


@cell
def every_way(x, h):
    """Each operation that keeps a state a scan, with the state on either side."""
    a, b = affine("a", x), affine("b", x)
    kept = where(a < b, h, b - (-h) / 3.0)
    return a - (kept - b) * sigmoid(a) + h


@cell
def chosen_offset(x, h):
    return where(affine("reset", x) > 0.0, affine("start", x), h * 0.5)


SCANS = (CELLS["min_gru"], qrnn, linear_recurrent_unit, every_way, chosen_offset)


@pytest.mark.parametrize("which", SCANS, ids=lambda which: which.name)
@pytest.mark.parametrize("prepare", [lambda graph: graph, lambda graph: widen(graph).graph], ids=["traced", "wide"])
def test_a_scan_is_its_coefficient_times_the_state_plus_its_offset(which: Cell, prepare: Callable):
    graph = prepare(which.trace(3, 4))
    (found,) = scans(graph).values()
    assert found is not None
    both = replace(graph, outputs=(graph.following[0], graph.states[0], found.coefficient, found.offset))
    assert not {found.coefficient, found.offset} & both.recurrent
    draw = np.random.default_rng(0)
    weights = {item.name: draw.normal(size=item.shape) for item in graph.parameters}
    (following, state, coefficient, offset), _ = reference.run(
        both, weights, [draw.normal(size=(7, 3))], [draw.normal(size=(2, 4))], [4, 3]
    )
    np.testing.assert_allclose(following, coefficient * state + offset, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["simple_rnn", "lstm", "gru", "gru_reset_after", "peephole_lstm"])
def test_the_gated_cells_are_no_scans(name: str):
    assert set(scans(CELLS[name].trace(3, 4)).values()) == {None}


STEPS = {
    "a product of the state": lambda x, h: affine("hidden", x, h),
    "squared": lambda x, h: h * h + affine("a", x),
    "one over the state": lambda x, h: affine("a", x) / h,
    "not linear": lambda x, h: maximum(h, affine("a", x)),
    "chosen by the state": lambda x, h: where(h > 0.0, affine("a", x), 0.5 * h),
    "moved to other features": lambda x, h: concat(h[2:], h[:2]) + affine("a", x),
    "not read at all": lambda x, h: affine("a", x),
}


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_no_scan(step: Callable):
    def named(x, h):
        return step(x, h)

    assert scans(cell(named).trace(3, 4)) == {"h": None}


def test_a_state_that_reads_another_is_none_and_the_other_still_is_one():
    @cell
    def cascade(x, h, c):
        c = sigmoid(affine("forget", x)) * c + affine("candidate", x)
        return Next(h=tanh(c), c=c)

    found = scans(cascade.trace(3, 4))
    assert found["h"] is None
    assert found["c"] is not None


def test_the_plan_says_it():
    assert "h is a scan: h' = a∘h + b" in str(plan(CELLS["min_gru"].trace(3, 4)))
    assert "scan" not in str(plan(CELLS["gru"].trace(3, 4)))
