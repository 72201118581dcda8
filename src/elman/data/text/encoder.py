"""From what a person gives (texts, or arrays of numbers) to the batch that a network reads."""

from array import array
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch

from elman.data.listing import listed
from elman.data.ragged.ragged import Ragged
from elman.data.series.arrays import series_batch
from elman.data.text.corpus import open_corpus
from elman.data.text.graphemes import characters
from elman.data.text.tokens import Tokenizer
from elman.data.text.unknown import UnknownTally
from elman.data.text.vocabulary import Vocabulary
from elman.errors import DataError, UsageError
from elman.settings import check_settings
from elman.settings.text import CoderSettings
from elman.settings.text import EncoderSettings as EncoderSettings

if TYPE_CHECKING:
    from elman.data.text.subwords import SubwordCoder

# The begin and end of a text inside n-grams: control characters that texts do not have.
BEGIN, END = "\x02", "\x03"
_EXCERPT = 60


class SequenceEncoder:
    """Turns sequences into a `Ragged` batch of token ids, or of numbers.

    `adapt` learns the vocabulary; only a part of the data may be given to it.

    >>> encoder = SequenceEncoder(tokens="words", lower_case=True, split="strip", max_tokens=4)
    >>> encoder.adapt(["The dog, the cat.", "The dog!"]).vocabulary.tokens
    ('the', 'dog', 'cat')
    >>> encoder.encode(["A cat?", "the dog"]).to_list()
    [tensor([0, 3]), tensor([1, 2])]

    Args:
        settings: how sequences are read; or give them by name, see `EncoderSettings`.
        vocabulary: of a saved model; learned by `adapt` otherwise. None for `values`.
        subwords: of a saved model, for subwords.
        named: settings by name.

    Attributes:
        vocabulary: the tokens that are known.
        subwords: what cuts words into subwords; None for other tokens.

    Raises:
        UsageError: settings that make no sense, or given in both ways.
    """

    def __init__(
        self,
        settings: EncoderSettings | None = None,
        vocabulary: Vocabulary | None = None,
        subwords: "SubwordCoder | None" = None,
        **named: Any,
    ):
        if settings is not None and named:
            raise UsageError("The settings are given twice.", fix="Give an EncoderSettings, or settings by name.")
        self.settings = check_settings(EncoderSettings, named) if settings is None else settings
        self.vocabulary = vocabulary
        self.subwords = subwords

    def adapt(self, sequences: Sequence[Any]) -> Self:
        """Learn the vocabulary from sequences, or from their first `vocabulary_rows`.

        Raises:
            DataError: there is no token in them.
            MissingPackageError: subwords without sentencepiece.
        """
        self.adapt_and_encode(sequences[: self.settings.vocabulary_rows])
        return self

    def adapt_and_encode(self, sequences: Sequence[Any]) -> Ragged:
        """Learn the vocabulary as `adapt` does, and encode all sequences as `encode` does."""
        settings = self.settings
        if settings.tokens == "values":
            return self.encode(sequences)
        rows = sequences[: settings.vocabulary_rows]
        if settings.alphabet:
            self.vocabulary = Vocabulary(dict.fromkeys(characters(settings.alphabet)), **self._marks())
        elif settings.tokens == "subwords":
            self._learn_subwords(rows)
        elif settings.ngrams > 1:
            grams = (gram for tokens in self._split(rows) for each in self._ngrams(tokens) for gram in each if gram)
            self._count(Counter(grams))
        else:
            return self._numbered(sequences, len(rows))
        self._refuse_nothing_learned()
        return self.encode(sequences)

    def encode(
        self, sequences: Sequence[Any], *, unknown: str | None = None, tally: UnknownTally | None = None
    ) -> Ragged:
        """Return the batch of these sequences.

        Args:
            sequences: texts, or arrays `(time, feature)` for `values`.
            unknown: `allow` or `refuse` for this call in place of the settings'.
            tally: counts the tokens, and those that training never saw.

        Returns:
            int64 ids `(total,)`, or `(total, ngrams)` for n-grams, the shortest first and the unknown id where there is
            none; or float32 numbers `(total, feature)` for `values`.

        Raises:
            DataError: a token that training never saw, where these are refused; a value that is not a text; a number
                that is not finite. Names the sequence, counted from 1.
        """
        if self.settings.tokens == "values":
            return series_batch(sequences).to(torch.float32)
        assert self.vocabulary is not None
        if self.settings.tokens == "subwords":
            return self._encode_subwords(sequences, tally)
        texts = self._split(sequences)
        if (unknown or self.settings.unknown) == "refuse":
            self._refuse_unknown(texts, sequences)
        ids = (
            self._encode_ngrams(texts) if self.settings.ngrams > 1 else self.vocabulary.encode_batch(texts, marks=True)
        )
        if tally is not None:
            tokens = ids.data[:, 0] if self.settings.ngrams > 1 else ids.data
            is_unknown = tokens == self.vocabulary.specials["unknown"]
            tally.add(tokens=sum(map(len, texts)), unknown=int(is_unknown.sum()))
        return ids

    def is_token(self, word: str) -> bool:
        """Return whether a word is one token of a text, spelled as it is."""
        return self._tokenizer().split(word) == [word]

    def _marks(self) -> dict[str, Any]:
        """Return the marks of the vocabulary. Those of n-grams are within the n-grams."""
        has_marks = self.settings.marks and self.settings.ngrams == 1
        return {"begin": has_marks, "end": has_marks}

    def _count(self, counts: Mapping[str, int]) -> None:
        limits: dict[str, Any] = {"min_count": self.settings.min_count, "max_tokens": self.settings.max_tokens}
        self.vocabulary = Vocabulary.from_counts(counts, **limits, **self._marks())

    def _refuse_nothing_learned(self) -> None:
        assert self.vocabulary is not None
        if not self.vocabulary.tokens:
            raise DataError(
                "The training texts have no token to learn from.",
                fix="Give texts that are not empty, or lower min_count.",
            )

    def _numbered(self, sequences: Sequence[Any], rows: int) -> Ragged:
        """Learn the vocabulary of the first rows, and encode all of them.

        Each text is split, and each token looked up, only once. Tokens are numbered as they first occur, and renumbered
        once their counts are known.
        """
        check_texts(sequences)
        split, numbers = self._tokenizer().split, _Numbering()
        found, lengths = array("q"), []
        for text in sequences:
            tokens = split(text)
            found.extend(map(numbers.__getitem__, tokens))
            lengths.append(len(tokens))
        ids = np.array(found, np.int64)
        counts = np.bincount(ids[: sum(lengths[:rows])], minlength=len(numbers)).tolist()
        self._count({token: count for token, count in zip(numbers, counts, strict=True) if count})
        self._refuse_nothing_learned()
        assert self.vocabulary is not None
        if self.settings.unknown == "refuse" and self.vocabulary.unknown_tokens(numbers):
            return self.encode(sequences)
        renumbered = self.vocabulary.encode_batch([list(numbers)]).data.numpy()
        return _marked(Ragged(torch.from_numpy(renumbered[ids]), lengths), *self.vocabulary.marks())

    def _learn_subwords(self, rows: Sequence[Any]) -> None:
        # sentencepiece is an extra.
        from elman.data.text.subwords import learn_subwords

        check_texts(rows)
        given = {name: getattr(self.settings, name) for name in ("tokens", "lower_case", "max_tokens", "unknown")}
        corpus = open_corpus([f"{text}\n" for text in rows], name="the training texts")
        self.subwords = learn_subwords(corpus, check_settings(CoderSettings, given))
        # The first piece is the unknown one, which is never needed: what has no piece is spelled in bytes.
        self.vocabulary = Vocabulary(self.subwords.vocabulary.tokens[1:], **self._marks())

    def _encode_subwords(self, sequences: Sequence[Any], tally: UnknownTally | None) -> Ragged:
        assert self.vocabulary is not None
        assert self.subwords is not None
        check_texts(sequences)
        shift = len(self.vocabulary.specials) - 1
        texts = [self.subwords.encode(text, _of_text(number)) for number, text in enumerate(sequences, 1)]
        joined = np.concatenate([np.zeros(0, np.int64), *texts]).astype(np.int64)
        if tally is not None:
            tally.add(tokens=len(joined), unknown=0)
        ids = Ragged(torch.from_numpy(joined + shift), [len(text) for text in texts])
        return _marked(ids, *self.vocabulary.marks())

    def _encode_ngrams(self, texts: list[list[str]]) -> Ragged:
        assert self.vocabulary is not None
        steps = [self._ngrams(tokens) for tokens in texts]
        ids = self.vocabulary.encode([gram for text in steps for grams in text for gram in grams])
        numbers = torch.tensor(ids, dtype=torch.int64).view(-1, self.settings.ngrams)
        return Ragged(numbers, [len(text) for text in steps])

    def _ngrams(self, tokens: list[str]) -> list[list[str]]:
        """Return the n-grams that end at each step, shortest first, padded with the empty n-gram."""
        text = [BEGIN, *tokens, END] if self.settings.marks else tokens
        sizes = range(1, self.settings.ngrams + 1)
        return [
            ["".join(text[end - size : end]) if size <= end else "" for size in sizes]
            for end in range(1, len(text) + 1)
        ]

    def _split(self, sequences: Sequence[Any]) -> list[list[str]]:
        check_texts(sequences)
        return list(map(self._tokenizer().split, sequences))

    def _tokenizer(self) -> Tokenizer:
        settings = self.settings
        return Tokenizer(settings.tokens, settings.lower_case, settings.split)  # type: ignore[arg-type]

    def _refuse_unknown(self, texts: list[list[str]], sequences: Sequence[str]) -> None:
        assert self.vocabulary is not None
        known = self.vocabulary
        found = [
            f"text {number}: {', '.join(map(repr, unseen))} in {_excerpt(text, unseen[0])}"
            for number, (tokens, text) in enumerate(zip(texts, sequences, strict=True), start=1)
            if (unseen := known.unknown_tokens(tokens))
        ]
        if found:
            raise DataError(
                f"{len(found)} of {len(texts)} texts have {self.settings.tokens} that training never saw.",
                where="\n".join(listed(found)),
                fix='Correct these texts, or say unknown="allow" (--unknown allow) to read them as unknown.',
            )


