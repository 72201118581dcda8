"""Models whose output layer is solved for, against scikit-learn on what that layer reads."""

import signal
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from helpers_training import At, assert_same_run
from sklearn.datasets import load_digits
from sklearn.linear_model import Ridge

from elman import SequenceClassifier, SequenceTagger
from elman.errors import DataError, ElmanError, TrainingError, UsageError
from elman.models import SequenceForecaster, SequenceRegressor
from elman.recipes.mackey_glass import mackey_glass
from elman.training import TrainingInterrupted

RANDOM = np.random.default_rng(0)
SERIES = [RANDOM.standard_normal((length, 2)) for length in RANDOM.integers(20, 40, size=24)]
MEANS = [float(each[:, 0].mean() * 5 + 2) for each in SERIES]
BEFORE = [np.concatenate([np.zeros(2), each[:-2, 0]]) for each in SERIES]
LABELS = ["high" if mean > 2 else "low" for mean in MEANS]
RESERVOIR = {"cell": "reservoir", "hidden_size": 30, "batch_size": 4, "validation_fraction": 0.0, "seed": 3}


def read_by_output_layer(model, series):
    found = []
    layer = model.model_.dense[-1]
    hook = layer.register_forward_pre_hook(lambda module, given: found.append(given[0]))
    with torch.no_grad():
        model.model_(model.task_.encoders["text"].encode(series))
    hook.remove()
    return torch.cat(found).double().numpy()


