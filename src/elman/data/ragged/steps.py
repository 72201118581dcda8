"""Conversion of lists of arrays to the two parts of a `Ragged`: all steps in one tensor, and the lengths."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from elman.data.listing import listed
from elman.errors import DataError, ShapeError


def join_sequences(
    sequences: Sequence[Any], feature_shape: Sequence[int] | None, dtype: torch.dtype | None
) -> tuple[Tensor, Tensor]:
    """Return all steps one after the other and the length of each sequence."""
    parts, problems = _convert(sequences)
    feature = _feature_shape(parts, feature_shape)
    problems += [
        f"sequence {index}: expected steps of shape {feature}, got {tuple(part.shape[1:])}"
        for index, part in parts
        if not _is_bare(part) and part.shape[1:] != feature
    ]
    if problems:
        raise ShapeError(
            "These sequences cannot be put into one batch.",
            where="\n".join(listed(problems)),
            fix="Give arrays of shape (steps, feature…) that agree in all but the steps.",
        )
    return _concatenate([part for _, part in parts], feature, dtype), torch.tensor(
        [len(part) for _, part in parts], dtype=torch.int64
    )


def _convert(sequences: Sequence[Any]) -> tuple[list[tuple[int, Tensor]], list[str]]:
    parts, problems = [], []
    for index, sequence in enumerate(sequences):
        try:
            parts.append((index, _as_steps(sequence)))
        except _StringsError:
            raise DataError(
                "Expected sequences of numbers, got strings.",
                where=f"sequence {index}: {str(sequence)[:60]!r}",
                fix="Number the tokens first: Vocabulary.build(...).encode_batch(token_lists).",
            ) from None
        except (ValueError, TypeError, OverflowError) as reason:
            problems.append(f"sequence {index}: {reason}")
    return parts, problems


class _StringsError(Exception):
    """A sequence holds strings."""


def _as_steps(sequence: Any) -> Tensor:
    if not isinstance(sequence, Tensor):
        sequence = _from_values(sequence)
    if sequence.ndim == 0:
        raise ValueError("expected an array of steps, got a single number")
    return sequence


def _from_values(sequence: Any) -> Tensor:
    if isinstance(sequence, list | tuple) and sequence and all(isinstance(step, Tensor) for step in sequence):
        return torch.stack(list(sequence))
    array = np.array(sequence)
    if array.dtype.kind in "US":
        raise _StringsError
    if array.dtype.kind not in "biufc":
        raise ValueError("expected an array of numbers")
    # Python floats and the empty list have no dtype of their own: they get torch's default.
    own_dtype = isinstance(sequence, np.ndarray) or array.dtype.kind != "f"
    return torch.tensor(array, dtype=None if own_dtype else torch.get_default_dtype())


def _is_bare(part: Tensor) -> bool:
    """Report whether it is an empty list, which fits any features."""
    return part.shape == (0,)


def _feature_shape(parts: list[tuple[int, Tensor]], given: Sequence[int] | None) -> tuple[int, ...]:
    if given is not None:
        return tuple(given)
    return next((tuple(part.shape[1:]) for _, part in parts if not _is_bare(part)), ())


def _concatenate(parts: list[Tensor], feature: tuple[int, ...], dtype: torch.dtype | None) -> Tensor:
    # Empty parts must not decide the dtype: an empty list is float, the others may be integers.
    full = [part for part in parts if len(part)]
    if full:
        data = torch.cat(full)
    else:
        data = torch.zeros((0, *feature), dtype=parts[0].dtype if parts else None)
    return data if dtype is None else data.to(dtype)
