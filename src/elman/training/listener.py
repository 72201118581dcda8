"""The events of a run, and the listeners that are given them."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from elman.training.gradient_watch import GradientEvent
from elman.training.record import CheckRecord, EpochRecord, History

# Units of whole examples; all others are tokens of a text.
EXAMPLES = ("sequences", "windows")


class RunStart(NamedTuple):
    """What is known when a run starts or goes on.

    Attributes:
        epochs: of the whole run.
        batches: minibatches of the epoch it starts in; the others have about as many.
        metric: the name of the task's metric.
        larger_is_better: for this metric.
        epochs_done: whole epochs done before; more than 0 when a run is resumed.
        batches_done: minibatches of the running epoch done before.
        unit: what the rate is counted in: one of `EXAMPLES`, or what the tokens of a text are.
        notes: on what was learned from the data before the first minibatch, a line each.
        percent: whether the metric is a share of 1 that is shown in percent.
    """

    epochs: int
    batches: int
    metric: str
    larger_is_better: bool
    epochs_done: int = 0
    batches_done: int = 0
    unit: str = "sequences"
    notes: Sequence[str] = ()
    percent: bool = False

    def rate(self, figures: Mapping[str, Any]) -> str:
        """Return the units trained in a second, without their name."""
        return f"{figures['sequences_per_second' if self.unit in EXAMPLES else 'tokens_per_second']:,.0f}"


class BatchEvent(NamedTuple):
    """One minibatch that was trained.

    Attributes:
        epoch: from 1.
        batch: in its epoch, from 1.
        batches: of this epoch.
        loss: mean over its targets.
        metric: mean over its targets.
        targets: their number.
        sequences: in it.
        tokens: steps of all its sequences.
        seconds: that it took.
        learning_rate: it was trained with.
    """

    epoch: int
    batch: int
    batches: int
    loss: float
    metric: float
    targets: int
    sequences: int
    tokens: int
    seconds: float
    learning_rate: float


class EpochEvent(NamedTuple):
    """One epoch that was trained and evaluated.

    Attributes:
        record: its figures.
        is_best: it has the best validation score so far.
        sample: what the model wrote, if it was asked to.
    """

    record: EpochRecord
    is_best: bool
    sample: str | None = None


class CheckEvent(NamedTuple):
    """An evaluation of the validation set within an epoch.

    Attributes:
        record: its scores.
        sample: what the model wrote, if it was asked to.
    """

    record: CheckRecord
    sample: str | None = None


class Listener(Protocol):
    """A receiver of the events of a run. An exception raised here ends the run; its last checkpoint is kept."""

    def start(self, start: RunStart) -> None:
        """Called once, before the first minibatch."""
        ...

    def batch(self, event: BatchEvent) -> None:
        """Called after each minibatch."""
        ...

    def check(self, event: CheckEvent) -> None:
        """Called after an evaluation within an epoch, for which `validate_batches` asks."""
        ...

    def epoch(self, event: EpochEvent) -> None:
        """Called after each epoch, evaluation included."""
        ...

    def gradients(self, event: GradientEvent) -> None:
        """Called after an epoch whose gradients are measured, for which `watch_gradients` asks."""
        ...

    def finish(self, history: History) -> None:
        """Called once, however the run ends, with the epochs done."""
        ...


class Silent:
    """A listener that reports nothing, and a base of listeners that need some events only."""

    def start(self, start: RunStart) -> None:
        """Report nothing."""

    def batch(self, event: BatchEvent) -> None:
        """Report nothing."""

    def check(self, event: CheckEvent) -> None:
        """Report nothing."""

    def epoch(self, event: EpochEvent) -> None:
        """Report nothing."""

    def gradients(self, event: GradientEvent) -> None:
        """Report nothing."""

    def finish(self, history: History) -> None:
        """Report nothing."""
