"""The simple forecasts against their formulas typed out in NumPy."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view

from elman import SequenceForecaster
from elman.errors import UsageError
from elman.models import open_model
from elman.tasks.forecast_baselines import parts_of
from elman.tasks.forecast_maps import STRENGTHS
from elman.tasks.forecast_start import first_map
from elman.tasks.panel import Panel
from elman.tasks.task import Values

WINDOW, HORIZON = 12, 3


def walk(length: int, seed: int) -> np.ndarray:
    return np.cumsum(np.random.default_rng(seed).normal(size=length)) + 5


def normal_equations(features: np.ndarray, targets: np.ndarray, strength: float) -> np.ndarray:
    """Return the weights of ridge regression, the last row of which is a constant without a penalty."""
    penalty = np.full(features.shape[1], strength * np.square(features).sum() / features.shape[1])
    penalty[-1] = 0
    return np.linalg.solve(features.T @ features + np.diag(penalty), features.T @ targets)


def expected_map(features: np.ndarray, targets: np.ndarray, is_late: np.ndarray) -> np.ndarray:
    early = [normal_equations(features[~is_late], targets[~is_late], each) for each in STRENGTHS]
    errors = [np.square(features[is_late] @ each - targets[is_late]).sum() for each in early]
    return normal_equations(features, targets, STRENGTHS[int(np.argmin(errors))])


def rows_of(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return features with a constant, targets, and the origin of each window as a share of the series."""
    windows = sliding_window_view(values, WINDOW + HORIZON)
    last = windows[:, WINDOW - 1 : WINDOW]
    features = np.column_stack([windows[:, :WINDOW] - last, np.ones(len(windows))])
    return features, windows[:, WINDOW:] - last, np.arange(WINDOW, len(values) - HORIZON + 1) / len(values)


@pytest.mark.parametrize("scaling", ["standard", "series"])
def test_the_linear_maps_are_ridge_regression_by_its_normal_equations(scaling: str):
    series = [walk(90, 0), walk(50, 1), 40 * walk(70, 2)]
    how = {"window": WINDOW, "horizon": HORIZON, "hidden_size": 4, "epochs": 1, "scaling": scaling, "season": 1}
    model = SequenceForecaster(**how).fit(series)
    task, panel = model.task_, model.train_.columns["series"]
    model.fit_baselines()
    (ridge,) = (each for each in model.baselines_ if each.name == "ridge")
    every = np.concatenate(series)
    parts = [rows_of((each - every.mean()) / every.std()) for each in series]
    features, targets, share = (np.concatenate(each) for each in zip(*parts, strict=True))
    expected = expected_map(features, targets, share > np.quantile(share, 0.8))
    np.testing.assert_allclose(ridge.arrays()["weights"], expected, rtol=1e-6, atol=1e-9)
    forecasts = np.concatenate([f @ expected for f, _, _ in parts])
    (score,) = (each for each in model.baseline_values(Values({"series": panel})) if each.name == "ridge")
    assert score.value == pytest.approx(np.square(forecasts - targets).mean(), rel=1e-9)
    if scaling == "standard":
        # The network scales as the scores do: its map begins as that of the baseline.
        found = first_map(model.model_, task.encoders["series"].encode(panel), task.settings)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


def test_the_first_map_weighs_windows_by_the_scale_of_the_scores():
    values = walk(120, 3) * np.linspace(1, 6, 120)
    how = {"window": WINDOW, "horizon": HORIZON, "hidden_size": 4, "epochs": 1, "scaling": "series", "season": 1}
    model = SequenceForecaster(**how).fit(values)
    encoded = model.task_.encoders["series"].encode(Panel(model.train_.columns["series"].series))
    found = first_map(model.model_, encoded, model.task_.settings)
    windows = sliding_window_view(values, WINDOW + HORIZON)
    width = np.sqrt(windows[:, :WINDOW].var(1) + 1e-5 * values.var())[:, None]
    features, targets, share = rows_of(values)
    # Errors of a window that is divided by its width are multiplied by it, in deviations of the data.
    ratio = width / values.std()
    features = np.column_stack([features[:, :-1] / width * ratio, ratio])
    expected = expected_map(features, targets / width * ratio, share > np.quantile(share, 0.8))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("ensemble", [1, 2])
