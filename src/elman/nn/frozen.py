"""Parameters through which gradients flow, and which get none themselves."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def frozen(parameters: Iterable[nn.Parameter]) -> Iterator[None]:
    """Record no gradients for parameters while inside, which also saves computing them.

    Args:
        parameters: those that are frozen already stay so.

    >>> layer = nn.Linear(1, 1)
    >>> with frozen(layer.parameters()):
    ...     layer.weight.requires_grad
    False
    >>> layer.weight.requires_grad
    True
    """
    learned = [parameter for parameter in parameters if parameter.requires_grad]
    for parameter in learned:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learned:
            parameter.requires_grad_(True)
