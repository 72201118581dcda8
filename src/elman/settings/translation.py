"""Settings of networks that read one sequence, or a vector, and write another sequence."""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field, PositiveInt

from elman.settings.base import Conflict, Settings
from elman.settings.network import StepSettings
from elman.settings.space import Range, Space

AttentionName = Literal["general", "additive", "dot"]
RiskName = Literal["bleu", "chrf", "exact", "token_error_rate"]
ForcingSchedule = Literal["constant", "linear", "exponential", "inverse-sigmoid"]


class DecoderSettings(StepSettings):
    """The layers of an encoder and a decoder with attention."""

    space: ClassVar[Space] = {"dropout": Range(0.0, 0.5)}

    cell: str = Field("gru", description="One of elman's cells, or your own as FILE.py:NAME.")
    hidden_size: PositiveInt = Field(256, description="Units of each recurrent layer and direction.")
    embedding: PositiveInt = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        256, description="Size of a token's learned vector."
    )
    bidirectional: bool = Field(True, description="Read the source from both ends.")
    decoder_layers: PositiveInt = Field(
        2,
        description="Recurrent layers of the decoder. The first asks the attention; the others read its answers.",
    )
    attention: AttentionName | Literal["none"] = Field(
        "general",
        description="How the decoder looks at the source. general: a bilinear form; additive: a layer with tanh; dot: "
        "dot products; none: only the last outputs of the encoder are passed on.",
    )
    attention_size: PositiveInt | None = Field(
        None, description="Units of the additive attention. By default hidden_size."
    )
    input_feeding: bool = Field(
        False,
        description="The decoder also reads what it last attended to. The first layer and the attention then run step "
        "by step, which is slower (T. Luong et al., 2015, section 3.3).",
    )
    coverage: bool = Field(
        False,
        description="The attention knows where it looked before. Looking at the same steps again is penalised in "
        "training (A. See et al., Get To The Point, 2017, equations 10 to 13).",
    )
    copying: bool = Field(
        False,
        description="The decoder may copy tokens of the source. A learned switch weighs its own softmax and the "
        "attention (A. See et al., 2017, equations 8 and 9).",
    )
    joint: bool = Field(True, description="Share one vocabulary and one embedding between both sides.")
    tied: bool = Field(True, description="Share the target embedding's weights with the output layer.")
    label_smoothing: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Fraction of each target spread over all tokens. C. Szegedy et al., Rethinking the Inception "
        "Architecture, 2016, section 7.",
    )

    def _conflicts(self) -> Iterator[Conflict]:
        if self.cell == "none":
            yield Conflict(("cell",), "an encoder and a decoder need recurrent layers.")
        for name in ("input_feeding", "coverage", "copying"):
            if self.attention == "none" and getattr(self, name):
                yield Conflict(("attention", name), "there is nothing to look at without attention.")
        if self.attention_size is not None and self.attention != "additive":
            yield Conflict(("attention", "attention_size"), "only additive attention has a size of its own.")
        if self.attention == "dot" and self.bidirectional and self.merge == "concat":
            yield Conflict(
                ("attention", "merge"), "dot needs steps of hidden_size features on both sides: give merge=sum."
            )
        if self.copying and not self.joint:
            yield Conflict(("copying", "joint"), "only tokens of a joint vocabulary can be copied.")


class ForcingSettings(Settings):
    """What the decoder reads in training: true tokens, or those that it wrote itself."""

    teacher_forcing: Annotated[float, Field(ge=0, le=1)] = Field(
        1.0,
        description="Probability that the decoder reads the true last token. Otherwise it reads its own. With a "
        "schedule, it is the lowest probability.",
    )
    forcing_schedule: ForcingSchedule = Field(
        "constant",
        description="How that probability falls from 1. For minibatch i from 0 and N forcing_batches: linear, "
        "1 - i/N; exponential, exp(-i/N); inverse-sigmoid, N/(N + exp(i/N)) (S. Bengio et al., Scheduled Sampling, "
        "2015, section 2.4).",
    )
    forcing_batches: PositiveInt = Field(1000, description="N of the schedule, in minibatches.")
    forcing_unit: Literal["token", "sequence"] = Field(
        "token", description="What is decided at once: each token, or a whole sequence."
    )
    feedback: Literal["greedy", "sample"] = Field(
        "greedy", description="The decoder's own token: the most probable one, or one drawn."
    )
    professor_forcing: float = Field(
        0.0,
        ge=0,
        description="Weight of the loss that makes both ways of running alike. A discriminator learns which hidden "
        "states are of forced passes, and the network learns to deceive it (A. Lamb et al., "
        "Professor Forcing, 2016).",
    )
    risk: RiskName | None = Field(
        None,
        description="Learn from the expected error of drawn texts, by this score. Minimum risk training makes a "
        "trained model better at it: start from one (`--start-from`), with a tenth of its learning rate (S. Shen et "
        "al., Minimum Risk Training, 2016).",
    )
    risk_weight: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Share of the expected error in the loss. The rest is that of the true tokens.",
    )
    risk_samples: PositiveInt = Field(
        10, ge=2, description="Texts drawn for each source. Memory and time of a minibatch grow with them."
    )
    risk_sharpness: float = Field(
        0.005, gt=0, description="How much likelier texts count for more. Probabilities are raised to this power."
    )

    def _conflicts(self) -> Iterator[Conflict]:
        if self.forcing_schedule == "constant" and self.forcing_batches != 1000:
            yield Conflict(("forcing_schedule", "forcing_batches"), "a constant probability has no schedule.")
        if self.risk is not None and self.professor_forcing:
            yield Conflict(("risk", "professor_forcing"), "professor forcing needs the pass over true tokens.")
        for name in ("risk_weight", "risk_samples", "risk_sharpness"):
            if self.risk is None and getattr(self, name) != type(self).model_fields[name].default:
                yield Conflict(("risk", name), "it belongs to minimum risk training: give risk, such as risk=bleu.")


class LengthSettings(Settings):
    """Which pairs are learned from."""

    max_source_length: PositiveInt | None = Field(
        None, description="Train only on sources of at most N tokens. The others are counted and named."
    )
    max_target_length: PositiveInt | None = Field(
        None, description="Train only on targets of at most N tokens. The others are counted and named."
    )