def test_a_reservoir_is_fitted_by_ridge_regression_in_one_pass():
    model = SequenceRegressor(**RESERVOIR, ridges=0.5).fit(SERIES, MEANS)
    assert len(model.history_.epochs) == 1
    features, layer = read_by_output_layer(model, SERIES), model.model_.dense[-1]
    targets = (np.array(MEANS) - np.mean(MEANS)) / np.std(MEANS)
    peer = Ridge(alpha=0.5, solver="svd").fit(features, targets)
    np.testing.assert_allclose(layer.weight[0].detach(), peer.coef_, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(layer.bias.detach(), peer.intercept_, rtol=1e-3, atol=1e-5)


def test_a_number_for_each_step_leaves_the_warm_up_out():
    model = SequenceRegressor(**RESERVOIR, bidirectional=False, ridges=1e-3, warmup_steps=5, dropout=0)
    model.fit(SERIES, BEFORE)
    features, layer = read_by_output_layer(model, SERIES), model.model_.dense[-1]
    kept = np.concatenate([np.arange(len(each)) >= 5 for each in SERIES])
    flat = np.concatenate(BEFORE)
    targets = (flat - flat.mean()) / flat.std()
    peer = Ridge(alpha=1e-3, solver="svd").fit(features[kept], targets[kept])
    np.testing.assert_allclose(layer.weight[0].detach(), peer.coef_, rtol=1e-2, atol=1e-4)
    assert model.score(SERIES, BEFORE) > 0.7


def test_labels_are_fitted_and_other_weights_stay():
    # With the least ridge the training labels are all right.
    model = SequenceClassifier(**RESERVOIR, ridges=1e-8, wide="off", cell_options={"recurrent": "ring(0.5)"})
    model.fit(SERIES, LABELS)
    assert model.score(SERIES, LABELS) == 1.0
    recurrent = model.model_.body.weights()["recurrent"]
    assert torch.equal(recurrent, 0.5 * torch.eye(30).roll(1, 1))


def test_more_features_than_the_memory_holds_are_refused(monkeypatch):
    monkeypatch.setattr("elman.nn.parts.memory_size", lambda: 50_000_000)
    with pytest.raises(UsageError, match=r"(?s)reads 800 features needs 0.0666 GB .* has 0.05 GB"):
        SequenceClassifier(**{**RESERVOIR, "hidden_size": 200}, wide="off").fit(SERIES, LABELS)
    SequenceClassifier(**{**RESERVOIR, "hidden_size": 100}, wide="off").fit(SERIES, LABELS)
    monkeypatch.setattr("elman.nn.parts.memory_size", lambda: None)
    SequenceClassifier(**{**RESERVOIR, "hidden_size": 200}, wide="off").fit(SERIES, LABELS)


def test_ridges_are_compared_on_a_single_minibatch_of_labels():
    """The least ridge, once chosen whenever there was one minibatch, gives 68% here."""
    digits = load_digits()
    images, labels = list(digits.images[:620] / 8 - 1), [str(each) for each in digits.target[:620]]
    given = {**RESERVOIR, "hidden_size": 100, "batch_size": 200, "bidirectional": False, "wide": "off"}
    model = SequenceClassifier(**given).fit(images[:120], labels[:120])
    least = SequenceClassifier(**given, ridges=1e-8).fit(images[:120], labels[:120])
    assert model.score(images[120:], labels[120:]) > least.score(images[120:], labels[120:]) + 0.05


@pytest.mark.parametrize("options", [{"batch_size": 40}, {"batch_size": 10}])
def test_ridges_of_numbers_are_compared_on_few_minibatches(options):
    random = np.random.default_rng(1)
    series = [random.standard_normal((12, 1)) for _ in range(80)]
    noisy = [float(each.mean() + random.standard_normal()) for each in series]
    given = {**RESERVOIR, "hidden_size": 60, **options}
    model = SequenceRegressor(**given).fit(series[:40], noisy[:40])
    least = SequenceRegressor(**given, ridges=1e-8).fit(series[:40], noisy[:40])
    assert model.score(series[40:], noisy[40:]) > least.score(series[40:], noisy[40:]) + 0.3


def test_every_cell_can_be_fitted_so_and_more_features_than_rows_are_no_harm():
    model = SequenceRegressor(cell="gru", fitter="ridge", hidden_size=40, batch_size=5).fit(SERIES[:10], MEANS[:10])
    assert np.isfinite(model.predict(SERIES)).all()


def test_the_learned_model_is_saved(tmp_path):
    model = SequenceRegressor(**RESERVOIR).fit(SERIES, MEANS)
    model.save(tmp_path / "model")
    loaded = SequenceRegressor.load(tmp_path / "model")
    assert (loaded.predict(SERIES) == model.predict(SERIES)).all()


@pytest.mark.usefixtures("python_handlers")
def test_a_fit_stopped_after_any_minibatch_ends_with_the_same_bits(tmp_path):
    listener = At(lambda: None)
    SequenceRegressor(**RESERVOIR).fit(SERIES, MEANS, folder=tmp_path / "whole", listener=listener)
    assert len(listener.events) == 6
    for batches in range(1, 7):
        folder = tmp_path / str(batches)
        stop = At(partial(signal.raise_signal, signal.SIGINT), batch=batches)
        with pytest.raises(TrainingInterrupted):
            SequenceRegressor(**RESERVOIR).fit(SERIES, MEANS, folder=folder, listener=stop)
        SequenceRegressor(**RESERVOIR).fit(SERIES, MEANS, folder=folder, resume=True)
        assert_same_run(tmp_path / "whole", folder)


STOPPED = {
    "plasticity": {"plasticity_rate": 1e-3, "plasticity_steps": 150},
    "noise, one minibatch in parts": {"noise": 0.1, "batch_size": 10},
    "qr": {"solver": "qr", "num_reservoirs": 2},
    "rls": {"fitter": "rls", "forgetting": 0.99},
    "force": {"fitter": "force", "feedback_scaling": 0.2, "warmup_steps": 3},
}


@pytest.mark.usefixtures("python_handlers")
@pytest.mark.parametrize("kind", STOPPED)
def test_every_fitter_goes_on_where_it_was_stopped(kind, tmp_path):
    given = {**RESERVOIR, "bidirectional": False, **STOPPED[kind]}
    SequenceRegressor(**given).fit(SERIES, BEFORE, folder=tmp_path / "whole")
    for batches in (1, 2):
        folder = tmp_path / str(batches)
        stop = At(partial(signal.raise_signal, signal.SIGINT), batch=batches)
        with pytest.raises(TrainingInterrupted):
            SequenceRegressor(**given).fit(SERIES, BEFORE, folder=folder, listener=stop)
        SequenceRegressor(**given).fit(SERIES, BEFORE, folder=folder, resume=True)
        assert_same_run(tmp_path / "whole", folder)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"ridges": 1.0}, "only the fitter ridge has them"),
        ({"fitter": "ridge", "loss": "absolute"}, "ridge minimises squared errors"),
        ({"cell": "reservoir", "warmup_steps": 3, "segment": 2}, "a segment has several steps"),
        ({"cell": "reservoir", "ridges": -1.0}, "greater than or equal to 0"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, reason):
    with pytest.raises(UsageError, match=reason):
        SequenceRegressor(**settings).fit(SERIES, MEANS)


