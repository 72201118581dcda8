"""What a task is: a loss, its scores, and which score tells a better epoch."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

from torch import Tensor, nn

from elman.nn.state import State


@runtime_checkable
class Task(Protocol):
    """What the trainer asks of a task.

    `outputs` is what the model gives for a batch, `targets` what it should have given; their shapes are the task's own.
    """

    name: str
    metric: str
    larger_is_better: bool

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The mean loss over the targets of a batch, a scalar."""
        ...

    def hits(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The metric of a batch, as a mean over its targets, a scalar."""
        ...

    def count(self, targets: Tensor) -> int:
        """Number of targets in a batch: the weight of the two means above."""
        ...

    def scores(self, outputs: Tensor, targets: Tensor) -> dict[str, float]:
        """The scores over a whole set, `loss` and the metric among them."""
        ...


class Step(NamedTuple):
    """What a model made of one minibatch of a stream.

    Attributes:
        loss: the mean loss over the targets, a scalar.
        state: the last states, which the next minibatch goes on from.
    """

    loss: Tensor
    state: State


@runtime_checkable
class StreamTask(Protocol):
    """A task whose minibatches follow one another, and whose model carries its state from each to the next.

    `unit` is what its targets are, in the plural, such as `characters`.
    """

    name: str
    metric: str
    larger_is_better: bool
    unit: str

    def step(self, model: nn.Module, inputs: Any, targets: Tensor, state: State | None) -> Step:
        """Reads a minibatch on from a state; from zeros without one, at the start of an epoch."""
        ...

    def metric_of(self, loss: float) -> float:
        """The metric of a mean loss; a multiple of it."""
        ...

    def count(self, targets: Tensor) -> int:
        """Number of targets in a batch: the weight of the loss."""
        ...

    def judge(self, model: nn.Module, data: Any, between: Callable[[], Any] | None = None) -> dict[str, float]:
        """The scores over a data set read in order, `loss` and the metric among them.

        Args:
            model: in evaluation mode.
            data: minibatches that follow one another.
            between: called after each minibatch.
        """
        ...