@pytest.mark.parametrize("linear", [False, True])
def test_the_mean_of_a_network_and_ridge_regression(tmp_path: Path, linear: bool, ensemble: int):
    values = walk(120, 5)
    how = {"window": WINDOW, "horizon": HORIZON, "hidden_size": 4, "epochs": 2, "season": 1, "loss": "squared"}
    how |= {"linear": linear, "scaling": "standard", "validation_fraction": 0.0, "ensemble": ensemble}
    alone = SequenceForecaster(**how).fit(values)
    both = SequenceForecaster(**how, ridge_weight=0.25).fit(values)
    assert [each.loss for each in both.history_.epochs] == [each.loss for each in alone.history_.epochs]
    both.fit_baselines()
    (ridge,) = (each for each in both.baselines_ if each.name == "ridge")
    units = both.task_.encoders["series"]
    window = (values[-WINDOW:] - units.middle[0]) / units.spread[0]
    line = np.append(window - window[-1], 1) @ ridge.arrays()["weights"] + window[-1]
    line = line * units.spread[0] + units.middle[0]
    expected = 0.75 * alone.predict(values)[:, 0] + 0.25 * line
    np.testing.assert_allclose(both.predict(values)[:, 0], expected, rtol=1e-4, atol=1e-5)
    both.save(tmp_path / "both")
    again = open_model(tmp_path / "both").predict(values)
    np.testing.assert_array_equal(again, both.predict(values))


@pytest.mark.parametrize("scaling", ["last", "series", "none"])
@pytest.mark.parametrize("linear", [False, True])
def test_the_mean_of_a_network_and_ridge_regression_on_standardised_windows(scaling: str, linear: bool):
    values = walk(120, 6)
    how = {"window": WINDOW, "horizon": HORIZON, "hidden_size": 4, "epochs": 2, "season": 1, "loss": "squared"}
    how |= {"linear": linear, "scaling": scaling, "validation_fraction": 0.0}
    alone = SequenceForecaster(**how).fit(values)
    both = SequenceForecaster(**how, ridge_weight=0.25, ridge_scaling="standard").fit(values)
    assert [each.loss for each in both.history_.epochs] == [each.loss for each in alone.history_.epochs]
    windows = sliding_window_view((values - values.mean()) / values.std(), WINDOW + HORIZON)
    features = np.column_stack([windows[:, :WINDOW], np.ones(len(windows))])
    share = np.arange(WINDOW, len(values) - HORIZON + 1) / len(values)
    weights = expected_map(features, windows[:, WINDOW:], share > np.quantile(share, 0.8))
    line = np.append((values[-WINDOW:] - values.mean()) / values.std(), 1) @ weights
    expected = 0.75 * alone.predict(values)[:, 0] + 0.25 * (line * values.std() + values.mean())
    np.testing.assert_allclose(both.predict(values)[:, 0], expected, rtol=1e-4, atol=1e-5)


def test_ridge_regression_without_a_weight_has_no_scaling():
    with pytest.raises(UsageError, match="ridge_scaling"):
        SequenceForecaster(ridge_scaling="standard", window=WINDOW, horizon=HORIZON).fit(walk(90, 0))


def test_ridge_regression_is_averaged_with_numbers_alone():
    for how in ({"loss": "quantile"}, {"method": "recursive"}, {}):
        with pytest.raises(UsageError, match="ridge_weight"):
            SequenceForecaster(**how, ridge_weight=0.5, window=WINDOW, horizon=HORIZON).fit(walk(90, 0))


def test_a_reservoir_forecasts_from_what_is_before_the_origin(tmp_path: Path):
    values = np.stack([np.sin(np.arange(200) / 3) * np.sin(np.arange(200) / 17), walk(200, 4)], 1)
    how = {"window": WINDOW, "horizon": HORIZON, "hidden_size": 4, "epochs": 1, "season": 1}
    model = SequenceForecaster(**how).fit(values)
    model.fit_baselines()
    assert [each.name for each in model.baselines_] == ["naive", "seasonal-naive", "ridge"]
    model.fit_baselines("reservoir")
    echo, panel = model.baselines_[-1], model.train_.columns["series"]
    scores = model.baseline_values(Values({"series": panel}))
    assert scores[-1].name == "reservoir"
    assert scores[-1].value < scores[0].value
    (part,) = parts_of(model.task_, panel)
    forecasts = echo.forecast(model.task_, part)
    assert np.nanmean(np.square(forecasts - part.future)) == pytest.approx(scores[-1].value)
    changed = part.values.copy()
    changed[100:] += 7
    early = part.origins <= 100
    again = echo.forecast(model.task_, part._replace(values=changed))
    np.testing.assert_allclose(again[early], forecasts[early], atol=1e-5)
    assert not np.allclose(again[~early], forecasts[~early], atol=1e-2)
    # A backtest fits it before each origin, and a saved model has it.
    before = [(each.name, each.value) for each in model.baseline_values(Values({"series": panel}), origins=2)]
    assert before[-1][0] == "reservoir"
    model.save(tmp_path / "m")
    loaded: Any = open_model(tmp_path / "m")
    assert [each.value for each in loaded.baseline_values(Values({"series": panel}))] == [each.value for each in scores]


def test_constant_windows_have_a_finite_map():
    how = {"window": WINDOW, "horizon": HORIZON, "hidden_size": 4, "epochs": 1, "season": 1}
    model = SequenceForecaster(**how).fit(np.ones(60))
    model.fit_baselines()
    assert all(np.isfinite(each).all() for baseline in model.baselines_ for each in baseline.arrays().values())
    assert torch.isfinite(model.model_.linear.weight).all()
