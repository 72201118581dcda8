"""What parameters start from."""

import json
import math

import numpy as np
import pytest
import torch

from elman import (
    CELLS,
    Recurrent,
    affine,
    cell,
    chrono,
    delay_line,
    glorot,
    identity,
    matrix,
    normal,
    opposite,
    orthogonal,
    parameter,
    product,
    ring,
    sigmoid,
    small_world,
    sparse,
    tanh,
    uniform,
)
from elman.compiler.graph import from_json, to_json
from elman.compiler.start_json import start_from_json, start_to_json
from elman.compiler.starts import read_start
from elman.errors import UsageError
from elman.nn.starts import _scale, spectral_radius

ROWS = [[0.1, 2.0, -3.0], [4.0, 1e300, 6.0]]


@cell
def every_start(x, h):
    n = h.size
    w = affine("w", x, h, size=n, initial=(uniform(-0.25, -0.125), orthogonal(2.0)), bias=np.arange(n))
    v = product(h, matrix("v", n, n, initial="identity")) + product(h, matrix("u", n, n, initial=identity(0.5)))
    k = product(x, matrix("k", x.size, n, initial=np.ones((x.size, n)).tolist(), learned=False))
    g = product(h, matrix("g", n, n, initial=glorot)) + product(h, matrix("z", n, n, initial=0))
    return tanh(w + v + k + g + parameter("p", initial=normal(3.0, 0.0)) + parameter("o", initial="ones"))


@pytest.mark.parametrize("init", ["keras", "torch"])
def test_parameters_start_from_what_the_step_gives(init):
    weights = Recurrent(every_start, 3, 40, init=init).weights()
    assert -0.25 <= weights["w/0"].min() < weights["w/0"].max() <= -0.125
    torch.testing.assert_close(weights["w/1"] @ weights["w/1"].T, 4.0 * torch.eye(40), atol=1e-4, rtol=0)
    assert weights["w/bias"].tolist() == list(range(40))
    assert torch.equal(weights["v"], torch.eye(40))
    assert torch.equal(weights["u"], 0.5 * torch.eye(40))
    assert weights["k"].unique().tolist() == [1.0]
    assert weights["z"].unique().tolist() == [0.0]
    assert 0.0 < weights["g"].abs().max() <= math.sqrt(6 / 80)
    assert weights["p"].unique().tolist() == [3.0]
    assert weights["o"].unique().tolist() == [1.0]


def test_draws_are_torchs_and_come_again_with_its_seed():
    torch.manual_seed(5)
    layer = Recurrent(every_start, 3, 4)
    first = {name: tensor.clone() for name, tensor in layer.weights().items()}
    torch.manual_seed(5)
    layer._weights_of(0, False).reset_parameters()
    assert all(torch.equal(tensor, first[name]) for name, tensor in layer.weights().items())


def square(start, units=50):
    return Recurrent(CELLS["reservoir"].with_options(recurrent=start), 1, units).weights()["recurrent"]


@pytest.mark.parametrize(
    ("start", "radius"),
    [(sparse(1.25, 0.2), 1.25), (small_world(0.8, 4, 0.3), 0.8), (ring(-0.7), 0.7), ("sparse(0.5, density=1)", 0.5)],
)
def test_a_recurrent_matrix_has_the_spectral_radius_that_it_is_asked_for(start, radius):
    torch.manual_seed(3)
    found = square(start)
    assert np.abs(np.linalg.eigvals(found.double().numpy())).max() == pytest.approx(radius, rel=1e-5)
    torch.manual_seed(3)
    assert torch.equal(square(start), found)


def test_patterns_of_recurrent_matrices():
    units = torch.arange(50)
    one = torch.zeros(50, 50)
    one[units, (units + 1) % 50] = 0.5
    assert torch.equal(square(ring(0.5)), one)
    one[49, 0] = 0.0
    assert torch.equal(square(delay_line(0.5)), one)
    assert abs((square(sparse(0.9, 0.2)) != 0).double().mean() - 0.2) < 0.05
    near = square(small_world(0.9, 4, 0.0)) != 0
    distance = (units[:, None] - units) % 50
    assert torch.equal(near, (distance == 1) | (distance == 2) | (distance == 48) | (distance == 49))
    assert 0 < ((square(small_world(0.9, 4, 0.5)) != 0) & ~near).sum() < 150


@pytest.mark.parametrize("units", [1, 2, 30])
def test_a_matrix_of_hardly_any_weights_has_a_cycle(units):
    torch.manual_seed(0)
    found = square(sparse(0.9, 1e-6), units)
    assert (found != 0).sum(0).tolist() == [1] * units
    assert spectral_radius(found) == pytest.approx(0.9, rel=1e-4)


def test_a_matrix_without_a_cycle_has_no_spectral_radius_to_scale():
    with pytest.raises(UsageError, match="no cycle"):
        _scale(sparse(), torch.ones(4, 4).triu(1), 0.9)


