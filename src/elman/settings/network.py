"""The layers of a network, as settings."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, PositiveInt, field_validator

from elman.settings.base import Conflict, Settings
from elman.settings.space import Form, Range, Space

Share = Annotated[float, Field(ge=0, lt=1)]
Probability = Annotated[float, Field(ge=0, le=1)]
PoolingName = Literal["last", "mean", "max", "sum", "attention", "flatten"]
Merge = Literal["concat", "sum", "mul", "average"]
SoftmaxName = Literal["full", "adaptive", "sampled"]

RECURRENT_REGULARISERS = (
    "output_dropout",
    "weight_drop",
    "zoneout",
    "activation_regularisation",
    "temporal_regularisation",
)
SOFTMAX_SAMPLES = 1024


class BodySettings(Settings):
    """The recurrent layers of a network."""

    space: ClassVar[Space] = {"hidden_size": Range(32, 512, log=True), "num_layers": Range(1, 2)}
    closed_form_space: ClassVar[Space] = {"hidden_size": Range(50, 1000, log=True)}
    cell_spaces: ClassVar[Mapping[str, Space]] = {
        "reservoir": {
            "cell_options.recurrent": Form(
                "sparse({spectral_radius}, {density})",
                {"spectral_radius": Range(0.1, 1.5, log=True), "density": Range(0.01, 0.5, log=True)},
            ),
            "cell_options.leak": Range(0.05, 1.0, log=True),
            "cell_options.input_scaling": Range(0.05, 5.0, log=True),
            "cell_options.bias_scaling": Range(0.01, 1.0, log=True),
        }
    }

    cell: str = Field("lstm", description="One of elman's cells, your own as FILE.py:NAME, or none.")
    cell_options: dict[str, bool | str | float | None] = Field(
        default_factory=dict, description="Options of the cell, such as activation=relu."
    )
    hidden_size: PositiveInt = Field(128, description="Units of each recurrent layer and direction.")
    num_layers: PositiveInt = Field(1, description="Number of stacked recurrent layers.")
    input_dropout: Share = Field(
        0.0,
        description="Fraction of the features to drop before the recurrent layers. The same features are "
        "dropped at all steps of a sequence.",
    )
    dropout: Share = Field(0.0, description="Fraction of the features to drop between layers.")
    output_dropout: Share = Field(0.0, description="Fraction of the features of the recurrent outputs to drop.")
    weight_drop: Share = Field(
        0.0, description="Fraction of the recurrent matrices' weights to drop. They are the same for a whole batch."
    )
    zoneout: Probability | dict[str, Probability] = Field(
        default_factory=dict,
        description="Fraction of the states that a step leaves as they were. One number for all states of the cell, "
        'or one for each by its name, such as {"c": 0.5, "h": 0.05}.',
    )
    activation_regularisation: float = Field(
        0.0, ge=0, description="Weight of the squared outputs in the loss (AR). Those of the last recurrent layer."
    )
    temporal_regularisation: float = Field(
        0.0, ge=0, description="Weight of the outputs' squared changes in the loss (TAR). From each step to the next."
    )
    init: Literal["keras", "torch"] = Field("keras", description="Initialisation of the recurrent weights.")
    recurrent_start: str | None = Field(
        None,
        description="What recurrent matrices start from, such as identity. Also orthogonal, sparse(0.9, 0.1), "
        "identity(0.5) and the like; by default what init says.",
    )
    longest_memory: float | None = Field(
        None,
        gt=2,
        description="Start gates so that they remember up to so many steps. Chrono initialisation, for LSTMs and GRUs.",
    )

    def _conflicts(self) -> Iterator[Conflict]:
        for name in ("recurrent_start", "longest_memory"):
            if self.cell == "none" and getattr(self, name) is not None:
                yield Conflict(("cell", name), "without a recurrent layer there is nothing to start.")
        for name in RECURRENT_REGULARISERS:
            if self.cell == "none" and getattr(self, name):
                yield Conflict(("cell", name), "without a recurrent layer there is nothing to regularise.")


class StepSettings(BodySettings):
    """The layers of a network that gives a row for each step: embed, recurrent body, dense layers."""

    embedding: Literal["one-hot"] | PositiveInt = Field(
        64, description="Size of a token's learned vector, or one-hot. Sequences of numbers have none."
    )
    embedding_rows: PositiveInt | None = Field(
        None,
        description="Rows of the embedding, at least one for each token id. The others are never read; "
        "textbook networks have them.",
    )
    embedding_deviation: float | None = Field(
        None,
        gt=0,
        description="Standard deviation of the embedding at the start. Keras's embeddings have 0.03; by default it is "
        "1, and 0.1 for n-grams.",
    )
    layer_sizes: tuple[PositiveInt, ...] = Field(
        (),
        description="Units of each recurrent layer and direction. Given, they replace hidden_size and num_layers.",
    )
    bidirectional: bool = Field(False, description="Read the sequences from both ends.")
    merge: Merge = Field("concat", description="How the outputs of both directions are combined.")
    backpropagation_steps: PositiveInt | None = Field(
        None,
        description="Largest number of steps that gradients go back. In training the sequences are read in windows "
        "of so many steps, between which states are carried and gradients are not.",
    )
    dense: tuple[PositiveInt, ...] = Field((), description="Units of the dense layers before the output layer.")
    activation: Literal["relu", "tanh", "sigmoid", "selu"] = Field(
        "relu", description="Activation of the dense layers."
    )
    token_dropout: Share = Field(0.0, description="Fraction of the tokens (or n-grams) to read as unknown.")
    rare_dropout: Share = Field(0.0, description="Fraction of the tokens seen once to read as unknown in training.")
    embedding_dropout: Share = Field(0.0, description="Fraction of vocabulary rows zeroed for a batch.")

    @field_validator("dense", "pooling", "layer_sizes", mode="before", check_fields=False)
    @classmethod
    def _one_is_a_list_too(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str | int) else value

    def _conflicts(self) -> Iterator[Conflict]:
        if self.backpropagation_steps is not None:
            if self.bidirectional:
                problem = "windows are read forward; give bidirectional=False (--no-bidirectional)."
                yield Conflict(("backpropagation_steps", "bidirectional"), problem)
            if self.layer_sizes or self.cell == "none":
                problem = "give hidden_size and num_layers, and a cell."
                yield Conflict(("backpropagation_steps", "layer_sizes", "cell"), problem)
        if self.layer_sizes and self.num_layers > 1:
            yield Conflict(("layer_sizes", "num_layers"), "each layer has a size of its own; leave num_layers at 1.")
        for name in ("token_dropout", "embedding_dropout", "rare_dropout"):
            if self.embedding == "one-hot" and getattr(self, name):
                yield Conflict(("embedding", name), "only learned rows can drop tokens.")
        for name in ("embedding_rows", "embedding_deviation"):
            if self.embedding == "one-hot" and getattr(self, name) is not None:
                yield Conflict(("embedding", name), "one-hot rows are not learned; they are as many as the tokens.")


class NetworkSettings(StepSettings):
    """The layers of a network that gives a row for each sequence: pooling besides those of `StepSettings`."""

    pooling: tuple[PoolingName, ...] = Field(
        ("last",), min_length=1, description="How the steps are reduced to one row. Several are concatenated."
    )
    max_length: PositiveInt | None = Field(None, description="Number of steps that pooling by flatten reads.")

    def _conflicts(self) -> Iterator[Conflict]:
        if ("flatten" in self.pooling) != (self.max_length is not None):
            yield Conflict(("pooling", "max_length"), "flatten needs max_length, and nothing else takes it.")
        if self.cell == "none" and "last" in self.pooling:
            yield Conflict(("cell", "pooling"), "without a recurrent layer there is no last output to take.")


class LanguageNetworkSettings(BodySettings):
    """The layers of a language model: embed, recurrent body, softmax over the tokens."""

    space: ClassVar[Space] = {"input_dropout": Range(0.0, 0.5), "output_dropout": Range(0.0, 0.5)}

    cell: str = Field("gru", description="One of elman's cells, or your own as FILE.py:NAME.")
    hidden_size: PositiveInt = Field(256, description="Units of each recurrent layer.")
    embedding_size: PositiveInt = Field(64, description="Size of a token's learned vector.")
    tied: bool = Field(
        False,
        description="The output layer shares the weights of the embedding. Where hidden_size differs from "
        "embedding_size, a learned projection is put between them.",
    )
    softmax: SoftmaxName = Field(
        "full",
        description="The output layer. adaptive (rare tokens in clusters of smaller rows) and sampled (trained on "
        "some of the tokens) pay off with tens of thousands of tokens.",
    )
    cutoffs: tuple[PositiveInt, ...] | None = Field(
        None,
        description="Frequency ranks where clusters of the adaptive softmax begin. The most frequent tokens first; a "
        "sixteenth and a quarter of the tokens if not given.",
    )
    softmax_samples: PositiveInt = Field(
        SOFTMAX_SAMPLES, description="Tokens that the sampled softmax draws for a minibatch."
    )
    embedding_dropout: Share = Field(0.0, description="Fraction of vocabulary rows zeroed for a batch.")

    def _conflicts(self) -> Iterator[Conflict]:
        if self.cell == "none":
            yield Conflict(("cell",), "a language model needs recurrent layers.")
        if self.tied and self.softmax == "adaptive":
            yield Conflict(("tied", "softmax"), "the adaptive softmax has rows of several sizes and cannot be tied.")
        if self.cutoffs is not None and self.softmax != "adaptive":
            yield Conflict(("softmax", "cutoffs"), "only the adaptive softmax has cutoffs.")
        if self.softmax_samples != SOFTMAX_SAMPLES and self.softmax != "sampled":
            yield Conflict(("softmax", "softmax_samples"), "only the sampled softmax draws tokens.")
        if self.dropout and self.num_layers == 1:
            yield Conflict(("dropout", "num_layers"), "dropout acts between layers; one layer has output_dropout.")
