"""How a model is trained: every setting of the trainer, with its range."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from elman.settings import Conflict, Settings

BelowOne = Annotated[float, Field(ge=0, lt=1)]
NONMONOTONE_INTERVAL = 5


class RunSettings(Settings):
    """Every setting of a training run that is the same whatever is learned, checked when it is made.

    Args:
        epochs: passes over the training set.
        optimizer: `sgd` (with `momentum`), `rmsprop` (with `momentum`), `adam` or `adamw` (with `betas`).
        learning_rate: the rate that the schedule's factor is applied to.
        momentum: of `sgd` and `rmsprop`.
        weight_decay: of matrices only; biases and other vectors are not decayed.
        betas: decay of the two running means of `adam` and `adamw`.
        schedule: how the learning rate changes: `elman.training.schedules` has the formulas.
        warmup_fraction: the part of the run over which the learning rate rises linearly from 0.
        step_epochs: epochs between two falls of the `step` schedule.
        step_factor: what a fall multiplies the learning rate with.
        final_fraction: of the learning rate, reached at the end by `linear` and `cosine`.
        clip_norm: the largest global norm of the gradient; a longer one is scaled down to it.
        average_decay: decay of an exponential moving average of the weights, which is then what is evaluated and
            kept; `None` for no such average.
        averaging: the mean of the weights over the steps, which is then what is evaluated and kept: `asgd` begins
            after a number of epochs, `nt-asgd` when the validation score stops improving; `elman.training.averaging`
            has both. `None` for no mean.
        average_after: epochs after which `asgd` begins.
        nonmonotone_interval: the latest epochs whose scores `nt-asgd` does not compare with, n in its paper.
        patience: epochs without a better validation score after which the run stops.
        restore_best: with a validation set, end with the weights of the best epoch.
        seed: of everything random in the run.
        checkpoint_seconds: the longest time between two checkpoints; 0 writes one after every minibatch.
        checkpoint_batches: minibatches between two checkpoints, besides; `None` for no such limit.
        validate_batches: minibatches after which the validation set is also judged within an epoch, which is logged and
            changes nothing; `None` judges epochs only.
        report_every: minibatches in a line of the log.
    """

    epochs: PositiveInt = 20
    optimizer: Literal["sgd", "rmsprop", "adam", "adamw"] = "adam"
    learning_rate: float = Field(1e-3, gt=0)
    momentum: BelowOne = 0.0
    weight_decay: float = Field(0.0, ge=0)
    betas: tuple[BelowOne, BelowOne] = (0.9, 0.999)
    schedule: Literal["constant", "linear", "cosine", "step", "one-cycle"] = "constant"
    warmup_fraction: BelowOne = 0.0
    step_epochs: PositiveInt | None = None
    step_factor: float = Field(0.1, gt=0, le=1)
    final_fraction: float = Field(0.0, ge=0, le=1)
    clip_norm: float | None = Field(None, gt=0)
    average_decay: BelowOne | None = None
    averaging: Literal["asgd", "nt-asgd"] | None = None
    average_after: NonNegativeInt = 0
    nonmonotone_interval: PositiveInt = NONMONOTONE_INTERVAL
    patience: PositiveInt | None = None
    restore_best: bool = True
    seed: int = Field(0, ge=0, lt=2**63)
    checkpoint_seconds: float = Field(30.0, ge=0)
    checkpoint_batches: PositiveInt | None = None
    validate_batches: PositiveInt | None = None
    report_every: PositiveInt = 100

    def _conflicts(self) -> Iterator[Conflict]:
        if (self.schedule == "step") != (self.step_epochs is not None):
            yield Conflict(("schedule", "step_epochs"), "the step schedule needs step_epochs, and no other takes it.")
        if self.final_fraction and self.schedule not in ("linear", "cosine"):
            yield Conflict(("schedule", "final_fraction"), "only linear and cosine end at final_fraction.")
        if self.warmup_fraction and self.schedule == "one-cycle":
            yield Conflict(("schedule", "warmup_fraction"), "one-cycle has its own rise; leave warmup_fraction at 0.")
        if self.averaging and self.average_decay is not None:
            yield Conflict(("averaging", "average_decay"), "the weights have one average: a mean, or one with a decay.")
        if self.average_after and self.averaging != "asgd":
            yield Conflict(("averaging", "average_after"), "only asgd begins after a number of epochs.")
        if self.nonmonotone_interval != NONMONOTONE_INTERVAL and self.averaging != "nt-asgd":
            yield Conflict(("averaging", "nonmonotone_interval"), "only nt-asgd has a non-monotone interval.")
        if self.momentum and self.optimizer not in ("sgd", "rmsprop"):
            yield Conflict(("optimizer", "momentum"), f"{self.optimizer} takes betas, not momentum.")


class TrainingSettings(RunSettings):
    """How a model is trained on sequences; those of `RunSettings` besides.

    Use `elman.settings.check_settings(TrainingSettings, values)` for values that a person gave: its message names
    every mistake at once.

    Args:
        batch_size: sequences in a minibatch; `None` when `tokens_per_batch` is given.
        tokens_per_batch: steps in a minibatch, all its sequences together; given, `batch_size` becomes `None`.
        bucketing: sequences of like length share a minibatch.

    >>> TrainingSettings(tokens_per_batch=4000).batch_size is None
    True
    """

    batch_size: PositiveInt | None = 32
    tokens_per_batch: PositiveInt | None = None
    bucketing: bool = True

    @model_validator(mode="before")
    @classmethod
    def _tokens_replace_the_default_batch_size(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("tokens_per_batch") is not None:
            return {"batch_size": None, **values}
        return values

    def _conflicts(self) -> Iterator[Conflict]:
        if (self.batch_size is None) == (self.tokens_per_batch is None):
            yield Conflict(("batch_size", "tokens_per_batch"), "give exactly one of the two; the other is None.")
