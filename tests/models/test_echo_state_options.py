"""FORCE learning, intrinsic plasticity and next-generation reservoirs."""

import numpy as np
import pytest
import torch

from elman import EchoStateNetwork
from elman.errors import UsageError
from elman.nn.intrinsic_plasticity import fit_plasticity
from elman.nn.lagged_products import LaggedProducts
from elman.nn.reservoirs import Reservoirs
from elman.nn.ridge import Sums
from elman.recipes.reservoir_series import lorenz
from elman.settings import check_settings
from elman.settings.reservoir import ReservoirSettings

STEPS = np.arange(3000)
PATTERN = np.sin(STEPS / 10) + 0.5 * np.sin(STEPS / 5)


def test_force_learning_makes_a_chaotic_network_repeat_a_pattern():
    network = EchoStateNetwork(
        hidden_size=150, recurrent="sparse(1.5, 0.1)", leak=0.3, feedback_scaling=1.0, fitter="force", ridges=1.0
    )
    network.fit(np.zeros(2500), PATTERN[:2500])
    found = network.generate(300)
    assert np.abs(found - PATTERN[2500:2800]).max() < 0.3
    assert np.corrcoef(found, PATTERN[2500:2800])[0, 1] > 0.98


def test_a_network_that_was_taught_by_its_targets_continues_them():
    network = EchoStateNetwork(hidden_size=80, feedback_scaling=1.0, noise=1e-4, ridges=1e-6, bias_scaling=0.2)
    network.fit(np.zeros(2500), PATTERN[:2500])
    assert np.abs(network.generate(60) - PATTERN[2500:2560]).max() < 0.2
    with pytest.raises(UsageError, match="was fitted on alone"):
        network.generate(10, PATTERN)


def test_plasticity_spreads_the_units_as_asked():
    given = {"hidden_size": 60, "input_scaling": 0.05, "recurrent": "sparse(0.5, 0.1)"}
    settings = check_settings(ReservoirSettings, given)
    torch.manual_seed(0)
    reservoirs = Reservoirs(1, 0, settings).double()
    inputs = torch.randn(4000, 1, dtype=torch.float64)
    before = reservoirs(inputs[None])[0].std(1)
    fit_plasticity(reservoirs, [inputs], mean=0.0, deviation=0.2, rate=5e-4)
    states = reservoirs(inputs[None])[0][0, 500:]
    assert before.max() < 0.1
    assert 0.15 < float(states.std()) < 0.25
    assert states.mean(0).abs().mean() < 0.15


def test_one_step_of_plasticity_is_its_formula():
    settings = check_settings(ReservoirSettings, {"hidden_size": 2, "recurrent": "ring(0.5)", "bias_scaling": 0.3})
    torch.manual_seed(1)
    reservoirs = Reservoirs(1, 0, settings).double()
    (reservoir,) = next(iter(reservoirs.side))  # pyright: ignore[reportGeneralTypeIssues]
    weight, bias = reservoir.input_weight.clone(), reservoir.bias[0].clone()
    fit_plasticity(reservoirs, [torch.full((1, 1), 0.7, dtype=torch.float64)], mean=0.1, deviation=0.5, rate=0.01)
    net = 0.7 * weight[0] + bias
    y = net.tanh()
    change = -0.01 * (-0.1 / 0.25 + y / 0.25 * (2 * 0.25 + 1 - y**2 + 0.1 * y))
    gain = 1 + 0.01 + change * net
    torch.testing.assert_close(reservoir.input_weight[0], weight[0] * gain)
    torch.testing.assert_close(reservoir.bias[0], bias * gain + change)
    torch.testing.assert_close(
        reservoir.layer.weights()["recurrent"][0, 1], (0.5 * gain[1]).float().double(), rtol=1e-6, atol=0
    )


def test_lagged_products_are_those_of_their_definition():
    inputs = torch.randn(2, 30, 3, dtype=torch.float64)
    features = LaggedProducts(3, lags=2, stride=4, degree=2)
    whole, _ = features(inputs)
    row = torch.cat([inputs[1, 20], inputs[1, 16]])
    wanted = [*row, *(row[i] * row[j] for i in range(6) for j in range(i, 6))]
    torch.testing.assert_close(whole[1, 20], torch.stack(wanted))
    assert features.size == len(wanted)
    first, state = features(inputs[:, :7])
    second, _ = features(inputs[:, 7:], None, state)
    torch.testing.assert_close(torch.cat([first, second], 1), whole)


