"""What must hold between data, lengths and masks, and the message when it does not."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from elman.compiler.order import TimeMajor
from elman.errors import ShapeError
from elman.sequences.listing import listed


def integers(name: str, values: Any) -> Tensor:
    """Values as a new int64 tensor of one axis on the CPU."""
    try:
        tensor = values if isinstance(values, Tensor) else torch.as_tensor(np.array(values))
    except (TypeError, ValueError):
        tensor = None
    if tensor is None:
        came = f"{type(values).__name__} that is no list of integers"
    elif tensor.ndim != 1:
        came = f"a shape of {tuple(tensor.shape)}"
    elif tensor.numel() and (tensor.dtype is torch.bool or tensor.is_floating_point() or tensor.is_complex()):
        came = str(tensor.dtype).removeprefix("torch.")
    else:
        return tensor.detach().to("cpu", torch.int64, copy=True)
    raise ShapeError(f"The {name} must be integers on one axis; came: {came}.", fix=f"Give {name} as [3, 0, 5].")


def checked_lengths(lengths: Any) -> Tensor:
    """Lengths as int64 on the CPU, none of them negative."""
    checked = integers("lengths", lengths)
    negative = (checked < 0).nonzero().flatten().tolist()
    if negative:
        raise ShapeError(
            f"{len(negative)} of {len(checked)} lengths are negative.",
            where="\n".join(listed([f"sequence {index}: {checked[index]}" for index in negative])),
            fix="A length is the number of steps: zero or more.",
        )
    return checked


def check_data(data: Tensor, order: TimeMajor) -> None:
    """Data must be a tensor with one entry for each step."""
    if not isinstance(data, Tensor):
        raise ShapeError(
            f"The data must be a torch tensor; came: {type(data).__name__}.",
            fix="Use Ragged.from_list(...) for lists and arrays, Vocabulary.encode_batch(...) for strings.",
        )
    if data.ndim == 0 or (not order.is_traced and data.shape[0] != order.total):
        raise ShapeError(
            f"The lengths sum to {order.total}, and the data has shape {tuple(data.shape)}.",
            fix="The first axis of the data holds all steps of all sequences, one after the other: it must "
            "have as many entries as the lengths sum to.",
        )


def padded_sizes(tensor: Tensor, batch_first: bool) -> tuple[int, int]:
    """The batch and the time of a padded tensor."""
    if tensor.ndim < 2:
        raise ShapeError(
            f"A padded batch has at least two axes, batch and time; came: {tuple(tensor.shape)}.",
            fix="Give (batch, time, feature…); use Ragged(data, lengths) for steps already in a row.",
        )
    batch, time = tensor.shape[:2] if batch_first else (tensor.shape[1], tensor.shape[0])
    return batch, time


def check_fits(lengths: Tensor, batch: int, time: int) -> None:
    """There must be one length for each sequence of a padded tensor, none beyond its time."""
    problems = [] if len(lengths) == batch else [f"{len(lengths)} lengths for {batch} sequences"]
    beyond = (lengths > time).nonzero().flatten().tolist()
    problems += listed([f"sequence {index}: length {lengths[index]}, but there are {time} steps" for index in beyond])
    if problems:
        raise ShapeError(
            "The lengths do not fit the padded tensor.",
            where="\n".join(problems),
            fix="Give one length for each sequence, none above the time axis; "
            "say batch_first=False if the tensor is (time, batch, …).",
        )


def mask_lengths(mask: Tensor, batch: int, time: int, batch_first: bool) -> Tensor:
    """The lengths that a mask stands for: its steps must come first, its padding after them."""
    expected = (batch, time) if batch_first else (time, batch)
    if mask.shape != expected:
        raise ShapeError(
            f"The mask is {tuple(mask.shape)} for a batch of {batch} sequences and {time} steps.",
            fix=f"Give a mask of shape {expected}.",
        )
    if not batch_first:
        mask = mask.transpose(0, 1)
    steps = mask != 0
    lengths = steps.sum(1)
    bad = (steps != (torch.arange(time, device=mask.device) < lengths[:, None])).any(1).nonzero().flatten().tolist()
    if bad:
        raise ShapeError(
            f"The mask has padding before a step in {len(bad)} of {batch} sequences.",
            where=f"sequence {bad[0]}: {''.join('1' if step else '0' for step in steps[bad[0], :60].tolist())}",
            fix="Put the steps first and the padding after them; invert the mask if its ones stand for padding.",
        )
    return lengths.cpu()
