"""The options of reservoirs in the tasks: the answers of `EchoStateNetwork` with the same settings and seed."""

import numpy as np
import pytest
import torch

from elman import EchoStateNetwork, Ragged, SequenceClassifier, SequenceTagger
from elman.errors import DataError, UsageError
from elman.models import SequenceForecaster, SequenceRegressor
from elman.nn.reservoir_body import ReservoirBody
from elman.settings import check_settings
from elman.settings.reservoir import ReservoirUnits

RANDOM = np.random.default_rng(0)
INPUTS = RANDOM.standard_normal((300, 2))
TARGETS = np.zeros(300)
for step in range(2, 300):
    TARGETS[step] = 0.5 * TARGETS[step - 1] + np.tanh(INPUTS[step - 1, 0]) * INPUTS[step - 2, 1]
TARGETS = (TARGETS - TARGETS.mean()) / TARGETS.std()
CELL = {"recurrent": "sparse(0.8, 0.2)", "leak": 0.7, "bias_scaling": 0.2, "input_scaling": 0.5}
COMMON = {"hidden_size": 30, "seed": 5, "warmup_steps": 20, "ridges": 1e-2}
TASK = {"cell": "reservoir", "scaling": "none", "validation_fraction": 0.0}
OPTIONS = {
    "side by side": {"num_reservoirs": 3},
    "side by side, in depth": {"num_reservoirs": 2, "num_layers": 2},
    "input": {"read_input": True},
    "plasticity": {"plasticity_rate": 1e-3, "plasticity_steps": 100},
    "plasticity in both directions": {"plasticity_rate": 1e-3, "plasticity_deviation": 0.3, "bidirectional": True},
    "lags": {"lags": 3, "lag_stride": 2, "degree": 3},
    "lags in both directions": {"lags": 2, "bidirectional": True},
    "feedback": {"feedback_scaling": 0.3},
    "force": {"feedback_scaling": 0.3, "fitter": "force", "num_reservoirs": 2},
    "rls": {"read_input": True, "fitter": "rls", "forgetting": 0.99},
    "qr": {"num_reservoirs": 2, "solver": "qr"},
    "several ridges": {"read_input": True, "ridges": (1e-3, 1.0, 1e3)},
}


def networks(options, **more):
    """Return a regressor and an echo state network with the same settings."""
    given = {**COMMON, "bidirectional": False, **options, **more}
    units = {} if "lags" in options else CELL
    network = EchoStateNetwork(**{"read_input": False, **units, **given})
    return SequenceRegressor(**TASK, cell_options=CELL, **given), network


@pytest.mark.parametrize("name", OPTIONS)
def test_a_regressor_gives_the_numbers_of_an_echo_state_network(name, tmp_path):
    model, network = networks(OPTIONS[name])
    model.fit([INPUTS], [TARGETS])
    wanted = network.fit(INPUTS, TARGETS).predict(INPUTS)
    np.testing.assert_allclose(model.predict([INPUTS])[0], wanted, atol=1e-4)
    model.save(tmp_path / "model")
    again = SequenceRegressor.load(tmp_path / "model")
    np.testing.assert_array_equal(again.predict([INPUTS])[0], model.predict([INPUTS])[0])


@pytest.mark.parametrize(
    "options", [{"read_input": True}, {"lags": 2}, {"feedback_scaling": 0.5}, {"fitter": "rls", "num_reservoirs": 2}]
)
def test_series_of_other_lengths_are_read_as_one_by_one(options):
    cuts = [slice(0, 40), slice(40, 41), slice(41, 130), slice(130, 300)]
    series, targets = [INPUTS[cut] for cut in cuts], [TARGETS[cut] for cut in cuts]
    model, network = networks(options, ridges=1.0)
    model.fit(series, targets)
    middle, spread = (float(getattr(np.concatenate(targets), name)()) for name in ("mean", "std"))
    assert abs(middle) < 1e-9
    assert abs(spread - 1) < 1e-9
    network.fit(series, targets)
    for found, wanted in zip(model.predict(series), network.predict(series), strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-4)


