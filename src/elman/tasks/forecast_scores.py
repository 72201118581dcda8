"""Scores of forecasts: overall, by step of the horizon and by series, with examples for the report."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from elman.data.series.timestamps import written_stamp
from elman.tasks.forecast_outputs import Forecasts, Units
from elman.tasks.panel_windows import Windows
from elman.tasks.task import Batch, Read

SHOWN = 4
SHOWN_SERIES = 60
SHOWN_STEPS = 400
BINS = 41
FARTHEST = 4.0


class ForecastScores:
    """Scores of the points, the intervals and the distributions, in memory that does not grow with the windows.

    Errors of several targets count after division by the deviation of each in training.

    Args:
        data: windows, of which a few become examples.
        units: of the scores.
        names: of the targets.
    """

    def __init__(self, data: Any, units: Units, names: Sequence[str]):
        self._data, self._units, self._names = data, units, names
        self._sums: dict[str, Tensor] = {}
        # For each series its absolute errors and their number.
        self._series = torch.zeros(0, 2, dtype=torch.float64)
        self._bins = torch.zeros(BINS, dtype=torch.int64)
        self._loss = 0.0
        self._targets = self._windows = 0
        count = len(data)
        self._chosen = {int((2 * n + 1) * count / (2 * SHOWN)) for n in range(SHOWN)} if count else set()
        self._examples: list[dict[str, Any]] = []

    def update(self, batch: Batch, read: Read) -> None:
        """Count a batch."""
        forecasts: Forecasts = read.outputs
        future = batch["future"]
        seen = ~future.isnan()
        future = torch.where(seen, future, batch["window"].last()[:, : future.shape[2]].nan_to_num(0.0).unsqueeze(1))
        true = forecasts.true(future)
        error = torch.where(seen, forecasts.point.detach() - true, 0.0)
        self._loss += float(read.loss.detach()) * read.targets
        self._targets += read.targets
        self._windows += batch.sequences
        standard = error / self._units.spread
        self._add("count", seen)
        self._add("squared", standard.square())
        self._add("absolute", standard.abs())
        self._add("units", error.square())
        # In training the loss and the points are enough, and the distributions' scores would take most of the time.
        if forecasts.is_taught and not forecasts.has_quantiles:
            return
        if (crps := forecasts.crps(future)) is not None:
            self._add("crps", torch.where(seen, crps.detach() / self._units.spread, 0.0))
        if forecasts.is_taught:
            return
        if (limits := forecasts.limits()) is not None:
            self._add("inside", seen & (true >= limits[0]) & (true <= limits[1]))
            self._add("width", torch.where(seen, (limits[1] - limits[0]).detach() / self._units.spread, 0.0))
        residuals = (-standard[seen]).clamp(-FARTHEST, FARTHEST)
        self._bins += torch.histc(residuals.float(), BINS, -FARTHEST, FARTHEST).long()
        self._by_series(batch, standard, seen)
        self._choose(batch, forecasts)

    def _add(self, name: str, values: Tensor) -> None:
        self._sums[name] = self._sums.get(name, 0) + values.double().sum(0)

    def _by_series(self, batch: Batch, standard: Tensor, seen: Tensor) -> None:
        numbers = batch["series"]
        parts = torch.stack([standard.abs(), seen.to(standard.dtype)], 1).double().sum((2, 3))
        if len(numbers) and int(numbers.max()) >= len(self._series):
            more = int(numbers.max()) + 1 - len(self._series)
            self._series = torch.cat([self._series, self._series.new_zeros(more, 2)])
        self._series.index_add_(0, numbers, parts)

    def _choose(self, batch: Batch, forecasts: Forecasts) -> None:
        rows = [row for row, index in enumerate(batch["index"].tolist()) if index in self._chosen]
        if not rows or not isinstance(self._data, Windows):
            return
        point, limits, window = forecasts.point, forecasts.limits(), batch["window"]
        for row in rows:
            series = self._data.panel.series[int(batch["series"][row])]
            past = window[row][:, 0][-min(SHOWN_STEPS, 2 * self._data.horizon) :]
            origin = int(batch["origin"][row])
            stamp = series.stamps(origin, 1)[0]
            found: dict[str, Any] = {
                "series": series.name,
                "target": self._names[0],
                "origin": str(stamp) if series.start is None else written_stamp(stamp, series.frequency),
                "past": _rounded(forecasts.true(past)),
                "future": _rounded(forecasts.true(batch["future"][row, :, 0])),
                "forecast": _rounded(point[row, :, 0]),
            }
            if limits is not None:
                found |= {"low": _rounded(limits[0][row, :, 0]), "high": _rounded(limits[1][row, :, 0])}
            self._examples.append(found)

    def compute(self) -> dict[str, Any]:
        """Return every score by its name."""
        if not self._sums:
            return {"mse": math.nan, "mae": math.nan, "loss": math.nan, "windows": 0, "count": 0}
        sums = self._sums
        total = float(sums["count"].sum())
        mean = lambda name: float(sums[name].sum()) / max(1.0, total) if name in sums else None  # noqa: E731
        by_step = sums["count"].sum(1).clamp(min=1)
        return {
            "loss": self._loss / max(1, self._targets),
            "mse": mean("squared"),
            "mae": mean("absolute"),
            "rmse": math.sqrt(mean("units") or 0.0),
            "crps": mean("crps"),
            "coverage": mean("inside"),
            "width": mean("width"),
            "windows": self._windows,
            "count": int(total),
            "mae_by_step": [round(value, 6) for value in (sums["absolute"].sum(1) / by_step).tolist()],
            **self._mae_by_target(),
            **self._mae_by_series(),
            "residuals": self._bins.tolist(),
            "examples": self._examples,
        }

    def _mae_by_target(self) -> dict[str, Any]:
        if len(self._names) == 1:
            return {}
        each = self._sums["absolute"].sum(0) / self._sums["count"].sum(0).clamp(min=1)
        return {"mae_by_target": dict(zip(self._names, [round(value, 6) for value in each.tolist()], strict=True))}

    def _mae_by_series(self) -> dict[str, Any]:
        if len(self._series) < 2:
            return {}
        panel = getattr(self._data, "panel", None)
        each = {
            str(number) if panel is None else panel.series[number].name: total / count
            for number, (total, count) in enumerate(self._series.tolist())
            if count
        }
        worst = sorted(each, key=lambda name: -each[name])[:SHOWN_SERIES]
        return {"mae_by_series": {name: round(each[name], 6) for name in worst}}


def _rounded(values: Tensor) -> list[float | None]:
    return [None if value != value else float(f"{value:.6g}") for value in values.detach().tolist()]


def joined(scores: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the scores of several evaluations as one, weighted by their numbers of values."""
    total = sum(each["count"] for each in scores)
    found: dict[str, Any] = {}
    for name in ("loss", "mse", "mae", "crps", "coverage", "width"):
        parts = [(each[name], each["count"]) for each in scores if each.get(name) is not None]
        found[name] = sum(value * count for value, count in parts) / total if parts and total else None
    found["rmse"] = math.sqrt(sum(each["rmse"] ** 2 * each["count"] for each in scores) / max(1, total))
    found |= {"windows": sum(each["windows"] for each in scores), "count": total}
    steps = zip(*(each["mae_by_step"] for each in scores), strict=True)
    found["mae_by_step"] = [round(sum(step) / len(step), 6) for step in steps]
    found["residuals"] = [sum(each) for each in zip(*(score["residuals"] for score in scores), strict=True)]
    found["examples"] = [example for each in scores for example in each["examples"]][-SHOWN:]
    return found
