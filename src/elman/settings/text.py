"""How texts are cut into tokens, as settings."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field, PositiveInt

from elman.settings.base import Conflict, Settings


class VocabularySettings(Settings):
    """Which tokens are known."""

    lower_case: bool = Field(False, description="Convert texts to lower case.")
    min_count: PositiveInt = Field(1, description="Tokens that occur fewer than N times are unknown.")
    max_tokens: PositiveInt | None = Field(None, description="Largest number of known tokens, the most frequent.")
    unknown: Literal["allow", "refuse"] = Field(
        "allow",
        description="Tokens that training never saw. allow reads them as the unknown token, which a language model "
        "also predicts; refuse is an error that names them.",
    )


class EncoderSettings(VocabularySettings):
    """How sequences are read."""

    tokens: Literal["characters", "bytes", "words", "values"] = Field(
        "characters",
        description="What a step is. values: the sequences are numbers, each an array (time, feature), or (time,) for "
        "one feature.",
    )
    alphabet: str | None = Field(
        None, min_length=1, description="Characters to know, instead of those of the training data."
    )
    marks: bool = Field(False, description="Put a begin and an end mark around every text.")
    ngrams: PositiveInt = Field(
        1,
        description="Read all character n-grams up to this length. Each step has those that end there, and their rows "
        "are added (P. Bojanowski et al., Enriching Word Vectors with Subword Information, 2017).",
    )

    def _conflicts(self) -> Iterator[Conflict]:
        if self.alphabet and (self.tokens != "characters" or self.ngrams > 1):
            yield Conflict(("alphabet", "tokens", "ngrams"), "an alphabet is for single characters only.")
        if self.ngrams > 1 and self.tokens != "characters":
            yield Conflict(("ngrams", "tokens"), "n-grams are made of characters only.")


class CoderSettings(VocabularySettings):
    """How a long text becomes tokens."""

    tokens: Literal["characters", "bytes", "words", "subwords"] = Field(
        "characters",
        description="What the text is cut into. Line ends are tokens of their own in words and subwords.",
    )
    split: Literal["punctuation", "blanks"] = Field(
        "punctuation",
        description="Where words end. At punctuation and blanks, or only at blanks, for a text that is already split.",
    )
    alphabet: str | None = Field(
        None, min_length=1, description="Characters to know, instead of those of the training data."
    )
    max_tokens: PositiveInt | None = Field(
        None, description="Know only the N most frequent; of subwords learn N, else 8,000."
    )

    def _conflicts(self) -> Iterator[Conflict]:
        if self.alphabet and self.tokens != "characters":
            yield Conflict(("alphabet", "tokens"), "an alphabet is for characters only.")
        if self.alphabet and (self.min_count > 1 or self.max_tokens is not None):
            yield Conflict(("alphabet", "min_count", "max_tokens"), "an alphabet is not counted.")
        if self.split != "punctuation" and self.tokens != "words":
            yield Conflict(("split", "tokens"), "only words are split.")
        if self.tokens == "bytes" and (self.lower_case or self.min_count > 1 or self.max_tokens is not None):
            yield Conflict(("tokens", "lower_case", "min_count", "max_tokens"), "bytes are all known, as they are.")
        if self.tokens == "subwords" and self.min_count > 1:
            yield Conflict(("tokens", "min_count"), "subwords are learned, not counted; give max_tokens.")