@pytest.mark.parametrize("setting", [{"ensemble": 2}, {"class_weight": "balanced"}, {"adversarial": 1.0}])
def test_a_classifier_is_not_fitted_by_ridge_with_what_least_squares_lacks(setting):
    with pytest.raises(UsageError, match="ridge solves for one output layer"):
        SequenceClassifier(cell="reservoir", **setting).fit(SERIES, LABELS)


def test_a_warm_up_longer_than_every_series_is_refused():
    with pytest.raises(ElmanError, match="no rows to learn from"):
        SequenceRegressor(**RESERVOIR, warmup_steps=100).fit(SERIES, BEFORE)


def test_the_warm_up_of_whole_sequences_is_left_out_of_pooling():
    """Values before the warm-up count by the state alone, which a delay line of two units has forgotten."""
    cell = {"recurrent": "delay_line(1.0)", "activation": "linear"}
    given = {**RESERVOIR, "hidden_size": 2, "cell_options": cell, "scaling": "none", "bidirectional": False}
    model = SequenceRegressor(**given, warmup_steps=6).fit(SERIES, MEANS)
    changed = [np.concatenate([each[:4] + 9.0, each[4:]]) for each in SERIES]
    np.testing.assert_array_equal(model.predict(changed), model.predict(SERIES))
    whole = SequenceRegressor(**given).fit(SERIES, MEANS)
    assert not np.allclose(whole.predict(changed), whole.predict(SERIES))
    with pytest.raises(DataError, match="more steps than the warm-up of 6, got one of 6"):
        model.predict([SERIES[0][:6]])


def test_a_first_minibatch_may_be_shorter_than_the_warm_up():
    series = [np.ones((3, 2)) for _ in range(8)] + SERIES
    before = [[0.0] * 3 for _ in range(8)] + BEFORE
    model = SequenceRegressor(**RESERVOIR | {"batch_size": 1}, bucketing=False, warmup_steps=5, bidirectional=False)
    assert model.fit(series, before).evaluate(series, before)["count"] == sum(map(len, BEFORE)) - 5 * len(BEFORE)


def test_features_that_are_not_finite_are_refused():
    cell = {"recurrent": "ring(3.0)", "activation": "linear"}
    series = [np.ones((200, 1)) for _ in range(5)]
    with pytest.raises(TrainingError, match="input of the output layer is"):
        SequenceRegressor(**RESERVOIR | {"cell_options": cell}, scaling="none").fit(series, [1.0, 2.0, 3.0, 4.0, 5.0])


def test_a_constant_target_is_predicted():
    model = SequenceRegressor(**RESERVOIR).fit(SERIES, [7.0] * len(SERIES))
    np.testing.assert_allclose(model.predict(SERIES), 7.0, rtol=1e-6)


def test_a_delay_line_remembers_as_many_steps_as_it_has_units():
    series = [RANDOM.uniform(-0.5, 0.5, size=(300, 1)) for _ in range(4)]
    scores = []
    for steps in (5, 19, 30):
        delayed = [np.concatenate([np.zeros(steps), each[:-steps, 0]]) for each in series]
        cell = {"recurrent": "delay_line(1.0)", "activation": "linear"}
        model = SequenceRegressor(
            **RESERVOIR | {"cell_options": cell, "hidden_size": 20}, bidirectional=False, warmup_steps=30, ridges=1e-9
        )
        scores.append(model.fit(series, delayed).score(series, delayed))
    assert scores[0] > 0.8
    assert all(one > other for one, other in pairwise(scores))


WORDS = [[["a", "b", "c"][number] for number in RANDOM.integers(0, 3, size=length)] for length in range(3, 40)]
BEFORE_THEM = [["none", *row[:-1]] for row in WORDS]
TAGGER = {"fitter": "ridge", "cell": "reservoir", "hidden_size": 60, "num_layers": 1, "embedding": "one-hot"}


