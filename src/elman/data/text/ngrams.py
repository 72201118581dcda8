"""TF-IDF features of texts: words, pairs of words, and the n-grams of their characters."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain, pairwise
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from elman.data.ragged.ragged import Ragged
from elman.data.text.tf_idf import inverse_frequencies, unit_rows
from elman.data.text.tokens import Tokenizer

Unit = Literal["words", "texts"]

# Lengths of the n-grams of characters, with the blank before and after what they are taken from.
LENGTHS: dict[Unit, range] = {"words": range(2, 6), "texts": range(1, 7)}
# Texts from which on a feature must occur in two of them.
MANY_TEXTS = 10_000
# Features of a kind that are kept, the most frequent.
LARGEST = 200_000
# Texts that are counted at once, which bounds the memory.
CHUNK = 2_000


@dataclass(frozen=True)
class NgramRows:
    """The features of texts, those that are not 0.

    Attributes:
        ids: the number of each feature of each text, `(features of all,)`.
        values: their values, `(features of all,)`.
    """

    ids: Ragged
    values: Tensor

    @property
    def lengths(self) -> Tensor:
        """The number of features of each text, `(texts,)`."""
        return self.ids.lengths

    def select(self, rows: Sequence[int]) -> "NgramRows":
        """Return the features of these texts in this order."""
        return NgramRows(self.ids.select(rows), self.ids.replace(self.values).select(rows).data)


@dataclass(frozen=True)
class TextsWithNgrams:
    """Texts as ids, with the features of their n-grams.

    Attributes:
        ids: tokens, `(total,)`.
        ngrams: features of each text.
    """

    ids: Ragged
    ngrams: NgramRows

    @property
    def lengths(self) -> Tensor:
        """The number of tokens of each text, `(texts,)`."""
        return self.ids.lengths

    def select(self, rows: Sequence[int]) -> "TextsWithNgrams":
        """Return these texts in this order."""
        return TextsWithNgrams(self.ids.select(rows), self.ngrams.select(rows))

    def tensors(self) -> dict[str, Tensor]:
        """Return the ids, for a hash of the data. The n-grams are those of the same texts."""
        return self.ids.tensors()


class Ngrams:
    """TF-IDF features of texts, learned from the training texts.

    There are two kinds: words with pairs of neighbouring words (only where texts are read by words), and n-grams of
    characters that do not cross the ends of a word (of 2 to 5 characters) or of a text (of 1 to 6). Texts are read in
    lower case. The features of each kind are weighed by TF-IDF, see `elman.data.text.tf_idf`.

    >>> grams = Ngrams("words")
    >>> rows = grams.learn(["A good film", "a bad film"])
    >>> rows.lengths
    tensor([36, 32])
    >>> [name for name in grams.names if " " in name.strip()]
    ['a bad', 'a good', 'bad film', 'good film']

    Args:
        unit: what the n-grams of characters are taken from.
    """

    def __init__(self, unit: Unit):
        self.unit: Unit = unit
        self.texts = 0
        self.least = 0
        # For each kind, the number of texts that have a feature.
        self._counts: list[dict[str, int]] = []
        self._numbers: list[dict[str, int]] = []
        self._weights = np.zeros(0)

    def __len__(self) -> int:
        return len(self._weights)

    def __getstate__(self) -> dict[str, Any]:
        # Words that were looked up may be those of the texts to predict.
        return {**vars(self), "_cached": {}}

    @property
    def names(self) -> list[str]:
        """The features in the order of their numbers: words, `word word`, n-grams of characters."""
        return list(chain.from_iterable(self._counts))

    @property
    def kinds(self) -> list[int]:
        """The number of features of each kind, which follow one another."""
        return [len(kind) for kind in self._counts]

    def learn(self, texts: Sequence[str], least: int = 0) -> NgramRows:
        """Learn the features of the training texts, and return them.

        Args:
            texts: of the training set.
            least: number of texts that must have a feature; 1, or 2 of 10,000 texts and more, if not given.
        """
        counts: list[Counter[str]] = [Counter() for _ in self._kinds()]
        # A text of its own is read once.
        spelled = cache(self._characters) if self.unit == "words" else self._characters
        for text in texts:
            words = self._words(text)
            if self.unit == "words":
                counts[0].update({*words, *map(" ".join, pairwise(words))})
            counts[-1].update(set().union(*map(spelled, set(words))))
        self.least = least or (1 if len(texts) < MANY_TEXTS else 2)
        self._take(len(texts), [_frequent(kind, self.least) for kind in counts])
        return self.encode(texts)

    def encode(self, texts: Sequence[str]) -> NgramRows:
        """Return the features of texts, with what was learned."""
        begins = range(0, len(texts), CHUNK)
        parts = [self._encoded(texts[begin : begin + CHUNK]) for begin in begins] or [self._encoded([])]
        ids, values, lengths = (np.concatenate(each) for each in zip(*parts, strict=True))
        return NgramRows(Ragged(torch.from_numpy(ids), torch.from_numpy(lengths)), torch.from_numpy(values))

    def to_json(self) -> dict[str, Any]:
        """Return what was learned."""
        return {"unit": self.unit, "texts": self.texts, "counts": self._counts}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Ngrams":
        """Return the features that `to_json` describes."""
        grams = cls(document["unit"])
        if grams.unit not in LENGTHS:
            raise ValueError(f"n-grams of {grams.unit!r}")
        grams._take(int(document["texts"]), [dict(counts) for counts in document["counts"]])
        return grams

    def _take(self, texts: int, counts: list[dict[str, int]]) -> None:
        self.texts, self._counts, self._numbers, first = texts, counts, [], 0
        for kind in counts:
            self._numbers.append({name: number for number, name in enumerate(kind, first)})
            first += len(kind)
        found = np.array(list(chain.from_iterable(kind.values() for kind in counts)), np.float64)
        self._weights = inverse_frequencies(texts, found)
        self._cached: dict[str, list[int]] = {}

    def _kinds(self) -> range:
        return range(2 if self.unit == "words" else 1)

    def _words(self, text: str) -> list[str]:
        return Tokenizer("words", lower_case=True).split(text) if self.unit == "words" else [text.lower()]

    def _characters(self, word: str) -> list[str]:
        """Return the n-grams of a word's characters."""
        padded = f" {word} "
        lengths = LENGTHS[self.unit]
        return [padded[at : at + n] for n in lengths for at in range(len(padded) - n + 1)]

    def _encoded(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the numbers and values of the features, and how many each text has."""
        rows: list[list[np.ndarray]] = [[] for _ in self._kinds()]
        for text in texts:
            words = self._words(text)
            if self.unit == "words":
                find = self._numbers[0].get
                names = chain(words, map(" ".join, pairwise(words)))
                rows[0].append(np.array([number for name in names if (number := find(name)) is not None], np.int64))
            rows[-1].append(np.array(list(chain.from_iterable(map(self._numbered, words))), np.int64))
        kinds = [self._weighed(kind, len(texts)) for kind in rows]
        row, ids, values = (np.concatenate(each) for each in zip(*kinds, strict=True))
        order = np.argsort(row, kind="stable")
        return ids[order], values[order].astype(np.float32), np.bincount(row, minlength=len(texts))

    def _numbered(self, word: str) -> list[int]:
        """Return the numbers of the n-grams of a word's characters, which are looked up once."""
        if (known := self._cached.get(word)) is None:
            find = self._numbers[-1].get
            known = [number for name in self._characters(word) if (number := find(name)) is not None]
            if self.unit == "words" and len(self._cached) < LARGEST:
                self._cached[word] = known
        return known

    def _weighed(self, found: list[np.ndarray], texts: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the texts, numbers and values of the features of one kind."""
        lengths = [len(ids) for ids in found]
        size = max(len(self), 1)
        keys = np.repeat(np.arange(texts), lengths) * size + np.concatenate([np.zeros(0, np.int64), *found])
        keys, counts = np.unique(keys, return_counts=True)
        row, ids = np.divmod(keys, size)
        return row, ids, unit_rows(row, counts, self._weights[ids], texts)


def _frequent(counts: Counter[str], least: int) -> dict[str, int]:
    """Return the features that enough texts have, the most frequent first, ties in order."""
    kept = sorted((name for name, count in counts.items() if count >= least), key=lambda name: (-counts[name], name))
    return {name: counts[name] for name in kept[:LARGEST]}
