"""How target sequences are searched for or drawn, as settings."""

from collections.abc import Iterator

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from elman.settings.base import Conflict
from elman.settings.generation import SamplingSettings


class DecodingSettings(SamplingSettings):
    """How a decoder's target is found: by beam search, or drawn at random."""

    beam: PositiveInt = Field(5, description="Hypotheses kept at each step. 1 is greedy search.")
    n_best: PositiveInt = Field(1, description="Hypotheses returned for each source. At most `beam`.")
    length_penalty: NonNegativeFloat = Field(
        1.0,
        description="Strength of length normalisation, 0 for none. The log probability is divided by "
        "((5 + tokens) / 6) to this power; more favours longer targets.",
    )
    coverage_penalty: NonNegativeFloat = Field(
        0.0,
        description="Penalty for source tokens without attention. Its factor in the score; 0 for none.",
    )
    min_length: NonNegativeInt = Field(0, description="Fewest tokens of a target, without its end mark.")
    max_length: PositiveInt = Field(200, description="Most tokens of a target, with its end mark.")
    max_length_factor: NonNegativeFloat = Field(
        2.0,
        description="Most target tokens for each source token. `max_length_extra` is added, and `max_length` still "
        "applies.",
    )
    max_length_extra: NonNegativeInt = Field(
        10, description="Most target tokens beyond the factor's share. See `max_length_factor`."
    )
    no_repeat_ngram: PositiveInt | None = Field(
        None, description="Do not write any N tokens twice in a target. A forced prefix is exempt."
    )

    def _conflicts(self) -> Iterator[Conflict]:
        if self.n_best > self.beam:
            yield Conflict(
                ("n_best", "beam"),
                f"expected n_best of at most beam = {self.beam}, got {self.n_best}. Give a wider beam.",
            )
        if self.min_length >= self.max_length:
            yield Conflict(
                ("min_length", "max_length"),
                f"expected min_length below max_length = {self.max_length} (which counts the end mark), got "
                f"{self.min_length}.",
            )