def test_chrono_and_its_opposite():
    @cell
    def gated(x, h):
        i = sigmoid(affine("input", x, h, bias=opposite("forget/bias")))
        f = sigmoid(affine("forget", x, h, bias=chrono(100)))
        return f * h + i * x

    weights = Recurrent(gated, 64, 64).weights()
    assert torch.equal(weights["input/bias"], -weights["forget/bias"])
    assert 0.0 <= weights["forget/bias"].min() <= weights["forget/bias"].max() <= math.log(99.0)
    assert weights["forget/bias"].exp().mean().sub(50.0).abs() < 20.0


@pytest.mark.parametrize(
    "value",
    [ROWS, np.array(ROWS), torch.tensor(ROWS, dtype=torch.float64), identity(2.0), uniform(-1, 1), normal(), glorot(2)],
    ids=str,
)
def test_a_start_written_and_read_is_the_same(value):
    start = read_start(value, (2, 3))
    assert start_from_json(json.loads(json.dumps(start_to_json(start)))) == start


def test_arrays_that_float32_holds_take_half_the_room():
    exact, rough = (len(json.dumps(start_to_json(read_start([number] * 64, (64,))))) for number in (0.5, 0.1))
    assert exact < 0.6 * rough


def test_a_graph_of_an_older_version_is_read():
    data = to_json(every_start.trace(3, 4))
    data["parameters"] = [[name, shape, role, 0.0] for name, shape, role, *_ in data["parameters"]]
    assert all(parameter.is_learned for parameter in from_json(data).parameters)


def test_a_graph_keeps_its_starts():
    graph = every_start.trace(3, 4)
    assert from_json(json.loads(json.dumps(to_json(graph)))).parameters == graph.parameters


@pytest.mark.parametrize(
    ("value", "shape", "reason"),
    [
        ("identiy", (2, 2), "the name 'identiy' is unknown"),
        ("identity", (2,), "a vector cannot start from identity"),
        (chrono(9), (2, 2), "a matrix cannot start from chrono"),
        ([1.0, 2.0], (3,), r"expected an array of shape \(3,\), got one of shape \(2,\)"),
        ([[1.0], [2.0, 3.0]], (2, 1), "rows of several lengths"),
        ([1.0, math.nan], (2,), "an element of the array is nan"),
        (True, (2,), "cannot start from True"),
        (None, (2,), "cannot start from None"),
        ({}, (2,), "cannot start from {}"),
    ],
)
def test_what_is_no_start_is_refused(value, shape, reason):
    with pytest.raises(UsageError, match=reason):
        read_start(value, shape)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: uniform(1, -1), "bounds in the wrong order"),
        (lambda: normal(0, -1), "the standard deviation -1"),
        (lambda: chrono(2), "longest dependency 2"),
        (lambda: sparse(0.0), "spectral radius of sparse is 0.0"),
        (lambda: sparse(0.9, 1.5), "density of sparse is 1.5"),
        (lambda: small_world(0.9, 3), "3 neighbours"),
        (lambda: small_world(0.9, 4, 1.5), "a fraction of 1.5"),
        (lambda: read_start(small_world(0.9, 4), (4, 4)), "4 units cannot have 4 neighbours"),
        (lambda: read_start(ring(0.9), (4, 5)), "which is for square ones"),
        (
            lambda: identity("1"),  # type: ignore[arg-type]
            "the scale of identity is '1'",
        ),
        (
            lambda: opposite(3),  # type: ignore[arg-type]
            "opposite names a parameter, got 3",
        ),
    ],
)
def test_a_start_of_wrong_numbers_is_refused(make, reason):
    with pytest.raises(UsageError, match=reason):
        make()


@pytest.mark.parametrize(
    "written", ["uniform(-0.1, 0.1)", "uniform(low=-0.1, high=0.1)", "sparse(0.5)", "ring", "small_world(0.9, 4, 0.1)"]
)
def test_a_start_is_written_as_an_option_of_a_cell(written: str):
    layer = Recurrent(CELLS["reservoir"].with_options(recurrent=written), 2, 10)
    assert layer.weights()["recurrent"].abs().max() > 0


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("spars(0.9)", "Did you mean `sparse`"),
        (
            "relu",
            "Valid: chrono, delay_line, glorot, identity, normal, ones, opposite, orthogonal, ring, small_world, ",
        ),
        ("sparse(0.9, 0.1, 3)", r"Write sparse\(spectral_radius, density\)"),
        ("uniform(1)", r"needs `high`.\nWrite uniform\(low, high\)"),
        ("ring(a=1)", "has no option `a`"),
        ("sparse(0, 0.1)", "the spectral radius of sparse is 0"),
        ("opposite(3)", "Expected a text for `name`"),
    ],
)
def test_an_option_that_is_not_a_start_is_refused(written: str, reason: str):
    with pytest.raises(UsageError, match=reason) as caught:
        CELLS["reservoir"].with_options(recurrent=written)
    assert caught.value.problem == f"The option `recurrent` of `reservoir` is {written!r}."
