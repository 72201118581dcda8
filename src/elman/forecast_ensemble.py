"""Forecasters that are trained side by side and averaged."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from elman.compiler.cell import Cell
from elman.forecast_network import NETWORKS
from elman.forecaster import Draw, Forecaster, Raw, Sizes
from elman.nn.penalties import read_each
from elman.nn.recurrent import Recurrent
from elman.nn.regression import without_crossing
from elman.settings.forecasting import ForecastNetworkSettings


class ForecastEnsemble(nn.Module):
    """Forecasters of the same layers that are trained side by side, each from first weights of its own, and averaged.

    Args:
        settings: the layers of each; `method` names the network.
        sizes: of what they read.
        members: number of networks.
        cell: the cell itself, where `settings.cell` only names it.

    Attributes:
        margins, calibrated: of conformal intervals around the averages, as those of `Forecaster`.

    Source:
        B. Lakshminarayanan et al., 2017, see `elman.networks.Ensemble`. Difference: the outputs are averaged,
        parameters of distributions among them; sample paths are those of all networks.
    """

    margins: Tensor
    calibrated: Tensor

    def __init__(self, settings: ForecastNetworkSettings, sizes: Sizes, members: int, cell: Cell | None = None):
        super().__init__()
        assert settings.method is not None
        self.settings, self.sizes = settings, sizes
        self.members = nn.ModuleList(NETWORKS[settings.method](settings, sizes, cell) for _ in range(members))
        self.register_buffer("margins", self.members[0].margins.clone())  # type: ignore[operator, union-attr]
        self.register_buffer("calibrated", torch.tensor(False))

    @property
    def body(self) -> Recurrent:
        """The recurrent layers of the first network."""
        return self.members[0].body  # type: ignore[return-value]

    def forward(self, columns: Mapping[str, Any], draw: Draw | None = None) -> Raw:
        """Return the mean outputs for each step of the horizon, and the paths of all networks."""
        return averaged(self.each(columns, draw))

    def each(self, columns: Mapping[str, Any], draw: Draw | None = None) -> list[Raw]:
        """Return the outputs of each network.

        Quantiles are sorted: a network may give them in any order.
        """
        return read_each(self.members, lambda member: self._read(member, columns, draw))

    def _read(self, network: Callable[..., Raw], columns: Mapping[str, Any], draw: Draw | None) -> Raw:
        raw = network(columns) if draw is None else network(columns, draw)
        return raw._replace(values=without_crossing(raw.values)) if self.settings.loss == "quantile" else raw


def averaged(raws: Sequence[Raw]) -> Raw:
    """Return the means of the outputs of several networks, and the paths of all of them.

    Args:
        raws: of windows that were scaled alike.
    """
    values = torch.stack([raw.values for raw in raws]).mean(0)
    drawn = [raw.paths for raw in raws if raw.paths is not None]
    paths = torch.cat(drawn, -1) if drawn else None
    if paths is not None and drawn[0].shape[-1] == 1:
        # The only path of a network is its forecast.
        paths = paths.mean(-1, keepdim=True)
    return Raw(values, raws[0].scale, paths)


def forecasters_of(network: Forecaster | ForecastEnsemble) -> list[Forecaster]:
    """Return the networks of an ensemble, or the network itself."""
    return list(network.members) if isinstance(network, ForecastEnsemble) else [network]  # type: ignore[arg-type]
