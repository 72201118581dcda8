"""A GRU over segments of the window that gives all segments of the horizon at once."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from elman.compiler.cell import Cell
from elman.data.ragged.ragged import Ragged
from elman.forecaster import Forecaster, Raw, Sizes
from elman.network_parts import build_body
from elman.nn.recurrent import Recurrent
from elman.settings.forecasting import ForecastNetworkSettings


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
        last = self.run_body(self._inputs(scaled, covariates, columns))
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
            found = found + self.static(self.static_at(lengths, columns, found))
        return Ragged(functional.relu(found).flatten(0, 1), lengths.repeat(count))

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
