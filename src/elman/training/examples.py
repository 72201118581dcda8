"""What the trainer asks of a data set."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from elman.sequences.batches import Minibatch, plan_batches
from elman.training.settings import RunSettings, TrainingSettings


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


@runtime_checkable
class Minibatches(Protocol):
    """A data set that knows its own minibatches, such as the windows of a text."""

    @property
    def fingerprint(self) -> str:
        """A hash of the data: another data set has another."""
        ...

    def plan(self, epoch: int) -> Sequence[Any]:
        """What `read` takes for each minibatch of an epoch (from 0), in order; its length is not costly."""
        ...

    def read(self, item: Any) -> Minibatch:
        """One minibatch."""
        ...

    def __len__(self) -> int: ...


class ShuffledExamples:
    """Examples in minibatches of like lengths, in an order drawn anew for each epoch.

    Args:
        examples: the data set.
        settings: `batch_size` or `tokens_per_batch`, `bucketing` and `seed` are read.
    """

    def __init__(self, examples: Examples, settings: TrainingSettings):
        self._examples = examples
        self._settings = settings
        self._lengths = [int(length) for length in examples.lengths]

    @property
    def fingerprint(self) -> str:
        """That of the examples."""
        return self._examples.fingerprint

    def plan(self, epoch: int) -> list[list[int]]:
        """The indices of the examples in each minibatch."""
        return plan_batches(
            self._lengths,
            batch_size=self._settings.batch_size,
            tokens_per_batch=self._settings.tokens_per_batch,
            bucketing=self._settings.bucketing,
            seed=self._settings.seed,
            epoch=epoch,
        )

    def read(self, item: list[int]) -> Minibatch:
        """The examples of these indices."""
        inputs, targets = self._examples.batch(item)
        return Minibatch(inputs, targets, len(item), sum(map(self._lengths.__getitem__, item)))

    def __len__(self) -> int:
        return len(self._lengths)


def in_minibatches(data: Examples | Minibatches, settings: RunSettings) -> Minibatches:
    """The data set as the trainer reads it."""
    if isinstance(data, Minibatches):
        return data
    assert isinstance(settings, TrainingSettings)
    return ShuffledExamples(data, settings)
