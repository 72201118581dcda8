"""An n-gram model of a text: the bar that a recurrent language model has to beat.

`python -m experiments.ngram NAME --data DIR` prints one JSON object: how many bits a character, and a byte, the test
part of a data set costs a model of its training part, read as characters and as bytes.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from elman.data.known.texts import open_text
from elman.data.text.corpus import Corpus
from experiments import run_module

ORDER = 5
# For texts so small that the estimate has nothing to go by; those of KenLM's --discount_fallback.
FALLBACK = (0.5, 1.0, 1.5)


@dataclass(frozen=True)
class _Level:
    """All that the model knows of grams of one length.

    Attributes:
        keys: what each gram is, sorted: the number of its context (the gram without its last symbol) times the symbols
            and the boundary, plus its last symbol. Its place is its number.
        counts: of each gram, how often it comes (the longest) or how many symbols come before it (the others).
        totals: of each context, the sum of its grams' counts.
        kept_back: of each context, the share of probability that shorter grams get.
        discounts: what is taken from counts of 0, 1, 2 and more.
    """

    keys: np.ndarray
    counts: np.ndarray
    totals: np.ndarray
    kept_back: np.ndarray
    discounts: np.ndarray


class KneserNey:
    """An n-gram model with interpolated modified Kneser-Ney smoothing.

    p_k(w | h) = (c(hw) - D(c(hw))) / c(h•) + γ(h) · p_{k-1}(w | h')        γ(h) = Σ_w D(c(hw)) / c(h•)

    where h are the k - 1 symbols before w, h' is h without its first, c counts occurrences for k = n and, for shorter
    grams, the symbols they are seen after; D takes D₁, D₂ or D₃ from counts of 1, 2 and more. p_0 is 1 / symbols, so
    that a symbol that was never seen has its share too. A context that was never seen leaves all to p_{k-1}.

    Args:
        text: symbols to learn from, whole numbers `(total,)` below `symbols`.
        symbols: how many there are.
        order: n, the length of the longest grams.

    Source:
        S. F. Chen, J. Goodman, An Empirical Study of Smoothing Techniques for Language Modeling, 1998, section 3 (the
        discounts are their equation 26). Differences: before the text stands a boundary, which is a context only; where
        a length has no gram that is counted once, twice, thrice or four times, the discounts are `FALLBACK`.

    >>> model = KneserNey(np.array([0, 1, 0, 1, 0, 1]), symbols=3, order=2)
    >>> model.probabilities(np.array([0, 1, 2])).round(2)
    array([0.75, 0.67, 0.08])
    """

    def __init__(self, text: np.ndarray, symbols: int, order: int = ORDER):
        self.symbols = symbols
        self.order = order
        self.levels = tuple(reversed(list(self._levels(text))))

    def probabilities(self, text: np.ndarray) -> np.ndarray:
        """The probability of each symbol after those before it, `(total,)`; the text stands after a boundary."""
        padded = self._padded(text)
        context = np.zeros(len(padded), np.int64)
        found = np.full(len(text), 1.0 / self.symbols)
        for level in self.levels:
            gram = _look_up(level.keys, np.where(context < 0, -1, context * (self.symbols + 1) + padded))
            mine, before = gram[self.order :], context[self.order :]
            count = np.where(mine < 0, 0, level.counts[mine])
            total = np.where(before < 0, 0, level.totals[before])
            own = (count - level.discounts[np.minimum(count, 3)]) / np.maximum(total, 1)
            found = np.where(total > 0, own + level.kept_back[before] * found, found)
            context = _one_later(gram)
        return found

    def bits(self, text: np.ndarray) -> float:
        """What the text costs: the sum of -log₂ p over its symbols."""
        return float(-np.log2(self.probabilities(text)).sum())

    def _padded(self, text: np.ndarray) -> np.ndarray:
        return np.concatenate([np.full(self.order, self.symbols), text]).astype(np.int64)

    def _levels(self, text: np.ndarray) -> Iterator[_Level]:
        """From the longest grams to single symbols."""
        padded = self._padded(text)
        keys, grams, firsts = self._all_grams(padded)
        counts = np.bincount(grams[-1][self.order :], minlength=len(keys[-1]))
        for length in range(self.order, 0, -1):
            contexts = 1 if length == 1 else len(keys[length - 2])
            yield _level(keys[length - 1], counts, keys[length - 1] // (self.symbols + 1), contexts)
            if length > 1:
                # Each gram that comes at all is one symbol before the gram that is left without it.
                suffixes = grams[length - 2][firsts[length - 1]]
                counts = np.bincount(suffixes[counts > 0], minlength=contexts)

    def _all_grams(self, padded: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
        """For each length from 1: the keys, the number of the gram that ends at each place, where each comes first."""
        keys, grams, firsts = [], [], []
        context = np.zeros(len(padded), np.int64)
        for _ in range(self.order):
            key, first, gram = np.unique(context * (self.symbols + 1) + padded, return_index=True, return_inverse=True)
            keys.append(key)
            grams.append(gram)
            firsts.append(first)
            context = _one_later(gram)
        return keys, grams, firsts


def _one_later(gram: np.ndarray) -> np.ndarray:
    """The gram that ends before each place; before the first stand boundaries, as at the first."""
    return np.concatenate([gram[:1], gram[:-1]])


def _look_up(keys: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Where each is among sorted keys; -1 where it is not."""
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[place] == wanted, place, -1)


