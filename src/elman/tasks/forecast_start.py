"""The first weights of a forecaster's linear maps: ridge regression on windows."""

from typing import Any

import numpy as np
import torch

from elman.forecast_ensemble import forecasters_of
from elman.nn.ridge import Sums
from elman.tasks.forecast_maps import HELD_OUT, best_map, shapes_of
from elman.tasks.panel_encoder import EncodedPanel
from elman.tasks.panel_windows import Windows

CHUNK = 2048


def start_maps(network: Any, panel: EncodedPanel, settings: Any) -> None:
    """Set the linear map of each forecaster and the ridge regression beside it.

    Args:
        network: one forecaster or an ensemble, whose scaling is fitted.
        panel: the training series.
        settings: of the model.
    """
    each = forecasters_of(network)
    is_linear, has_ridge = each[0].linear is not None, each[0].ridge is not None
    kinds = {"last"} if is_linear else set()
    if has_ridge:
        kinds.add(settings.ridge_scaling)
    maps = {kind: first_map(each[0], panel, settings, standard=kind == "standard") for kind in kinds}
    for one in each:
        if is_linear:
            one.start_linear(maps["last"])
        if has_ridge:
            one.start_ridge(maps[settings.ridge_scaling])


@torch.no_grad()
def first_map(network: Any, panel: EncodedPanel, settings: Any, *, standard: bool = False) -> np.ndarray:
    """Return the map from a window to the horizon, both less the last value of the window.

    Errors count as the scores do: in deviations of the targets.

    Args:
        network: its scaling is fitted.
        panel: the training series.
        settings: of the model.
        standard: map standardised windows to a standardised horizon, neither less the last value.

    Returns:
        `(window + 1, horizon)`, those of the last row constant.
    """
    windows = Windows(panel, settings, stride=settings.train_stride)
    share = windows.origins.double() / torch.tensor(panel.lengths).double()[windows.numbers]
    edge = share.quantile(1 - HELD_OUT) if len(share) < CHUNK else share.sort().values[int(len(share) * (1 - HELD_OUT))]
    early, late = (Sums.empty(settings.window, settings.horizon) for _ in range(2))
    for begin in range(0, len(windows), CHUNK):
        item = range(begin, min(begin + CHUNK, len(windows)))
        for chosen, sums in ((share[begin : item.stop] <= edge, early), (share[begin : item.stop] > edge, late)):
            own = [index for index, is_chosen in zip(item, chosen.tolist(), strict=True) if is_chosen]
            if own:
                sums.add(*_rows(network, windows, own, standard=standard))
    return best_map(early, late, shapes_of(settings.season, settings.window, settings.horizon))


def _rows(
    network: Any, windows: Windows, item: list[int], *, standard: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the features, the targets and the weight of each window and target."""
    batch = windows.read(item)
    scaled, _, scale = network.read(batch["window"])
    values = scaled.map(lambda data: data[:, :, 0]).to_padded(side="left")[:, -network.window :].double()
    missing = network.window - values.shape[1]
    values = torch.nn.functional.pad(values, (0, 0, missing, 0))
    future = (batch["future"] - scale.shift.unsqueeze(1)) / scale.width.unsqueeze(1)
    weights = (scale.width / network.scaling.spread).square()
    if standard:
        shift, width = (each.unsqueeze(1) for each in network.standardised(scale))
        values, future = values * width + shift, future * width + shift
        last, weights = torch.zeros_like(values[:, -1:]), torch.ones_like(weights)
    else:
        last = values[:, -1:]
    features = (values - last).transpose(1, 2).flatten(0, 1)
    targets = (future - last).transpose(1, 2).flatten(0, 1)
    weights = weights.flatten()
    known = ~targets.isnan().any(1)
    return features[known], targets[known], weights[known]
