"""How text is generated, as settings."""

from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from elman.settings.base import Settings

# Below, the differences of float32 scores decide alone, and numbers divided by it might overflow.
GREEDY_TEMPERATURE = 1e-9
LONGEST_STOP = 64  # characters


class SamplingSettings(Settings):
    """How tokens are drawn."""

    temperature: float = Field(
        1.0,
        ge=0,
        description="How wildly to draw. The scores are divided by it: 1 draws from the network's own distribution, "
        "more is wilder, less is tamer, 0 always takes the most probable token (greedy).",
    )
    top_k: PositiveInt | None = Field(None, description="Draw only among the N most probable tokens.")
    top_p: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Draw only among the most probable tokens, up to the probability F. The fewest of them whose "
        "probabilities reach this sum.",
    )
    seed: NonNegativeInt = Field(0, description="The same seed gives the same random numbers.")

    @property
    def is_greedy(self) -> bool:
        """Whether nothing is left to chance."""
        return self.temperature < GREEDY_TEMPERATURE


class GenerationSettings(SamplingSettings):
    """How text is generated."""

    length: NonNegativeInt | None = Field(
        None, description="Tokens to write at most. Without it, a generator writes for as long as it is asked."
    )
    stop: str | None = Field(
        None,
        min_length=1,
        max_length=LONGEST_STOP,
        description="End when this occurs in the text. It has 64 characters at most, some of which may be at the end "
        "of the prompt, or have been written before the state that the text goes on from.",
    )
    samples: PositiveInt = Field(1, description="Texts to write side by side, from the same prompt.")
    unknown: Literal["allow", "refuse"] = Field(
        "refuse",
        description="Tokens of the prompt that training never saw. refuse names them, allow reads them as the unknown "
        "token.",
    )
