"""The settings of reservoirs: those of an echo state network, and those that tasks have besides."""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, NonNegativeInt, PositiveInt

from elman.settings.base import Conflict, Settings
from elman.settings.readout import ReadoutSettings

NotNegative = Annotated[float, Field(ge=0)]
# Settings of recurrent layers that reservoirs with options lack, with their values that change nothing.
ABSENT: dict[str, tuple[Any, ...]] = {
    "layer_sizes": ((),),
    "merge": ("concat",),
    "backpropagation_steps": (None,),
    "recurrent_start": (None,),
    "longest_memory": (None,),
    "weight_drop": (0.0,),
    "zoneout": ({}, 0.0),
}
# What each of these settings needs.
NEEDED = {
    "plasticity_deviation": "plasticity_rate",
    "plasticity_steps": "plasticity_rate",
    "lag_stride": "lags",
    "degree": "lags",
}


class ReservoirOptions(Settings):
    """Which reservoirs there are, and what the output layer reads of them."""

    num_reservoirs: PositiveInt = Field(
        1, description="Reservoirs side by side, each of num_layers in depth. The output layer reads all of them."
    )
    read_input: bool = Field(True, description="Let the output layer read the input of each step too.")
    feedback_scaling: NotNegative = Field(
        0.0,
        description="Range of the weights that feed the output back. They are drawn uniformly from minus this to this, "
        "and multiply the output of the step before: while fitting, the target of that step (teacher forcing).",
    )
    noise: NotNegative = Field(
        0.0, description="Deviation of the units' noise while fitting. It is within the activation of each unit."
    )
    plasticity_rate: NotNegative = Field(
        0.0,
        description="Learning rate of intrinsic plasticity; 0 for none. It fits the gain and the bias of each unit "
        "before the output layer is solved for, on the first plasticity_steps steps; 0.001 is usual.",
    )
    plasticity_deviation: float = Field(
        0.2, gt=0, description="Deviation that intrinsic plasticity gives to each unit."
    )
    plasticity_steps: PositiveInt = Field(2000, description="Steps of the data that intrinsic plasticity reads.")
    lags: PositiveInt | None = Field(
        None,
        description="Read so many lagged inputs in place of reservoir units. This is a next-generation reservoir: the "
        "output layer reads these inputs and their products.",
    )
    lag_stride: PositiveInt = Field(1, description="Steps between two lagged inputs.")
    degree: PositiveInt = Field(2, description="Largest number of factors of a product of lagged inputs.")

    @property
    def has_input_beside(self) -> bool:
        """Whether the output layer reads the input beside the features; lagged products have it among them."""
        return self.read_input and self.lags is None

    def _conflicts(self) -> Iterator[Conflict]:
        if self.plasticity_rate and self.feedback_scaling:
            yield Conflict(("plasticity_rate", "feedback_scaling"), "only units without feedback have plasticity.")
        for name in ("plasticity_rate", "feedback_scaling"):
            if self.lags is not None and getattr(self, name):
                yield Conflict(("lags", name), "a next-generation reservoir has no units.")
        if self.feedback_scaling and getattr(self, "bidirectional", False):
            problem = "a series that is read from its end has no output before it; give bidirectional=False "
            yield Conflict(("bidirectional", "feedback_scaling"), f"{problem}(--no-bidirectional).")


class ReservoirUnits(ReservoirOptions):
    """Reservoirs: how many, of how many units, and the ranges of their weights."""

    model_config = ConfigDict(title="the reservoir")

    hidden_size: PositiveInt = Field(100, description="Units of each reservoir.")
    num_layers: PositiveInt = Field(
        1, description="Reservoirs in depth. Each reads the states of the one before it; the readout reads all of them."
    )
    bidirectional: bool = Field(
        False, description="Whether the readout also reads reservoirs that run from the end of a series to its start."
    )
    recurrent: str = Field(
        "sparse(0.9, 0.1)",
        description="Start of the recurrent matrix: sparse(spectral_radius, density), ring(weight), "
        "delay_line(weight), small_world(spectral_radius, neighbours, rewired), or any other start.",
    )
    leak: float = Field(1.0, gt=0, le=1, description="The leaking rate; smaller for slower series.")
    activation: Literal["tanh", "linear"] = Field("tanh", description="Of the units; linear for a memory of its input.")
    input_scaling: NotNegative = Field(
        1.0,
        description="Weights of the input are drawn uniformly from minus this to this. Between layers they are "
        "divided by the square root of hidden_size.",
    )
    bias_scaling: NotNegative = Field(
        0.0, description="The bias of each unit is drawn uniformly from minus this to this."
    )

    def _conflicts(self) -> Iterator[Conflict]:
        if self.plasticity_rate and self.activation != "tanh":
            yield Conflict(("plasticity_rate", "activation"), "only tanh units have plasticity.")


