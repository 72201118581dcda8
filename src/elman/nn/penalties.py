"""What the layers of a network add to its loss while it is trained."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from torch import Tensor

_collecting: ContextVar[list[Tensor] | None] = ContextVar("collecting", default=None)


def add_penalty(penalty: Tensor) -> None:
    """Called inside a module's `forward`: adds a scalar to the loss, where whoever calls the network collects it."""
    if (penalties := _collecting.get()) is not None:
        penalties.append(penalty)


@contextmanager
def collected_penalties() -> Iterator[list[Tensor]]:
    """Inside, the list gets what modules add with `add_penalty`.

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
