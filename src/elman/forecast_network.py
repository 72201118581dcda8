"""Networks that forecast: direct, recursive, and all of them by the name of their method."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from elman.compiler.cell import Cell
from elman.data.ragged.ragged import Ragged
from elman.forecaster import Draw, Forecaster, Raw, Sizes
from elman.network_parts import build_body, dense_layers
from elman.nn.scaling import Scale
from elman.season_network import SeasonNetwork
from elman.segment_network import SegmentNetwork
from elman.settings.forecasting import ForecastNetworkSettings


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
        last = self.run_body(inputs)
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
        whole = self.static_at(steps, columns, static)
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
        self.penalise(Ragged.from_dense(steps))
        return self._outputs(steps)


NETWORKS: dict[str, type[SegmentNetwork] | type[SeasonNetwork] | type[DirectNetwork] | type[RecursiveNetwork]] = {
    "segments": SegmentNetwork,
    "seasons": SeasonNetwork,
    "direct": DirectNetwork,
    "recursive": RecursiveNetwork,
}
