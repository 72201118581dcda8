"""Forecasts: the oil temperature and loads of a transformer (ETTh1), sunspots, airline passengers."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from elman.data.known.datasets import open_dataset
from elman.data.series.panel import Layout
from elman.recipes.recipe import Parts, Recipe
from elman.tasks.forecast import Forecast
from elman.tasks.panel import Panel
from elman.tasks.task import Values

# Rows of ETTh1: 12, 4 and 4 months of 30 days.
TRAIN, VALIDATION, TEST = 8640, 11520, 14400
ETTH1_SOURCE = (
    "S. Lin et al., SegRNN, 2023, window 96, as measured again with it; all 2,881 - H test windows, seven channels "
    "standardised on the training rows"
)


def read_etth1(name: str, data: Path) -> Parts:
    """Return the rows to train, validate and test on.

    Forecasts of the latter two look back at the rows before them.
    """
    values = _read("etth1", data)
    (series,) = values.columns["series"]
    layout: Layout = values.columns["series"].layout

    def rows(begin: int, end: int) -> Values:
        part = replace(series.until(end), begin=begin)
        return replace(values, columns={"series": Panel([part], layout)}, notes=[])

    return Parts(rows(0, TRAIN), rows(TRAIN, VALIDATION), rows(VALIDATION, TEST))


def _read(name: str, data: Path) -> Values:
    path = open_dataset("time-series", data)
    return Forecast.source.read(str(path[name]), Forecast.columns, {})


def read_whole(part: str, name: str, data: Path) -> Parts:
    """Return a whole series, which a backtest divides before each origin."""
    values = _read(part, data)
    return Parts(values, None, values)


SEGMENTS: dict[str, Any] = {
    "method": "segments",
    "window": 96,
    "segment": 24,
    "hidden_size": 512,
    "output_dropout": 0.5,
    "loss": "absolute",
    "batch_size": 64,
    "learning_rate": 1e-3,
    "schedule": "cosine",
    "average_decay": 0.99,
    "clip_norm": None,
    "patience": None,
    "linear": False,
    "conformal": False,
    "checkpoint_seconds": 120.0,
}

# Half of the units over longer segments, averaged with ridge regression.
AVERAGED: dict[str, Any] = {**SEGMENTS, "hidden_size": 256, "segment": 48, "epochs": 3}

etth1_96 = Recipe(
    name="etth1-96",
    summary="96 hours of seven channels ahead: three GRU(512) over four segments of 24 hours",
    task="forecast",
    data=("time-series",),
    read=read_etth1,
    settings={**SEGMENTS, "horizon": 96, "ensemble": 3, "epochs": 5},
    reported={"mse": 0.368},
    source=ETTH1_SOURCE,
)

# One GRU for all hours of a day, which reads the same hour of 14 days.
HOURS: dict[str, Any] = {
    **SEGMENTS,
    "method": "seasons",
    "season": 24,
    "window": 336,
    "segment": None,
    "hidden_size": 64,
    "output_dropout": 0.6,
    "loss": "squared",
    "batch_size": 8,
    "train_stride": 4,
    "learning_rate": 5e-4,
    "epochs": 4,
}

etth1_720 = Recipe(
    name="etth1-720",
    summary="720 hours of seven channels ahead: GRU(64) over the days of 336 hours, averaged with ridge regression",
    task="forecast",
    data=("time-series",),
    read=read_etth1,
    # Ridge regression reads the level of a window, and the network does not.
    settings={**HOURS, "horizon": 720, "ridge_weight": 0.5, "ridge_scaling": "standard"},
    reported={"mse": 0.446},
    source=ETTH1_SOURCE,
)

etth1_720_last = Recipe(
    name="etth1-720-last",
    summary="720 hours ahead as etth1-720, with ridge regression on differences from the last value, as published",
    task="forecast",
    data=("time-series",),
    read=read_etth1,
    settings={**HOURS, "horizon": 720, "ridge_weight": 0.75},
    reported={"mse": 0.430},
    source="the best linear map of a longer window, less the last value",
)

etth1_96_long = Recipe(
    name="etth1-96-long",
    summary="96 hours of seven channels ahead, from the 336 before: GRU(256), averaged with ridge regression",
    task="forecast",
    data=("time-series",),
    read=read_etth1,
    settings={**AVERAGED, "horizon": 96, "window": 336, "ridge_weight": 0.35},
    reported={"mse": 0.370},
    source="the best linear map of a longer window; ridge regression on windows of 336 hours has 0.3696",
)

sunspots = Recipe(
    name="sunspots",
    summary="12 months of sunspots ahead, 8 origins over 35 years, trained again before each: GRU(64) over years",
    task="forecast",
    data=("time-series",),
    read=partial(read_whole, "sunspots"),
    settings={
        "horizon": 12,
        "window": 264,
        "method": "segments",
        "segment": 12,
        "hidden_size": 64,
        "batch_size": 64,
        "epochs": 12,
        "validation_fraction": 0.2,
    },
    options={"origins": 8, "stride": 60},
)

airline = Recipe(
    name="airline",
    summary="12 months of airline passengers ahead, 5 origins a year apart, trained again before each: GRU(16)",
    task="forecast",
    data=("time-series",),
    read=partial(read_whole, "airline"),
    settings={
        "horizon": 12,
        "window": 24,
        "method": "direct",
        "transform": "log",
        "loss": "squared",
        "calendar": False,
        "hidden_size": 16,
        "learning_rate": 2e-4,
        "validation_fraction": 0.25,
    },
    options={"origins": 5},
)
