"""What a task is: a loss, its scores, and which score tells a better epoch."""

from typing import Protocol, runtime_checkable

from torch import Tensor


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