@pytest.mark.parametrize(
    "options", [{"num_reservoirs": 2, "read_input": True}, {"lags": 2}, {"fitter": "rls", "num_reservoirs": 2}]
)
def test_a_forecaster_gives_the_steps_of_an_echo_state_network(options):
    window, horizon = 12, 3
    series = np.sin(np.arange(90) / 3) + 0.1 * RANDOM.standard_normal(90)
    given = {"hidden_size": 30, "seed": 2, "ridges": 0.1, **options}
    model = SequenceForecaster(
        **TASK, cell_options=CELL, **given, horizon=horizon, window=window, linear=False, batch_size=200
    ).fit([series])
    units = {} if "lags" in options else CELL
    network = EchoStateNetwork(**{"read_input": False, **units, **given}, warmup_steps=window - 1)
    starts = range(90 - window - horizon + 1)
    windows = [series[start : start + window] for start in starts]
    ahead = [np.zeros((window, horizon)) for _ in starts]
    for start, each in zip(starts, ahead, strict=True):
        each[-1] = series[start + window : start + window + horizon]
    network.fit(windows, ahead)
    wanted = network.predict(series[-window:][:, None])[-1]
    np.testing.assert_allclose(model.predict([series])[0][:, 0], wanted, atol=1e-4)


@pytest.mark.parametrize("options", [{"num_reservoirs": 2, "num_layers": 2, "read_input": True}, {"lags": 3}])
def test_a_recursive_forecaster_is_an_echo_state_network_in_closed_loop(options, tmp_path):
    window, horizon = 12, 4
    series = np.sin(np.arange(90) / 3) + 0.1 * RANDOM.standard_normal(90)
    given = {"hidden_size": 30, "seed": 2, "ridges": 0.1, **options}
    how = {"horizon": horizon, "window": window, "method": "recursive", "batch_size": 200}
    model = SequenceForecaster(**TASK, cell_options=CELL, **given, **how).fit([series])
    found = model.predict([series])[0][:, 0]
    model.save(tmp_path / "model")
    np.testing.assert_array_equal(SequenceForecaster.load(tmp_path / "model").predict([series])[0][:, 0], found)
    units = {} if "lags" in options else CELL
    network = EchoStateNetwork(**{"read_input": False, **units, **given}, warmup_steps=window - 1)
    starts = range(90 - window - horizon + 1)
    network.fit([series[start : start + window + horizon] for start in starts])
    np.testing.assert_allclose(found, network.generate(horizon, series[-window:]), atol=1e-4)


def test_the_plain_cell_forecasts_in_closed_loop():
    series = np.sin(np.arange(200) / 3)
    model = SequenceForecaster(**TASK, hidden_size=50, horizon=20, window=40, method="recursive").fit([series])
    assert model.task_.settings.loss == "squared"
    np.testing.assert_allclose(model.predict([series])[0][:, 0], np.sin(np.arange(200, 220) / 3), atol=0.05)


@pytest.mark.parametrize("options", [{"num_reservoirs": 2}, {"lags": 2}, {"read_input": True}])
def test_the_scores_of_a_classifier_are_those_of_an_echo_state_network(options):
    series = [INPUTS[first : first + 10] for first in range(0, 300, 10)]
    labels = ["up" if each[:, 0].sum() > 0 else "down" for each in series]
    given = {"hidden_size": 20, "seed": 3, "ridges": 0.5, **options}
    model = SequenceClassifier(**TASK, cell_options=CELL, **given, bidirectional=False, pooling="last", wide="off").fit(
        series, labels
    )
    hot = np.array([[label == each for each in model.task_.labels] for label in labels], float)
    wanted = [np.concatenate([np.zeros((9, 2)), row[None]]) for row in hot]
    plain = {} if "lags" in options else CELL
    network = EchoStateNetwork(**{"read_input": False, **plain, **given}, warmup_steps=9)
    network.fit(series, wanted)
    with torch.no_grad():
        found = model.model_(model.task_.encoders["text"].encode(series))
    np.testing.assert_allclose(found, [each[-1] for each in network.predict(series)], atol=1e-4)


@pytest.mark.parametrize("options", [{"num_reservoirs": 2}, {"lags": 2}, {"plasticity_rate": 1e-3, "read_input": True}])
def test_a_tagger_has_the_options(options, tmp_path):
    words = [[["a", "b", "c"][number] for number in RANDOM.integers(0, 3, size=length)] for length in range(3, 30)]
    before = [["none", *row[:-1]] for row in words]
    plain = {"characters": 0, "affixes": 0, "token_dropout": 0, "rare_dropout": 0, "bidirectional": False}
    given = {"hidden_size": 40, "num_layers": 1, "embedding": "one-hot", **options}
    model = SequenceTagger(cell="reservoir", **given, **plain).fit(words, before)
    assert model.score(words, before) > 0.99
    model.save(tmp_path / "model")
    assert SequenceTagger.load(tmp_path / "model").predict(words) == model.predict(words)


