"""The position of a run, apart from its tensors."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from elman.training.meter import Meter
from elman.training.record import History


@dataclass
class RunState:
    """The position of a run between two minibatches.

    Attributes:
        history: the whole epochs; early stopping is read from it.
        epoch: epochs done.
        batch: minibatches of the running epoch done; all of them while it is evaluated.
        steps: steps of the optimiser done.
        running: sums over the running epoch.
        window: sums over the minibatches since the last line of the log.
        log_length: bytes of the log.
        finished: the weights are the final ones.
        processes: that train together.
    """

    history: History
    epoch: int = 0
    batch: int = 0
    steps: int = 0
    running: Meter = field(default_factory=Meter)
    window: Meter = field(default_factory=Meter)
    log_length: int = 0
    finished: bool = False
    processes: int = 1

    def to_json(self) -> dict[str, Any]:
        """Return the state as JSON holds it."""
        return {**asdict(self), "history": self.history.to_json()}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Return the state that `to_json` gave."""
        parts = {
            "history": History.from_json(document["history"]),
            "running": Meter(**document["running"]),
            "window": Meter(**document["window"]),
        }
        return cls(**{**document, **parts})
