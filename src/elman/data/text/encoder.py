"""From what a person gives (texts, or arrays of numbers) to the batch that a network reads."""

import re
from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from elman.data.listing import listed
from elman.data.ragged.ragged import Ragged
from elman.data.text.graphemes import characters
from elman.data.text.tokens import Tokenizer
from elman.data.text.unknown import UnknownTally
from elman.data.text.vocabulary import Vocabulary
from elman.errors import DataError, ShapeError
from elman.settings.text import EncoderSettings as EncoderSettings

# The begin and end of a text inside n-grams: control characters that texts do not have.
BEGIN, END = "\x02", "\x03"
_EXCERPT = 60


class SequenceEncoder:
    """Turns sequences into a `Ragged` batch of token ids, or of numbers.

    Args:
        settings: how sequences are read.
        vocabulary: of a saved model; learned by `fit` otherwise. None for `values`.
    """

    def __init__(self, settings: EncoderSettings, vocabulary: Vocabulary | None = None):
        self.settings = settings
        self.vocabulary = vocabulary

    def fit(self, sequences: Sequence[Any]) -> Self:
        """Learn the vocabulary from the training sequences.

        Raises:
            DataError: there is no token in them.
        """
        settings = self.settings
        if settings.tokens == "values":
            return self
        has_own_marks = settings.marks and settings.ngrams == 1
        options: dict[str, Any] = {"begin": has_own_marks, "end": has_own_marks}
        if settings.alphabet:
            self.vocabulary = Vocabulary(dict.fromkeys(characters(settings.alphabet)), **options)
        else:
            limits = {"min_count": settings.min_count, "max_tokens": settings.max_tokens}
            texts = self._split(sequences[: settings.vocabulary_rows])
            if settings.ngrams > 1:
                texts = [[gram for grams in self._ngrams(tokens) for gram in grams if gram] for tokens in texts]
            self.vocabulary = Vocabulary.build(texts, **limits, **options)
        if not self.vocabulary.tokens:
            raise DataError(
                "The training texts have no token to learn from.",
                fix="Give texts that are not empty, or lower min_count.",
            )
        return self

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
            return _numbers(sequences)
        assert self.vocabulary is not None
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

    def _encode_ngrams(self, texts: list[list[str]]) -> Ragged:
        import torch

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
        settings = self.settings
        tokenizer = Tokenizer(settings.tokens, settings.lower_case, settings.split)  # type: ignore[arg-type]
        check_texts(sequences)
        return [tokenizer.split(text) for text in sequences]

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


def _numbers(sequences: Sequence[Any]) -> Ragged:
    import torch

    try:
        batch = Ragged.from_list(sequences).to(torch.float32)
    except (ShapeError, DataError) as error:
        # A batch counts from 0, people from 1.
        where = re.sub(r"^sequence (\d+)", lambda found: f"sequence {int(found[1]) + 1}", error.where or "", flags=re.M)
        raise type(error)(error.problem, where=where, fix=error.fix) from error
    if batch.data.dim() == 1:
        batch = batch.map(lambda data: data.unsqueeze(1))
    finite = batch.data.isfinite().flatten(1).all(1)
    if not finite.all():
        bad = int((~finite).nonzero()[0])
        sequence, step = int(batch.sequence_index()[bad]), int(batch.step_index()[bad])
        too_large = bool(np.isfinite(np.asarray(sequences[sequence], dtype=np.float64)[step]).all())
        raise DataError(
            "The sequences have values that are too large for float32."
            if too_large
            else "The sequences have values that are not finite (NaN or infinity).",
            where=f"sequence {sequence + 1}, step {step + 1}",
            fix="Scale the values, such as to a mean of 0 and a deviation of 1."
            if too_large
            else "Fill in or leave out what was not measured before training.",
        )
    return batch
