"""Forecasts: no look-ahead, no step too many or too few, the same in every batch, distributions and intervals."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from elman import SequenceForecaster
from elman.data.series.panel import Layout, Series
from elman.data.series.timestamps import Frequency
from elman.errors import DataError, ShapeError, UsageError
from elman.models import open_model
from elman.settings.forecasting import DISTRIBUTIONS
from elman.tasks.forecast import Forecast, ForecastSettings
from elman.tasks.panel import Panel
from elman.tasks.panel_windows import Windows
from elman.tasks.task import Values
from elman.training.listener import RunStart, Silent

HORIZON, WINDOW = 4, 8
METHODS = ("segments", "seasons", "direct", "recursive")
LOSSES = {
    "segments": ("absolute", "quantile", "student"),
    "seasons": ("absolute", "quantile", "gaussian"),
    "direct": ("squared", "quantile", "gaussian", "negative-binomial"),
    "recursive": ("huber", "gaussian", "student", "negative-binomial"),
}
UNITS = {"segments": {"segment": 2}, "seasons": {"season": 2}}
LAYOUT = Layout(
    target=("a", "b"), past=("p",), known=("k",), static=("s",), time="day", frequency=Frequency("second", 86400)
)


def panel(lengths: tuple[int, ...] = (30, 22, 26), *, past: bool = True, seed: int = 0) -> Panel:
    """Return series with every kind of covariate, and known ones ahead."""
    rng = np.random.default_rng(seed)
    series = [
        Series(
            name=f"s{number}",
            target=rng.integers(0, 9, (length, 2)).astype(float),
            past=rng.normal(size=(length, 1 if past else 0)),
            known=rng.normal(size=(length + HORIZON, 1)),
            static=np.array([float(number)]),
            start=np.datetime64("2024-01-01", "s"),
            frequency=Frequency("second", 86400),
        )
        for number, length in enumerate(lengths)
    ]
    return Panel(series, LAYOUT if past else replace(LAYOUT, past=()))


def fitted(method: str, loss: str, given_panel: Panel | None = None, **how: Any) -> SequenceForecaster:
    """Return a forecaster whose weights are drawn large, so that it reads everything that it can."""
    given_panel = given_panel or panel(past=method != "recursive")
    how = {**UNITS.get(method, {}), "hidden_size": 5, "epochs": 1, **how}
    if method == "recursive" and loss in DISTRIBUTIONS:
        how = {"samples": 5, **how}
    model = SequenceForecaster(horizon=HORIZON, window=WINDOW, method=method, loss=loss, calendar=True, **how)
    model.fit_values(Values({"series": given_panel}), None)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.model_.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator) * 0.5)
    return model


def forecasts(model: SequenceForecaster, given_panel: Panel) -> dict[tuple[int, int], torch.Tensor]:
    """Return the forecast of every window, by series and origin."""
    task = model.task_
    data = Windows(task.encoders["series"].encode(given_panel), task.settings)
    found = {}
    with torch.inference_mode():
        for item in data.plan(0):
            batch = data.read(item)
            outputs = task._forecasts(model.model_, batch)
            quantiles = outputs.quantiles()
            every = outputs.point if quantiles is None else torch.cat([outputs.point.unsqueeze(-1), quantiles], -1)
            pairs = zip(batch["series"].tolist(), batch["origin"].tolist(), every, strict=True)
            found |= {(series, origin): forecast for series, origin, forecast in pairs}
    return found


CASES = [(method, loss, scaling) for method in METHODS for loss in LOSSES[method] for scaling in ("last", "reversible")]
CASES = [(m, loss, "standard" if loss == "negative-binomial" else scaling) for m, loss, scaling in CASES]


@pytest.mark.parametrize(("method", "loss", "scaling"), sorted(set(CASES)))
def test_no_value_after_an_origin_changes_a_forecast_made_there(method: str, loss: str, scaling: str):
    model = fitted(method, loss, scaling=scaling)
    before = panel(past=method != "recursive")
    expected = forecasts(model, before)
    origin = 14
    changed = [
        replace(
            each,
            target=np.concatenate([each.target[:origin], each.target[origin:] + 1]),
            past=np.concatenate([each.past[:origin], each.past[origin:] + 5]),
            # What is known ahead is known until the end of the horizon.
            known=np.concatenate([each.known[: origin + HORIZON], each.known[origin + HORIZON :] - 3]),
        )
        for each in before
    ]
    found = forecasts(model, Panel(changed, before.layout))
    early = [key for key in expected if key[1] <= origin]
    assert early
    for key in early:
        assert torch.equal(found[key], expected[key]), key
    later = [key for key in expected if key[1] > origin + 1]
    assert any(not torch.equal(found[key], expected[key]) for key in later)


@pytest.mark.parametrize("method", METHODS)
def test_every_value_that_may_be_read_is_read(method: str):
    loss = LOSSES[method][0]
    model, before = fitted(method, loss, scaling="last"), panel((20,), past=method != "recursive")
    expected = forecasts(model, before)[0, 12]
    (series,) = before.series
    changes = {"last": ("target", 11), "first": ("target", 12 - WINDOW), "ahead": ("known", 12 + HORIZON - 1)}
    changes |= {"past": ("past", 11)} if method != "recursive" else {}
    for name, (role, row) in changes.items():
        values = getattr(series, role).copy()
        values[row] += 1.5
        found = forecasts(model, Panel([replace(series, **{role: values})], before.layout))[0, 12]
        assert not torch.equal(found, expected), name
    values = series.target.copy()
    values[12 - WINDOW - 1] += 1.5
    assert torch.equal(forecasts(model, Panel([replace(series, target=values)], before.layout))[0, 12], expected)


@pytest.mark.parametrize(("method", "loss", "scaling"), sorted(set(CASES)))
def test_a_series_has_the_same_forecast_alone_and_with_others(method: str, loss: str, scaling: str):
    model = fitted(method, loss, scaling=scaling)
    whole = panel((30, 9, 17, 26), past=method != "recursive")
    together = model.predict_all(list(whole))
    for each, forecast in zip(whole, together, strict=True):
        (alone,) = model.predict_all([each])
        for name, values in alone.items():
            torch.testing.assert_close(torch.tensor(values), torch.tensor(forecast[name]), rtol=1e-5, atol=1e-4)


LAGS = [(method, lag) for method in METHODS for lag in (1, 2, 5)]


@pytest.mark.parametrize(("method", "lag"), [each for each in LAGS if each != ("seasons", 1)])
def test_a_copy_of_the_value_some_steps_back_is_learned(method: str, lag: int):
    # The values repeat with a period, so that each one ahead is the one a period before.
    rng = np.random.default_rng(lag)
    series = [np.tile(rng.normal(size=lag), 40 // lag) for _ in range(6)]
    how: dict[str, Any] = {"linear": False, "scaling": "standard", "hidden_size": 24, "epochs": 40, "batch_size": 16}
    how |= {"output_dropout": 0.0, "learning_rate": 0.02, "average_decay": None, "seed": 1}
    how |= dict.fromkeys(UNITS.get(method, {}), lag)
    model = SequenceForecaster(horizon=2, window=2 * lag, method=method, loss="squared", **how).fit(series)
    assert model.evaluate(series)["mse"] < 0.02
    # The same forecasts moved by one step are wrong.
    if lag > 1:
        moved = [np.roll(each, 1) for each in series]
        errors = [model.predict(each)[:, 0] - other[:2] for each, other in zip(series, moved, strict=True)]
        assert np.square(errors).mean() > 0.2


@pytest.mark.parametrize("lag", [1, 3, 6])
def test_the_linear_map_is_exact(lag: int):
    rng = np.random.default_rng(lag)
    series = [np.tile(rng.normal(size=lag), 30) for _ in range(8)]
    how: dict[str, Any] = {"epochs": 1, "learning_rate": 1e-9, "hidden_size": 3}
    model = SequenceForecaster(horizon=4, window=lag, method="direct", loss="squared", **how).fit(series)
    for each in series:
        np.testing.assert_allclose(model.predict(each)[:, 0], each[:lag][np.arange(4) % lag], atol=1e-3)


@pytest.mark.parametrize("loss", LOSSES["recursive"])
def test_steps_with_carried_state_are_the_whole_window(loss: str):
    model = fitted("recursive", loss, scaling="standard")
    task, network = model.task_, model.model_
    data = Windows(task.encoders["series"].encode(panel((20,), past=False)), task.settings)
    batch = data.read([3])
    with torch.inference_mode():
        scaled, covariates, _ = network.read(batch["window"])
        state, static = network._until_origin(scaled, covariates, batch.columns)
        stepped: Any = None
        known = network._known(covariates)
        for step in range(1, WINDOW):
            inputs = torch.cat([scaled.data[step - 1].flatten(), known[step], static[0]])
            _, last = network.body(inputs[None, None], stepped)
            stepped = dict(last.tensors)
    for name, value in state.items():
        torch.testing.assert_close(stepped[name], value)


@pytest.mark.parametrize(("method", "loss"), [(method, loss) for method in METHODS for loss in LOSSES[method]])
def test_a_saved_model_gives_the_same_forecasts(method: str, loss: str, tmp_path):
    model, series = fitted(method, loss), panel(past=method != "recursive")
    model.save(tmp_path / "m")
    again = open_model(tmp_path / "m")
    assert again.predict_all(list(series)) == model.predict_all(list(series))  # type: ignore[attr-defined]


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 1000))
def test_quantiles_do_not_cross(method: str, seed: int):
    loss = "gaussian" if method == "recursive" else "quantile"
    model = fitted(method, loss)
    for each in model.predict_all(list(panel(past=method != "recursive", seed=seed))):
        assert (np.diff(np.array(each["quantiles"]), axis=-1) >= 0).all()
        assert (np.array(each["low"]) <= np.array(each["high"])).all()


def test_conformal_intervals_cover_what_they_should():
    rng = np.random.default_rng(3)
    train, validation, test = (rng.normal(size=size) for size in (300, 700, 1500))
    how: dict[str, Any] = {"loss": "squared", "interval": 0.8, "hidden_size": 4, "epochs": 2, "scaling": "standard"}
    model = SequenceForecaster(horizon=2, window=4, method="direct", **how).fit(train, validation=validation)
    assert model.evaluate(test)["coverage"] == pytest.approx(0.8, abs=0.04)
    low, high = model.predict_interval(test)[0, 0]
    assert 2.2 < high - low < 3.0


def test_a_channel_that_is_decoded_at_once_is_as_decoded_step_by_step():
    model = fitted("segments", "absolute")
    network = model.model_
    data = Windows(model.task_.encoders["series"].encode(panel()), model.task_.settings)
    batch = data.read([0, 5, 9])
    with torch.inference_mode():
        fast = network(batch.columns).values
        network.body.cell.__dict__["name"] = "gru_reset_after_of_mine"
        try:
            slow = network(batch.columns).values
        finally:
            network.body.cell.__dict__["name"] = "gru_reset_after"
    torch.testing.assert_close(fast, slow)


@pytest.mark.parametrize("hole", [False, True])
def test_each_step_of_a_season_is_a_sequence_of_its_own(hole: bool):
    values = np.random.default_rng(4).normal(size=(12, 2)) + 5
    how: dict[str, Any] = {"horizon": 5, "window": 6, "season": 3, "hidden_size": 4, "epochs": 1, "linear": False}
    how["missing"] = "mask" if hole else "error"
    model = SequenceForecaster(method="seasons", loss="squared", **how).fit(np.tile(values, (4, 1)))
    network, units = model.model_.eval(), model.task_.encoders["series"]
    if hole:
        values[-2, 0] = np.nan
    found, middle = model.predict(values), np.nanmean(values[-6:], 0)
    window = (values[-6:] - middle) / units.spread
    for target in range(2):
        seasons = window[:, target].reshape(2, 3)
        means = np.nanmean(seasons, 1)
        for step in range(3):
            distance = seasons[:, step] - means
            marks = [~np.isnan(distance)] if hole else []
            rows = torch.tensor(np.column_stack([np.nan_to_num(distance), means, *marks]), dtype=torch.float32)
            _, last = network.body(rows[None])
            ahead = network.out(last.output)[0].detach().numpy() * units.spread[target] + middle[target]
            np.testing.assert_allclose(found[step::3, target], ahead[: len(found[step::3])], rtol=1e-4)


def test_a_missing_value_is_marked_and_not_scored():
    values = np.sin(np.arange(60.0))
    holes = values.copy()
    holes[[20, 41]] = np.nan
    how: dict[str, Any] = {"horizon": 3, "window": 6, "hidden_size": 4, "epochs": 1, "missing": "mask"}
    model = SequenceForecaster(**how).fit(holes)
    assert model.evaluate(holes)["count"] == model.evaluate(values)["count"] - 6
    with pytest.raises(DataError, match="1 missing value"):
        SequenceForecaster(**{**how, "missing": "error"}).fit(np.where(np.arange(60) == 20, np.nan, values))


def test_short_series_are_read_with_shorter_windows():
    series = [np.sin(np.arange(40.0)), np.sin(np.arange(9.0))]
    settings_, notes = Forecast.resolve(
        ForecastSettings(horizon=3, window=8), Forecast.source.take((series,), Forecast.columns), validated=True
    )
    assert settings_.window == 8
    assert "shorter" in " ".join(notes)
    model = SequenceForecaster(horizon=3, window=8, hidden_size=4, epochs=1).fit(series)
    assert len(model.predict(series)) == 2
    with pytest.raises(DataError, match="too short"):
        SequenceForecaster(horizon=3, window=8, hidden_size=4, epochs=1).fit([np.arange(3.0)])


def test_constant_targets_are_named():
    values = np.stack([np.sin(np.arange(40.0)), np.ones(40)], 1)
    model = SequenceForecaster(horizon=3, window=8, hidden_size=4, epochs=1).fit(values)
    assert any("target 2" in note for note in model.task_.encoders["series"].notes)
    assert np.isfinite(model.predict(values)).all()


def test_another_number_of_channels_is_refused():
    model = SequenceForecaster(horizon=3, window=8, hidden_size=4, epochs=1).fit(
        np.zeros((40, 2)) + np.arange(40)[:, None]
    )
    with pytest.raises(ShapeError, match="2"):
        model.predict(np.zeros((40, 3)))


def test_settings_that_do_not_go_together_are_refused():
    with pytest.raises(UsageError, match="recursive"):
        SequenceForecaster(method="recursive", loss="quantile").fit(np.arange(40.0))
    with pytest.raises(UsageError, match="whole segments"):
        SequenceForecaster(method="segments", segment=5, window=12, horizon=3).fit(np.arange(80.0))
    with pytest.raises(UsageError, match="whole seasons"):
        SequenceForecaster(method="seasons", season=5, window=12, horizon=3).fit(np.arange(80.0))
    with pytest.raises(UsageError, match="season of 2 steps or more, and none was found"):
        SequenceForecaster(method="seasons", horizon=3).fit(np.arange(80.0))
    with pytest.raises(UsageError, match="season of 2 steps or more, got 1"):
        SequenceForecaster(method="seasons", season=1, horizon=3).fit(np.arange(80.0))


def test_a_backtest_learns_nothing_from_after_an_origin():
    values = np.sin(np.arange(80.0)) + np.arange(80) / 20
    how: dict[str, Any] = {"horizon": 3, "window": 6, "hidden_size": 4, "epochs": 1, "validation_fraction": 0.2}
    model = SequenceForecaster(**how).fit(values)
    # The last origin is three steps before the end: what is after the horizon of the first origin changes nothing.
    first = model.evaluate(values[:77], origins=1)
    changed = np.concatenate([values[:77], values[77:] * 100])
    both = model.evaluate(changed, origins=2, stride=3)
    assert both["examples"][0]["forecast"] == first["examples"][0]["forecast"]
    assert both["windows"] == 2
    with pytest.raises(UsageError, match="trained on data until"):
        model.evaluate(values, origins=2, keep_weights=True)
    assert SequenceForecaster(**how).fit(values[:70]).evaluate(values, origins=2, keep_weights=True)["windows"] == 2
    with pytest.raises(DataError, match="--origins"):
        model.evaluate(values, origins=40)


def test_a_backtest_finds_defaults_before_each_origin(tmp_path: Path):
    steps = np.arange(120.0)
    early = np.sin(steps * 2 * np.pi / 5)
    late = np.where(steps < 75, early, 40 * np.sin(steps * 2 * np.pi / 11))
    how: dict[str, Any] = {"horizon": 3, "hidden_size": 4, "epochs": 1, "validation_fraction": 0.0}
    one, other = (SequenceForecaster(**how).fit(values) for values in (early, late))
    assert (one.task_.settings.season, other.task_.settings.season) == (5, 11)
    # The series are the same until the end of the horizon.
    assert one.evaluate(early[:75], origins=1)["examples"] == other.evaluate(early[:75], origins=1)["examples"]
    other.save(tmp_path / "m")
    again = open_model(tmp_path / "m")
    assert again.unresolved_ == other.unresolved_  # type: ignore[attr-defined]
    assert again.evaluate(late, origins=2)["mse"] == other.evaluate(late, origins=2)["mse"]
    for model in (one, other):
        model.fit_baselines()
    held = Values({"series": Panel([series_of(early[:75])])})
    simple = [[(each.name, each.value) for each in m.baseline_values(held, origins=1)] for m in (one, other)]
    assert simple[0] == simple[1]


def test_a_backtest_keeps_the_settings_that_were_given():
    values = np.sin(np.arange(60.0))
    how: dict[str, Any] = {"horizon": 3, "hidden_size": 4, "epochs": 1, "season": 4, "window": 7}
    model = SequenceForecaster(**how).fit(values)
    unfitted = model._unfitted()
    assert (unfitted.season, unfitted.window, unfitted.horizon) == (4, 7, 3)
    assert (unfitted.method, unfitted.loss) == (None, None)


def series_of(values: np.ndarray) -> Series:
    """Return one series of values without covariates."""
    empty = np.empty((len(values), 0))
    return Series("", values[:, None], empty, empty, np.empty(0))


@pytest.mark.parametrize("method", ["direct", "recursive"])
@pytest.mark.parametrize("wrong", [-1.0, 0.5])
def test_counts_are_checked_wherever_they_are_read(method: str, wrong: float):
    counts = np.arange(60.0) % 3
    how: dict[str, Any] = {"horizon": 3, "window": 6, "hidden_size": 4, "epochs": 1}
    model = SequenceForecaster(method=method, loss="negative-binomial", **how).fit(counts)
    changed = np.where(np.arange(60) == 40, wrong, counts)
    for use in (model.predict, model.evaluate, SequenceForecaster(loss="negative-binomial", **how).fit):
        with pytest.raises(DataError, match=f"Expected counts .* got {wrong:g}") as caught:
            use(changed)
        assert "step 41, column `target 1`" in str(caught.value)


def test_quantiles_of_counts_are_never_negative():
    how: dict[str, Any] = {"horizon": 3, "window": 6, "hidden_size": 4, "epochs": 1}
    model = SequenceForecaster(method="direct", loss="negative-binomial", **how).fit(np.arange(60.0) % 3)
    model.model_.margins.fill_(5.0)
    (found,) = model.predict_all(np.arange(60.0) % 3)
    assert np.min(found["quantiles"]) == 0
    assert np.min(found["low"]) == 0


def test_whole_numbers_as_stamps_show_what_is_after_the_training_data():
    how: dict[str, Any] = {"horizon": 3, "window": 6, "hidden_size": 4, "epochs": 1}
    layout = Layout(target=("a",), time="step", frequency=Frequency())
    values = Values({"series": Panel([replace(series_of(np.sin(np.arange(50.0))), start=0)], layout)})
    model = SequenceForecaster(**how)
    model.fit_values(values, None)
    # Forty steps that begin at 100 are later than 50 that begin at 0.
    later = Values({"series": Panel([replace(series_of(np.sin(np.arange(40.0))), start=100)], layout)})
    assert model.evaluate_values(later, origins=2, keep_weights=True)["windows"] == 2
    longer = Values({"series": Panel([replace(series_of(np.sin(np.arange(60.0))), start=-30)], layout)})
    with pytest.raises(UsageError, match="trained on data until 49"):
        model.evaluate_values(longer, origins=1, keep_weights=True)


def test_a_model_that_reads_the_calendar_needs_dates():
    model = fitted("direct", "squared")
    assert model.task_.encoders["series"].cycles
    for each in panel():
        for changed in (replace(each, start=None), replace(each, start=5, frequency=Frequency())):
            with pytest.raises(DataError, match="Expected dates or times"):
                model.predict_all([changed])


def wave(length: int = 60, seed: int = 0) -> np.ndarray:
    """Return a noisy wave of a season of 7."""
    return np.sin(2 * np.pi * np.arange(length) / 7) + np.random.default_rng(seed).normal(size=length) * 0.1


SMALL: dict[str, Any] = {"horizon": HORIZON, "window": WINDOW, "hidden_size": 4, "epochs": 1, "seed": 1}


@pytest.mark.parametrize("missing", ["carry", "mask"])
def test_series_without_a_known_target_are_not_scored(missing: str):
    values = wave()
    model = SequenceForecaster(missing=missing, **SMALL).fit(values)
    values[WINDOW:] = np.nan
    with pytest.raises(DataError, match="no known target"):
        model.evaluate(values)
    with pytest.raises(DataError, match="no known target"):
        SequenceForecaster(missing=missing, validation_fraction=0.0, **SMALL).fit(values)


@pytest.mark.parametrize("method", ["direct", "recursive"])
def test_filled_targets_are_neither_trained_nor_scored(method: str):
    values = wave()
    model = SequenceForecaster(missing="carry", method=method, loss="squared", **SMALL).fit(values.copy())
    values[30:40] = np.nan
    found = model.evaluate(values)
    windows = len(values) - WINDOW - HORIZON + 1
    origins = WINDOW + np.arange(windows)
    known = ~np.isnan(values)
    assert found["count"] == sum(int(known[origin : origin + HORIZON].sum()) for origin in origins)
    model.fit_baselines()
    scores = model.baseline_values(Values({"series": model._like_training(values)}))
    naive = next(each for each in scores if each.name == "naive")
    filled = values.copy()
    filled[30:40] = values[29]
    spread = model.task_.encoders["series"].spread[0]
    errors = [(filled[o - 1] - values[o : o + HORIZON]) / spread for o in origins]
    assert naive.value == pytest.approx(np.nanmean(np.square(np.stack(errors))))
    task = model.task_
    (series,) = model._like_training(values)
    data = Windows(task.encoders["series"].encode([series]), task.settings)
    future = data.read(range(len(data)))["future"]
    assert int(future.isnan().sum()) == future.numel() - found["count"]


def test_missing_steps_at_the_beginning_of_an_array_are_left_out_where_they_cannot_be_carried():
    values = wave()
    values[:3] = np.nan
    model = SequenceForecaster(missing="carry", **SMALL).fit(values)
    assert len(model._like_training(values)[0]) == len(values) - 3
    assert np.isfinite(model.predict(values)).all()


def test_missing_values_are_refused_by_a_network_that_has_no_marks():
    whole = wave()
    model = SequenceForecaster(**SMALL).fit(whole)
    values = whole.copy()
    values[50] = np.nan
    masked = [Series("a", values[:, None], *[np.empty((60, 0))] * 2, np.empty(0))]
    for use in (model.predict, model.evaluate):
        with pytest.raises(DataError, match="without --missing mask, got 1 missing value") as error:
            use(masked)
        assert "--missing carry" in str(error.value)
        assert "step 51" in str(error.value)


@pytest.mark.parametrize(
    "given",
    [
        {"method": "segments", "dense": (4,)},
        {"method": "seasons", "dense": (4,)},
        {"method": "seasons", "segment": 4},
        {"method": "direct", "segment": 4},
        {"method": "recursive", "segment": 4},
        {"loss": "absolute", "quantiles": (0.5,)},
    ],
)
def test_settings_that_would_be_ignored_are_refused(given: dict[str, Any]):
    with pytest.raises(UsageError, match=", ".join(given) + "|" + ", ".join(reversed(given))):
        SequenceForecaster(horizon=HORIZON, **given).fit(wave())


@pytest.mark.parametrize(
    ("given", "problem", "defaults"),
    [
        ({"horizon": 4, "segment": 2}, "only the method segments has segments", "method direct"),
        ({"horizon": 48, "dense": (4,)}, "no dense layers", "method segments"),
        ({"method": "recursive", "quantiles": (0.5,), "loss": "huber"}, "quantiles need the loss quantile", ""),
        ({"loss": "negative-binomial", "scaling": "last"}, "counts have the scale of their window", ""),
    ],
)
def test_settings_are_checked_with_the_defaults_that_the_data_decide(
    given: dict[str, Any], problem: str, defaults: str
):
    with pytest.raises(UsageError, match=problem) as error:
        SequenceForecaster(epochs=1, **given).fit(wave(300))
    assert defaults in str(error.value)


@pytest.mark.parametrize(
    ("method", "loss"), [("direct", None), ("segments", "student"), ("recursive", "squared"), (None, None)]
)
def test_samples_are_refused_where_nothing_is_sampled(method: str | None, loss: str | None):
    with pytest.raises(UsageError, match="Nothing is sampled with --method") as error:
        SequenceForecaster(method=method, loss=loss, samples=7, **SMALL).fit(wave())
    assert "--samples" in str(error.value)
    assert SequenceForecaster(method="recursive", samples=7, **SMALL).fit(wave()).samples == 7


def notes_on(values: Any, **how: Any) -> str:
    taken = Forecast.source.take((values,), Forecast.columns)
    given = ForecastSettings(validation_fraction=0.1, **how)
    return "\n".join(Forecast.resolve(given, taken, validated=False)[1])


def test_a_window_that_leaves_few_windows_to_learn_from_is_noted():
    # 100 steps less 10 held out: origins 80 to 86, each with a horizon of 4.
    said = notes_on(np.arange(100.0), horizon=4, window=80)
    assert "only 7 windows to learn from" in said
    assert "84 steps, and the longest series has 90" in said
    assert "a shorter --window" in said
    assert "learn from" not in notes_on(np.arange(100.0), horizon=4, window=60)
    assert "only 1 window to learn from" in notes_on(np.arange(100.0), horizon=4, window=96)
    assert "more steps give more" in notes_on(np.arange(20.0), horizon=4)
    assert "only 4 windows" in notes_on(np.arange(100.0), horizon=4, window=50, train_stride=10)
    # Both series count: 7 windows each.
    assert "learn from" not in notes_on([np.arange(100.0)] * 2, horizon=4, window=80)


@pytest.mark.parametrize("count", [1, 2])
def test_series_that_are_all_shorter_than_a_window_are_noted(count: int):
    assert "shorter than window + horizon (54 steps)" in notes_on([np.arange(40.0)] * count, horizon=4, window=50)


@pytest.mark.parametrize("horizon", [None, 3, 30])
def test_the_season_is_found_before_the_steps_that_are_held_out(horizon: int | None):
    steps = np.arange(120.0)
    early = np.sin(steps * 2 * np.pi / 5)
    held = max(horizon or 0, 12)
    late = np.where(steps < 120 - held, early, 40 * np.sin(steps * 2 * np.pi / 11))
    how: dict[str, Any] = {
        "horizon": horizon,
        "hidden_size": 4,
        "epochs": 1,
        "refit": False,
        "validation_fraction": 0.1,
    }
    one, other = (SequenceForecaster(**how).fit(values) for values in (early, late))
    assert one.task_.settings == other.task_.settings
    assert one.task_.settings.season == 5
    weights = other.model_.state_dict()
    for name, weight in one.model_.state_dict().items():
        # Of the weights, the best epoch is chosen by the held-out steps, and the margins are fitted to them.
        assert name == "margins" or torch.equal(weight, weights[name]), name
    # Without a part held out, all steps are learned from.
    whole = SequenceForecaster(**{**how, "validation_fraction": 0.0}).fit(late)
    assert whole.task_.settings.season != 5


def test_the_steps_that_a_held_out_part_needs_are_named():
    how: dict[str, Any] = {"horizon": 3, "hidden_size": 4, "epochs": 1, "validation_fraction": 0.1}
    with pytest.raises(DataError, match=r"the longest has 6 steps, .* need at least 7"):
        SequenceForecaster(**how).fit(np.sin(np.arange(6.0)))
    assert SequenceForecaster(**how).fit(np.sin(np.arange(7.0))).predict(np.arange(7.0)).shape == (3, 1)


def test_rates_count_windows_and_not_their_steps():
    starts = []

    class Watch(Silent):
        def start(self, start: RunStart) -> None:
            starts.append(start)

    model = SequenceForecaster(horizon=4, window=8, hidden_size=4, epochs=1, refit=False).fit(wave(), listener=Watch())
    (record,) = model.history_.epochs
    assert record.tokens_per_second == pytest.approx(8 * record.sequences_per_second)
    assert starts[0].rate(asdict(record)) == f"{record.sequences_per_second:,.0f}"
    assert starts[0].unit == "windows"
