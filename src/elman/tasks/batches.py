"""Batches of a data set, and the loss and the outputs of one batch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from elman.nn.state import State


@dataclass(frozen=True)
class Batch:
    """What one step of training reads.

    Attributes:
        columns: encoded values by the names of their columns.
        sequences: number of them.
        tokens: steps of all of them.
    """

    columns: Mapping[str, Any]
    sequences: int
    tokens: int

    def __getitem__(self, name: str) -> Any:
        return self.columns[name]

    def to(self, device: "torch.device") -> "Batch":
        """Return the batch with every tensor but lengths on a device."""
        if device.type == "cpu":
            return self
        # This imports torch.
        from elman.devices import moved

        return Batch(moved(self.columns, device), self.sequences, self.tokens)


class Read(NamedTuple):
    """One reading of a batch.

    Attributes:
        loss: mean over the targets, a scalar.
        targets: number of them.
        outputs: what the scores and the answers are made of.
        state: from which the next batch goes on, where batches follow one another.
        divisor: what the sum of the losses was divided by, where it is not the number of targets.
    """

    loss: "Tensor"
    targets: int
    outputs: Any = None
    state: "State | None" = None
    divisor: float | None = None

    @property
    def weight(self) -> float:
        """The weight of the loss among those of other parts of a minibatch."""
        return self.targets if self.divisor is None else self.divisor

    def on_cpu(self) -> "Read":
        """Return the loss and the outputs on the CPU, as scores are computed there."""
        if self.loss.device.type == "cpu":
            return self
        # This imports torch.
        from elman.devices import CPU, moved

        return Read(self.loss.to(CPU), self.targets, moved(self.outputs, CPU))


class Data(Protocol):
    """A data set in batches."""

    @property
    def fingerprint(self) -> str:
        """A hash of the data: another data set has another."""
        ...

    def plan(self, epoch: int) -> Sequence[Any]:
        """Return what `read` takes for each batch of an epoch (from 0), in order."""
        ...

    def read(self, item: Any) -> Batch:
        """Return one batch."""
        ...

    def __len__(self) -> int: ...
