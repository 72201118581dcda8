"""Features of two texts: the n-grams that both have, that one of them has, and how much they overlap."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch

from elman.data.ragged.ragged import Ragged
from elman.data.text.ngrams import NgramRows, Ngrams

# Overlaps of each kind of n-grams, and their weight among features of which each kind has a length of 1.
OVERLAPS = 5
SCALE = 1.5
# Weight of the differences that depend on the order of the texts.
DIRECTED = 0.3
# Length of the pairs of words of a row, the number beyond which these mean little, and how many are known.
CROSSED = 1.5
MOST_CROSSES = 100
LARGEST = 200_000


class PairNgrams:
    """TF-IDF features of pairs of texts, made of the n-grams of each.

    With the values a and b of an n-gram in both texts, a pair has the features min(a, b) and |a - b| of each n-gram,
    and unless it is `symmetric` also 0.3 (a - b), which has less weight, so that a penalised model reads both texts
    alike as far as the data allow.

    For each kind of n-grams it also has the overlaps Σ ab, Σ min / Σ max, the smaller and the larger of Σ min / Σ a and
    Σ min / Σ b (in the order of the texts if it is not symmetric), and the ratio of their numbers of n-grams, the
    smaller number by the larger.

    Two words of which each text has one alone, such as `man` and `woman`, are a feature if `learn` found them in a
    training pair; of n pairs of words in a row each has the value 1.5 / √n.

    Args:
        ngrams: learned.
        symmetric: whether two texts in either order have the same features.
        crosses: the pairs of words that are features, each as one number, in order.

    Source:
        S. Bowman et al., A Large Annotated Corpus for Learning Natural Language Inference, EMNLP 2015, section 3.2, for
        the pairs of words ("cross-unigrams"). Difference: only words that the other text does not have.
    """

    def __init__(self, ngrams: Ngrams, *, symmetric: bool, crosses: Sequence[int] = ()):
        self._size = max(len(ngrams), 1)
        self._crosses = np.array(crosses, np.int64)
        # Words are those of the first kind without a blank in them; characters have none.
        first = ngrams.names[: ngrams.kinds[0]] if len(ngrams.kinds) > 1 else []
        self._is_word = np.zeros(self._size, bool)
        self._is_word[: len(first)] = [" " not in name for name in first]
        self._ends = np.cumsum([0, *ngrams.kinds])
        self._symmetric = symmetric
        self._parts = 2 if symmetric else 3

    def __len__(self) -> int:
        return self._parts * self._size + OVERLAPS * (len(self._ends) - 1) + len(self._crosses)

    def learn(self, first: NgramRows, second: NgramRows) -> list[int]:
        """Learn the pairs of words of training pairs, the most frequent of many, and return them."""
        _, numbers = self._crossed(*self._joined(first, second))
        found, counts = np.unique(numbers, return_counts=True)
        kept = np.argsort(-counts, kind="stable")[:LARGEST]
        self._crosses = np.sort(found[kept])
        return self._crosses.tolist()

    def rows(self, first: NgramRows, second: NgramRows) -> NgramRows:
        """Return the features of each pair of texts."""
        pairs, keys, a, b = self._joined(first, second)
        one, two, ids = np.minimum(a, b), a - b, keys % self._size
        parts = [one, np.abs(two)] if self._symmetric else [one, np.abs(two), DIRECTED * two]
        row, number = (
            np.tile(keys // self._size, len(parts)),
            np.concatenate([ids + k * self._size for k in range(len(parts))]),
        )
        overlaps = self._overlaps(pairs, keys // self._size, ids, a, b)
        row = np.concatenate([row, np.repeat(np.arange(pairs), overlaps.shape[1])])
        number = np.concatenate([number, np.tile(self._parts * self._size + np.arange(overlaps.shape[1]), pairs)])
        crossed, found, weights = self._known_crosses(*self._crossed(pairs, keys, a, b))
        row = np.concatenate([row, crossed])
        number = np.concatenate([number, len(self) - len(self._crosses) + found])
        values = np.concatenate([*parts, overlaps.flatten(), weights])
        kept = np.flatnonzero(values)
        kept = kept[np.argsort(row[kept] * len(self) + number[kept])]
        lengths = torch.from_numpy(np.bincount(row[kept], minlength=pairs))
        kept_values = torch.from_numpy(values[kept].astype(np.float32))
        return NgramRows(Ragged(torch.from_numpy(number[kept]), lengths), kept_values)

    def cosines(self, first: NgramRows, second: NgramRows) -> torch.Tensor:
        """Return the cosine of the n-grams of each pair of texts, 0 for an empty text, `(pairs,)`."""
        pairs, keys, a, b = self._joined(first, second)
        row = keys // self._size
        dots, one, two = (np.bincount(row, values, minlength=pairs) for values in (a * b, a * a, b * b))
        return torch.from_numpy(dots / np.maximum(np.sqrt(one * two), 1e-9)).float()

    def _crossed(self, pairs: int, keys: np.ndarray, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the pairs of words, each as one number, and the row of each."""
        words = self._is_word[keys % self._size]
        alone = [keys[words & (own > 0) & (other == 0)] for own, other in ((a, b), (b, a))]
        starts = [np.searchsorted(each, np.arange(pairs + 1) * self._size) for each in alone]
        rows, numbers = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for row in range(pairs):
            one, two = (
                each[start[row] : start[row + 1]] % self._size for each, start in zip(alone, starts, strict=True)
            )
            if 0 < len(one) * len(two) <= MOST_CROSSES:
                left, right = np.repeat(one, len(two)), np.tile(two, len(one))
                if self._symmetric:
                    left, right = np.minimum(left, right), np.maximum(left, right)
                numbers.append(left * self._size + right)
                rows.append(np.full(len(left), row))
        return np.concatenate(rows), np.concatenate(numbers)

    def _known_crosses(self, rows: np.ndarray, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the row, the position and the value of each pair of words that is known."""
        known = np.isin(numbers, self._crosses)
        # All of a row, the unknown ones among them, have the length CROSSED.
        values = CROSSED / np.sqrt(np.bincount(rows)[rows]) if len(rows) else np.zeros(0)
        return rows[known], np.searchsorted(self._crosses, numbers[known]), values[known]

    def _joined(self, first: NgramRows, second: NgramRows) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
        """Return the number of pairs, and each n-gram of a pair with its values in both texts."""
        pairs = first.ids.batch_size
        own = [rows.ids.sequence_index().numpy() * self._size + rows.ids.data.numpy() for rows in (first, second)]
        keys, inverse = np.unique(np.concatenate(own), return_inverse=True)
        split = len(own[0])
        a, b = (
            np.bincount(part, rows.values.double().numpy(), minlength=len(keys))
            for part, rows in ((inverse[:split], first), (inverse[split:], second))
        )
        return pairs, keys, a, b

    def _overlaps(self, pairs: int, row: np.ndarray, ids: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Return the overlaps of each pair, `(pairs, overlaps of each kind)`."""
        found = []
        for begin, end in pairwise(self._ends):
            of_kind = (begin <= ids) & (ids < end)
            where, x, y = row[of_kind], a[of_kind], b[of_kind]
            total = lambda values, where=where: np.bincount(where, values, minlength=pairs)  # noqa: E731
            both, sums, counts = total(np.minimum(x, y)), (total(x), total(y)), (total(x > 0), total(y > 0))
            shares = [both / np.maximum(each, 1e-9) for each in sums]
            if self._symmetric:
                shares = [np.minimum(*shares), np.maximum(*shares)]
            union = np.maximum(total(np.maximum(x, y)), 1e-9)
            ratio = np.minimum(*counts) / np.maximum(np.maximum(*counts), 1)
            found += [total(x * y), both / union, *shares, ratio]
        return SCALE * np.stack(found, 1)
