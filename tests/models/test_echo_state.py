"""The echo state network against one written in NumPy, and on input that it must refuse."""

from typing import Any

import numpy as np
import pytest
import torch

from elman import EchoStateNetwork
from elman.errors import CellError, DataError, NotFittedError, UsageError

STEPS = np.arange(600)
WAVE = np.sin(STEPS / 5) + 0.5 * np.sin(STEPS / 3.1)
SMALL = {"hidden_size": 30, "warmup_steps": 20, "ridges": 1e-6}


def numbers(reservoir):
    """Return W_in, W_fb, b and W of one reservoir as arrays."""
    tensors = reservoir.input_weight, reservoir.feedback_weight, reservoir.bias, reservoir.layer.weights()["recurrent"]
    return [each.numpy() for each in tensors]


def reservoirs(network):
    """Return the reservoirs of the first network, those in depth together."""
    return [[numbers(each) for each in stack] for stack in network.members_[0].forward.side]


def one_step(weights, leak, x, y, h):
    into, back, bias, recurrent = weights
    return (1 - leak) * h + leak * np.tanh(x @ into + y @ back + bias[0] + h @ recurrent)


def states_of(weights, leak, inputs, fed):
    state, found = np.zeros(len(weights[3])), []
    for x, y in zip(inputs, fed, strict=True):
        state = one_step(weights, leak, x, y, state)
        found.append(state)
    return np.array(found)


def ridge(features, targets, penalty):
    means = features.mean(0), targets.mean(0)
    centred = features - means[0]
    gram = centred.T @ centred + penalty * np.eye(features.shape[1])
    weight = np.linalg.solve(gram, centred.T @ (targets - means[1]))
    return weight, means[1] - means[0] @ weight


def test_predictions_and_the_closed_loop_are_those_of_a_network_in_numpy():
    network = EchoStateNetwork(**SMALL, leak=0.6, bias_scaling=0.3, block_steps=70).fit(WAVE[:400])
    ((weights,),) = reservoirs(network)
    inputs, none = WAVE[:399, None], np.zeros((399, 0))
    states = states_of(weights, 0.6, inputs, none)
    features = np.hstack([inputs, states])
    weight, bias = ridge(features[20:], WAVE[21:400, None], 1e-6)
    np.testing.assert_allclose(network.predict(WAVE[:399]), (features @ weight + bias)[:, 0], atol=1e-7)
    state, x, found = states[-1], WAVE[399:400], []
    for _ in range(30):
        state = one_step(weights, 0.6, x, np.zeros(0), state)
        x = np.concatenate([x, state]) @ weight + bias
        found.append(x[0])
    np.testing.assert_allclose(network.generate(30), found, atol=1e-5)


def test_feedback_reads_the_targets_while_fitting_and_the_predictions_afterwards():
    inputs, targets = np.sign(WAVE), np.stack([WAVE, WAVE**2], 1)
    network = EchoStateNetwork(**SMALL, feedback_scaling=0.4, block_steps=64).fit(inputs, targets)
    ((weights,),) = reservoirs(network)
    fed = np.vstack([np.zeros((1, 2)), targets[:-1]])
    states = states_of(weights, 1.0, inputs[:, None], fed)
    features = np.hstack([inputs[:, None], states])
    weight, bias = ridge(features[20:], targets[20:], 1e-6)
    forced = network.predict(inputs, known=targets)
    np.testing.assert_allclose(forced, features @ weight + bias, atol=1e-6)
    state, y, found = np.zeros(30), np.zeros(2), []
    for x in inputs[:40, None]:
        state = one_step(weights, 1.0, x, y, state)
        y = np.concatenate([x, state]) @ weight + bias
        found.append(y)
    np.testing.assert_allclose(network.predict(inputs[:40]), found, atol=1e-5)


def test_blocks_are_no_limit_of_memory():
    of_blocks = [EchoStateNetwork(**SMALL, block_steps=size).fit(WAVE) for size in (7, 1000)]
    np.testing.assert_allclose(of_blocks[0].predict(WAVE), of_blocks[1].predict(WAVE), atol=1e-8)


def test_several_series_are_continued_at_once():
    network = EchoStateNetwork(**SMALL).fit(WAVE[:400])
    parts = [WAVE[100:300], WAVE[200:400]]
    alone = [network.generate(8, each) for each in parts]
    np.testing.assert_allclose(network.generate(8, parts), alone, atol=1e-9)
    shorter = network.generate(8, [parts[0], parts[1][50:]])
    np.testing.assert_allclose(shorter, [alone[0], network.generate(8, parts[1][50:])], atol=1e-9)


