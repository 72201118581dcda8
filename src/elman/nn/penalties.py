"""Penalties that the layers of a network add to its loss in training."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from torch import Tensor

_collecting: ContextVar[list[Tensor] | None] = ContextVar("collecting", default=None)


def add_penalty(penalty: Tensor) -> None:
    """Add a scalar to the loss from a module's `forward`, if penalties are collected."""
    if (penalties := _collecting.get()) is not None:
        penalties.append(penalty)


@contextmanager
def collected_penalties() -> Iterator[list[Tensor]]:
    """Collect the penalties that modules add by `add_penalty` inside the context.

    >>> import torch
    >>> with collected_penalties() as penalties:
    ...     add_penalty(torch.tensor(2.0))
    >>> penalties
    [tensor(2.)]
    """
    penalties: list[Tensor] = []
    token = _collecting.set(penalties)
    try:
        yield penalties
    finally:
        _collecting.reset(token)
