"""The layers of a network that reads two sequences, as settings."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from elman.settings.base import Conflict, Settings

Objective = Literal["answer", "cosine", "contrastive", "triplet"]


class PairSettings(Settings):
    """How two sequences are compared."""

    shared: bool = Field(True, description="Read both sequences with the same layers and the same vocabulary.")
    objective: Objective = Field(
        "answer",
        description="What is learned. answer: a number or a label from features of both sequences; cosine, contrastive "
        "and triplet: a vector of each sequence, so that like sequences are near. The pairs of contrastive and cosine "
        "have one of two labels, of which the last in order means alike, or cosine has numbers; the target of triplet "
        "is a third sequence, to which the first is less like than to the second.",
    )
    margin: float = Field(
        0.5,
        ge=0,
        description="Distance beyond which unlike sequences are not pushed apart. Of cosine it is a cosine.",
    )
    attention: bool | None = Field(
        None,
        description="Align the steps of both sequences by attention. Each step is compared with those of the other "
        "sequence that are most like it, and the results are read by further recurrent layers. By default on for the "
        "objective answer, where the encoder is shared.",
    )
    matches: bool | None = Field(
        None,
        description="Mark the tokens that occur in both sequences. By default on for the objective answer, where the "
        "vocabulary is shared.",
    )
    symmetric: bool | None = Field(
        None,
        description="Give two sequences the same answer in either order. They are compared by |a-b|, ab and a+b alone. "
        "By default on for numbers alone, and for the objectives that learn vectors.",
    )
    answer: Literal["auto", "number", "label"] = Field(
        "auto",
        description="What the targets are. auto: numbers if all are numbers, and some are fractions or there are more "
        "than 10 different ones, else labels.",
    )
    rating: Literal["value", "distribution"] = Field(
        "value",
        description="How a number is predicted. value: by the squared error; distribution: as the mean of a "
        "distribution over the whole numbers from the lowest to the highest target, for rated scales (K. Tai et al., "
        "Improved Semantic Representations From Tree-Structured LSTMs, 2015, equations 13 to 16).",
    )

    def _conflicts(self) -> Iterator[Conflict]:
        if self.symmetric and not self.shared:
            yield Conflict(("shared", "symmetric"), "two encoders do not read two sequences alike.")
        if self.matches and not self.shared:
            yield Conflict(("shared", "matches"), "tokens are the same only in one vocabulary.")
        for name in ("attention", "matches"):
            if self.objective != "answer" and getattr(self, name):
                yield Conflict(("objective", name), "the vector of a sequence does not depend on the other sequence.")
        if self.objective == "triplet" and not self.shared:
            yield Conflict(("objective", "shared"), "the three sequences of a triplet have one encoder.")
        if self.rating == "distribution" and self.objective != "answer":
            yield Conflict(("objective", "rating"), "only answers are numbers of a scale.")
