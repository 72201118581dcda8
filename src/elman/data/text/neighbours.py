"""Features of words and their neighbours: what linear models of tags count."""

from collections.abc import Iterator

import torch
from torch import Tensor

from elman.data.text.spelling import PREFIXES, SUFFIXES, SpelledWords

# The columns of `SpelledWords.features`, and the number of the word itself.
_NAMES = ("lower", "shape", "runs", *(f"prefix{n}" for n in PREFIXES), *(f"suffix{n}" for n in SUFFIXES), "word")
_COLUMNS = {name: column for column, name in enumerate(_NAMES)}
REACH = 2
# Each pattern is a feature. Its parts are properties of the word, or of a word at a distance: "lower-1 lower" is the
# word before together with the word itself.
PATTERNS = (
    *_NAMES,
    *(f"{name}{distance:+}" for distance in (-2, -1, 1, 2) for name in ("lower", "suffix3", "runs")),
    *(f"{name}{distance:+}" for distance in (-1, 1) for name in ("suffix2", "prefix3", "shape")),
    *("lower-1 lower", "lower lower+1", "lower-1 lower+1", "lower-2 lower-1", "lower+1 lower+2"),
    *("lower-1 lower lower+1", "lower-1 suffix3", "suffix3 lower+1", "suffix2-1 lower", "lower suffix2+1"),
    *("suffix3-1 lower suffix3+1", "suffix3-1 suffix3 suffix3+1"),
    *("runs-1 runs runs+1", "suffix2 runs-1 runs runs+1", "suffix3 runs runs-1", "lower-1 runs", "lower+1 runs"),
)
_PARTS = {
    f"{name}{distance:+}" if distance else name: (column, distance)
    for name, column in _COLUMNS.items()
    for distance in range(-REACH, REACH + 1)
}
# Feature numbers of words beyond the ends of a sentence.
_OUTSIDE = -1
_LEAST = 2
# Hashes are short enough to be exact in any JSON. The factor is 2^64 divided by the golden ratio.
_BITS, _SHIFT, _LOW = 48, 29, 2**35 - 1
_FACTOR = 0x9E3779B97F4A7C15 - 2**64


def learn_neighbours(words: SpelledWords) -> Tensor:
    """Return the hashes of the features that at least two words have, in ascending order.

    Args:
        words: with their features.
    """
    found = []
    for column in _hashes(words):
        hashes, counts = column.unique(return_counts=True)
        found.append(hashes[counts >= _LEAST])
    return torch.cat(found).unique()


def find_neighbours(words: SpelledWords, known: Tensor) -> Tensor:
    """Return the row of each feature of each word, `(total, patterns)`.

    Rows count the known features from 1, and row 0 is that of every unknown one.

    Args:
        words: with their features.
        known: what `learn_neighbours` gave.
    """
    found = []
    for column in _hashes(words):
        rows = torch.searchsorted(known, column).clamp(max=max(0, len(known) - 1))
        found.append((rows + 1) * (known[rows] == column) if len(known) else rows * 0)
    return torch.stack(found, 1)


def _hashes(words: SpelledWords) -> Iterator[Tensor]:
    """Yield a hash for each word, `(total,)`, for one pattern after the other."""
    rows = _rows(words)
    for number, pattern in enumerate(PATTERNS, 1):
        # Far apart, so that numbers of patterns and of features are not mixed up.
        found = torch.full_like(rows[0][0], number) * _FACTOR
        for part in pattern.split():
            column, distance = _PARTS[part]
            found = (found ^ rows[distance][column]) * _FACTOR
            found = found ^ ((found >> _SHIFT) & _LOW)
        yield found & (2**_BITS - 1)


def _rows(words: SpelledWords) -> dict[int, Tensor]:
    """Return the feature numbers of the words at each distance, `(features, total)`."""
    ids = words.ids
    here = torch.cat([words.features.index_select(0, words.forms), ids.data.unsqueeze(1)], 1)
    step, length = ids.step_index(), ids.lengths.to(here.device).index_select(0, ids.sequence_index())
    found = {}
    for distance in range(-REACH, REACH + 1):
        inside = ((step + distance >= 0) & (step + distance < length)).nonzero().squeeze(1)
        moved = torch.full_like(here, _OUTSIDE)
        found[distance] = moved.index_copy(0, inside, here.index_select(0, inside + distance)).t()
    return found