def test_lagged_products_forecast_the_lorenz_system():
    series = lorenz(1_500, step=0.025)
    network = EchoStateNetwork(lags=2, degree=2, warmup_steps=10, ridges=1e-2).fit(series[:1_400])
    assert np.abs(network.generate(60) - series[1_400:1_460]).max() < 1.5
    with pytest.raises(UsageError, match="lagged inputs of the steps learned from must exist"):
        EchoStateNetwork(lags=5, lag_stride=4, warmup_steps=10).fit(series)


@pytest.mark.parametrize(
    "settings", [{"fitter": "force"}, {"plasticity_rate": 0.01, "feedback_scaling": 1.0}, {"lags": 2, "noise": -1.0}]
)
def test_settings_that_do_not_go_together(settings):
    with pytest.raises(UsageError, match=next(iter(settings)) if "lags" not in settings else "noise"):
        EchoStateNetwork(**settings).fit(PATTERN, PATTERN)


def test_recursive_least_squares_are_ridge_with_a_penalised_bias():
    network = EchoStateNetwork(hidden_size=30, fitter="rls", ridges=0.1, seed=2, warmup_steps=50)
    network.fit(PATTERN[:400], PATTERN[1:401])
    (member,) = network.members_
    rows = torch.cat([each for _, each in member.features(torch.from_numpy(PATTERN[:400, None]), None)])[50:]
    sums = Sums.empty(rows.shape[1], 1)
    sums.add(rows, torch.from_numpy(PATTERN[51:401, None]))
    (wanted,) = sums.solve([0.1], penalised_bias=True)
    torch.testing.assert_close(member.solution.weight, wanted.weight, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(member.solution.bias, wanted.bias, rtol=1e-5, atol=1e-7)


def test_forgetting_follows_the_end_of_a_series():
    """The target changes its sign in the middle, and the later half is predicted."""
    series = np.random.default_rng(0).uniform(-1, 1, 1000)
    targets = np.where(np.arange(1000) < 500, 1.0, -1.0) * np.roll(series, 1)
    given = {"hidden_size": 20, "fitter": "rls", "ridges": 1e-3, "seed": 1}
    errors = []
    for forgetting in (1.0, 0.95):
        found = EchoStateNetwork(**given, forgetting=forgetting).fit(series, targets).predict(series)
        errors.append(np.abs(found - targets)[600:].mean())
    assert errors[1] < 0.5 * errors[0]


def test_short_series_compare_the_ridges_on_five_stretches():
    """The first of the ridges, once taken for every series of one block, leaves an error many times as large."""
    random = np.random.default_rng(3)
    inputs = random.standard_normal(600)
    targets = np.roll(inputs, 1) + random.standard_normal(600)
    given = {"hidden_size": 150, "warmup_steps": 20, "seed": 1}
    wanted = [EchoStateNetwork(**given, **more).fit(inputs[:250], targets[:250]) for more in ({}, {"ridges": 1e-12})]
    chosen, first = (network.evaluate(inputs[250:], targets[250:])["rmse"].mean for network in wanted)
    assert chosen < 0.8 * first


def test_plasticity_reads_series_until_it_has_its_steps():
    halves = [PATTERN[:100], PATTERN[100:200]]
    given = {"hidden_size": 10, "plasticity_rate": 1e-2, "warmup_steps": 10, "ridges": 1e-6}
    both, one = (EchoStateNetwork(**given, plasticity_steps=steps).fit(halves) for steps in (150, 99))
    alone = EchoStateNetwork(**given, plasticity_steps=99).fit(halves[:1])
    weights = [network.members_[0].forward.side[0][0].input_weight for network in (both, one, alone)]
    assert torch.equal(weights[1], weights[2])
    assert not torch.equal(weights[0], weights[1])


def test_lagged_products_of_both_directions_are_those_of_the_reversed_series():
    network = EchoStateNetwork(lags=2, bidirectional=True, warmup_steps=5, ridges=1e-3).fit(
        PATTERN[:200], PATTERN[:200]
    )
    (member,) = network.members_
    ((_, rows),) = member.features(torch.from_numpy(PATTERN[:200, None]), None)
    torch.testing.assert_close(rows[20, 5:7], torch.from_numpy(PATTERN[[20, 21]]))
    assert rows.shape == (200, 10)