def test_scores_have_a_mean_and_a_deviation_over_seeds():
    network = EchoStateNetwork(**SMALL, seeds=3, seed=4).fit(WAVE[:400])
    score = network.evaluate(WAVE[380:])["rmse"]
    alone = [EchoStateNetwork(**SMALL, seed=seed).fit(WAVE[:400]).evaluate(WAVE[380:])["rmse"] for seed in (4, 5, 6)]
    assert score.each == [each.mean for each in alone]
    assert score.mean == pytest.approx(np.mean(score.each))
    assert score.deviation == pytest.approx(np.std(score.each, ddof=1))
    assert alone[0].deviation is None
    assert network.generate_each(5).shape == (3, 1, 5, 1)


def test_deep_reservoirs_read_those_before_them_and_the_readout_reads_all():
    network = EchoStateNetwork(**SMALL, num_layers=2, num_reservoirs=2).fit(WAVE)
    (member,) = network.members_
    assert len(member.solution.weight) == 1 + 4 * 30
    _, (first, second) = reservoirs(network)
    states = states_of(first, 1.0, WAVE[:50, None], np.zeros((50, 0)))
    deep = states_of(second, 1.0, states, np.zeros((50, 0)))
    ((_, features),) = member.features(torch.from_numpy(WAVE[:50, None]), None)
    np.testing.assert_allclose(features[:, 1 + 60 : 1 + 90], states, atol=1e-12)
    np.testing.assert_allclose(features[:, 1 + 90 :], deep, atol=1e-12)


def test_both_directions_know_what_follows():
    targets = np.roll(WAVE, -3)
    both, one = (
        EchoStateNetwork(**SMALL, bidirectional=each).fit(np.random.default_rng(0).normal(size=600), targets)
        for each in (True, False)
    )
    assert len(both.members_[0].solution.weight) == 61
    noise = np.random.default_rng(1).normal(size=600)
    after = np.concatenate([noise[3:], np.zeros(3)])
    errors = [
        EchoStateNetwork(**SMALL, bidirectional=each, activation="linear").fit(noise, after).evaluate(noise, after)
        for each in (True, False)
    ]
    assert errors[0]["nrmse"].mean < 0.2 < 0.8 < errors[1]["nrmse"].mean
    assert one.predict(noise).shape == (600,)


def test_noise_is_drawn_while_fitting_alone():
    still, noisy = (EchoStateNetwork(**SMALL, noise=noise).fit(WAVE) for noise in (0.0, 0.1))
    assert (noisy.predict(WAVE) == noisy.predict(WAVE)).all()
    norms = [each.members_[0].solution.weight.norm() for each in (still, noisy)]
    assert norms[1] < norms[0]


def test_more_features_than_steps_and_constant_targets_have_an_answer():
    few = EchoStateNetwork(hidden_size=50, warmup_steps=0).fit(WAVE[:20])
    assert np.isfinite(few.predict(WAVE)).all()
    constant = EchoStateNetwork(**SMALL).fit(WAVE, np.full(600, 3.0))
    np.testing.assert_allclose(constant.predict(WAVE), 3.0, atol=1e-9)
    assert constant.evaluate(WAVE, np.full(600, 3.0))["rmse"].mean < 1e-9


def with_gap():
    series = WAVE.copy()
    series[300] = np.nan
    return series


@pytest.mark.parametrize(
    ("error", "settings", "given", "message"),
    [
        (DataError, {}, (with_gap(),), r"finite numbers in series, got \[?nan(.|\n)*series 1, step 301"),
        (DataError, {}, (WAVE, with_gap()), "finite numbers in targets"),
        (DataError, {"warmup_steps": 599}, (WAVE,), "more steps than the warm-up of 599, got at most 599"),
        (DataError, {}, (WAVE, WAVE[1:]), "a target for each step, got series of 600 steps and targets of 599"),
        (DataError, {}, ([],), "at least one series"),
        (DataError, {}, ([WAVE, WAVE[:1]],), "in the last series, got none"),
        (DataError, {}, ("wave",), "Expected numbers"),
        (DataError, {}, ([WAVE, WAVE[:, None]],), "same channels"),
        (UsageError, {"feedback_scaling": 0.5}, (WAVE,), "Expected targets, since feedback_scaling"),
        (UsageError, {"feedback_scaling": 0.5, "bidirectional": True}, (WAVE, WAVE), "no output before it"),
        (UsageError, {"leak": 0.0}, (WAVE,), "leak"),
        (UsageError, {"recurrent": "spars(0.9)"}, (WAVE,), "`recurrent` of `reservoir`(.|\n)*Did you mean `sparse`"),
        (CellError, {"recurrent": "small_world(0.9, 40, 0.1)"}, (WAVE,), "30 units cannot have 40 neighbours"),
    ],
)
def test_a_mistake_is_named(error, settings, given, message):
    with pytest.raises(error, match=message):
        EchoStateNetwork(**{**SMALL, **settings}).fit(*given)


