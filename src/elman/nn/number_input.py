"""The layer by which a network reads sequences of numbers."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from elman.data.ragged.ragged import Ragged
from elman.nn.checks import check_ragged, refuse, wrong_flag, wrong_name
from elman.nn.scaling import Scaling
from elman.settings.series import VIEWS
from elman.settings.series import Scaling as ScalingKind

# Of the mean size of a sequence: below it the logarithm is nearly linear.
LINEAR_BELOW = 0.02


class NumberInput(nn.Module):
    """Scales numbers, gives several views of them side by side, and shows where they are missing.

    With x a value and m the mean of abs(x) over its sequence:

    | view       | feature                                                             |
    |------------|---------------------------------------------------------------------|
    | values     | x, scaled by `scaling`                                              |
    | series     | x, scaled by `Scaling("series")`                                    |
    | log        | sign(x) · ln(1 + abs(x) / (0.02 m)), standardised                   |
    | difference | x less the value of the step before, 0 at the first, standardised   |
    | level      | ln m, the same at all steps, standardised                           |

    Those that are standardised are so by the training steps. A difference from or to a missing value is missing.

    Args:
        channels: numbers of a step.
        scaling: as for `Scaling`.
        views: of each channel, in order.
        mask: whether missing values (NaN) become zeros after the scaling, with one more feature for each channel that
            is 1 where its value is known.

    Attributes:
        output_size: features of a step of the result.

    Raises:
        UsageError: an unknown scaling or view, or no view.

    >>> NumberInput(1, "none", mask=True)(Ragged(torch.tensor([[2.0], [float("nan")]]), [2])).data
    tensor([[2., 1.],
            [0., 0.]])
    """

    def __init__(
        self,
        channels: int,
        scaling: ScalingKind = "standard",
        *,
        views: Sequence[str] = ("values",),
        mask: bool = False,
    ):
        super().__init__()
        names = list(views) if isinstance(views, list | tuple) and views else [views]
        refuse(*(wrong_name("views", name, VIEWS) for name in names), wrong_flag("mask", mask))
        self.views = tuple(map(str, names))
        kinds = {"values": scaling, "series": "series"}
        self.scalings = nn.ModuleList(Scaling(kinds.get(name, "standard"), channels) for name in self.views)
        self.mask = mask
        self.output_size = channels * (len(self.views) + mask)

    @torch.no_grad()
    def fit(self, batch: Ragged) -> list[int]:
        """Learn the scale of each view, and return the channels that are constant in training.

        Args:
            batch: the training sequences, `(total, channel)`.
        """
        for name, scaling in zip(self.views, self.scalings, strict=True):
            scaling.fit(_view(name, batch))  # type: ignore[operator]
        return Scaling("none", batch.data.shape[1]).fit(batch)

    def forward(self, batch: Ragged) -> Ragged:
        """Return features `(total, feature)` of numbers `(total, channel)`."""
        check_ragged(self, batch, "numbers (total, channel)")
        views = zip(self.views, self.scalings, strict=True)
        parts = [scaling(_view(name, batch))[0].data for name, scaling in views]
        data = torch.cat(parts, dim=1)
        if not self.mask:
            return batch.replace(data)
        known = (~batch.data.isnan()).to(data.dtype)
        return batch.replace(torch.cat([data.where(~data.isnan(), torch.zeros_like(data)), known], dim=1))

    def extra_repr(self) -> str:
        """Return the settings for printing the module."""
        return f"views={self.views}, mask={self.mask}"


def _view(name: str, batch: Ragged) -> Ragged:
    """Return a view of numbers in float64 before it is scaled."""
    if name in ("values", "series"):
        return batch
    data = batch.data.double()
    if name == "difference":
        before = torch.cat([data[:1], data[:-1]])
        first = batch.step_index()[:, None] == 0
        return batch.replace((data - before.where(~first, data)).to(batch.data.dtype))
    size = _mean_size(batch.replace(data))
    if name == "log":
        found = data.sign() * (data.abs() / (LINEAR_BELOW * size)).log1p()
    else:
        found = size.log()
    return batch.replace(found.to(batch.data.dtype))


def _mean_size(batch: Ragged) -> Tensor:
    """Return the mean of abs(x) over the sequence of each step, 1 if it is 0."""
    known = ~batch.data.isnan()
    counts = batch.replace(known.double()).sum().clamp(min=1)
    sizes = batch.replace(batch.data.abs().where(known, torch.zeros_like(batch.data))).sum() / counts
    return sizes.where(sizes > 0, torch.ones_like(sizes)).index_select(0, batch.sequence_index())
