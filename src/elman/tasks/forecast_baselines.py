"""Simple forecasts: the last value, the value a season before, and ridge regression on the window."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from elman.data.series.panel import carried
from elman.tasks.baselines import Baseline

if TYPE_CHECKING:
    from elman.tasks.panel import Panel
    from elman.tasks.task import Task

CHUNK = 4096


class Part(NamedTuple):
    """Some windows of one series, standardised as the scores are.

    Attributes:
        values: `(steps, targets)` of the whole series, the last value in place of a missing one.
        origins: `(windows,)`.
        future: `(windows, horizon, targets)`; NaN where missing.
    """

    values: np.ndarray
    origins: np.ndarray
    future: np.ndarray


class WindowBaseline(Baseline):
    """A simple forecast of every window.

    Args:
        column: of the series.
    """

    def __init__(self, column: str):
        self._column = column

    def score(self, task: "Task", values: Mapping[str, Any]) -> float:
        """Return the mean squared error, standardised as the network's."""
        total, count = 0.0, 0
        for part in parts_of(task, values[self._column]):
            error = self.forecast(task, part) - part.future
            known = ~np.isnan(error)
            total, count = total + float(np.square(error[known]).sum()), count + int(known.sum())
        return total / max(1, count)

    def forecast(self, task: "Task", part: Part) -> np.ndarray:
        """Return the forecasts `(windows, horizon, targets)`."""
        raise NotImplementedError

    def fit(self, task: "Task", values: Mapping[str, Any]) -> None:
        """Learn nothing."""

    def to_json(self) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def load(self, document: Mapping[str, Any], arrays: "Mapping[str, np.ndarray]") -> None:
        """Take over nothing."""


class Naive(WindowBaseline):
    """The last value before the origin, for every step."""

    name = "naive"

    @property
    def title(self) -> str:
        """What it does."""
        return "repeating the last value"

    def forecast(self, task: "Task", part: Part) -> np.ndarray:
        """Return the last value of each window."""
        return np.repeat(part.values[part.origins - 1][:, None], part.future.shape[1], 1)


class SeasonalNaive(WindowBaseline):
    """The value one season before; of a horizon longer than a season, the last season goes on."""

    name = "seasonal-naive"

    def __init__(self, column: str):
        super().__init__(column)
        self._season = 1

    @property
    def title(self) -> str:
        """What it does."""
        return f"repeating the last season ({self._season} steps)" if self._season > 1 else "repeating the last value"

    def fit(self, task: "Task", values: Mapping[str, Any]) -> None:
        """Take the season of the settings."""
        self._season = task.settings.season or 1

    def forecast(self, task: "Task", part: Part) -> np.ndarray:
        """Return the values a season before, or the last value near the beginning of a series."""
        steps = np.arange(part.future.shape[1]) % self._season - self._season
        rows = part.origins[:, None] + steps
        return part.values[np.where(rows < 0, part.origins[:, None] - 1, rows)]

    def to_json(self) -> dict[str, Any]:
        """Return the season."""
        return {"season": self._season}

    def load(self, document: Mapping[str, Any], arrays: "Mapping[str, np.ndarray]") -> None:
        """Take over the season."""
        self._season = document["season"]


class RidgeWindow(WindowBaseline):
    """Ridge regression from the window, less its last value, to each step of the horizon.

    One map is learned for all series and targets, in closed form and float64. The strength is the one of
    `forecast_maps.STRENGTHS`, as a fraction of `Sums.mean_square`, with the smallest error on the last fifth of the
    windows; then it is fitted to all of them.

    Source:
        A. Hoerl, R. Kennard, Ridge Regression, 1970.
    """

    name = "ridge"

    def __init__(self, column: str):
        super().__init__(column)
        self._weights = np.zeros((0, 0))

    @property
    def title(self) -> str:
        """What it reads."""
        return f"ridge regression on the last {max(0, len(self._weights) - 1):,} steps"

    def fit(self, task: "Task", values: Mapping[str, Any]) -> None:
        """Sum up the windows, and solve for the map."""
        # Only training needs torch.
        import torch

        from elman.nn.ridge import Sums
        from elman.tasks.forecast_maps import HELD_OUT, best_map

        window = task.settings.window
        self._weights = np.zeros((window + 1, task.settings.horizon))
        parts = list(parts_of(task, values[self._column]))
        edge = np.quantile(np.concatenate([part.origins / len(part.values) for part in parts]), 1 - HELD_OUT)
        early, late = (Sums.empty(window, task.settings.horizon) for _ in range(2))
        for part in parts:
            share = part.origins / len(part.values)
            for chosen, sums in ((share <= edge, early), (share > edge, late)):
                if chosen.any():
                    rows = self._rows(part._replace(origins=part.origins[chosen], future=part.future[chosen]))
                    sums.add(*map(torch.from_numpy, rows))
        self._weights = best_map(early, late)

    def _rows(self, part: Part) -> tuple[np.ndarray, np.ndarray]:
        """Return features and targets of each window and target without a missing value."""
        inputs, last = _windows(part, len(self._weights) - 1)
        targets = (part.future - last[:, None]).transpose(0, 2, 1).reshape(-1, part.future.shape[1])
        known = ~np.isnan(targets).any(1)
        return inputs[known], targets[known]

    def forecast(self, task: "Task", part: Part) -> np.ndarray:
        """Return the forecasts of the map."""
        inputs, last = _windows(part, len(self._weights) - 1)
        found = (inputs @ self._weights[:-1] + self._weights[-1]).reshape(len(part.origins), -1, part.future.shape[1])
        return found.transpose(0, 2, 1) + last[:, None]

    def to_json(self) -> dict[str, Any]:
        """Return nothing: the weights are arrays."""
        return {}

    def arrays(self) -> "dict[str, np.ndarray]":
        """Return the weights `(window + 1, horizon)`, those of the last row constant."""
        return {"weights": self._weights}

    def load(self, document: Mapping[str, Any], arrays: "Mapping[str, np.ndarray]") -> None:
        """Take over the weights."""
        self._weights = np.asarray(arrays["weights"], dtype=np.float64)


def _windows(part: Part, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the features `(windows · targets, size)` and the last values of windows."""
    rows = np.maximum(part.origins[:, None] + np.arange(-size, 0), 0)
    last = part.values[part.origins - 1]
    return (part.values[rows] - last[:, None]).transpose(0, 2, 1).reshape(-1, size), last


def parts_of(task: "Task", panel: "Panel") -> Iterator[Part]:
    """Yield the windows that the network reads of a panel, in parts of bounded size."""
    from elman.tasks.panel_windows import Windows

    encoder = task.encoders["series"]
    windows: Windows = Windows(encoder.encode(panel), task.settings)
    middle, spread = np.array(encoder.middle), np.array(encoder.spread)
    numbers, origins = windows.numbers.numpy(), windows.origins.numpy()
    for number, series in enumerate(panel):
        values = (series.known_targets - middle) / spread
        filled, own = carried(values), origins[numbers == number]
        for begin in range(0, len(own), CHUNK):
            chosen = own[begin : begin + CHUNK]
            yield Part(filled, chosen, values[chosen[:, None] + np.arange(task.settings.horizon)])
