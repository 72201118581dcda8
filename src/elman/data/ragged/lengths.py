"""What must hold between data, lengths and masks, and the message when it does not."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from elman.data.listing import listed
from elman.errors import ShapeError
from elman.order import TimeMajor


def integers(name: str, values: Any) -> Tensor:
    """Return values as a new int64 tensor with one axis on the CPU."""
    try:
        tensor = values if isinstance(values, Tensor) else torch.as_tensor(np.array(values))
    except (TypeError, ValueError):
        tensor = None
    if tensor is None:
        found = f"{type(values).__name__}, which is not a list of integers"
    elif tensor.ndim != 1:
        found = f"a shape of {tuple(tensor.shape)}"
    elif tensor.numel() and (tensor.dtype is torch.bool or tensor.is_floating_point() or tensor.is_complex()):
        found = str(tensor.dtype).removeprefix("torch.")
    else:
        return tensor.detach().to("cpu", torch.int64, copy=True)
    raise ShapeError(f"The {name} must be integers on one axis, got {found}.", fix=f"Give {name} as [3, 0, 5].")


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
            f"Expected the data as a torch tensor, got {type(data).__name__}.",
            fix="Use Ragged.from_list(...) for lists and arrays, Vocabulary.encode_batch(...) for strings.",
        )
    if data.ndim == 0 or (not order.is_traced and data.shape[0] != order.total):
        raise ShapeError(
            f"The lengths sum to {order.total}, and the data has shape {tuple(data.shape)}.",
            fix="The first axis of the data holds all steps of all sequences, one after the other: it must "
            "have as many entries as the lengths sum to.",
        )


def padded_sizes(tensor: Tensor, batch_first: bool) -> tuple[int, int]:
    """Return the batch size and the time of a padded tensor."""
    if tensor.ndim < 2:
        raise ShapeError(
            f"Expected a padded batch with at least two axes, batch and time, got {tuple(tensor.shape)}.",
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


def checked_mask(mask: Any, batch: int, time: int, batch_first: bool) -> Tensor:
    """Return a mask as booleans on the CPU, `(batch, time)`: true for a step, false for padding."""
    expected = (batch, time) if batch_first else (time, batch)
    steps = _booleans(mask)
    if steps.shape != expected:
        raise ShapeError(
            f"Expected a mask of shape {expected} for {batch} sequences and {time} steps, got {tuple(steps.shape)}.",
            fix="Give one value for each step of each sequence, in the order of the padded tensor's first two axes.",
        )
    return steps if batch_first else steps.transpose(0, 1)


def _booleans(mask: Any) -> Tensor:
    """Convert a mask of booleans, or of zeros and ones of any type, to booleans on the CPU."""
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


def _not_a_mask(found: str) -> ShapeError:
    return ShapeError(
        f"Expected a mask of booleans, or of zeros and ones, got {found}.",
        fix="Give true or 1 for each step and false or 0 for padding; make one of weights or of an additive mask by "
        "comparing it first, as mask > 0.5 or mask == 0.",
    )
