"""Settings of forecasts: how far, from how much of the past, and by which network."""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, PositiveInt, field_validator

from elman.settings.base import Conflict, Settings
from elman.settings.network import BodySettings
from elman.settings.series import Missing, Scaling
from elman.settings.space import Range, Space

Method = Literal["segments", "seasons", "direct", "recursive"]
# Methods that read a window in whole units: their segments or seasons.
IN_UNITS = ("segments", "seasons")
ForecastLoss = Literal["squared", "absolute", "huber", "quantile", "gaussian", "student", "negative-binomial"]
Level = Annotated[float, Field(gt=0, lt=1)]
DISTRIBUTIONS = ("gaussian", "student", "negative-binomial")
# Numbers that a network gives for each target and step; a number for each level of quantiles.
PARAMETERS = {"squared": 1, "absolute": 1, "huber": 1, "gaussian": 2, "student": 3, "negative-binomial": 2}
LEVELS = (0.1, 0.25, 0.5, 0.75, 0.9)


class WindowSettings(Settings):
    """Which steps a forecast is made of, and how they are read."""

    horizon: PositiveInt | None = Field(None, description="Steps to forecast. By default one season.")
    window: PositiveInt | None = Field(
        None,
        description="Steps before the origin that a forecast is made from. By default two seasons or two horizons, the "
        "longer of them.",
    )
    season: PositiveInt | None = Field(
        None, description="Steps of a season, for the seasonal baseline and the defaults. By default found."
    )
    calendar: bool | None = Field(
        None,
        description="Read the hour, weekday, month … of each step as known covariates. By default with time stamps, "
        "but for segments and seasons.",
    )
    missing: Missing = Field(
        "error",
        description="What happens to missing values and steps. carry repeats the last value; mask marks the value, "
        "which is neither trained nor scored.",
    )
    train_stride: PositiveInt = Field(1, description="Steps between the origins of two training windows.")


class ForecastNetworkSettings(WindowSettings, BodySettings):
    """The layers of a forecaster, and what it learns."""

    space: ClassVar[Space] = {"output_dropout": Range(0.0, 0.5)}

    method: Method | None = Field(
        None,
        description="How the network forecasts. With segments, those of the window are read by one GRU and those of "
        "the horizon decoded at once; seasons reads each step of a season as a sequence with a step a season; direct "
        "gives all steps from the last state; recursive goes a step at a time. By default segments from 48 steps "
        "ahead, else direct; direct with the fitter ridge.",
    )
    cell: str = Field("gru_reset_after", description="One of elman's cells, or your own as FILE.py:NAME.")
    segment: PositiveInt | None = Field(
        None,
        description="Steps of a segment. By default a season of up to 48 steps, which the window is a multiple of.",
    )
    linear: bool = Field(
        True,
        description="Add a linear map of the window. It begins as ridge regression; recursive networks have none.",
    )
    ridge_weight: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Weight of ridge regression in an average with the network. For errors of a number.",
    )
    ridge_scaling: Literal["last", "standard"] = Field(
        "last",
        description="Scaling of the windows that this ridge regression reads. last: less their last value; standard: "
        "by the training data, so that it reads their level too.",
    )
    scaling: Scaling | None = Field(
        None,
        description="Scaling of the windows. By the training data (standard, robust), the window itself (series, "
        "reversible), its mean or its last value, or none. By default last; mean for the method seasons; standard for "
        "counts.",
    )
    transform: Literal["none", "log"] = Field(
        "none", description="Forecast the targets or their logarithms. These need positive values."
    )
    loss: ForecastLoss | None = Field(
        None,
        description="What is learned: a number, quantiles or a distribution. squared, absolute and huber are errors "
        "of a "
        "number; gaussian, student and negative-binomial (for counts) distributions. By default quantile, student for "
        "recursive, or squared with the fitter ridge.",
    )
    quantiles: tuple[Level, ...] = Field(LEVELS, min_length=1, description="Levels of the quantiles, in order.")
    interval: Level = Field(0.8, description="Probability that an interval should hold.")
    conformal: bool = Field(
        True, description="Correct the intervals on the validation windows. This is split-conformal prediction."
    )
    samples: PositiveInt = Field(100, description="Sample paths of a recursive forecast.")
    dense: tuple[PositiveInt, ...] = Field((), description="Units of the dense layers before the output layer.")
    activation: Literal["relu", "tanh", "sigmoid"] = Field("relu", description="Activation of the dense layers.")

    @field_validator("quantiles", "dense", mode="before")
    @classmethod
    def _one_is_a_list_too(cls, value: Any) -> Any:
        return (value,) if isinstance(value, float | int) else value

    @property
    def levels(self) -> tuple[float, ...]:
        """Levels of the quantiles, with those of the interval and the median."""
        beside = (1 - self.interval) / 2
        return tuple(sorted({*self.quantiles, round(beside, 6), 0.5, round(1 - beside, 6)}))

    @property
    def parameters(self) -> int:
        """Numbers that the network gives for each target and step."""
        return len(self.levels) if self.loss == "quantile" else PARAMETERS[self.loss or "squared"]

    def _conflicts(self) -> Iterator[Conflict]:
        if self.cell == "none":
            yield Conflict(("cell",), "a forecaster needs recurrent layers.")
        if list(self.quantiles) != sorted(set(self.quantiles)):
            yield Conflict(("quantiles",), "give each level once, the smallest first.")
        if self.method == "recursive" and self.loss == "quantile":
            yield Conflict(("method", "loss"), "recursive forecasts draw from a distribution: student or gaussian.")
        if self.method in IN_UNITS and self.dense:
            yield Conflict(
                ("method", "dense"),
                f"a network of {self.method} has no dense layers: leave dense out, or give method direct.",
            )
        if self.ridge_weight and self.loss not in (None, "squared", "absolute", "huber"):
            yield Conflict(("ridge_weight", "loss"), "ridge regression forecasts a number: squared, absolute or huber.")
        if self.ridge_weight and self.method == "recursive":
            yield Conflict(("ridge_weight", "method"), "ridge regression forecasts all steps at once, as direct does.")
        if self.ridge_scaling != "last" and not self.ridge_weight:
            yield Conflict(("ridge_weight", "ridge_scaling"), "without a weight there is no ridge regression to scale.")
        if self.method not in (None, "segments") and self.segment is not None:
            yield Conflict(
                ("method", "segment"),
                "only the method segments has segments: leave segment out, or give method segments.",
            )
        if self.loss in ("squared", "absolute", "huber") and self.quantiles != LEVELS:
            yield Conflict(("loss", "quantiles"), "quantiles need the loss quantile or a distribution.")
        if self.dropout and self.num_layers == 1:
            yield Conflict(("dropout", "num_layers"), "dropout acts between layers; one layer has output_dropout.")
        if self.loss == "negative-binomial" and self.transform == "log":
            yield Conflict(("loss", "transform"), "counts may be 0: leave transform out.")
        if self.loss == "negative-binomial" and self.scaling in ("mean", "last", "series", "reversible"):
            yield Conflict(("loss", "scaling"), "counts have the scale of their window already: leave scaling out.")


class BacktestOptions(Settings):
    """How a forecaster is evaluated."""

    origins: PositiveInt | None = Field(
        None,
        description="Backtest from so many origins at the end of the series. The model is trained again before each.",
    )
    stride: PositiveInt | None = Field(None, description="Steps between two origins. By default the horizon.")
    keep_weights: bool = Field(
        False, description="Do not train again. Every origin must be after the data that the model was trained on."
    )