def _level(keys: np.ndarray, counts: np.ndarray, context: np.ndarray, contexts: int) -> _Level:
    discounts = _discounts(counts)
    totals = np.bincount(context, weights=counts, minlength=contexts)
    taken = np.bincount(context, weights=discounts[np.minimum(counts, 3)], minlength=contexts)
    return _Level(keys, counts, totals, taken / np.maximum(totals, 1), discounts)


def _discounts(counts: np.ndarray) -> np.ndarray:
    """What is taken from counts of 0, 1, 2 and more."""
    once, twice, thrice, four_times = (int((counts == number).sum()) for number in (1, 2, 3, 4))
    if not (once and twice and thrice and four_times):
        return np.array([0.0, *FALLBACK])
    share = once / (once + 2 * twice)
    estimated = 1 - 2 * share * twice / once, 2 - 3 * share * thrice / twice, 3 - 4 * share * four_times / thrice
    return np.array([0.0, *np.clip(estimated, 0.0, (1.0, 2.0, 3.0))])


def measure(name: str, folder: Path, order: int = ORDER) -> dict[str, Any]:
    """What the test part of a data set (its validation part, if it has no test) costs a model of its training part.

    The alphabet is that of the whole text.

    Args:
        name: one of `elman.data.known.texts.TEXTS`.
        folder: the data folder.
        order: the length of the longest grams.

    Returns:
        For `characters` and for `bytes`: bits per character and per byte, and the size of the alphabet.
    """
    texts = open_text(name, folder)
    judged = texts.test or texts.validation
    parts = [part for part in texts if part is not None]
    figures: dict[str, Any] = {
        "data": name,
        "order": order,
        "characters": len(characters_of(judged)),
        "bytes": len(bytes_of(judged)),
    }
    for kind, read in (("characters", characters_of), ("bytes", bytes_of)):
        alphabet = np.unique(np.concatenate([np.unique(read(part)) for part in parts]))
        model = KneserNey(np.searchsorted(alphabet, read(texts.train)), len(alphabet), order)
        bits = model.bits(np.searchsorted(alphabet, read(judged)))
        figures[f"{kind}_model"] = {
            "bits_per_character": bits / figures["characters"],
            "bits_per_byte": bits / figures["bytes"],
            "alphabet": len(alphabet),
        }
    return figures


def characters_of(part: Corpus) -> np.ndarray:
    """The code points of a text, `(characters,)`."""
    return np.frombuffer("".join(part.pieces()).encode("utf-32-le"), np.uint32)


def bytes_of(part: Corpus) -> np.ndarray:
    """The bytes of a text, `(bytes,)`."""
    return np.frombuffer(b"".join(part.byte_pieces()), np.uint8)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures a data set and prints one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m experiments.ngram", description=measure.__doc__)
    parser.add_argument("name")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--order", type=int, default=ORDER)
    given = parser.parse_args(arguments)
    sys.stdout.write(json.dumps(measure(given.name, given.data, given.order)) + "\n")


if __name__ == "__main__":
    run_module(main)
