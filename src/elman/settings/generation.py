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
        description="Randomness of the draws. The scores are divided by it: 1 draws from the network's own "
        "distribution, more is more random, less is less random, 0 always takes the most probable token (greedy).",
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
        None, description="Largest number of tokens to write. Without it, a generator does not end."
    )
    stop: str | None = Field(
        None,
        min_length=1,
        max_length=LONGEST_STOP,
        description="End when this string occurs in the text. It has at most 64 characters, some of which may be at "
        "the end of the prompt, or may have been written before the state from which the text continues.",
    )
    samples: PositiveInt = Field(1, description="Texts to write side by side, from the same prompt.")
    unknown: Literal["allow", "refuse"] = Field(
        "refuse",
        description="Tokens of the prompt that training never saw. refuse names them, allow reads them as the unknown "
        "token.",
    )
