"""Scaling of numbers inside a network, and back to their units."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from elman.data.ragged.ragged import Ragged
from elman.errors import ShapeError
from elman.nn.checks import check_ragged, refuse, wrong_name, wrong_size
from elman.settings.series import SCALINGS

# Of the variance of the training steps, added to that of each sequence: RevIN adds it on standardised data.
EPSILON = 1e-5


class Scale(NamedTuple):
    """The scale of each sequence: value = scaled · width + shift.

    Attributes:
        shift: `(batch, channel)`.
        width: `(batch, channel)`, more than 0.
    """

    shift: Tensor
    width: Tensor

    def channels(self, chosen: Sequence[int] | Tensor) -> "Scale":
        """Return the scale of these channels."""
        return Scale(self.shift[:, chosen], self.width[:, chosen])


class Scaling(nn.Module):
    """Scales each channel of sequences of numbers, and scales results back.

    Statistics are computed in float64. NaN is a missing value: it is left out of them and stays NaN.

    | kind       | scaled                                                                                 |
    |------------|----------------------------------------------------------------------------------------|
    | none       | x                                                                                      |
    | standard   | (x - mean) / deviation, of the training steps                                          |
    | robust     | (x - median) / interquartile range, of the training steps                              |
    | series     | (x - m) / sqrt(v + 1e-5 V), mean m and variance v of the sequence, V of training steps |
    | mean       | (x - mean of the sequence) / deviation of the training steps                           |
    | last       | (x - last known value of the sequence) / deviation of the training steps               |
    | reversible | as series, then · exp(a) + b, with learned a and b for each channel                    |

    A channel that is constant in training has a width of 1.

    Args:
        kind: as in the table.
        channels: number of them.

    Attributes:
        middle: of each training channel, `(channel,)`: its mean or median; 0 before `fit`.
        spread: of each training channel, `(channel,)`: its deviation or interquartile range; 1 before `fit`.

    Raises:
        UsageError: an unknown kind, or a number of channels that is not positive.

    Source:
        T. Kim et al., Reversible Instance Normalization for Accurate Time-Series Forecasting against Distribution
        Shift, 2022, equations 1 to 3, for `reversible`. Differences: the learned factor is exp(a), which is never 0,
        and the 1e-5 is relative to the variance of the training steps.

    >>> scaling = Scaling("standard", 1)
    >>> steps = Ragged(torch.tensor([[1.0], [3.0], [5.0], [7.0]]), [3, 1])
    >>> constant = scaling.fit(steps)
    >>> scaled, scale = scaling(steps)
    >>> scaled.data[:, 0]
    tensor([-1.3416, -0.4472,  0.4472,  1.3416])
    >>> scaling.invert(scaled, scale).data[:, 0]
    tensor([1.0000, 3.0000, 5.0000, 7.0000])
    """

    middle: Tensor
    spread: Tensor

    def __init__(self, kind: str, channels: int):
        super().__init__()
        refuse(wrong_name("kind", kind, SCALINGS), wrong_size("channels", channels))
        self.kind = kind
        self.register_buffer("middle", torch.zeros(channels, dtype=torch.float64))
        self.register_buffer("spread", torch.ones(channels, dtype=torch.float64))
        learned = kind == "reversible"
        self.log_factor = nn.Parameter(torch.zeros(channels)) if learned else None
        self.offset = nn.Parameter(torch.zeros(channels)) if learned else None

    @torch.no_grad()
    def fit(self, batch: Ragged) -> list[int]:
        """Learn the middle and the spread of each channel, and return the constant channels.

        Args:
            batch: the training sequences, `(total, channel)`.
        """
        self._check(batch)
        constant = []
        for channel, column in enumerate(batch.data.double().unbind(1)):
            known = column[~column.isnan()]
            if len(known) == 0 or bool((known == known[0]).all()):
                constant.append(channel)
                middle, spread = known[:1].sum(), torch.ones(())
            elif self.kind == "robust":
                low, middle, high = _quartiles(known)
                spread = high - low
                if spread == 0:
                    # Most steps are equal: the deviation of the others decides.
                    spread = known.std(correction=0)
            else:
                middle, spread = known.mean(), known.std(correction=0)
            self.middle[channel], self.spread[channel] = middle, spread
        return constant

    def forward(self, batch: Ragged) -> tuple[Ragged, Scale]:
        """Return the scaled steps `(total, channel)`, and the scale of each sequence."""
        self._check(batch)
        scale = self.scale(batch)
        index = batch.sequence_index()
        # Missing values are put back afterwards: NaN would be in the gradient of the learned factors.
        missing = batch.data.isnan()
        known = batch.data.double().masked_fill(missing, 0.0)
        data = (known - scale.shift.index_select(0, index)) / scale.width.index_select(0, index)
        data = data.masked_fill(missing, torch.nan)
        return batch.replace(data.to(batch.data.dtype)), scale

    def scale(self, batch: Ragged) -> Scale:
        """Return the scale of each sequence of a batch, in float64."""
        size = (batch.batch_size, len(self.middle))
        middle, spread = self.middle.double().expand(size), self.spread.double().expand(size)
        if self.kind == "none":
            return Scale(torch.zeros_like(middle), torch.ones_like(spread))
        if self.kind in ("standard", "robust"):
            return Scale(middle, spread)
        if self.kind == "last":
            return Scale(_last_known(batch.replace(batch.data.double())), spread)
        shift, variance = _moments(batch.replace(batch.data.double()))
        if self.kind == "mean":
            return Scale(shift, spread)
        width = (variance + EPSILON * spread.square()).sqrt()
        if self.log_factor is not None and self.offset is not None:
            width = width / self.log_factor.double().exp()
            shift = shift - self.offset.double() * width
        return Scale(shift, width)

    def invert(self, values: Ragged | Tensor, scale: Scale) -> Ragged | Tensor:
        """Return scaled values in the units of the data.

        Args:
            values: `Ragged` steps `(total, channel)`, or a tensor `(batch, …, channel)`.
            scale: of each sequence, with the channels of the values.
        """
        if isinstance(values, Ragged):
            index = values.sequence_index()
            data = values.data.double() * scale.width.index_select(0, index) + scale.shift.index_select(0, index)
            return values.replace(data.to(values.data.dtype))
        shape = (len(scale.shift), *[1] * (values.dim() - 2), scale.shift.shape[1])
        return (values.double() * scale.width.view(shape) + scale.shift.view(shape)).to(values.dtype)

    def extra_repr(self) -> str:
        """Return the settings for printing the module."""
        return f"{self.kind!r}, {len(self.middle)}"

    def _check(self, batch: Ragged) -> None:
        check_ragged(self, batch, "numbers (total, channel)")
        if batch.data.dim() != 2 or batch.data.shape[1] != len(self.middle):
            raise ShapeError(
                f"Scaling: expected steps of {len(self.middle)} channels, got a shape {tuple(batch.data.shape)}.",
                fix="Give numbers (total, channel).",
            )


def constant_note(constant: Sequence[int], names: Sequence[str] = ()) -> list[str]:
    """Return a note that names the constant channels, if there are any.

    >>> constant_note([1], ["load", "flag"])
    ['The channel `flag` has one value in all training steps.']

    Args:
        constant: indices of the channels, as `Scaling.fit` gives them.
        names: of all channels; their numbers from 1 if not given.
    """
    if not constant:
        return []
    shown = ", ".join(f"`{names[index]}`" if names else str(index + 1) for index in constant)
    if len(constant) == 1:
        return [f"The channel {shown} has one value in all training steps."]
    return [f"The channels {shown} have one value each in all training steps."]


def _quartiles(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return three quartiles, interpolated linearly. `torch.quantile` refuses large tensors."""
    ordered = values.sort().values
    found = []
    for share in (0.25, 0.5, 0.75):
        position = share * (len(ordered) - 1)
        below = int(position)
        above = min(below + 1, len(ordered) - 1)
        found.append(ordered[below].lerp(ordered[above], position - below))
    return found[0], found[1], found[2]


def _moments(batch: Ragged) -> tuple[Tensor, Tensor]:
    """Return the mean and the variance of the known values of each sequence.

    Both are `(batch, channel)`, and 0 without known values.
    """
    known = ~batch.data.isnan()
    counts = batch.replace(known.double()).sum().clamp(min=1)
    values = batch.data.where(known, torch.zeros_like(batch.data))
    mean = batch.replace(values).sum() / counts
    distance = (values - mean.index_select(0, batch.sequence_index())) * known
    return mean, batch.replace(distance.square()).sum() / counts


def _last_known(batch: Ragged) -> Tensor:
    """Return the last known value of each sequence, 0 without any: `(batch, channel)`."""
    known = ~batch.data.isnan()
    steps = torch.arange(1, batch.total + 1, device=batch.data.device)[:, None] * known
    index = batch.sequence_index()[:, None].expand_as(steps)
    last = steps.new_zeros(batch.batch_size, batch.data.shape[1]).scatter_reduce(0, index, steps, "amax")
    padded = torch.cat([batch.data.new_zeros(1, batch.data.shape[1]), batch.data])
    return padded.gather(0, last)
