"""What a network's outputs say of the steps ahead: loss, points, quantiles, intervals."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

from elman.data.ragged.ragged import Ragged
from elman.devices import moved
from elman.forecaster import Raw
from elman.nn.distributions import (
    Distribution,
    NegativeBinomial,
    conformal_margin,
    gaussian,
    negative_binomial,
    quantile_crps,
    sample_crps,
    student,
)
from elman.nn.regression import number_loss, without_crossing
from elman.nn.scaling import Scale
from elman.settings.forecasting import DISTRIBUTIONS

HUBER_DELTA = 1.0
# Fewer validation windows than these have conformal margins for all steps together.
FEW_WINDOWS = 30


class Units(NamedTuple):
    """The scale of the scores: each target less its training mean, divided by its deviation.

    Attributes:
        middle: `(targets,)` float64.
        spread: `(targets,)` float64.
    """

    middle: Tensor
    spread: Tensor


class Forecasts:
    """The forecasts of a batch.

    Tensors are `(batch, horizon, targets)` in the units of the data and float64, unless they are said to be scaled.

    Args:
        raw: of the network.
        settings: of the model.
        units: of the scores.
        margins: of conformal intervals, `(horizon, targets)`, as a fraction of the scale; None without.
        size: `(batch, 1, targets)`, that of counts.
        is_taught: whether the network is in training.
    """

    def __init__(
        self,
        raw: Raw,
        settings: Any,
        units: Units,
        *,
        margins: Tensor | None = None,
        size: Tensor | None = None,
        is_taught: bool = False,
    ):
        self._raw, self._settings, self._margins, self._size = raw, settings, margins, size
        self.is_taught = is_taught
        self.has_quantiles = settings.loss == "quantile"
        self.scale = Scale(raw.scale.shift.unsqueeze(1), raw.scale.width.unsqueeze(1))
        self.spread = units.spread
        # Errors of logarithms are weighed as they are.
        spread = torch.ones_like(units.spread) if settings.transform == "log" else units.spread
        self.ratio = (self.scale.width / spread).to(raw.values.dtype)

    def to(self, device: torch.device) -> "Forecasts":
        """Return the forecasts on another device."""
        raw, margins, size = moved((self._raw, self._margins, self._size), device)
        units = Units(self.spread.to(device), self.spread.to(device))
        return Forecasts(raw, self._settings, units, margins=margins, size=size, is_taught=self.is_taught)

    def true(self, future: Tensor) -> Tensor:
        """Return the values of a batch in the units of the data."""
        return future.exp() if self._settings.transform == "log" else future

    def scaled(self, values: Tensor) -> Tensor:
        """Return values of a batch as the window is scaled, in the type of the network."""
        return ((values - self.scale.shift) / self.scale.width).to(self._raw.values.dtype)

    def restored(self, scaled: Tensor) -> Tensor:
        """Return scaled values, with further axes at the end, in the units of the data."""
        more = scaled.dim() - 3
        shift, width = (each.reshape(*each.shape, *[1] * more) for each in self.scale)
        values = self.true(scaled.double() * width + shift)
        # A margin or rounding must not make a count negative.
        return values.clamp(min=0) if self._settings.loss == "negative-binomial" else values

    @cached_property
    def distribution(self) -> Distribution | None:
        """Of each value, scaled, but in the units of the data for counts; None for numbers, quantiles and paths."""
        if self._settings.loss not in DISTRIBUTIONS or self._raw.paths is not None:
            return None
        return distribution_of(self._settings.loss, self._raw.values, self._size)

    @cached_property
    def quantiles_scaled(self) -> Tensor | None:
        """Quantiles of the settings' levels on a last axis, scaled, before intervals are corrected."""
        levels = self._settings.levels
        if self._settings.loss == "quantile":
            return without_crossing(self._raw.values)
        if self.distribution is not None:
            found = self.distribution.quantiles(levels)
            return self._counts_scaled(found)
        if self._raw.paths is not None and self._raw.paths.shape[-1] > 1:
            return torch.quantile(self._raw.paths, self._raw.paths.new_tensor(levels), dim=-1).movedim(0, -1)
        return None

    def _counts_scaled(self, values: Tensor) -> Tensor:
        if not isinstance(self.distribution, NegativeBinomial):
            return values
        shift, width = (each.unsqueeze(-1) for each in self.scale)
        return ((values - shift) / width).to(self._raw.values.dtype)

    @cached_property
    def point_scaled(self) -> Tensor:
        """The number that is forecast: the median of quantiles, the mean of a distribution or of paths."""
        if self._settings.loss == "quantile":
            assert self.quantiles_scaled is not None
            return self.quantiles_scaled[..., self._settings.levels.index(0.5)]
        if self._raw.paths is not None:
            return self._raw.paths.mean(-1)
        if self.distribution is not None:
            mean = self.distribution.mean
            return self.scaled(mean) if isinstance(self.distribution, NegativeBinomial) else mean
        return self._raw.values[..., 0]

    @property
    def point(self) -> Tensor:
        """The number that is forecast."""
        return self.restored(self.point_scaled)

    @cached_property
    def interval_scaled(self) -> tuple[Tensor, Tensor] | None:
        """The limits of the interval, scaled and corrected; None without intervals."""
        raw = self.raw_interval
        if raw is None:
            return None
        if self._margins is None:
            return raw
        margins = self._margins.to(raw[0].dtype)
        low, high = raw[0] - margins, raw[1] + margins
        # A negative margin must not turn an interval around.
        middle = (low + high) / 2
        return torch.minimum(low, middle), torch.maximum(high, middle)

    @property
    def raw_interval(self) -> tuple[Tensor, Tensor] | None:
        """The limits of the interval, scaled, before they are corrected; the point itself where there is no other."""
        if self.quantiles_scaled is None:
            return (self.point_scaled, self.point_scaled) if self._margins is not None else None
        levels = self._settings.levels
        beside = round((1 - self._settings.interval) / 2, 6)
        low, high = levels.index(beside), levels.index(round(1 - beside, 6))
        return self.quantiles_scaled[..., low], self.quantiles_scaled[..., high]

    def limits(self) -> tuple[Tensor, Tensor] | None:
        """Return the limits of the interval."""
        found = self.interval_scaled
        return None if found is None else (self.restored(found[0]), self.restored(found[1]))

    def quantiles(self) -> Tensor | None:
        """Return the quantiles on a last axis, those of the interval corrected."""
        if self.quantiles_scaled is None:
            return None
        return without_crossing(self.restored(self._with_interval(self.quantiles_scaled)))

    def _with_interval(self, quantiles: Tensor) -> Tensor:
        """Return the quantiles with every pair around the median widened as the interval is."""
        if self._margins is None:
            return quantiles
        sign = quantiles.new_tensor([(level > 0.5) - (level < 0.5) for level in self._settings.levels])
        return quantiles + sign * self._margins.to(quantiles.dtype).unsqueeze(-1)

    def paths(self) -> Tensor | None:
        """Return the sample paths on a last axis, or None for networks that draw none."""
        return None if self._raw.paths is None else self.restored(self._raw.paths)

    def crps(self, future: Tensor) -> Tensor | None:
        """Return the CRPS of the values of a batch, in the units of the data, or None for numbers.

        Args:
            future: without missing values.
        """
        if self._settings.transform != "log":
            found = self.crps_scaled(self.scaled(future))
            return None if found is None else found * self.scale.width
        if self._raw.paths is not None and self._raw.paths.shape[-1] > 1:
            return sample_crps(self.restored(self._raw.paths), self.true(future))
        if self.quantiles_scaled is None:
            return None
        return quantile_crps(self.restored(self.quantiles_scaled), self.true(future), self._settings.levels)

    def crps_scaled(self, true: Tensor) -> Tensor | None:
        """Return the CRPS of true values, scaled as they are, or None for numbers."""
        if self._raw.paths is not None and self._raw.paths.shape[-1] > 1:
            return sample_crps(self._raw.paths, true)
        if isinstance(self.distribution, NegativeBinomial):
            values = self.restored(true).round()
            return (self.distribution.crps(values) / self.scale.width).to(true.dtype)
        if self.distribution is not None:
            return self.distribution.crps(true)
        if self.quantiles_scaled is None:
            return None
        return quantile_crps(self.quantiles_scaled, true, self._settings.levels)

    def loss(self, future: Tensor) -> tuple[Tensor, int]:
        """Return the mean loss of known values, standardised as the scores are, and their number.

        Args:
            future: the true values, NaN where they are missing.
        """
        true = self.scaled(future)
        seen = ~true.isnan()
        count = int(seen.sum())
        ratio = self.ratio.expand_as(true)[seen]
        loss = self._settings.loss
        if self._raw.paths is not None and self._raw.paths.shape[-1] > 1:
            found = self.crps_scaled(torch.where(seen, true, 0.0))
            assert found is not None
            return (found[seen] * ratio).mean(), count
        if self.distribution is None:
            if loss == "quantile":
                assert self.quantiles_scaled is not None
                outputs = self.quantiles_scaled[seen] * ratio.unsqueeze(-1)
                return number_loss("quantile", outputs, true[seen] * ratio, self._settings.levels), count
            return number_loss(loss, self.point_scaled[seen] * ratio, true[seen] * ratio, delta=HUBER_DELTA), count
        if isinstance(self.distribution, NegativeBinomial):
            values = torch.where(future.isnan(), 0.0, future).to(true.dtype)
            return -self.distribution.log_prob(values)[seen].mean(), count
        density = self.distribution.log_prob(torch.where(seen, true, 0.0))[seen]
        return (ratio.log() - density).mean(), count


