"""Checks of the settings and inputs of modules; each error names the argument and the repair."""

import math
import numbers
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from elman.data.ragged.ragged import Ragged
from elman.errors import ShapeError, UsageError, nearest


def wrong_size(name: str, value: Any, least: int = 1, most: int | None = None) -> list[str]:
    """Return what is wrong with a size or a count: nothing, or one problem with its repair."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if whole and least <= int(value) and (most is None or int(value) <= most):
        return []
    bounds = f"{least} or more" if most is None else f"from {least} to {most}"
    return [f"Expected {name} to be a whole number, got {value!r}: give {bounds}."]


def wrong_probability(name: str, value: Any, *, below_one: bool = False) -> list[str]:
    """Return what is wrong with a probability: nothing, or one problem with its repair."""
    if _is_number(value) and 0.0 <= value <= 1.0 and not (below_one and value == 1.0):
        return []
    bounds = "from 0 to below 1" if below_one else "from 0 to 1"
    return [f"Expected {name} to be a probability, got {value!r}: give a number {bounds}."]


def wrong_weight(name: str, value: Any) -> list[str]:
    """Return what is wrong with a weight: nothing, or one problem with its repair."""
    if _is_number(value) and math.isfinite(value) and value >= 0.0:
        return []
    return [f"Expected {name} to be a finite number, got {value!r}: give 0 or more."]


def wrong_flag(name: str, value: Any) -> list[str]:
    """Return what is wrong with a flag: nothing, or one problem with its repair."""
    return [] if isinstance(value, bool) else [f"Expected {name} to be a bool, got {value!r}: give True or False."]


def wrong_name(name: str, value: Any, valid: Sequence[Any]) -> list[str]:
    """Return what is wrong with one of several names: nothing, or one problem with its repair."""
    if value in list(valid):
        return []
    return [f"Expected {name} to be one of the valid names, got {value!r}. {nearest(value, valid)}"]


def wrong_mapping(name: str, value: Any, form: str) -> list[str]:
    """Return what is wrong with a mapping: nothing, or one problem with its repair."""
    return [] if isinstance(value, Mapping) else [f"Expected {name} to be a mapping, got {value!r}: give {form}."]


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def refuse(*problems: list[str]) -> None:
    """Raise a `UsageError` with all the problems, if there are any.

    Args:
        problems: lists as the functions above return them.

    >>> refuse(wrong_flag("stateful", "no"), wrong_size("size", 3))
    Traceback (most recent call last):
        ...
    elman.errors.UsageError: Expected stateful to be a bool, got 'no': give True or False.
    """
    found = [problem for each in problems for problem in each]
    if found:
        raise UsageError("\n".join(found))


def described(value: Any) -> str:
    """Describe a value that was refused, for the end of "Expected …, got …".

    >>> described([1])
    'a list'
    """
    if value is None:
        return "None"
    if isinstance(value, Tensor | np.ndarray):
        return f"{'a tensor' if isinstance(value, Tensor) else 'an array'} of shape {tuple(value.shape)}"
    kind = type(value).__name__
    return f"{'an' if kind[0] in 'aeiouAEIOU' else 'a'} {kind}"


def check_ragged(module: object, batch: Any, form: str) -> None:
    """Refuse an input that is not a `Ragged` batch.

    Args:
        module: the module that reads the batch.
        batch: the input.
        form: the data that the module reads, such as `ids (total,)`.

    Raises:
        ShapeError: the input is not a `Ragged` batch.
    """
    if not isinstance(batch, Ragged):
        raise ShapeError(
            f"{type(module).__name__}: expected a Ragged batch of {form}, got {described(batch)}.",
            fix="Make a batch with Ragged.from_dense(tensor), Ragged.from_padded(tensor, lengths) or "
            "Ragged.from_list(sequences).",
        )
