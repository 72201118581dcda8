"""The task of forecasting series of numbers."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field, PositiveInt

from elman.errors import UsageError
from elman.report.parts import Part
from elman.settings.base import Conflict
from elman.settings.ensemble import EnsembleSettings
from elman.settings.forecasting import DISTRIBUTIONS, IN_UNITS, BacktestOptions, ForecastNetworkSettings
from elman.settings.reservoir import ReservoirTaskSettings
from elman.settings.training import TrainingSettings
from elman.tasks.panel_encoder import PanelEncoder
from elman.tasks.panels import Panels
from elman.tasks.task import Answer, Batch, Column, Data, Found, Metric, Read, Task, Values


class ForecastSettings(ForecastNetworkSettings, TrainingSettings, EnsembleSettings, ReservoirTaskSettings):
    """Every setting of a forecaster: its windows, the network's layers and the training."""

    no_feedback: ClassVar[str] = "a forecaster reads the values already; with method recursive, its own forecasts too."
    no_warmup: ClassVar[str] = "a forecast is made from the last state of its window; give a longer window."

    hidden_size: PositiveInt = Field(128, description="Units of each recurrent layer.")
    output_dropout: float = Field(
        0.2, ge=0, lt=1, description="Fraction of the features of the recurrent outputs to drop."
    )
    epochs: PositiveInt = Field(30, description="Passes over the windows.")
    schedule: Literal["constant", "linear", "cosine", "step", "one-cycle"] = Field(
        "linear", description="How the learning rate changes. `elman.training.schedules` has the formulas."
    )
    clip_norm: float | None = Field(5.0, gt=0, description="Largest norm of the gradient, which is scaled down to it.")
    average_decay: float | None = Field(
        0.99,
        ge=0,
        lt=1,
        description="Keep an average of the weights with this decay. The average is evaluated and saved.",
    )
    patience: PositiveInt | None = Field(8, description="Stop after N epochs without a better one.")
    refit: bool = Field(
        True,
        description="Train again on all data at the end. For the best number of epochs, if elman held a part out.",
    )

    def _conflicts(self) -> Iterator[Conflict]:
        if self.closed_form and self.method in IN_UNITS:
            yield Conflict(
                ("fitter", "method"), "ridge solves for the output layer of the methods direct and recursive."
            )
        if self.closed_form and self.ridge_weight:
            yield Conflict(("fitter", "ridge_weight"), "the fitter ridge adds a map of the window already.")
        if self.closed_form and self.loss not in (None, "squared"):
            yield Conflict(("fitter", "loss"), "ridge minimises squared errors.")
        if self.reservoir_options and self.method in IN_UNITS:
            name = self.reservoir_options[0]
            yield Conflict(("method", name), f"reservoirs with {name} are for the methods direct and recursive.")
        if self.lags is not None and self.window is not None and (self.lags - 1) * self.lag_stride >= self.window:
            yield Conflict(("lags", "window"), "the lagged inputs must be within the window.")


