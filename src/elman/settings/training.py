"""How a model is trained: every setting of the trainer, with its range."""

import re
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, field_validator, model_validator

from elman.settings.base import Conflict
from elman.settings.readout import ReadoutSettings
from elman.settings.space import Choices, Range, Space

Schedule = Literal["constant", "linear", "cosine", "step", "one-cycle"]
BelowOne = Annotated[float, Field(ge=0, lt=1)]
# Settings of the machine that trains, which a model is saved without.
MACHINE_SETTINGS = frozenset({"device"})
_DEVICE = re.compile(r"cpu|auto|cuda(:\d+)?")
NONMONOTONE_INTERVAL = 5
DAMPING, CG_ITERATIONS, CURVATURE_FRACTION = 0.1, 100, 0.5
FLOSSING_EXPONENTS = 8


class RunSettings(ReadoutSettings):
    """How a network is trained, for any task."""

    space: ClassVar[Space] = {"learning_rate": Range(1e-4, 3e-2, log=True)}

    epochs: PositiveInt = Field(20, description="Passes over the data.")
    optimizer: Literal["sgd", "rmsprop", "adam", "adamw", "hessian-free"] = Field("adam", description="Optimizer.")
    learning_rate: float = Field(1e-3, gt=0, description="Learning rate of the optimizer.")
    momentum: BelowOne = Field(0.0, description="Momentum of sgd and rmsprop.")
    weight_decay: float = Field(
        0.0, ge=0, description="Weight decay of the matrices. Vectors, such as biases, are exempt."
    )
    betas: tuple[BelowOne, BelowOne] = Field((0.9, 0.999), description="Decay rates of the means of adam and adamw.")
    damping: float = Field(
        DAMPING,
        gt=0,
        description="Damping that hessian-free begins with. It adapts to how well the curvature predicts.",
    )
    structural_damping: float = Field(
        0.0,
        ge=0,
        description="Weight of structural damping in hessian-free. It penalises changes of the outputs of all "
        "recurrent layers.",
    )
    cg_iterations: PositiveInt = Field(
        CG_ITERATIONS, description="Largest number of conjugate gradient iterations, of hessian-free."
    )
    curvature_fraction: float = Field(
        CURVATURE_FRACTION,
        gt=0,
        le=1,
        description="Fraction of a minibatch for the curvature of hessian-free. The gradient is that of the "
        "whole minibatch.",
    )
    schedule: Schedule = Field(
        "constant", description="How the learning rate changes. `elman.training.schedules` has the formulas."
    )
    warmup_fraction: BelowOne = Field(0.0, description="Fraction of the run in which the learning rate rises from 0.")
    step_epochs: PositiveInt | None = Field(None, description="Epochs between two drops of the step schedule.")
    step_factor: float = Field(0.1, gt=0, le=1, description="Factor of the learning rate at each drop.")
    final_fraction: float = Field(
        0.0, ge=0, le=1, description="Fraction of the learning rate that linear and cosine end with."
    )
    clip_norm: float | None = Field(None, gt=0, description="Largest norm of the gradient, which is scaled down to it.")
    clip_value: float | None = Field(
        None, gt=0, description="Largest size of each number of the gradient. Numbers are clipped before the norm."
    )
    vanishing_penalty: float = Field(
        0.0,
        ge=0,
        description="Weight of the penalty on gradients that shrink over steps. Or grow: R. Pascanu, T. Mikolov, "
        "Y. Bengio, 2013, equation 9; for one recurrent layer in one direction, or several of layer_sizes.",
    )
    flossing_steps: NonNegativeInt = Field(
        0,
        description="Steps of gradient flossing before the training. They push Lyapunov exponents of the recurrent "
        "layers towards 0 (R. Engelken, 2023).",
    )
    flossing_exponents: PositiveInt = Field(
        FLOSSING_EXPONENTS, description="Number of the largest Lyapunov exponents for gradient flossing."
    )
    average_decay: BelowOne | None = Field(
        None,
        description="Keep an average of the weights with this decay. The average is evaluated and saved.",
    )
    averaging: Literal["asgd", "nt-asgd"] | None = Field(
        None,
        description="Keep the mean of the weights over the steps. asgd begins after a number of epochs, nt-asgd when "
        "the validation score stops improving; the mean is evaluated and saved.",
    )
    average_after: NonNegativeInt = Field(0, description="Epochs after which asgd begins.")
    nonmonotone_interval: PositiveInt = Field(
        NONMONOTONE_INTERVAL, description="Number of the latest epochs that nt-asgd does not compare with."
    )
    patience: PositiveInt | None = Field(None, description="Stop after N epochs without a better one.")
    metric: str | None = Field(None, description="The score that decides the best epoch.")
    freeze: tuple[str, ...] = Field(
        (),
        description="Parts of the network that are not trained, such as body. `elman summary` shows their names.",
    )
    unfreeze_epochs: PositiveInt | None = Field(
        None, description="Epochs after which one more frozen part is trained. The last of them first."
    )
    restore_best: bool = Field(True, description="Keep the weights of the best epoch.")
    validation_fraction: BelowOne = Field(
        0.0, description="Fraction of the training data to hold out. Epochs are compared by it."
    )
    seed: int = Field(0, ge=0, lt=2**63, description="The same seed gives the same run.")
    device: str = Field(
        "cpu",
        description="Where the network runs: cpu, cuda, cuda:1 or auto. auto is a GPU if there is one; the device is "
        "not saved with the model.",
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="Precision in which the network computes. Its parameters and their updates are float32 with "
        "bfloat16 too.",
    )
    checkpoint_seconds: float = Field(
        30.0, ge=0, description="Longest time between two checkpoints, in seconds. 0 writes one after every minibatch."
    )
    checkpoint_batches: PositiveInt | None = Field(None, description="Minibatches between two checkpoints.")
    validate_batches: PositiveInt | None = Field(
        None,
        description="Evaluate every N minibatches within an epoch. The scores are logged and change nothing.",
    )
    watch_gradients: PositiveInt | None = Field(
        None,
        description="Epochs between two measurements of how gradients flow. They are logged, shown in the report and "
        "change nothing.",
    )
    report_every: PositiveInt = Field(100, description="Minibatches between two lines of progress.")

    @field_validator("freeze", mode="before")
    @classmethod
    def _one_is_a_list_as_well(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("device")
    @classmethod
    def _device_has_a_known_form(cls, value: str) -> str:
        if not _DEVICE.fullmatch(value):
            raise ValueError("expected cpu, cuda, cuda:1 or auto")
        return value

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
        if self.unfreeze_epochs is not None and not self.freeze:
            yield Conflict(("freeze", "unfreeze_epochs"), "only frozen parts are unfrozen.")
        if self.ridges is not None and not self.closed_form:
            yield Conflict(("fitter", "ridges"), "only the fitter ridge has them.")
        if self.precision != "float32" and self.closed_form:
            yield Conflict(("fitter", "precision"), "ridge needs float32.")
        if self.momentum and self.optimizer not in ("sgd", "rmsprop"):
            takes = "no" if self.optimizer == "hessian-free" else "betas, not"
            yield Conflict(("optimizer", "momentum"), f"{self.optimizer} takes {takes} momentum.")
        if self.vanishing_penalty and (self.closed_form or self.optimizer == "hessian-free"):
            problem = "only optimizers that take gradients alone have it."
            yield Conflict(("optimizer", "vanishing_penalty"), problem)
        if self.flossing_exponents != FLOSSING_EXPONENTS and not self.flossing_steps:
            yield Conflict(("flossing_steps", "flossing_exponents"), "flossing takes no steps.")
        if self.flossing_steps and self.closed_form:
            yield Conflict(("fitter", "flossing_steps"), "ridge changes the output layer only.")
        own = {"damping": DAMPING, "structural_damping": 0.0, "cg_iterations": CG_ITERATIONS}
        for name, default in {**own, "curvature_fraction": CURVATURE_FRACTION}.items():
            if self.optimizer != "hessian-free" and getattr(self, name) != default:
                yield Conflict(("optimizer", name), "only hessian-free has it.")


class TrainingSettings(RunSettings):
    """How a network is trained on sequences that are shuffled; those of `RunSettings` besides.

    Use `elman.settings.check_settings(TrainingSettings, values)` for values that a user gave: its message names every
    mistake at once.

    >>> TrainingSettings(tokens_per_batch=4000).batch_size is None
    True
    """

    space: ClassVar[Space] = {"batch_size": Choices((16, 32, 64, 128))}

    batch_size: PositiveInt | None = Field(32, description="Sequences in a minibatch.")
    tokens_per_batch: PositiveInt | None = Field(None, description="Steps in a minibatch, in place of the batch size.")
    bucketing: bool = Field(True, description="Group sequences of similar length in a minibatch.")
    refit: bool = Field(
        False,
        description="Train again on all data at the end. For the best number of epochs, if elman held a part out.",
    )

    @model_validator(mode="before")
    @classmethod
    def _tokens_replace_the_default_batch_size(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("tokens_per_batch") is not None:
            return {"batch_size": None, **values}
        return values

    def _conflicts(self) -> Iterator[Conflict]:
        if (self.batch_size is None) == (self.tokens_per_batch is None):
            yield Conflict(("batch_size", "tokens_per_batch"), "give exactly one of the two; the other is None.")
