"""How target sequences are searched for or drawn, as settings."""

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveInt, model_validator

from elman.settings.base import Conflict
from elman.settings.generation import SamplingSettings


class DecodingSettings(SamplingSettings):
    """How a decoder's target is found: by beam search, or drawn at random."""

    beam: PositiveInt = Field(5, description="Hypotheses kept at each step. 1 is greedy search.")
    nested: bool = Field(
        True,
        description="Never score worse with a wider beam. Off: ordinary beam search, which finds better targets at "
        "most widths and worse ones at some.",
    )
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
    max_length: PositiveInt = Field(
        200,
        description="Most tokens of a target, with its end mark. Where it is not given, a fourth more than the "
        "longest target of training if that is more.",
    )
    max_length_factor: NonNegativeFloat = Field(
        2.0,
        description="Most target tokens for each source token. `max_length_extra` is added, and `max_length` still "
        "applies. Where it is not given, a fourth more than the training targets need if that is more.",
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
                f"expected n_best of at most beam = {self.beam}, got {self.n_best}. Give a larger beam: widen it.",
            )
        if self.min_length >= self.max_length:
            yield Conflict(
                ("min_length", "max_length"),
                f"expected min_length below max_length = {self.max_length} (which counts the end mark), got "
                f"{self.min_length}.",
            )


class DecodingOptions(DecodingSettings):
    """How a target is found, and what it must contain, as options of a prediction or an evaluation."""

    model_config = ConfigDict(title="the search")

    search: Literal["beam", "sample"] = Field("beam", description="Find the best target, or draw one.")
    prefix: str | None = Field(
        None, min_length=1, description="Text that every target begins with.", json_schema_extra={"metavar": "TEXT"}
    )
    require: tuple[str, ...] = Field(
        (), description="Texts that every target contains.", json_schema_extra={"metavar": "TEXT,…"}
    )
    ban: tuple[str, ...] = Field(
        (), description="Words that no target contains.", json_schema_extra={"metavar": "WORD,…"}
    )

    @model_validator(mode="before")
    @classmethod
    def _the_best_fit_the_beam(cls, values: Any) -> Any:
        if isinstance(values, dict) and isinstance(best := values.get("n_best"), int):
            return {"beam": max(best, cls.model_fields["beam"].default), **values}
        return values

    def _conflicts(self) -> Iterator[Conflict]:
        given = self.model_fields_set
        for name in ("temperature", "top_k", "top_p", "seed"):
            if name in given and self.search != "sample":
                yield Conflict(("search", name), "only drawn targets have it: give search=sample.")
        for name in ("beam", "n_best", "length_penalty", "coverage_penalty", "require"):
            if name in given and self.search == "sample":
                yield Conflict(("search", name), "a drawn target has no beam.")
