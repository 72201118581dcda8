"""Penalties that the layers of a network add to its loss in training."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from torch import Tensor, nn

Found = TypeVar("Found")

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


def read_each(networks: Iterable[nn.Module], read: Callable[[Any], Found]) -> list[Found]:
    """Return what each network of an ensemble gives, and add the mean of their penalties.

    Args:
        networks: of the ensemble.
        read: gives the outputs of one of them.
    """
    with collected_penalties() as penalties:
        found = [read(network) for network in networks]
    # The loss is the mean over the networks, too.
    for penalty in penalties:
        add_penalty(penalty / len(found))
    return found