def test_noise_is_drawn_while_fitting_alone():
    model, _ = networks({"noise": 0.1})
    quiet, _ = networks({"read_input": False, "num_reservoirs": 1})
    model.fit([INPUTS], [TARGETS])
    np.testing.assert_array_equal(model.predict([INPUTS])[0], model.predict([INPUTS])[0])
    assert not np.allclose(model.predict([INPUTS])[0], quiet.fit([INPUTS], [TARGETS]).predict([INPUTS])[0])


def test_the_output_layer_of_an_ensemble_is_trained_by_gradients():
    given = {"num_reservoirs": 2, "ensemble": 2, "fitter": "gradient", "epochs": 3, "hidden_size": 10, "dropout": 0}
    series = [INPUTS[first : first + 10] for first in range(0, 300, 10)]
    model = SequenceRegressor(**TASK, **given).fit(series, [float(each.mean()) for each in series])
    first, second = (member.body.onward.side[0][0].input_weight for member in model.model_.members)
    assert not torch.equal(first, second)
    assert len(model.history_.epochs) == 3


REFUSED = [
    ({"cell": "gru", "num_reservoirs": 2}, "only the cell reservoir has them"),
    ({"lags": 2, "num_reservoirs": 2}, "has no units"),
    ({"lags": 2, "noise": 0.1}, "has no units"),
    ({"lags": 400}, "at most 20,000 products of lagged inputs, got 321,200"),
    ({"lags": 2, "read_input": True}, "have that of the step already"),
    ({"degree": 3}, "only lags has degree"),
    ({"plasticity_steps": 10}, "only plasticity_rate has plasticity_steps"),
    ({"fitter": "force"}, "force needs feedback"),
    ({"fitter": "rls", "ridges": 0.0}, "needs a ridge above 0"),
    ({"fitter": "rls", "solver": "qr"}, "only the fitter ridge has a solver"),
    ({"forgetting": 0.9}, "only the fitters rls and force forget"),
    ({"fitter": "gradient", "plasticity_rate": 0.1}, "plasticity comes before least squares"),
    ({"feedback_scaling": 1.0, "bidirectional": True}, "--no-bidirectional"),
    ({"feedback_scaling": 1.0, "plasticity_rate": 0.1}, "only units without feedback"),
    ({"num_reservoirs": 2, "zoneout": 0.1}, "have no zoneout"),
    ({"num_reservoirs": 2, "layer_sizes": (3, 4)}, "have no layer_sizes"),
    ({"num_reservoirs": 2, "merge": "sum"}, "have no merge"),
    ({"num_reservoirs": 2, "cell_options": {"activation": "sigmoid"}}, "expected one of tanh, linear"),
    ({"plasticity_rate": 0.1, "cell_options": {"activation": "linear"}}, "only tanh units have plasticity"),
    ({"feedback_scaling": 1.0, "fitter": "gradient", "loss": "quantile"}, "one number is fed back"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_options_that_do_not_go_together_are_refused(options, message):
    given = {"cell": "reservoir", "bidirectional": False, **options}
    with pytest.raises(UsageError, match=message):
        SequenceRegressor(**given).fit([INPUTS], [TARGETS])


@pytest.mark.parametrize(
    ("kind", "data", "message"),
    [
        (SequenceClassifier, ([INPUTS], ["a"]), "one label for a sequence"),
        (SequenceForecaster, ([TARGETS],), "its own forecasts too"),
        (SequenceTagger, ([["a"]], [["b"]]), "feeds none back"),
        (SequenceRegressor, ([INPUTS], [1.0]), "a target for each step"),
    ],
)
def test_tasks_without_an_output_for_each_step_refuse_feedback(kind, data, message):
    forward = {} if kind is SequenceForecaster else {"bidirectional": False}
    with pytest.raises(UsageError, match=message):
        kind(cell="reservoir", feedback_scaling=1.0, **forward).fit(*data)


@pytest.mark.parametrize(
    ("kind", "data", "message"),
    [
        (SequenceForecaster, ([TARGETS],), "give a longer window"),
        (SequenceTagger, ([["a"]], [["b"]]), "a tag for every word"),
    ],
)
def test_tasks_in_which_every_step_counts_refuse_a_warm_up(kind, data, message):
    with pytest.raises(UsageError, match=message):
        kind(cell="reservoir", warmup_steps=1).fit(*data)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "segments"}, "the methods direct and recursive"),
        ({"method": "seasons"}, "the methods direct and recursive"),
        ({"lags": 9, "window": 8, "horizon": 2}, "within the window"),
    ],
)
def test_a_forecaster_refuses_reservoirs_that_it_cannot_have(options, message):
    with pytest.raises(UsageError, match=message):
        SequenceForecaster(**{"cell": "reservoir", "lags": 2, "fitter": "gradient", **options}).fit([TARGETS])


