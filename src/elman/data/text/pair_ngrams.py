"""Features of two texts: the n-grams that both have, that one of them has, and how much they overlap."""

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


class PairNgrams:
    """TF-IDF features of pairs of texts, made of the n-grams of each.

    With the values a and b of an n-gram in both texts, a pair has the features min(a, b) and |a - b| of each n-gram,
    and unless it is `symmetric` also 0.3 (a - b), which has less weight, so that a penalised model reads both texts
    alike as far as the data allow. For each kind of n-grams it also has the
    overlaps Σ ab, Σ min / Σ max, the smaller and the larger of Σ min / Σ a and Σ min / Σ b (in the order of the texts
    if it is not symmetric), and the ratio of their numbers of n-grams, the smaller number by the larger.

    Args:
        ngrams: learned.
        symmetric: whether two texts in either order have the same features.
    """

    def __init__(self, ngrams: Ngrams, *, symmetric: bool):
        self._size = max(len(ngrams), 1)
        self._ends = np.cumsum([0, *ngrams.kinds])
        self._symmetric = symmetric
        self._parts = 2 if symmetric else 3

    def __len__(self) -> int:
        return self._parts * self._size + OVERLAPS * (len(self._ends) - 1)

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
        values = np.concatenate([*parts, overlaps.flatten()])
        kept = np.flatnonzero(values)
        kept = kept[np.argsort(row[kept] * len(self) + number[kept])]
        lengths = torch.from_numpy(np.bincount(row[kept], minlength=pairs))
        found = torch.from_numpy(values[kept].astype(np.float32))
        return NgramRows(Ragged(torch.from_numpy(number[kept]), lengths), found)

    def cosines(self, first: NgramRows, second: NgramRows) -> torch.Tensor:
        """Return the cosine of the n-grams of each pair of texts, 0 for an empty text, `(pairs,)`."""
        pairs, keys, a, b = self._joined(first, second)
        row = keys // self._size
        dots, one, two = (np.bincount(row, values, minlength=pairs) for values in (a * b, a * a, b * b))
        return torch.from_numpy(dots / np.maximum(np.sqrt(one * two), 1e-9)).float()

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
