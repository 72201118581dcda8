"""Networks that forecast: a GRU over segments, direct, and recursive."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from elman.compiler.cell import Cell
from elman.data.ragged.ragged import Ragged
from elman.network_parts import build_activation_regulariser, build_body, dense_layers
from elman.nn.recurrent import Recurrent
from elman.nn.regularisers import SequenceDropout
from elman.nn.scaling import Scale, Scaling
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

    def regularised(self, steps: Ragged) -> Ragged:
        """Return the outputs of the body, whose size is penalised if the settings say so."""
        if self.activation is not None:
            self.activation(steps, steps)
        return steps


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


class SegmentNetwork(Forecaster):
    """A GRU over segments of the window; all segments of the horizon are decoded at once.

    Each target of a window is a sequence of its own. A segment of w steps, scaled, becomes one input of the GRU; from
    its last state h each segment j of the horizon is one further step of the same GRU, from a learned input.

    e_i = relu(W x_i + b)        h = GRU(e_1 … e_n)        y_j = V dropout(GRU(h, [position_j; channel])) + c

    Covariates of a segment and static values are added to its inputs by linear maps.

    Source:
        S. Lin et al., SegRNN: Segment Recurrent Neural Network for Long-Term Time Series Forecasting, 2023, section 4.
        Differences: any cell; covariates; the scaling may be another than by the last value; a linear map of the
        window may be added; the last segment of the horizon may be longer than what is left of it.
    """

    def __init__(self, settings: ForecastNetworkSettings, sizes: Sizes, cell: Cell | None = None):
        super().__init__(settings, sizes)
        width = settings.segment or 1
        hidden = settings.hidden_size
        self.width, self.segments = width, -(-self.horizon // width)
        self.embed = nn.Linear(width * (1 + sizes.masked), hidden)
        around = width * (sizes.past + sizes.known)
        self.covariates = nn.Linear(around, hidden, bias=False) if around else None
        self.ahead = nn.Linear(width * sizes.known, hidden, bias=False) if sizes.known else None
        self.static = nn.Linear(sizes.static, hidden, bias=False) if sizes.static else None
        self.body = build_body(settings, hidden, cell)
        half = hidden // 2
        self.position = nn.Parameter(torch.randn(self.segments, hidden - half))
        self.channel = nn.Parameter(torch.randn(sizes.targets, half))
        self.out = nn.Linear(self.body.output_size, width * settings.parameters)

    @property
    def last_layer(self) -> nn.Linear:
        """The layer that gives the outputs."""
        return self.out

    def forward(self, columns: Mapping[str, Any]) -> Raw:
        """Return the outputs of each step of the horizon."""
        scaled, covariates, scale = self.read(columns["window"])
        steps, last = self.body(self._inputs(scaled, covariates, columns))
        self.regularised(steps)
        states = last.tensors
        count = self.sizes.targets
        found = self._decoded(states, count, columns)  # (targets, batch, segments, hidden)
        raw = self.out(self.output_dropout(found)).unflatten(3, (self.width, -1)).flatten(2, 3)
        raw = raw[:, :, : self.horizon].permute(1, 2, 0, 3)
        return Raw(self.added(raw, scaled, scale), scale)

    def _inputs(self, scaled: Ragged, covariates: Ragged, columns: Mapping[str, Any]) -> Ragged:
        """Return the inputs of the body: for each target the segments of all windows."""
        width, count = self.width, self.sizes.targets
        pieces = scaled.data.unflatten(0, (-1, width))  # (segments, width, targets, marks)
        found = self.embed(pieces.permute(2, 0, 3, 1).flatten(2))  # (targets, segments, hidden)
        if self.covariates is not None:
            found = found + self.covariates(covariates.data.unflatten(0, (-1, width)).flatten(1))
        lengths = scaled.lengths // width
        if self.static is not None:
            whole = torch.repeat_interleave(columns["static"].to(found.dtype), lengths.to(found.device), 0)
            found = found + self.static(whole)
        inputs = Ragged(functional.relu(found).flatten(0, 1), lengths.repeat(count))
        return inputs if self.input_dropout is None else self.input_dropout(inputs)

    def _decoded(self, states: Mapping[str, Tensor], count: int, columns: Mapping[str, Any]) -> Tensor:
        rows = torch.cat(
            [
                self.position.expand(count, -1, -1),
                self.channel.unsqueeze(1).expand(-1, self.segments, -1),
            ],
            -1,
        ).unsqueeze(1)  # (targets, 1, segments, hidden)
        more = self._ahead(columns)
        if self.body.cell.name == "gru_reset_after" and self.body.num_layers == 1 and not self.body.weight_drop:
            return _decode_at_once(self.body, states["h"][0], rows, more, count)
        inputs = rows if more is None else rows + more
        batch = next(iter(states.values())).shape[1] // count
        inputs = inputs.expand(-1, batch, -1, -1).flatten(0, 2).unsqueeze(1)
        initial = {name: state.repeat_interleave(self.segments, 1) for name, state in states.items()}
        _, last = self.body(inputs, initial)
        return last.output.unflatten(0, (count, batch, self.segments))

    def _ahead(self, columns: Mapping[str, Any]) -> Tensor | None:
        """Return what covariates add to the inputs of the horizon, `(1, batch, segments, hidden)`."""
        found = []
        if self.ahead is not None:
            known = columns["ahead"].to(self.ahead.weight.dtype)
            short = self.segments * self.width - self.horizon
            # What is left of the last segment repeats the last step.
            known = torch.cat([known, known[:, -1:].expand(-1, short, -1)], 1)
            found.append(self.ahead(known.unflatten(1, (self.segments, self.width)).flatten(2)))
        if self.static is not None:
            found.append(self.static(columns["static"].to(self.static.weight.dtype)).unsqueeze(1))
        return sum(found[1:], found[0]).unsqueeze(0) if found else None


def _decode_at_once(body: Recurrent, state: Tensor, rows: Tensor, more: Tensor | None, count: int) -> Tensor:
    """Return one step of `gru_reset_after` from each state with each row.

    The products with a state are computed once for all rows.

    Args:
        body: the layer.
        state: `(targets · batch, hidden)`.
        rows: `(targets, 1, segments, hidden)`.
        more: added to the rows, `(1, batch, segments, hidden)`.
        count: number of targets.

    Returns:
        `(targets, batch, segments, hidden)`.
    """
    named = body.weights()
    matrix = torch.cat([named["update/0"], named["reset/0"], named["candidate/0"]], 1)
    memory = torch.cat([named["update/1"], named["reset/1"], named["memory/0"]], 1)
    ours = rows @ matrix
    bias = [named.get(f"{name}/bias") for name in ("update", "reset", "candidate", "memory")]
    if bias[0] is not None:
        ours = ours + torch.cat(bias[:3])  # pyright: ignore[reportArgumentType, reportCallIssue]
    if more is not None:
        ours = ours + more @ matrix
    theirs = (state @ memory).unflatten(0, (count, -1)).unsqueeze(2)
    kept = state.unflatten(0, (count, -1)).unsqueeze(2)
    x, h = ours.chunk(3, -1), theirs.chunk(3, -1)
    last = h[2] if bias[3] is None else h[2] + bias[3]
    update, reset = torch.sigmoid(x[0] + h[0]), torch.sigmoid(x[1] + h[1])
    candidate = torch.tanh(x[2] + reset * last)
    return candidate + update * (kept - candidate)


class DirectNetwork(Forecaster):
    """A recurrent body over the steps of the window; dense layers give all steps of the horizon from its last output.

    The covariates of the horizon and the static values are put beside the last output.
    """

    def __init__(self, settings: ForecastNetworkSettings, sizes: Sizes, cell: Cell | None = None):
        super().__init__(settings, sizes)
        width = sizes.targets * (1 + sizes.masked) + sizes.past + sizes.known
        self.body = build_body(settings, width, cell)
        beside = self.horizon * sizes.known + sizes.static
        outputs = self.horizon * sizes.targets * settings.parameters
        self.dense = dense_layers(settings, self.body.output_size + beside, outputs)  # pyright: ignore

    @property
    def last_layer(self) -> nn.Linear:
        """The layer that gives the outputs."""
        return self.dense[-1]  # pyright: ignore[reportReturnType]

    def forward(self, columns: Mapping[str, Any]) -> Raw:
        """Return the outputs of each step of the horizon."""
        scaled, covariates, scale = self.read(columns["window"])
        inputs = scaled.replace(torch.cat([scaled.data.flatten(1), covariates.data], 1))
        if self.input_dropout is not None:
            inputs = self.input_dropout(inputs)
        steps, last = self.body(inputs)
        self.regularised(steps)
        row = self.output_dropout(last.output)
        parts = [columns["ahead"].flatten(1)] if self.sizes.known else []
        parts += [columns["static"]] if self.sizes.static else []
        raw = self.dense(torch.cat([row, *(part.to(row.dtype) for part in parts)], 1))
        return Raw(self.added(raw.unflatten(1, (self.horizon, self.sizes.targets, -1)), scaled, scale), scale)


class RecursiveNetwork(Forecaster):
    """A recurrent body that gives the distribution of each step from the step before it, with carried state.

    Each step reads the targets of the step before it, the known covariates of its own and the static values. In
    training the true values of the horizon are read; a forecast draws each step from its distribution and reads it.

    Source:
        D. Salinas et al., DeepAR: Probabilistic Forecasting with Autoregressive Recurrent Networks, 2020, equations 1
        and 2. Differences: any cell, several targets at once (independent given the past), another scaling.
    """

    def __init__(self, settings: ForecastNetworkSettings, sizes: Sizes, cell: Cell | None = None):
        super().__init__(settings.model_copy(update={"linear": False}), sizes)
        width = sizes.targets * (1 + sizes.masked) + sizes.known + sizes.static
        self.body = build_body(settings, width, cell)
        self.dense = dense_layers(settings, self.body.output_size, sizes.targets * settings.parameters)  # pyright: ignore

    def forward(self, columns: Mapping[str, Any], draw: Draw | None = None) -> Raw:
        """Return the outputs of the steps of the horizon, and paths that were drawn.

        Args:
            columns: of a batch; `future` is read in training only.
            draw: gives the values of a step from its outputs; None reads the true ones.
        """
        scaled, covariates, scale = self.read(columns["window"])
        if draw is None:
            return Raw(self._taught(scaled, covariates, columns, scale), scale)
        state, static = self._until_origin(scaled, covariates, columns)
        values = self._last_values(scaled)
        samples = 1 if self.settings.loss not in ("gaussian", "student", "negative-binomial") else self.settings.samples
        batch = len(values)
        state = {name: each.repeat_interleave(samples, 1) for name, each in state.items()}
        many = Scale(*(each.repeat_interleave(samples, 0) for each in scale))
        values, static = values.repeat_interleave(samples, 0), static.repeat_interleave(samples, 0)
        outputs, paths = [], []
        for step in range(self.horizon):
            ahead = columns["ahead"][:, step].to(values.dtype).repeat_interleave(samples, 0)
            inputs = torch.cat([values.flatten(1), ahead, static], 1)
            steps, last = self.body(inputs.unsqueeze(1), state)
            state = last.tensors
            raw = self._outputs(steps[:, 0])
            drawn = draw(raw, many, step)
            outputs.append(raw.unflatten(0, (batch, samples)).mean(1))
            paths.append(drawn.unflatten(0, (batch, samples)).permute(0, 2, 1))
            marks = [torch.ones_like(drawn)] if self.sizes.masked else []
            values = torch.stack([drawn, *marks], -1)
        return Raw(torch.stack(outputs, 1), scale, torch.stack(paths, 1))

    def _outputs(self, steps: Tensor) -> Tensor:
        return self.dense(self.output_dropout(steps)).unflatten(-1, (self.sizes.targets, -1))

    def _known(self, covariates: Ragged) -> Tensor:
        return covariates.data[:, self.sizes.past :]

    def _static(self, columns: Mapping[str, Any], like: Tensor) -> Tensor:
        return columns["static"].to(like.dtype)

    def _until_origin(
        self, scaled: Ragged, covariates: Ragged, columns: Mapping[str, Any]
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Return the state before the first step of the horizon, and the static values."""
        static = self._static(columns, scaled.data)
        # Each step reads the values of the step before it; the last values of the window are read by the horizon.
        steps = scaled.lengths - 1
        index = torch.arange(scaled.total)
        offsets = scaled.offsets
        is_first, is_last = torch.zeros(scaled.total, dtype=torch.bool), torch.zeros(scaled.total, dtype=torch.bool)
        is_first[offsets[:-1]], is_last[offsets[1:] - 1] = True, True
        before, own = (index[~each].to(static.device) for each in (is_last, is_first))
        whole = torch.repeat_interleave(static, steps.to(static.device), 0)
        data = torch.cat([scaled.data[before].flatten(1), self._known(covariates)[own], whole], 1)
        _, last = self.body(Ragged(data, steps))
        return dict(last.tensors), static

    def _last_values(self, scaled: Ragged) -> Tensor:
        return scaled.data[(scaled.offsets[1:] - 1).to(scaled.data.device)]

    def _taught(self, scaled: Ragged, covariates: Ragged, columns: Mapping[str, Any], scale: Scale) -> Tensor:
        """Return the outputs of the horizon after the true values."""
        state, static = self._until_origin(scaled, covariates, columns)
        future = columns["filled"][:, :-1]
        true = (future - scale.shift.unsqueeze(1)) / scale.width.unsqueeze(1)
        marks = [(~true.isnan()).to(scaled.data.dtype)] if self.sizes.masked else []
        true = torch.stack([torch.where(true.isnan(), 0.0, true).to(scaled.data.dtype), *marks], -1)
        values = torch.cat([self._last_values(scaled).unsqueeze(1), true], 1).flatten(2)
        whole = static.unsqueeze(1).expand(-1, self.horizon, -1)
        inputs = torch.cat([values, columns["ahead"].to(values.dtype), whole], 2)
        if self.input_dropout is not None:
            inputs = self.input_dropout(inputs)
        steps, _ = self.body(inputs, state)
        self.regularised(Ragged.from_dense(steps))
        return self._outputs(steps)


NETWORKS: dict[str, type[SegmentNetwork] | type[DirectNetwork] | type[RecursiveNetwork]] = {
    "segments": SegmentNetwork,
    "direct": DirectNetwork,
    "recursive": RecursiveNetwork,
}
