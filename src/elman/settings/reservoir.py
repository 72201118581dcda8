"""The settings of an echo state network."""

from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt, field_validator

from elman.settings.base import Conflict, Settings

NotNegative = Annotated[float, Field(ge=0)]


class ReservoirSettings(Settings):
    """An echo state network: the reservoirs, what the readout reads, and how it is solved for."""

    hidden_size: PositiveInt = Field(100, description="Units of each reservoir.")
    num_layers: PositiveInt = Field(
        1, description="Reservoirs in depth. Each reads the states of the one before it; the readout reads all of them."
    )
    num_reservoirs: PositiveInt = Field(1, description="Reservoirs side by side, each of num_layers in depth.")
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
    feedback_scaling: NotNegative = Field(
        0.0,
        description="Weights of the output of the step before are drawn uniformly from minus this to this. While "
        "fitting, it is the target of that step (teacher forcing).",
    )
    noise: NotNegative = Field(
        0.0, description="Standard deviation of the noise within the activation of each unit while fitting."
    )
    plasticity_rate: NotNegative = Field(
        0.0,
        description="Learning rate of intrinsic plasticity, which fits the gain and the bias of each unit before the "
        "readout is solved for, on the first plasticity_steps steps. 0 for none, 0.001 is usual.",
    )
    plasticity_deviation: float = Field(0.2, gt=0, description="Standard deviation that it gives to each unit.")
    plasticity_steps: PositiveInt = Field(2000, description="Steps of the first series that it reads.")
    lags: PositiveInt | None = Field(
        None,
        description="Inputs that a next-generation reservoir reads: the readout reads them and their products, and "
        "there are no units.",
    )
    lag_stride: PositiveInt = Field(1, description="Steps between two of these inputs.")
    degree: PositiveInt = Field(2, description="The largest number of factors of a product.")
    fitter: Literal["ridge", "force"] = Field(
        "ridge",
        description="force learns the readout at every step by recursive least squares while the network reads its "
        "own output, with the middle one of ridges.",
    )
    read_input: bool = Field(True, description="Whether the readout reads the input beside the states.")
    ridges: tuple[NotNegative, ...] = Field(
        (1e-12, 1e-10, 1e-8, 1e-6, 1e-4, 1e-2, 1.0),
        min_length=1,
        description="Penalties that the readout chooses from by cross-validation over five parts of the data, in one "
        "pass.",
    )
    solver: Literal["products", "qr"] = Field(
        "products",
        description="How the readout is solved for. qr takes about three times as long, and uses directions of the "
        "states that products lose to rounding: for forecasts of smooth series in closed loop.",
    )
    warmup_steps: int = Field(100, ge=0, description="First steps of each series that are neither learned nor scored.")
    precision: Literal["float64", "float32"] = Field("float64", description="Of the states; the readout has float64.")
    block_steps: PositiveInt = Field(1000, description="Steps whose states are in memory at a time.")
    seed: int = Field(0, ge=0, lt=2**62, description="The same seed gives the same networks.")
    seeds: PositiveInt = Field(1, description="Networks with consecutive seeds. Predictions are their mean.")

    @field_validator("ridges", mode="before")
    @classmethod
    def _one_is_a_list_as_well(cls, value: Any) -> Any:
        return (value,) if isinstance(value, int | float) else value

    def _conflicts(self) -> Any:
        if self.fitter == "force" and not self.feedback_scaling:
            yield Conflict(("fitter", "feedback_scaling"), "force needs feedback; 1 is usual.")
        if self.fitter == "force" and not self.ridges[len(self.ridges) // 2]:
            yield Conflict(("fitter", "ridges"), "force needs a ridge above 0; 1 is usual.")
        if self.plasticity_rate and (self.feedback_scaling or self.bidirectional or self.activation != "tanh"):
            yield Conflict(("plasticity_rate",), "only tanh units that read forward and without feedback have it.")
        if self.lags is not None and (self.plasticity_rate or self.feedback_scaling or self.bidirectional):
            problem = "a next-generation reservoir has no units, feedback or second direction."
            yield Conflict(("lags",), problem)
        if self.lags is not None and (self.lags - 1) * self.lag_stride > self.warmup_steps:
            yield Conflict(("lags", "warmup_steps"), "the lagged inputs of the steps learned from must exist.")
        if self.bidirectional and self.feedback_scaling:
            yield Conflict(
                ("bidirectional", "feedback_scaling"), "a series that is read from its end has no output before it."
            )
