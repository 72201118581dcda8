"""Ensembles of forecasters: what is averaged, that each network learns for itself, and that a run is resumed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from elman import SequenceForecaster
from elman.errors import UsageError
from elman.tasks.panels import Windows

WAVE = np.sin(np.arange(90) / 3) + 0.1 * np.arange(90)
SMALL = {"horizon": 4, "window": 8, "hidden_size": 5, "epochs": 2, "calendar": False, "schedule": "constant"}
METHODS = {"segments": {"segment": 2, "linear": True}, "seasons": {"season": 4}, "direct": {}, "recursive": {}}


def fitted(method: str, loss: str = "absolute", **how: Any) -> SequenceForecaster:
    how = {**SMALL, **METHODS[method], "ensemble": 3, **how}
    return SequenceForecaster(method=method, loss=loss, **how).fit(WAVE)


@pytest.mark.parametrize(("method", "loss"), [*((method, "absolute") for method in METHODS), ("direct", "quantile")])
def test_the_forecast_is_the_mean_of_those_of_the_networks(method: str, loss: str, tmp_path: Path):
    model = fitted(method, loss)
    members = model.model_.members
    assert len(members) == 3
    assert not torch.equal(members[0].body.weights()["update/0"], members[1].body.weights()["update/0"])
    forecast = model.predict(WAVE)
    model.save(tmp_path)
    assert np.array_equal(SequenceForecaster.load(tmp_path).predict(WAVE), forecast)
    each = []
    network = model.model_
    for member in members:
        model.model_ = member
        each.append(model.predict(WAVE))
    model.model_ = network
    assert not np.allclose(each[0], each[1])
    assert np.allclose(np.mean(each, 0), forecast, atol=1e-5)


def test_paths_are_those_of_all_networks():
    model = fitted("recursive", "gaussian", samples=4)
    batch = next(iter(_batches(model)))
    assert model.task_._forecasts(model.model_.eval(), batch).paths().shape[-1] == 12


def test_each_network_learns_for_itself():
    # The mean over three networks has a third of the gradient of each.
    how = {"optimizer": "sgd", "clip_norm": None, "average_decay": None, "output_dropout": 0.0, "refit": False}
    three = fitted("segments", learning_rate=0.3, **how)
    alone = fitted("segments", learning_rate=0.1, ensemble=1, **how)
    for name, value in alone.model_.state_dict().items():
        assert torch.allclose(three.model_.members[0].state_dict()[name], value, atol=1e-5), name


def test_a_run_is_resumed_to_the_same_bits(tmp_path: Path):
    how = {"refit": False, "patience": None}
    whole = fitted("direct", epochs=3, **how)
    SequenceForecaster(method="direct", loss="absolute", **{**SMALL, "ensemble": 3, **how}).fit(WAVE, folder=tmp_path)
    longer = {**SMALL, "ensemble": 3, **how, "epochs": 3}
    resumed = SequenceForecaster(method="direct", loss="absolute", **longer).fit(WAVE, folder=tmp_path, resume=True)
    for name, value in whole.model_.state_dict().items():
        assert torch.equal(value, resumed.model_.state_dict()[name]), name


def test_intervals_are_around_the_averages():
    model = fitted("direct", conformal=True, refit=False, validation_fraction=0.3)
    low, high = np.moveaxis(model.predict_interval(WAVE), 2, 0)
    assert (low < high).all()
    assert ((low < model.predict(WAVE)) & (model.predict(WAVE) < high)).all()


def test_curvature_is_that_of_one_network():
    with pytest.raises(UsageError, match="ensemble"):
        fitted("direct", optimizer="hessian-free")


def _batches(model: SequenceForecaster) -> list[Any]:
    encoder = model.task_.encoders["series"]
    data = Windows(encoder.encode(model._like_training(WAVE)), model.task_.settings)
    return [data.read(item) for item in data.plan(0)]
