"""How texts are cut into tokens, as settings."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from elman.settings.base import Conflict, Settings


class VocabularySettings(Settings):
    """Which tokens are known."""

    lower_case: bool = Field(False, description="Convert texts to lower case.")
    min_count: PositiveInt = Field(1, description="Tokens that occur fewer than N times are unknown.")
    max_tokens: PositiveInt | None = Field(
        None,
        description="Largest size of the vocabulary, with the special tokens. The unknown token and the marks count; "
        "the most frequent tokens are kept. Of subwords so many are learned, 8,000 by default.",
    )
    unknown: Literal["allow", "refuse"] = Field(
        "allow",
        description="Tokens that training never saw. allow reads them as the unknown token, which a language model "
        "also predicts; refuse is an error that names them.",
    )


class VectorSettings(Settings):
    """Pretrained vectors that the rows of an embedding start from."""

    vectors: Path | None = Field(
        None,
        description="File of pretrained word vectors to start the embedding from. word2vec (text or binary), GloVe or "
        "fastText (text), also packed (.gz, .xz, .bz2). They decide the size of the embedding; freeze=embedding keeps "
        "them as they are. A word without a vector has that of its lower-case form, or starts at random.",
    )
    vector_words: NonNegativeInt = Field(
        0,
        description="Words to know from the file of vectors besides. The first N, which are "
        "the most frequent in most files; they are read with their vectors in prediction, and do not count in "
        "max_tokens.",
    )

    def _conflicts(self) -> Iterator[Conflict]:
        if self.vector_words and self.vectors is None:
            yield Conflict(("vectors", "vector_words"), "there are words to add only in a file of vectors.")


class EncoderSettings(VocabularySettings, VectorSettings):
    """How sequences are read."""

    tokens: Literal["characters", "bytes", "words", "subwords", "values"] = Field(
        "characters",
        description="What a step is. subwords are learned from the training texts by sentencepiece; values: the "
        "sequences are numbers, each an array (time, feature), or (time,) for one feature.",
    )
    split: Literal["punctuation", "blanks", "strip"] = Field(
        "punctuation",
        description="Where words end. punctuation: at blanks and punctuation marks, each mark a token; blanks: only at "
        "blanks; strip: at blanks, after the marks of ASCII were removed, as Keras's TextVectorization does.",
    )
    vocabulary_rows: PositiveInt | None = Field(
        None, description="Learn the vocabulary from the first N training rows only. All of them by default."
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
        if self.alphabet and (self.tokens not in ("characters", "auto") or self.ngrams > 1):
            yield Conflict(("alphabet", "tokens", "ngrams"), "an alphabet is for single characters only.")
        if self.ngrams > 1 and self.tokens not in ("characters", "auto"):
            yield Conflict(("ngrams", "tokens"), "n-grams are made of characters only.")
        if self.split != "punctuation" and self.tokens not in ("words", "auto"):
            yield Conflict(("split", "tokens"), "only words are split.")
        if self.vectors is not None and self.tokens not in ("words", "auto"):
            yield Conflict(("vectors", "tokens"), "the vectors of a file are of words.")
        if self.tokens == "subwords" and self.min_count > 1:
            yield Conflict(("tokens", "min_count"), "subwords are learned, not counted; give max_tokens.")


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
        None,
        description="Largest size of the vocabulary, with the unknown token. The most frequent tokens are kept; of "
        "subwords so many are learned, 8,000 by default.",
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