class Forecast(Task):
    """The next steps of series of numbers: points, quantiles or distributions, with intervals.

    Scores of several targets are means of errors that were divided by the deviation of each target in training.
    """

    name = "forecast"
    summary = "the next steps of series of numbers"
    noun = "forecaster"
    settings_class = ForecastSettings
    options_class = BacktestOptions
    columns = (Column("series", PanelEncoder),)
    source = Panels()
    baseline_names = ("naive", "seasonal-naive", "ridge")
    asked_baselines = ("reservoir",)
    metrics = (
        Metric("mse", title="MSE", note="Mean squared error, each target divided by its deviation in training."),
        Metric("mae", title="MAE", note="Mean absolute error, each target divided by its deviation in training."),
        Metric("rmse", title="RMSE", note="Root of the mean squared error, in the units of the data."),
        Metric("crps", title="CRPS", note="Of the quantiles or the distribution; for a point it would be the MAE."),
        Metric("coverage", compares=False, percent=True, note="Values inside their interval."),
        Metric(
            "width",
            compares=False,
            title="interval width",
            note="Mean width of the intervals, in deviations of the target.",
        ),
        Metric("loss", note="What the network learns, as the setting loss names it."),
        Metric("windows", compares=False, note="Forecasts that were scored."),
    )
    use = ("elman predict {model} {data}", "elman evaluate {model} {data} --origins 10")
    damaged = "The weights are damaged: train the model again, with a lower learning rate."
    examples = (
        "elman train forecast passengers.csv --target Passengers --time Month --horizon 12 --out passengers",
        "elman train forecast load.csv --horizon 96 --window 336 --method segments --loss absolute --out load",
        "elman train forecast sales.csv --target sold --series shop --time day --known price --static region --horizon "
        "14 --loss negative-binomial --method recursive --out sales",
    )

    @classmethod
    def baselines(cls) -> Any:
        """Return the last value, the last season, ridge regression on the window, and a reservoir."""
        # numpy is needed only for training.
        from elman.tasks.forecast_baselines import Naive, RidgeWindow, SeasonalNaive
        from elman.tasks.reservoir_baselines import EchoForecast

        return (Naive("series"), SeasonalNaive("series"), RidgeWindow("series"), EchoForecast("series"))

    @classmethod
    def resolve(cls, settings: Any, values: Values, *, validated: bool) -> tuple[Any, Sequence[str]]:
        """Return the settings as the lengths and the frequency of the series decide them."""
        from elman.tasks.forecast_defaults import resolved

        return resolved(settings, values, validated=validated)

    @property
    def metric(self) -> Metric:
        """The metric by which epochs are compared: the CRPS of quantiles, the loss of distributions, else the MSE."""
        names = {"quantile": "crps", **dict.fromkeys(DISTRIBUTIONS, "loss")}
        wanted = names.get(self.settings.loss) if self.settings.metric is None else None
        return next((metric for metric in self.metrics if metric.name == wanted), None) or super().metric

    @property
    def unit(self) -> str:
        """What rates are counted in."""
        return "windows"

    @property
    def tokens(self) -> str:
        """What a series is made of."""
        return "values"

    @property
    def _units(self) -> Any:
        import torch

        from elman.tasks.forecast_outputs import Units

        encoder = self.encoders["series"]
        kind = torch.float64
        return Units(torch.tensor(encoder.middle, dtype=kind), torch.tensor(encoder.spread, dtype=kind))

    def network(self, cell: Any) -> Any:
        """Build the network that the setting `method` names, or several of them."""
        from elman.forecast_ensemble import ForecastEnsemble
        from elman.forecast_network import NETWORKS

        settings, sizes = self.settings, self.encoders["series"].sizes()
        if settings.ensemble > 1:
            return ForecastEnsemble(settings, sizes, settings.ensemble, cell)
        return NETWORKS[settings.method](settings, sizes, cell)

    def prepare(self, network: Any, encoded: Mapping[str, Any], *, fit: bool) -> Mapping[str, Any]:
        """Fit the scaling of the network and the ridge regression beside it."""
        from elman.data.ragged.ragged import Ragged
        from elman.forecast_ensemble import forecasters_of
        from elman.tasks.forecast_start import start_maps

        panel = encoded["series"]
        if fit and panel.lengths:
            for one in forecasters_of(network):
                one.scaling.fit(Ragged(panel.rows[:, : len(self.encoders["series"].middle)], panel.lengths))
            start_maps(network, panel, self.settings)
        return encoded

    def inherit(self, network: Any, earlier: Any) -> None:
        """Give a network the margins of the intervals."""
        network.margins.copy_(earlier.margins)
        network.calibrated.copy_(earlier.calibrated)

    def read(self, network: Any, batch: Batch, state: Any = None) -> Read:
        """Read a batch, with `Forecasts` as outputs.

        Outside training recursive networks draw their paths. In training each network of an ensemble has a loss of its
        own, and the mean of them is learned.
        """
        import torch

        from elman.forecast_ensemble import averaged

        if not (network.training and hasattr(network, "each")):
            forecasts = self._forecasts(network, batch, taught=network.training)
            loss, count = forecasts.loss(batch["future"])
            return Read(loss, count, forecasts)
        raws = network.each(batch.columns)
        losses, counts = zip(*(self._of_raw(network, batch, raw).loss(batch["future"]) for raw in raws), strict=True)
        loss = torch.stack(losses).mean()
        return Read(loss, counts[0], self._of_raw(network, batch, averaged(raws)))

    def readout(self, network: Any, batch: Batch) -> Any:
        """Return what the linear map of the window leaves of the steps ahead, in scaled values.

        The rows of the method direct are windows, and those of the method recursive are steps.
        """
        left = network.remainder(batch.columns, batch["future"])
        return left.flatten(1) if self.settings.method == "direct" else left.flatten(0, 1)

    def counted(self, batch: Batch) -> Any:
        """Return which windows, or steps, have no missing value ahead, None for all of them."""
        missing = batch["future"].isnan()
        known = ~(missing.flatten(1) if self.settings.method == "direct" else missing.flatten(0, 1)).any(1)
        return None if bool(known.all()) else known

    def _forecasts(self, network: Any, batch: Batch, *, taught: bool = False, margins: bool = True) -> Any:
        from elman.tasks.forecast_outputs import drawn, size_of, uniform_numbers

        settings, targets = self.settings, len(self.encoders["series"].middle)
        if settings.method != "recursive" or taught:
            return self._of_raw(network, batch, network(batch.columns), margins=margins)
        size = size_of(batch["window"], targets) if settings.loss == "negative-binomial" else None
        samples = settings.samples if settings.loss in DISTRIBUTIONS else 1
        uniform = uniform_numbers(settings.seed, samples, settings.horizon, targets).to(network.margins.device)
        return self._of_raw(network, batch, network(batch.columns, drawn(settings, uniform, size)), margins=margins)

    def _of_raw(self, network: Any, batch: Batch, raw: Any, *, margins: bool = True) -> Any:
        """Return the forecasts that the outputs of a network mean."""
        from elman.devices import moved, widened
        from elman.tasks.forecast_outputs import Forecasts, size_of

        settings, units = self.settings, moved(self._units, network.margins.device)
        size = size_of(batch["window"], len(units.middle)) if settings.loss == "negative-binomial" else None
        raw = type(raw)(widened(raw.values), raw.scale, None if raw.paths is None else widened(raw.paths))
        fitted = margins and bool(network.calibrated)
        return Forecasts(
            raw, settings, units, margins=network.margins if fitted else None, size=size, is_taught=network.training
        )

    def complete(self, network: Any, data: Data | None) -> None:
        """Fit the margins of conformal intervals on the validation windows."""
        import torch

        from elman.tasks.forecast_outputs import fit_margins

        if data is None or not self.settings.conformal:
            return
        with torch.inference_mode():
            batches = [data.read(item).to(network.margins.device) for item in data.plan(0)]
            pairs = [(self._forecasts(network, batch, margins=False), batch["future"]) for batch in batches]
            margins = fit_margins(pairs, self.settings.interval)
        network.margins.copy_(margins.clone())
        network.calibrated.fill_(True)

    def scores(self, data: Data) -> Any:
        """Return the scores of `ForecastScores`."""
        from elman.tasks.forecast_scores import ForecastScores

        return ForecastScores(data, self._units, self.encoders["series"].layout.target)

    def answers(self, network: Any, batch: Batch) -> list[Answer]:
        """Return the forecast of each series: points, limits and quantiles."""
        from elman.data.ragged.finite import check_finite
        from elman.data.ragged.ragged import Ragged

        forecasts = self._forecasts(network, batch)
        check_finite(Ragged.from_dense(forecasts.point.flatten(2)))
        point, limits, quantiles = forecasts.point, forecasts.limits(), forecasts.quantiles()
        found = []
        for row in range(len(point)):
            value: dict[str, Any] = {"mean": point[row].tolist()}
            if limits is not None:
                value |= {"low": limits[0][row].tolist(), "high": limits[1][row].tolist()}
            if quantiles is not None:
                value["quantiles"] = quantiles[row].tolist()
            found.append(Answer(value))
        return found

    def answer_header(self) -> list[str]:
        """Return the columns of predictions: series, stamp, and each target with its quantiles."""
        layout = self.encoders["series"].layout
        names = [layout.series] if layout.series is not None else []
        names.append(layout.time or "step")
        return [*names, *(name for target in layout.target for name in self._target_columns(target))]

    def _target_columns(self, target: str) -> list[str]:
        more = [f"{target} {level:g}" for level in self.settings.levels] if self._has_quantiles else []
        return [target, *(more or ([f"{target} low", f"{target} high"] if self.settings.conformal else []))]

    @property
    def _has_quantiles(self) -> bool:
        return self.settings.loss == "quantile" or self.settings.loss in DISTRIBUTIONS

    def answer_rows(self, row: Any, answer: Answer) -> list[list[Any]]:
        """Return a row for each step ahead of a series."""
        from elman.data.series.timestamps import written_stamp

        layout, value = self.encoders["series"].layout, answer.value
        steps = row.stamps(len(row), self.settings.horizon)
        found = []
        for step, stamp in enumerate(steps):
            shown = int(stamp) + 1 if row.start is None else written_stamp(stamp, row.frequency)
            cells: list[Any] = [row.name] if layout.series is not None else []
            cells.append(shown)
            for target in range(len(layout.target)):
                cells.append(value["mean"][step][target])
                if self._has_quantiles:
                    cells += value["quantiles"][step][target]
                elif self.settings.conformal:
                    limits = [value[each][step][target] if each in value else None for each in ("low", "high")]
                    cells += limits
            found.append(cells)
        return found

    def check(self, batch: Batch, read: Read) -> None:
        """Refuse outputs that are not finite."""
        if read.targets:
            super().check(batch, read)

    def facts(self) -> dict[str, Any]:
        """Return the method, the window and the horizon."""
        settings = self.settings
        return {"method": settings.method, "window": settings.window, "horizon": settings.horizon}

    def report(self, found: Found) -> list[Part]:
        """Return the scores, forecasts against the truth, errors, and residuals."""
        from elman.tasks.forecast_report import parts_of_report

        return parts_of_report(self, found.scores)


def refuse_kept_weights(name: str, end: str) -> UsageError:
    """Return the error for an origin within the training data."""
    return UsageError(
        f"The model was trained on data until {end}, and an origin of {name or 'the series'} is before that.",
        fix="Leave --keep-weights out, so that it is trained again before each origin, or give fewer --origins.",
    )