@pytest.mark.parametrize("fitter", ["ridge", "rls", "force"])
def test_a_warm_up_that_is_longer_than_the_series_is_refused(fitter):
    model, _ = networks({"feedback_scaling": 0.1, "fitter": fitter}, warmup_steps=300)
    with pytest.raises(DataError, match="no rows to learn from"):
        model.fit([INPUTS], [TARGETS])


@pytest.mark.parametrize("fitter", ["ridge", "rls", "force"])
def test_constant_targets_and_more_features_than_steps_have_an_answer(fitter):
    model, _ = networks({"feedback_scaling": 0.1, "fitter": fitter, "num_reservoirs": 2}, warmup_steps=0)
    found = model.fit([INPUTS[:25]], [np.full(25, 7.0)]).predict([INPUTS])[0]
    np.testing.assert_allclose(found, 7.0, atol=1e-3)


def test_a_number_that_is_missing_within_a_series_is_named():
    gap = INPUTS.copy()
    gap[50, 1] = np.nan
    model, _ = networks({"num_reservoirs": 2})
    with pytest.raises(DataError, match=r"missing|finite|NaN|nan"):
        model.fit([gap], [TARGETS])


def test_both_directions_are_those_of_two_reservoirs():
    settings = check_settings(ReservoirUnits, {"hidden_size": 4, "bidirectional": True, "read_input": True})
    torch.manual_seed(0)
    body = ReservoirBody(settings, 2)
    batch = Ragged(torch.randn(7, 2), [4, 0, 3])
    outputs, last = body(batch)
    for number in (0, 2):
        one, row = batch[number], outputs[number]
        torch.testing.assert_close(row[:, :2], one)
        torch.testing.assert_close(row[:, 2:6], body.onward(one[None])[0][0])
        torch.testing.assert_close(row[:, 6:], body.backward(one.flip(0)[None])[0][0].flip(0))
        torch.testing.assert_close(last.output[number], torch.cat([row[-1, :6], row[0, 6:]]))
    assert not last.output[1].any()


@pytest.mark.parametrize("options", [{"num_reservoirs": 2, "num_layers": 2}, {"lags": 3, "lag_stride": 2}])
def test_a_body_continues_from_its_last_states(options):
    settings = check_settings(ReservoirUnits, {"hidden_size": 4, "read_input": True, **options})
    torch.manual_seed(0)
    body = ReservoirBody(settings, 2)
    series = [torch.randn(length, 2) for length in (6, 3, 9)]
    whole, end = body(Ragged.from_list(series))
    _, last = body(Ragged.from_list([each[:2] for each in series]))
    rest, after = body(Ragged.from_list([each[2:] for each in series]), last)
    for one, other in zip(whole, rest, strict=True):
        torch.testing.assert_close(one[2:], other)
    for name, tensor in end.tensors.items():
        torch.testing.assert_close(after.tensors[name], tensor)
    dense, _ = body(torch.stack([each[:3] for each in series]))
    torch.testing.assert_close(dense[2], whole[2][:3])


def test_a_body_takes_no_sequences():
    settings = check_settings(ReservoirUnits, {"hidden_size": 4, "bidirectional": True, "read_input": True})
    body = ReservoirBody(settings, 2)
    assert body(Ragged(torch.zeros(0, 2), []))[1].output.shape == (0, 10)