class ReservoirSettings(ReservoirUnits, ReadoutSettings):
    """An echo state network: the reservoirs, what the readout reads, and how it is solved for."""

    model_config = ConfigDict(title="ReservoirSettings")

    fitter: Literal["ridge", "rls", "force"] = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        "ridge",
        description="How the readout is found. rls is recursive least squares, step by step; force is the same while "
        "the network reads its own output. Both take the middle one of ridges.",
    )
    ridges: tuple[NotNegative, ...] = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        (1e-12, 1e-10, 1e-8, 1e-6, 1e-4, 1e-2, 1.0),
        min_length=1,
        description="Penalties that the readout chooses from by cross-validation over five parts of the data, in one "
        "pass.",
    )
    warmup_steps: int = Field(100, ge=0, description="First steps of each series that are neither learned nor scored.")
    precision: Literal["float64", "float32"] = Field("float64", description="Of the states; the readout has float64.")
    block_steps: PositiveInt = Field(1000, description="Steps whose states are in memory at a time.")
    seed: int = Field(0, ge=0, lt=2**62, description="The same seed gives the same networks.")
    seeds: PositiveInt = Field(1, description="Networks with consecutive seeds. Predictions are their mean.")

    def _conflicts(self) -> Iterator[Conflict]:
        if self.lags is not None and (self.lags - 1) * self.lag_stride > self.warmup_steps:
            yield Conflict(("lags", "warmup_steps"), "the lagged inputs of the steps learned from must exist.")


class ReservoirTaskSettings(ReservoirOptions):
    """The options of reservoirs that a task has besides those of the cell `reservoir`."""

    # Why a task has no feedback, and why it has no warm-up.
    no_feedback: ClassVar[str] = ""
    no_warmup: ClassVar[str] = ""

    read_input: bool = Field(False, description="Let the output layer read the input of each step too.")
    warmup_steps: NonNegativeInt = Field(
        0,
        description="First steps of each sequence that do not count. They are neither learned from nor scored where "
        "each step has a target, and pooling leaves them out where each sequence has one.",
    )

    @property
    def reservoir_options(self) -> list[str]:
        """The settings that the cell `reservoir` alone does not have, and that are given."""
        fields = ReservoirTaskSettings.model_fields
        return [name for name in ReservoirOptions.model_fields if getattr(self, name) != fields[name].default]

    def _conflicts(self) -> Iterator[Conflict]:
        given, settings = self.reservoir_options, vars(self)
        if given and settings.get("cell") != "reservoir":
            yield Conflict(
                ("cell", *given), "only the cell reservoir has them; give cell='reservoir' (--cell reservoir)."
            )
        if self.feedback_scaling and self.no_feedback:
            yield Conflict(("feedback_scaling",), self.no_feedback)
        if self.warmup_steps and self.no_warmup:
            yield Conflict(("warmup_steps",), self.no_warmup)
        if self.warmup_steps and settings.get("segment", 1) != 1:
            yield Conflict(("segment", "warmup_steps"), "a segment has several steps; leave one of the two out.")
        if self.plasticity_rate and settings.get("fitter") == "gradient":
            problem = "plasticity comes before least squares; leave fitter out, or give ridge or rls."
            yield Conflict(("fitter", "plasticity_rate"), problem)
        for name, needed in NEEDED.items():
            if name in given and needed not in given:
                yield Conflict((needed, name), f"only {needed} has {name}.")
        for name in ("noise", "num_reservoirs"):
            if self.lags is not None and name in given:
                yield Conflict(("lags", name), "a next-generation reservoir has no units.")
        if self.lags is not None and self.read_input:
            yield Conflict(("lags", "read_input"), "the lagged inputs have that of the step already.")
        for name, unchanged in ABSENT.items():
            if given and settings.get(name, unchanged[0]) not in unchanged:
                yield Conflict((given[0], name), f"reservoirs with {given[0]} have no {name}.")