class _Numbering(dict[str, int]):
    """Numbers tokens in the order in which they are first looked up."""

    def __missing__(self, token: str) -> int:
        number = self[token] = len(self)
        return number


def _marked(ids: Ragged, before: tuple[int, ...], after: tuple[int, ...]) -> Ragged:
    """Return the batch with these ids before and after each sequence."""
    if not before and not after:
        return ids
    steps = [[*before, *row.tolist(), *after] for row in ids.to_list()]
    return Ragged(torch.tensor([id for row in steps for id in row], dtype=torch.int64), [len(row) for row in steps])


def _of_text(number: int) -> Callable[[int], str]:
    return lambda character: f"text {number}, character {character + 1}"


def check_texts(sequences: Sequence[Any]) -> None:
    """Refuse sequences that are not texts.

    Raises:
        DataError: names them by their positions, from 1.
    """
    wrong = [
        f"sequence {number}: {type(text).__name__} {str(text)[:40]!r}"
        for number, text in enumerate(sequences, start=1)
        if not isinstance(text, str)
    ]
    if wrong:
        raise DataError(
            f"{len(wrong)} of {len(sequences)} sequences are not texts.",
            where="\n".join(listed(wrong)),
            fix='Give strings, and leave out what is missing; for sequences of numbers, say tokens="values".',
        )


def _excerpt(text: str, token: str) -> str:
    """Return the text around a token, on one line."""
    begin = max(0, text.find(token) - _EXCERPT // 2)
    cut = text[begin : begin + _EXCERPT]
    line = "".join(character if character.isprintable() else " " for character in cut)
    return f"{'…' if begin else ''}{line}{'…' if begin + _EXCERPT < len(text) else ''}"
