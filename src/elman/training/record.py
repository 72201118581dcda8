"""The record of a run: its epochs, and the best of them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from elman.errors import DataError
from elman.report.parts import Curve


@dataclass(frozen=True)
class EpochRecord:
    """One epoch of a run.

    Attributes:
        epoch: its number, from 1.
        loss: mean over the training targets, each taken when its minibatch was trained.
        metric: the task's metric over the same.
        learning_rate: at the last minibatch.
        sequences_per_second: while training.
        tokens_per_second: while training.
        seconds: of training, without evaluation.
        validation: every score of the task over the validation set; `None` without one.
    """

    epoch: int
    loss: float
    metric: float
    learning_rate: float
    sequences_per_second: float
    tokens_per_second: float
    seconds: float
    validation: dict[str, float] | None = None


@dataclass(frozen=True)
class CheckRecord:
    """An evaluation of the validation set within an epoch.

    Attributes:
        epoch: its number, from 1.
        batch: minibatches of the epoch done.
        batches: of the epoch.
        validation: every score of the task.
    """

    epoch: int
    batch: int
    batches: int
    validation: dict[str, float]


@dataclass
class History:
    """The epochs of a run, in order.

    Attributes:
        metric: the name of the score by which epochs are compared.
        larger_is_better: how they are compared.
        epochs: one record each.
        stopped_early: whether the run ended because no epoch was better for too long.
        seconds: that the run took, all its parts together.
        checks: evaluations within epochs, in order; no epoch is compared by them.
    """

    metric: str
    larger_is_better: bool
    epochs: list[EpochRecord] = field(default_factory=list)
    stopped_early: bool = False
    seconds: float = 0.0
    checks: list[CheckRecord] = field(default_factory=list)

    @property
    def best_epoch(self) -> int | None:
        """The number (from 1) of the epoch with the best validation metric; `None` if none has one.

        Of epochs with the same metric the one with the lower validation loss is the better, then the earlier.
        """
        compared = [record for record in self.epochs if math.isfinite(self._validation(record, self.metric))]
        return min(compared, key=self._rank).epoch if compared else None

    @property
    def epochs_since_best(self) -> int:
        """Epochs after the best one; all of them if none has a finite score."""
        return len(self.epochs) - (self.best_epoch or 0)

    def to_json(self) -> dict[str, Any]:
        """Return the history as JSON holds it, with null for figures that are not finite."""
        return {
            "metric": self.metric,
            "larger_is_better": self.larger_is_better,
            "stopped_early": self.stopped_early,
            "seconds": self.seconds,
            "epochs": [finite(asdict(record)) for record in self.epochs],
            "checks": [finite(asdict(record)) for record in self.checks],
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Return the history that `to_json` gave.

        Raises:
            DataError: a part is missing or unknown.
        """
        try:
            epochs = [EpochRecord(**_with_nan(record)) for record in document["epochs"]]
            checks = [CheckRecord(**_with_nan(record)) for record in document.get("checks", [])]
            return cls(**{**document, "epochs": epochs, "checks": checks})
        except (KeyError, TypeError) as error:
            raise DataError(
                f"This is not the history of a run: {error}.", fix="Give what History.to_json gave."
            ) from error

    def _rank(self, record: EpochRecord) -> tuple[float, float]:
        metric, loss = self._validation(record, self.metric), self._validation(record, "loss")
        return (-metric if self.larger_is_better else metric), (loss if math.isfinite(loss) else math.inf)

    @staticmethod
    def _validation(record: EpochRecord, name: str) -> float:
        return (record.validation or {}).get(name, math.nan)


def finite(value: Any) -> Any:
    """Return a value with null for every number that JSON cannot hold."""
    if isinstance(value, Mapping):
        return {name: finite(inner) for name, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _with_nan(value: Any, name: str = "") -> Any:
    if isinstance(value, Mapping):
        return {inner: _with_nan(one, inner) for inner, one in value.items()}
    return math.nan if value is None and name != "validation" else value


def curves_of(history: History, rows: Sequence[Mapping[str, Any]] = ()) -> list[Curve]:
    """Return the curves of a run: its loss and its metric, train and validation.

    Args:
        history: what `Trainer.run` returned.
        rows: of the run's log; given, the curves of training show what happened within the epochs.
    """
    scores: dict[float, Mapping[str, float]] = {
        check.epoch - 1 + check.batch / check.batches: check.validation for check in history.checks
    }
    scores |= {record.epoch: record.validation for record in history.epochs if record.validation}
    return [
        Curve(
            name,
            _within(rows, attribute) or {record.epoch: getattr(record, attribute) for record in history.epochs},
            {epoch: scores[epoch][name] for epoch in sorted(scores) if name in scores[epoch]},
        )
        for name, attribute in {"loss": "loss", history.metric: "metric"}.items()
    ]


def _within(rows: Sequence[Mapping[str, Any]], attribute: str) -> dict[float, float]:
    """Return the figures of the log's groups of minibatches, by the epochs done at their ends."""
    groups = [row for row in rows if row["kind"] == "batches" and row[attribute] is not None]
    batches = max((row["last"] for row in groups), default=1)
    return {row["epoch"] - 1 + row["last"] / batches: row[attribute] for row in groups}
