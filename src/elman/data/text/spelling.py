"""Words as a network reads them: the number of each word, and the spelling of each distinct one."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from elman.data.ragged.ragged import Ragged
from elman.data.text.vocabulary import Vocabulary

PREFIXES, SUFFIXES = range(1, 5), range(1, 6)
SHAPE_LENGTH = 8
LEAST_FEATURES = 2
LEAST_CHARACTERS = 3
FEW_WORDS = 1_000
_RUN = re.compile(r"(.)\1+", re.DOTALL)


@dataclass(frozen=True)
class SpelledWords:
    """Sentences of words, with what is known of the spelling of each distinct word.

    Attributes:
        ids: the number of each word, `(total,)`.
        forms: the row of each word among the distinct words, `(total,)`.
        characters: numbers of the characters of each distinct word, `(characters of all,)`.
        features: numbers of the features of each distinct word, `(distinct, features)`, as `features_of` lists them.
    """

    ids: Ragged
    forms: Tensor
    characters: Ragged
    features: Tensor

    @property
    def lengths(self) -> Tensor:
        """The number of words of each sentence, `(sentences,)`."""
        return self.ids.lengths

    def select(self, indices: Sequence[int]) -> "SpelledWords":
        """Return these sentences in this order. The distinct words stay those of all sentences."""
        chosen = self.ids.replace(torch.stack([self.ids.data, self.forms], 1)).select(indices)
        ids, forms = chosen.data.unbind(1)
        return SpelledWords(chosen.replace(ids.contiguous()), forms.contiguous(), self.characters, self.features)

    def tensors(self) -> Mapping[str, Tensor]:
        """Return every tensor by a name, for a hash of the data."""
        return {
            "data": self.ids.data,
            "lengths": self.ids.lengths,
            "forms": self.forms,
            "characters": self.characters.data,
            "spellings": self.characters.lengths,
            "features": self.features,
        }


def spell(
    sentences: Sequence[Sequence[str]], ids: Ragged, characters: Vocabulary | None, features: Vocabulary | None
) -> SpelledWords:
    """Return sentences with the spelling of each distinct word.

    Args:
        sentences: lists of words.
        ids: the number of each word.
        characters: the characters that are known; `None` leaves them out.
        features: the features that are known; `None` leaves them out.
    """
    distinct: dict[str, int] = {}
    forms = [distinct.setdefault(word, len(distinct)) for words in sentences for word in words]
    spellings = list(distinct) if characters is not None else [""] * len(distinct)
    encoded = (characters or Vocabulary("")).encode_batch(spellings)
    found = [features.encode(features_of(word)) for word in distinct] if features is not None else []
    width = 0 if features is None else len(features_of(""))
    table = np.array(found, np.int64).reshape(len(distinct), width)
    return SpelledWords(ids, torch.tensor(forms, dtype=torch.int64), encoded, torch.from_numpy(table))


def learn_characters(counts: Mapping[str, int]) -> Vocabulary:
    """Return the vocabulary of the characters of words.

    Args:
        counts: how often each word occurs.
    """
    found: Counter[str] = Counter()
    for word, count in counts.items():
        for character in word:
            found[character] += count
    return Vocabulary.from_counts(found, min_count=LEAST_CHARACTERS if len(counts) > FEW_WORDS else 1)


def learn_features(counts: Mapping[str, int]) -> Vocabulary:
    """Return the vocabulary of the features of words, without those that occur once.

    Args:
        counts: how often each word occurs.
    """
    found: Counter[str] = Counter()
    for word, count in counts.items():
        for feature in features_of(word):
            found[feature] += count
    return Vocabulary.from_counts(found, min_count=LEAST_FEATURES)


def features_of(word: str) -> list[str]:
    """Return the features of a word: itself in lower case, its shape, its prefixes and suffixes.

    There are always as many; a prefix or suffix longer than the word is empty. The first feature is the word.

    >>> features_of("Rio-2016")[:5]
    ['w=rio-2016', 's=Xxx-dddd', 'r=Xx-d', 'p1=r', 'p2=ri']
    >>> features_of("a")[3:6]
    ['p1=a', 'p2=', 'p3=']
    """
    lower, shape = word.lower(), shape_of(word)
    prefixes = [f"p{n}={lower[:n] if n <= len(lower) else ''}" for n in PREFIXES]
    suffixes = [f"e{n}={lower[-n:] if n <= len(lower) else ''}" for n in SUFFIXES]
    runs = _RUN.sub(r"\1", shape)
    return [f"w={lower}", f"s={shape[:SHAPE_LENGTH]}", f"r={runs}", *prefixes, *suffixes]


def shape_of(word: str) -> str:
    """Return a word with `X` for a capital letter, `x` for another letter and `d` for a digit.

    >>> shape_of("McDonald's"), shape_of("42%")
    ("XxXxxxxx'x", 'dd%')
    """
    return "".join(
        ("X" if each.isupper() else "x") if each.isalpha() else "d" if each.isdigit() else each for each in word
    )