def test_calls_that_make_no_sense():
    with pytest.raises(UsageError, match="Did you mean `hidden_size`"):
        EchoStateNetwork(hidden_sise=3)
    network = EchoStateNetwork(**SMALL)
    with pytest.raises(NotFittedError):
        network.predict(WAVE)
    network.fit(WAVE, WAVE)
    with pytest.raises(UsageError, match="fitted to the next values"):
        network.generate(3)
    with pytest.raises(DataError, match="1 channels"):
        network.predict(np.stack([WAVE, WAVE], 1))
    with pytest.raises(UsageError, match="Only a network with feedback"):
        network.predict(WAVE, known=WAVE)
    with pytest.raises(DataError, match="at least one step"):
        EchoStateNetwork(**SMALL).fit(WAVE).generate(3, WAVE[:0])


def test_blocks_computed_by_another_thread_give_the_same_network():
    series = np.sin(np.arange(500) / 5)
    given = {"hidden_size": 30, "block_steps": 60, "noise": 0.01, "warmup_steps": 10}
    threads, found = torch.get_num_threads(), []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            found.append(EchoStateNetwork(**given).fit(series).predict(series))
    finally:
        torch.set_num_threads(threads)
    np.testing.assert_allclose(found[1], found[0], rtol=1e-6)


@pytest.mark.parametrize("solver", ["products", "qr"])
def test_states_that_grow_without_limit_are_refused(solver):
    given = {**SMALL, "activation": "linear", "recurrent": "sparse(20.0, 0.5)", "ridges": (1e-6, 1e-3)}
    with pytest.raises(DataError, match="finite"):
        EchoStateNetwork(**given, solver=solver).fit(WAVE)


def test_a_series_whose_squares_are_not_finite_is_refused():
    with pytest.raises(DataError, match="products are finite, got larger ones"):
        EchoStateNetwork(**SMALL).fit(WAVE * 1e200)


def test_series_are_read_from_views_and_left_as_they_are():
    backward, frozen = WAVE[::-1], WAVE.copy()
    frozen.flags.writeable = False
    network = EchoStateNetwork(**SMALL)
    np.testing.assert_array_equal(network.fit(backward).generate(5), network.fit(backward.copy()).generate(5))
    five: Any = np.int64(5)
    np.testing.assert_array_equal(network.fit(frozen).generate(5), network.fit(WAVE).generate(five))
    assert np.array_equal(frozen, WAVE)


def test_complex_numbers_are_refused():
    with pytest.raises(DataError, match="Expected numbers in series"):
        EchoStateNetwork(**SMALL).fit(WAVE + 1j)


def test_settings_changed_after_the_fit_take_effect_at_the_next_one():
    network = EchoStateNetwork(**SMALL).fit(WAVE)
    before, score = network.generate(5), network.evaluate(WAVE)
    network.set_params(bidirectional=True, warmup_steps=400)
    np.testing.assert_array_equal(network.generate(5), before)
    assert network.evaluate(WAVE) == score
    with pytest.raises(UsageError, match="reads forward"):
        network.fit(WAVE).generate(5)


def test_force_learning_needs_a_ridge():
    with pytest.raises(UsageError, match="force needs a ridge above 0"):
        EchoStateNetwork(fitter="force", feedback_scaling=1.0, ridges=0.0).fit(WAVE, WAVE)


@pytest.mark.parametrize("steps", [0, 1])
def test_a_series_without_a_next_value_is_refused(steps):
    with pytest.raises(DataError, match="more steps than the warm-up of 0, got at most 0"):
        EchoStateNetwork(hidden_size=5, warmup_steps=0).fit(WAVE[:steps])