def distribution_of(loss: str, values: Tensor, size: Tensor | None) -> Distribution:
    """Return the distribution of a network's outputs."""
    if loss == "negative-binomial":
        assert size is not None
        return negative_binomial(values, size.to(values.dtype))
    return gaussian(values) if loss == "gaussian" else student(values)


def size_of(window: Ragged, targets: int) -> Tensor:
    """Return one more than the mean of the known values of each window, `(batch, 1, targets)`."""
    data = window.data[:, :targets]
    known = ~data.isnan()
    total = window.replace(torch.where(known, data, 0.0)).sum()
    count = window.replace(known.to(data.dtype)).sum().clamp(min=1)
    return (1 + (total / count).clamp(min=0)).unsqueeze(1)


def uniform_numbers(seed: int, *shape: int) -> Tensor:
    """Return uniform numbers from above 0 to below 1, the same for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, 2, generator=generator, dtype=torch.float64).clamp(1e-12, 1 - 1e-12)


def drawn(settings: Any, uniform: Tensor, size: Tensor | None) -> Any:
    """Return the function that draws a step of a recursive forecast.

    The random numbers depend on the path, the step and the target alone, so that a series has the same paths in every
    batch.

    Args:
        settings: of the model.
        uniform: `(samples, horizon, targets, 2)`.
        size: of counts.
    """

    def draw(raw: Tensor, scale: Scale, step: int) -> Tensor:
        if settings.loss not in DISTRIBUTIONS:
            return raw[..., 0]
        samples = len(uniform)
        many = raw.unflatten(0, (-1, samples))  # (batch, samples, targets, parameters)
        own = distribution_of(settings.loss, many, size)
        found = own.draw(uniform[:, step].to(raw.dtype).clamp(1e-7, 1 - 1e-7)).flatten(0, 1)
        if isinstance(own, NegativeBinomial):
            return ((found - scale.shift) / scale.width).to(raw.dtype)
        return found

    return draw


def fit_margins(batches: Sequence[tuple[Forecasts, Tensor]], level: float) -> Tensor:
    """Return the margins of conformal intervals, `(horizon, targets)`.

    Args:
        batches: forecasts and the true values.
        level: probability that an interval should hold.
    """
    scores = []
    for forecasts, future in batches:
        true = forecasts.scaled(future)
        raw = forecasts.raw_interval or (forecasts.point_scaled, forecasts.point_scaled)
        scores.append(torch.maximum(raw[0] - true, true - raw[1]))
    every = torch.cat(scores)
    if len(every) < FEW_WINDOWS:
        # Too few for each step alone: all steps of a target have one margin.
        every = every.flatten(0, 1).unsqueeze(1).expand(-1, every.shape[1], -1)
    # A missing value has no score; it is left out for its step alone.
    margins = every.new_empty(every.shape[1:])
    for step in range(every.shape[1]):
        for target in range(every.shape[2]):
            known = every[:, step, target]
            known = known[~known.isnan()]
            margins[step, target] = conformal_margin(known, level) if len(known) else 0.0
    return margins
