"""Checks that data, lengths and masks fit each other."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from elman.data.listing import listed
from elman.errors import ShapeError
from elman.order import TimeMajor


def integers(name: str, values: Any) -> Tensor:
    """Return values as a new int64 tensor of one axis on the CPU."""
    try:
        tensor = values if isinstance(values, Tensor) else torch.as_tensor(np.array(values))
    except (TypeError, ValueError):
        tensor = None
    if tensor is None:
        got = f"{type(values).__name__} that is not a list of integers"
    elif tensor.ndim != 1:
        got = f"a shape of {tuple(tensor.shape)}"
    elif tensor.numel() and (tensor.dtype is torch.bool or tensor.is_floating_point() or tensor.is_complex()):
        got = str(tensor.dtype).removeprefix("torch.")
    else:
        return tensor.detach().to("cpu", torch.int64, copy=True)
    raise ShapeError(f"Expected {name} to be integers on one axis, got {got}.", fix=f"Give {name} as [3, 0, 5].")


def checked_lengths(lengths: Any) -> Tensor:
    """Return lengths as int64 on the CPU, and refuse negative ones."""
    checked = integers("lengths", lengths)
    negative = (checked < 0).nonzero().flatten().tolist()
    if negative:
        raise ShapeError(
            f"Expected lengths of zero or more, got {len(negative)} negative ones of {len(checked)}.",
            where="\n".join(listed([f"sequence {index}: {checked[index]}" for index in negative])),
            fix="Give the number of steps of each sequence.",
        )
    return checked


def check_data(data: Tensor, order: TimeMajor) -> None:
    """Refuse data that are not a tensor with one entry for each step."""
    if not isinstance(data, Tensor):
        raise ShapeError(
            f"Expected the data as a torch tensor, got {type(data).__name__}.",
            fix="Use Ragged.from_list(...) for lists and arrays, Vocabulary.encode_batch(...) for strings.",
        )
    if data.ndim == 0 or (not order.is_traced and data.shape[0] != order.total):
        raise ShapeError(
            f"Expected data of {order.total} steps, the sum of the lengths, got shape {tuple(data.shape)}.",
            fix="Put all steps of all sequences one after the other on the first axis, or correct the lengths.",
        )


def padded_sizes(tensor: Tensor, batch_first: bool) -> tuple[int, int]:
    """Return the sizes of the batch and the time axis of a padded tensor."""
    if tensor.ndim < 2:
        raise ShapeError(
            f"Expected a padded batch of at least two axes, batch and time, got shape {tuple(tensor.shape)}.",
            fix="Give (batch, time, feature…); use Ragged(data, lengths) for steps already in a row.",
        )
    batch, time = tensor.shape[:2] if batch_first else (tensor.shape[1], tensor.shape[0])
    return batch, time


def check_fits(lengths: Tensor, batch: int, time: int) -> None:
    """Refuse lengths that are not one for each sequence, or that exceed the time axis."""
    problems = [] if len(lengths) == batch else [f"{len(lengths)} lengths for {batch} sequences"]
    beyond = (lengths > time).nonzero().flatten().tolist()
    problems += listed([f"sequence {index}: length {lengths[index]}, but there are {time} steps" for index in beyond])
    if problems:
        raise ShapeError(
            "The lengths do not fit the padded tensor.",
            where="\n".join(problems),
            fix="Give one length for each sequence, none above the time axis; "
            "give batch_first=False if the tensor is (time, batch, …).",
        )


def checked_mask(mask: Any, batch: int, time: int, batch_first: bool) -> Tensor:
    """Return a mask as booleans on the CPU, `(batch, time)`, true for a step."""
    expected = (batch, time) if batch_first else (time, batch)
    steps = _booleans(mask)
    if steps.shape != expected:
        raise ShapeError(
            f"Expected a mask of shape {expected} for {batch} sequences and {time} steps, got {tuple(steps.shape)}.",
            fix="Give one value for each step of each sequence, in the order of the padded tensor's first two axes.",
        )
    return steps if batch_first else steps.transpose(0, 1)


def _booleans(mask: Any) -> Tensor:
    """Return a mask of booleans, or of zeros and ones of any type, as booleans on the CPU."""
    try:
        tensor = torch.as_tensor(mask).detach().cpu()
    except (TypeError, ValueError, RuntimeError):
        raise _not_a_mask(f"{type(mask).__name__} that is not an array of numbers") from None
    if tensor.dtype is torch.bool:
        return tensor
    if tensor.is_complex():
        raise _not_a_mask(str(tensor.dtype).removeprefix("torch."))
    strange = tensor[(tensor != 0) & (tensor != 1)]
    if len(strange):
        raise _not_a_mask(f"{strange[0].item()} among its values")
    return tensor != 0


def _not_a_mask(got: str) -> ShapeError:
    return ShapeError(
        f"Expected a mask of booleans, or of zeros and ones, got {got}.",
        fix="Give true or 1 for each step and false or 0 for padding; make one of weights or of an additive mask by "
        "comparing it first, as mask > 0.5 or mask == 0.",
    )
