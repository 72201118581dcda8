"""Series of numbers as one batch; missing values are refused, kept for a mask, or carried forward."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from elman.data.listing import listed
from elman.data.ragged.ragged import Ragged
from elman.errors import DataError, ShapeError
from elman.settings.series import Missing

FLOAT32_MAX = float(np.finfo(np.float32).max)
REPAIRS = (
    "Fill them in; or say missing='mask' (--missing mask), which shows the network where values are missing; or "
    "missing='carry' (--missing carry), which repeats the last known value, before it the first."
)


def series_batch(sequences: Sequence[Any], missing: Missing = "error", channels: int | None = None) -> Ragged:
    """Return sequences of numbers as a batch `(total, channel)` in float64.

    Args:
        sequences: each `(time, channel)`, or `(time,)` for one channel; NaN and None are missing values.
        missing: what to do with them: `error`; `mask` keeps them as NaN; `carry` replaces each by the last known value
            of its channel, and those before the first known value by that value.
        channels: of each step; those of the first sequence that is not empty if not given.

    Raises:
        DataError: values that are not numbers, are infinite, too large for float32 or missing, with sequence, step and
            channel, all from 1.
        ShapeError: sequences that differ in their channels.

    >>> series_batch([[1.0, None, 3.0]], "carry").data[:, 0]
    tensor([1., 1., 3.], dtype=torch.float64)
    """
    arrays = _arrays(sequences, channels)
    _refuse(arrays, np.isinf, "infinite", "Correct these values; a missing value is NaN.")
    too_large = "Scale the values, such as to a mean of 0 and a deviation of 1."
    _refuse(arrays, lambda values: np.abs(values) > FLOAT32_MAX, "too large for float32", too_large)
    if missing == "error":
        _refuse(arrays, np.isnan, "missing (NaN)", REPAIRS)
    if missing == "carry":
        _refuse(
            arrays,
            lambda values: np.broadcast_to(np.isnan(values).all(0), values.shape),
            "missing, in channels of a series without a known value to carry",
            "Leave these series out, or say missing='mask' (--missing mask).",
        )
        arrays = [carried(values) for values in arrays]
    lengths = [len(values) for values in arrays]
    data = np.concatenate(arrays) if arrays else np.zeros((0, channels or 1))
    return Ragged(torch.from_numpy(data), lengths)


def carried(values: np.ndarray) -> np.ndarray:
    """Return steps `(time, channel)` with the last known value where one is missing."""
    known = ~np.isnan(values)
    if known.all():
        return values
    steps = np.arange(len(values))[:, None]
    last = np.maximum.accumulate(np.where(known, steps, -1), axis=0)
    first = np.where(known, steps, len(values)).min(axis=0, initial=len(values))
    return np.take_along_axis(values, np.where(last < 0, np.minimum(first, len(values) - 1), last), axis=0)


def _arrays(sequences: Sequence[Any], channels: int | None) -> list[np.ndarray]:
    arrays = [_array(sequence) for sequence in sequences]
    if any(array is None or array.ndim > 2 for array in arrays):
        # The message of a batch that cannot be made.
        return [np.asarray(each, dtype=np.float64) for each in _batch_of(sequences)]
    full = [array for array in arrays if array is not None]
    width = channels or next((array.shape[1] if array.ndim == 2 else 1 for array in full if array.size), 1)
    empty = np.zeros((0, width))
    shaped = [each.reshape(len(each), -1) if each.size else empty for each in full]
    wrong = [n for n, each in enumerate(shaped, 1) if each.shape[1] != width]
    if wrong and channels is not None:
        raise ShapeError(
            f"Expected {width} channel{'s' if width > 1 else ''}, with which the model was trained, got "
            f"{shaped[wrong[0] - 1].shape[1]}.",
            where="\n".join(listed([f"sequence {number}" for number in wrong])),
            fix="Give arrays (time, channel) with the channels of the training data, in their order.",
        )
    if wrong:
        _batch_of(shaped)
    return shaped


def _batch_of(sequences: Sequence[Any]) -> list[Any]:
    try:
        return Ragged.from_list(sequences).to_list()
    except (ShapeError, DataError) as error:
        # A batch counts from 0, people from 1.
        where = re.sub(r"^sequence (\d+)", lambda found: f"sequence {int(found[1]) + 1}", error.where or "", flags=re.M)
        raise type(error)(error.problem, where=where, fix=error.fix) from error


def _array(sequence: Any) -> np.ndarray | None:
    """Return a sequence in float64, or None for one that is not of numbers."""
    if isinstance(sequence, torch.Tensor):
        return sequence.detach().cpu().double().numpy()
    if isinstance(sequence, list | tuple) and any(isinstance(step, torch.Tensor) for step in sequence):
        return None
    try:
        found = np.asarray(sequence)
        if found.dtype.kind not in "biufO":
            return None
        if found.dtype.kind == "O" and any(isinstance(value, str | bytes) for value in found.ravel()):
            return None
        return found.astype(np.float64) if found.ndim else None
    except (ValueError, TypeError, OverflowError):
        return None


def _refuse(arrays: Sequence[np.ndarray], is_wrong: Any, problem: str, fix: str) -> None:
    where = []
    for number, values in enumerate(arrays, start=1):
        wrong = is_wrong(values)
        if not wrong.any():
            continue
        for step, channel in np.argwhere(wrong)[:5]:
            of = f", channel {channel + 1}" if values.shape[1] > 1 else ""
            where.append(f"sequence {number}, step {step + 1}{of}")
        where += [""] * (int(wrong.sum()) - min(5, int(wrong.sum())))
    if where:
        count = "one value that is" if len(where) == 1 else f"{len(where):,} values that are"
        raise DataError(f"Expected finite numbers, got {count} {problem}.", where="\n".join(listed(where)), fix=fix)
