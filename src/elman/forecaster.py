"""The base of the networks that forecast: scaling, linear maps, what they read and give."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from elman.data.ragged.ragged import Ragged
from elman.network_parts import build_activation_regulariser
from elman.nn.recurrent import Recurrent
from elman.nn.regularisers import SequenceDropout
from elman.nn.scaling import Scale, Scaling
from elman.nn.state import State
from elman.settings.forecasting import ForecastNetworkSettings

# The draw of a step, from its outputs (samples · batch, targets, parameters) and those of the window, in scaled values.
Draw = Callable[[Tensor, Scale, int], Tensor]


class Sizes(NamedTuple):
    """What a forecaster reads.

    Attributes:
        targets: number of channels to forecast.
        past: covariates known until the origin.
        known: covariates known ahead.
        static: values of a whole series.
        masked: whether values may be missing.
    """

    targets: int
    past: int = 0
    known: int = 0
    static: int = 0
    masked: bool = False


class Raw(NamedTuple):
    """What a network gives.

    Attributes:
        values: `(batch, steps, targets, parameters)`, scaled as the window is.
        scale: of each window.
        paths: drawn values `(batch, horizon, targets, samples)`, scaled; None without draws.
    """

    values: Tensor
    scale: Scale
    paths: Tensor | None = None


class Forecaster(nn.Module):
    """The base of the networks: scaling, the linear map, and the margins of conformal intervals.

    A window has for each step its targets in the units of the data (NaN where missing), then past and known covariates.

    Args:
        settings: the layers; horizon, window and loss are given.
        sizes: of what it reads.

    Attributes:
        margins: `(horizon, targets)` by which intervals are widened, as a fraction of the scale.
        calibrated: whether the margins were fitted, a truth value.
        ridge: map of the window whose forecasts are averaged with those of the network, `(horizon, window + 1)`, its
            last column constant; it reads windows and gives forecasts as `ridge_scaling` scales them; None without a
            `ridge_weight`.
    """

    margins: Tensor
    calibrated: Tensor
    ridge: Tensor | None
    body: Recurrent

    def __init__(self, settings: ForecastNetworkSettings, sizes: Sizes):
        super().__init__()
        assert settings.horizon is not None
        assert settings.window is not None
        self.settings, self.sizes = settings, sizes
        self.horizon, self.window = settings.horizon, settings.window
        self.scaling = Scaling(settings.scaling or "last", sizes.targets)
        self.register_buffer("margins", torch.zeros(self.horizon, sizes.targets))
        self.register_buffer("calibrated", torch.tensor(False))
        ridge = torch.zeros(self.horizon, self.window + 1) if settings.ridge_weight else None
        self.register_buffer("ridge", ridge)
        self.output_dropout = nn.Dropout(settings.output_dropout)
        self.input_dropout = SequenceDropout(settings.input_dropout) if settings.input_dropout else None
        self.activation = build_activation_regulariser(settings)
        self.linear = nn.Linear(self.window, self.horizon) if settings.linear else None
        if self.linear is not None:
            nn.init.zeros_(self.linear.weight)
            nn.init.zeros_(self.linear.bias)

    def read(self, window: Ragged) -> tuple[Ragged, Ragged, Scale]:
        """Return the scaled targets with marks of missing ones, the covariates, and the scales."""
        count = self.sizes.targets
        scaled, scale = self.scaling(window.map(lambda data: data[:, :count]))
        kind = torch.get_default_dtype() if self.linear is None else self.linear.weight.dtype
        missing = scaled.data.isnan()
        values = torch.where(missing, 0.0, scaled.data).to(kind)
        marks = [(~missing).to(kind)] if self.sizes.masked else []
        return (
            scaled.replace(torch.stack([values, *marks], -1)),
            window.map(lambda data: data[:, count:].to(kind)),
            scale,
        )

    @torch.no_grad()
    def start_linear(self, weights: np.ndarray) -> None:
        """Begin the linear map with one between differences from the last value.

        Args:
            weights: `(window + 1, horizon)`, those of the last row constant.
        """
        assert self.linear is not None
        start = _of_values(weights)
        self.linear.weight.copy_(start[:, :-1])
        self.linear.bias.copy_(start[:, -1])
        # The rest of the network begins as nothing that is added to the map.
        nn.init.zeros_(self.last_layer.weight)
        nn.init.zeros_(self.last_layer.bias)

    @torch.no_grad()
    def start_ridge(self, weights: np.ndarray) -> None:
        """Set the ridge regression with which the network is averaged.

        Args:
            weights: `(window + 1, horizon)`, those of the last row constant: between differences from the last value,
                or between standardised values, as `ridge_scaling` says.
        """
        assert self.ridge is not None
        is_standard = self.settings.ridge_scaling == "standard"
        self.ridge.copy_(torch.from_numpy(weights.T.copy()) if is_standard else _of_values(weights))

    def standardised(self, scale: Scale) -> Scale:
        """Return the scale in which scaled values are standardised by the training data."""
        spread = self.scaling.spread
        return Scale((scale.shift - self.scaling.middle) / spread, scale.width / spread)

    @property
    def last_layer(self) -> nn.Linear:
        """The layer that gives the outputs."""
        raise NotImplementedError

    def added(self, raw: Tensor, scaled: Ragged, scale: Scale) -> Tensor:
        """Return outputs with the linear map of the window, or averaged with ridge regression.

        Args:
            raw: outputs of the network, `(batch, horizon, targets, parameters)`; averaged outside training alone.
            scaled: the windows.
            scale: of each window.

        Source:
            J. Bates, C. Granger, The Combination of Forecasts, 1969: a weighted mean of two forecasts whose errors
            differ. Difference: the weight is a setting.
        """
        if self.linear is not None:
            line = self._line(scaled, self.linear.weight, self.linear.bias)
            if self.settings.loss == "quantile":
                return raw + line
            raw = torch.cat([raw[..., :1] + line, raw[..., 1:]], -1)
        if self.ridge is None or self.training:
            return raw
        return raw + self.settings.ridge_weight * (self._ridge_forecasts(self.ridge, scaled, scale) - raw)

    def _ridge_forecasts(self, ridge: Tensor, scaled: Ragged, scale: Scale) -> Tensor:
        """Return ridge forecasts `(batch, horizon, targets, 1)`, scaled as the window is."""
        if self.settings.ridge_scaling == "last":
            ridge = ridge.to(scaled.data.dtype)
            return self._line(scaled, ridge[:, :-1], ridge[:, -1])
        # With x = w z + s, the map W x + b gives w (W z) + (W 1) s + b, and z the same less s, divided by w.
        shift, width = (each.unsqueeze(1) for each in self.standardised(scale))  # (batch, 1, targets)
        weight, bias = ridge[:, :-1].double(), ridge[:, -1:].double()
        constant = ((weight.sum(1, keepdim=True) - 1) * shift + bias) / width
        weight = weight.to(scaled.data.dtype)
        line = self._line(scaled, weight, weight.new_zeros(len(weight)))
        return line + constant.unsqueeze(-1).to(line.dtype)

    def _line(self, scaled: Ragged, weight: Tensor, bias: Tensor) -> Tensor:
        """Return a map of each window, `(batch, horizon, targets, 1)`."""
        padded = scaled.map(lambda data: data[:, :, 0]).to_padded(side="left")[:, -self.window :]
        weight = weight[:, self.window - padded.shape[1] :]
        return functional.linear(padded.transpose(1, 2), weight, bias).transpose(1, 2).unsqueeze(-1)

    @torch.no_grad()
    def remainder(self, columns: Mapping[str, Any], future: Tensor) -> Tensor:
        """Return the steps ahead, scaled as the window is, less the linear map of the window.

        Args:
            columns: of a batch.
            future: `(batch, horizon, targets)`, NaN where missing.
        """
        scaled, _, scale = self.read(columns["window"])
        wanted = (future - scale.shift.unsqueeze(1)) / scale.width.unsqueeze(1)
        return wanted - self.added(torch.zeros_like(wanted).unsqueeze(-1), scaled, scale)[..., 0]

    def run_body(self, inputs: Ragged) -> State:
        """Run the recurrent body over its inputs, some of which are dropped in training.

        The size of its outputs is penalised if the settings say so.

        Returns:
            The last states.
        """
        steps, last = self.body(inputs if self.input_dropout is None else self.input_dropout(inputs))
        self.penalise(steps)
        return last

    def penalise(self, steps: Ragged) -> None:
        """Penalise the size of the body's outputs if the settings say so."""
        if self.activation is not None:
            self.activation(steps, steps)

    @staticmethod
    def static_at(lengths: Tensor, columns: Mapping[str, Any], like: Tensor) -> Tensor:
        """Return the static values of each window for each of so many steps, `(total, static)`."""
        return torch.repeat_interleave(columns["static"].to(like.dtype), lengths.to(like.device), 0)


def _of_values(weights: np.ndarray) -> Tensor:
    """Return a map between differences from the last value as one between values.

    Args:
        weights: `(window + 1, horizon)`, those of the last row constant.

    Returns:
        `(horizon, window + 1)`, the last column constant.
    """
    found = torch.from_numpy(weights.T.copy())
    found[:, -2] += 1 - found[:, :-1].sum(1)
    return found
