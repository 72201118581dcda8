"""What the modules refuse: settings and inputs that make no sense, each named with its repair."""

import math
import numbers
from typing import Any

from torch import Tensor

from elman.data.ragged.ragged import Ragged
from elman.errors import ShapeError, UsageError


def wrong_size(name: str, value: Any, least: int = 1, most: int | None = None) -> list[str]:
    """Return what is wrong with a number of things: nothing, or one problem with its repair."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if whole and least <= int(value) and (most is None or int(value) <= most):
        return []
    bounds = f"{least} or more" if most is None else f"from {least} to {most}"
    return [f"Expected {name} to be a whole number, got {value!r}: give {bounds}."]


def wrong_probability(name: str, value: Any) -> list[str]:
    """Return what is wrong with a probability: nothing, or one problem with its repair."""
    if _is_number(value) and 0.0 <= value <= 1.0:
        return []
    return [f"Expected {name} to be a probability, got {value!r}: give a number from 0 to 1."]


def wrong_weight(name: str, value: Any) -> list[str]:
    """Return what is wrong with a weight or a deviation: nothing, or one problem with its repair."""
    if _is_number(value) and math.isfinite(value) and value >= 0.0:
        return []
    return [f"Expected {name} to be a finite number, got {value!r}: give 0 or more."]


def wrong_flag(name: str, value: Any) -> list[str]:
    """Return what is wrong with a flag: nothing, or one problem with its repair."""
    return [] if isinstance(value, bool) else [f"Expected {name} to be a bool, got {value!r}: give True or False."]


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def refuse(*problems: list[str]) -> None:
    """Raise a `UsageError` with all the problems, if there are any.

    >>> refuse(wrong_flag("stateful", "no"), wrong_size("size", 3))
    Traceback (most recent call last):
        ...
    elman.errors.UsageError: Expected stateful to be a bool, got 'no': give True or False.
    """
    found = [problem for each in problems for problem in each]
    if found:
        raise UsageError("\n".join(found))


def check_ragged(module: object, batch: Any, form: str) -> None:
    """Refuse an input that is no `Ragged` batch.

    Args:
        module: that reads it.
        batch: what the caller gave.
        form: of the data that the module reads, such as `ids (total,)`.

    Raises:
        ShapeError: names the repair.
    """
    if not isinstance(batch, Ragged):
        got = f"a tensor of shape {tuple(batch.shape)}" if isinstance(batch, Tensor) else f"a {type(batch).__name__}"
        raise ShapeError(
            f"{type(module).__name__}: expected a Ragged batch of {form}, got {got}.",
            fix="Make a batch with Ragged.from_dense(tensor), Ragged.from_padded(tensor, lengths) or "
            "Ragged.from_list(sequences).",
        )
