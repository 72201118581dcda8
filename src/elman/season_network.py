"""A recurrent body that reads the seasons of a window, once for each step of a season."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from elman.compiler.cell import Cell
from elman.data.ragged.ragged import Ragged
from elman.forecaster import Forecaster, Raw, Sizes
from elman.network_parts import build_body
from elman.settings.forecasting import ForecastNetworkSettings


class SeasonNetwork(Forecaster):
    """A recurrent body over the seasons of the window, which reads each step of a season as a sequence of its own.

    Of a target with 24 steps a day, the values at each hour are a sequence with a step a day. All hours and all targets
    share the weights, so that a window gives many examples, and few weights forecast far ahead. With the value x_ip at
    step p of season i and the mean m_i of the season, the values at step p of the seasons k ahead are

    h_p = GRU([x_1p - m_1, m_1], …, [x_np - m_n, m_n])        y_kp = v_k · dropout(h_p) + c_k

    Covariates and static values are further inputs of their steps; covariates known ahead are added to the outputs by a
    linear map. Missing values count in no mean.

    Source:
        S. Lin et al., SparseTSF: Modeling Long-term Time Series Forecasting with 1k Parameters, 2024, section 3:
        sequences of a step of each season, with shared weights. Differences: a recurrent body in place of a linear map,
        the mean of the season beside each value in place of smoothing; covariates.
    """

    def __init__(self, settings: ForecastNetworkSettings, sizes: Sizes, cell: Cell | None = None):
        super().__init__(settings, sizes)
        assert settings.season is not None
        self.season = settings.season
        width = 2 + sizes.masked + sizes.past + sizes.known + sizes.static
        self.body = build_body(settings, width, cell)
        self.seasons = -(-self.horizon // self.season)
        self.out = nn.Linear(self.body.output_size, self.seasons * settings.parameters)
        self.ahead = nn.Linear(sizes.known, settings.parameters, bias=False) if sizes.known else None

    @property
    def last_layer(self) -> nn.Linear:
        """The layer that gives the outputs."""
        return self.out

    def forward(self, columns: Mapping[str, Any]) -> Raw:
        """Return the outputs of each step of the horizon."""
        scaled, covariates, scale = self.read(columns["window"])
        last = self.run_body(self._inputs(scaled, covariates, columns))
        found = self.out(self.output_dropout(last.output))
        found = found.unflatten(0, (self.sizes.targets, self.season, -1)).unflatten(3, (self.seasons, -1))
        raw = found.permute(2, 3, 1, 0, 4).flatten(1, 2)[:, : self.horizon]  # (batch, horizon, targets, parameters)
        if self.ahead is not None:
            raw = raw + self.ahead(columns["ahead"].to(raw.dtype)).unsqueeze(2)
        return Raw(self.added(raw, scaled, scale), scale)

    def _inputs(self, scaled: Ragged, covariates: Ragged, columns: Mapping[str, Any]) -> Ragged:
        """Return the inputs of the body: the seasons of all windows.

        They come once for each target and step of a season.
        """
        pieces = scaled.data.unflatten(0, (-1, self.season))  # (seasons, steps, targets, marks)
        lengths, count = scaled.lengths // self.season, self.sizes.targets
        values, marks = pieces[..., 0], pieces[..., 1:]
        known = marks[..., 0] if self.sizes.masked else torch.ones_like(values)
        means = values.sum(1, keepdim=True) / known.sum(1, keepdim=True).clamp(min=1.0)
        parts = [torch.stack([(values - means) * known, means.expand_as(values)], -1), marks]
        beside = [covariates.data.unflatten(0, (-1, self.season))]
        if self.sizes.static:
            beside.append(self.static_at(lengths, columns, values).unsqueeze(1).expand(-1, self.season, -1))
        parts += [each.unsqueeze(2).expand(-1, -1, count, -1) for each in beside]
        rows = torch.cat(parts, -1).permute(2, 1, 0, 3)  # (targets, steps, seasons, features)
        return Ragged(rows.reshape(-1, rows.shape[-1]), lengths.repeat(count * self.season))
