"""The forecaster: the next steps of series of numbers."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, Self

from elman.errors import UsageError
from elman.models.baselines import fit_baselines, score_baselines
from elman.models.model import Model
from elman.settings import check_settings
from elman.tasks.baselines import BaselineScore
from elman.tasks.forecast import Forecast, refuse_kept_weights
from elman.tasks.forecast_origins import Origin, rolled
from elman.tasks.forecast_scores import joined
from elman.tasks.panel import Panel
from elman.tasks.task import Unknown, Values


class SequenceForecaster(Model):
    """The next steps of series; `fit(series)` and `predict(series)` take arrays, lists of them, or data frames.

    An array is `(steps,)` or `(steps, targets)`, a list or a mapping of them several series, and an array `(series,
    targets, steps)` a panel of sktime. Of a data frame with a row a step, `target`, `time`, `series`, `past`, `known`
    and `static` name the columns; its index may have the time stamps, or the names of the series and the time stamps.

    Attributes:
        history_: what training recorded, epoch by epoch.
        model_: the network.

    Raises:
        UsageError: there is no such setting.

    >>> import numpy as np
    >>> wave = np.sin(np.arange(120) * np.pi / 6)
    >>> model = SequenceForecaster(horizon=12, window=24, hidden_size=8, epochs=3).fit(wave)
    >>> model.predict(wave).shape
    (12, 1)
    """

    task = Forecast
    fitted_by = "fit(series)"

    def fit(self, data: Any, *values: Any, validation: Any = None, **how: Any) -> Self:
        """Train on series.

        Args:
            data: the series, see the class.
            values: none.
            validation: other series by which epochs are compared, or the same ones with their later steps.
            how: `target`, `past`, `known` and `static` (names of columns), `time` and `series` (a name each) for a data
                frame; and `folder`, `resume`, `listener` and `start`, as for other models.

        Raises:
            UsageError, DataError, ModelError, TrainingError: as for other models.
        """
        columns = {name: how.pop(name) for name in _COLUMNS if name in how}
        train = self._values(data, columns)
        held = None if validation is None else self._values(validation, columns, "validation ")
        return self.fit_values(train, held, **how)

    def fit_values(self, train: Values, held: Values | None, **how: Any) -> Self:
        """Train on values that a source has read, with the arguments and errors of `fit`."""
        super().fit_values(train, held, **how)
        if self.held_ is not None:
            # Epochs and intervals were chosen by these, so that they were learned from too.
            self.task_.encoders["series"].saw(self.held_.columns["series"])
        return self

    def evaluate(self, data: Any, *values: Any, unknown: Unknown | None = None, **options: Any) -> dict[str, Any]:
        """Return every score on series.

        Args:
            data: as for `fit`, with the columns that the model was trained on.
            values: none.
            unknown: ignored.
            options: `origins` backtests by rolling origin: the model is trained again before each of so many origins at
                the end of the series, `stride` steps apart (the horizon if not given), with everything that is learned
                or found in the data, scales and the season too; the horizon is kept. `keep_weights=True` keeps the
                weights, and refuses origins in the training data.

        Raises:
            NotFittedError, UsageError, DataError: as for other models.
        """
        return self.evaluate_values(Values({"series": self._like_training(data)}), unknown=unknown, **options)

    def evaluate_values(self, values: Values, *, unknown: Unknown | None = None, **options: Any) -> dict[str, Any]:
        """Return every score on values that a source has read, as `evaluate` does."""
        given = self._backtest_options(options)
        if given.origins is None:
            return super().evaluate_values(values, unknown=unknown)
        if given.keep_weights:
            parts = list(rolled(values, given, self.task_.settings))
            self._check_unseen(parts)
            return joined([super(SequenceForecaster, self).evaluate_values(each.test) for each in parts])
        scores = []
        for each in rolled(values, given, self.task_.settings):
            model = self._unfitted()
            model.fit_values(each.train, None)
            scores.append(model.evaluate_values(each.test))
        return joined(scores)

    def baseline_values(self, values: Values, **options: Any) -> list[BaselineScore]:
        """Return the scores of simple models, which a backtest fits before each origin."""
        given = self._backtest_options(options)
        if given.origins is None or not self.baselines_:
            return super().baseline_values(values)
        found: dict[str, list[BaselineScore]] = {}
        for each in rolled(values, given, self.task_.settings):
            # Errors are in deviations of the data before the origin, as those of the network are.
            settings, _ = self.task.resolve(self._unfitted().settings(), each.train, validated=False)
            task = self.task(settings)
            task.encoders["series"].learn(each.train.columns["series"])
            fitted, _ = fit_baselines(task, each.train, self.baselines_[-1].name)
            for score in score_baselines(task, fitted, each.test):
                found.setdefault(score.name, []).append(score)
        return [
            each[-1]._replace(value=fmean(s.value for s in each), seconds=sum(s.seconds for s in each))
            for each in found.values()
        ]

    def _backtest_options(self, options: Mapping[str, Any]) -> Any:
        self._require_fitted()
        given: Any = check_settings(self.task.options_class, options)
        if given.origins is None and (given.stride is not None or given.keep_weights):
            raise UsageError("stride and keep_weights are for a backtest.", fix="Give origins (--origins N) too.")
        return given

    def _unfitted(self) -> Self:
        """Return a model that finds everything but the horizon again, unless it was given."""
        return self._with_settings(**self.unresolved_, horizon=self.task_.settings.horizon)

    def _check_unseen(self, parts: Sequence[Origin]) -> None:
        encoder = self.task_.encoders["series"]
        for each in parts:
            for series in each.test.columns["series"]:
                if not encoder.is_unseen(series):
                    steps, stamp = encoder.ends[series.name]
                    raise refuse_kept_weights(series.name, stamp.replace("T", " ") or f"step {steps:,}")

    def _values(self, data: Any, columns: Mapping[str, Any], role: str = "") -> Values:
        from elman.data.series.panel import Layout
        from elman.data.series.panel_values import panel_of

        lists: dict[str, Any] = {name: _names(columns.get(name)) for name in ("target", "past", "known", "static")}
        single: dict[str, Any] = {name: columns.get(name) for name in ("time", "series")}
        layout = Layout(**lists, **single, missing=self.missing)
        series, layout, notes = panel_of(data, layout, role)
        return Values({"series": Panel(series, layout)}, source=f"the {role}data", notes=notes, role=role)

    def _like_training(self, data: Any) -> Panel:
        from elman.data.series.panel_values import panel_of

        self._require_fitted()
        layout = self.task_.encoders["series"].layout
        series, _, _ = panel_of(data, layout)
        return Panel(series, layout)

    def predict(self, X: Any, *, unknown: Unknown | None = None) -> Any:
        """Return the forecast of the steps after the end of each series.

        Args:
            X: one series or several, as for `fit`. With known covariates, a data frame has further rows at the end,
                whose targets are missing.
            unknown: ignored.

        Returns:
            An array `(horizon, targets)`, or a list of them for several series.
        """
        import numpy as np

        found = [np.array(answer["mean"]) for answer in self.predict_all(X)]
        return found[0] if _is_single(X) and len(found) == 1 else found

    def predict_all(self, X: Any) -> list[dict[str, Any]]:
        """Return the forecast of each series as a dictionary.

        Its entries are lists over steps and targets: `mean`, the limits `low` and `high` of the interval, and
        `quantiles`, those of the setting `levels` on a last axis; what the model does not have is left out.
        """
        return [answer.value for answer in self.answers(list(self._like_training(X)))]

    def predict_interval(self, X: Any) -> Any:
        """Return the limits `(horizon, targets, 2)` of the interval of each series, or of one.

        Raises:
            UsageError: the model has no intervals: it forecasts numbers, and had no validation data.
        """
        import numpy as np

        answers = self.predict_all(X)
        if any("low" not in answer for answer in answers):
            raise UsageError(
                "This model has no intervals.",
                fix="Train it with validation data and conformal=True, or with loss='quantile' or a distribution.",
            )
        found = [np.stack([answer["low"], answer["high"]], -1) for answer in answers]
        return found[0] if _is_single(X) and len(found) == 1 else found


_COLUMNS = ("target", "past", "known", "static", "time", "series")


def _names(given: Any) -> tuple[str, ...]:
    return () if given is None else (given,) if isinstance(given, str) else tuple(given)


def _is_single(data: Any) -> bool:
    """Return whether data are one series."""
    if hasattr(data, "columns") or isinstance(data, Mapping):
        return False
    return getattr(data, "ndim", 0) in (1, 2) or (
        isinstance(data, Sequence) and bool(data) and not hasattr(data[0], "__len__")
    )
