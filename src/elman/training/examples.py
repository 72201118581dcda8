"""What the trainer asks of a data set."""

from collections.abc import Sequence
from typing import Any, Protocol

from torch import Tensor


class Examples(Protocol):
    """A data set: sequences with their targets, by index."""

    @property
    def lengths(self) -> Sequence[int]:
        """Steps of each example."""
        ...

    @property
    def fingerprint(self) -> str:
        """A hash of the data: another data set has another."""
        ...

    def batch(self, indices: list[int]) -> tuple[Any, Tensor]:
        """The model's input, and the targets, of these examples."""
        ...

    def __len__(self) -> int: ...