def test_tags_of_words_are_fitted():
    model = SequenceTagger(**TAGGER, characters=0, affixes=0, token_dropout=0, rare_dropout=0, bidirectional=False)
    model.fit(WORDS, BEFORE_THEM)
    assert model.model_.wide is None
    assert model.score(WORDS, BEFORE_THEM) > 0.99


def test_tags_chosen_together_are_not_found_by_least_squares():
    with pytest.raises(UsageError, match="CRF chooses tags together"):
        SequenceTagger(**TAGGER, crf=True, token_dropout=0, rare_dropout=0).fit(WORDS, BEFORE_THEM)


WAVES = [np.sin(np.arange(90) / 3 + shift) + 0.02 * RANDOM.standard_normal(90) for shift in range(3)]
FORECAST = {**RESERVOIR, "horizon": 3, "window": 12}


def windows_of(model, series):
    """Return what the output layer reads of every training window, and the scaled steps ahead."""
    network, task = model.model_, model.task_
    encoded = {"series": task.encoders["series"].encode(model._like_training(series))}
    data = task.source.evaluated(encoded, task.settings)
    batches = [data.read(item) for item in data.plan(0)]
    found = []
    hook = network.last_layer.register_forward_pre_hook(lambda module, given: found.append(given[0]))
    with torch.no_grad():
        for batch in batches:
            network(batch.columns)
    hook.remove()
    ahead = [network.remainder(batch.columns, batch["future"]).flatten(1) for batch in batches]
    return torch.cat(found).double().numpy(), torch.cat(ahead).numpy()


@pytest.mark.parametrize("linear", [True, False])
def test_a_forecaster_with_a_reservoir_is_fitted_to_what_its_linear_map_leaves(linear):
    model = SequenceForecaster(**FORECAST, linear=linear, ridges=0.5).fit(WAVES)
    assert (model.task_.settings.method, model.task_.settings.loss) == ("direct", "squared")
    features, targets = windows_of(model, WAVES)
    peer = Ridge(alpha=0.5, solver="svd").fit(features, targets)
    layer = model.model_.last_layer
    np.testing.assert_allclose(layer.weight.detach(), peer.coef_, rtol=1e-2, atol=1e-4)
    np.testing.assert_allclose(layer.bias.detach(), peer.intercept_, rtol=1e-2, atol=1e-4)
    if not linear:
        first = (WAVES[0][12:15] - WAVES[0][11]) / model.model_.scaling.spread.item()
        assert np.abs(targets - first).max(1).min() < 1e-9


def test_a_reservoir_forecasts_a_series_that_no_linear_map_does():
    series = mackey_glass(700)
    model = SequenceForecaster(
        cell="reservoir",
        cell_options={"input_scaling": 0.5, "bias_scaling": 0.3},
        hidden_size=200,
        horizon=10,
        window=40,
        seed=0,
        refit=False,
    ).fit(series[:600])
    model.fit_baselines()
    scores = {each.name: each.value for each in model.baseline_values(model._values(series, {}))}
    assert model.evaluate(series)["mse"] < 0.5 * scores["ridge"]


def test_windows_with_missing_values_ahead_are_not_learned_from(tmp_path):
    gap = [wave.copy() for wave in WAVES]
    gap[1][50] = np.nan
    model = SequenceForecaster(**FORECAST, missing="mask").fit(gap)
    assert np.isfinite(np.concatenate(model.predict(gap))).all()
    model.save(tmp_path / "model")
    again = SequenceForecaster.load(tmp_path / "model")
    np.testing.assert_array_equal(np.stack(again.predict(gap)), np.stack(model.predict(gap)))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"method": "segments"}, "the methods direct and recursive"),
        ({"method": "seasons"}, "the methods direct and recursive"),
        ({"loss": "quantile"}, "squared errors"),
    ],
)
def test_a_forecaster_with_a_reservoir_refuses_what_least_squares_do_not_find(given, said):
    with pytest.raises(UsageError, match=said):
        SequenceForecaster(**FORECAST, **given).fit(WAVES)
    assert SequenceForecaster(**FORECAST, fitter="ridge").fit(WAVES).predict(WAVES)[0].shape == (3, 1)
