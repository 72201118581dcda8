"""Vectors of words from the company they keep in a text, without labels."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from elman.data.files import open_unpacked
from elman.data.known.datasets import open_dataset
from elman.data.text.tokens import Tokenizer
from elman.data.text.vocabulary import Vocabulary
from elman.training.generators import own_generators

WINDOW = 4
CONTEXTS = 8_000
POWER_STEPS = 3
# Between two texts.
BETWEEN = ["\n"] * WINDOW


@dataclass(frozen=True)
class WordVectors:
    """A vector of length 1 for each word.

    Args:
        words: the most frequent first.
        counts: how often each occurs, `(words,)`.
        vectors: `(words, features)`.
    """

    words: list[str]
    counts: Tensor
    vectors: Tensor


def word_vectors(
    tokens: Sequence[str], *, features: int = 150, min_count: int = 3, leave_out: Collection[str] = (), seed: int = 0
) -> WordVectors:
    """Compute the vectors of all words that occur often enough.

    Args:
        tokens: the text, word by word.
        features: length of a vector.
        min_count: words that come less often get none.
        leave_out: words that get none and count for none, as if the text had another word in place of each.
        seed: of the random start of the decomposition.

    Source:
        O. Levy, Y. Goldberg, I. Dagan, Improving Distributional Similarity with Lessons Learned from Word Embeddings,
        TACL 2015: positive pointwise mutual information with smoothed contexts (power 0.75), singular vectors times the
        root of the singular values. Differences: a window of 4 whose farther words count less; next neighbours are
        contexts of their own by side; the decomposition is randomised (N. Halko et al., 2011, algorithm 4.4).
    """
    counted = Counter(tokens)
    words = [word for word, count in counted.most_common() if count >= min_count and word not in leave_out]
    matrix = _information(_cooccurrences(tokens, words), len(words))
    vectors = _singular_vectors(matrix, features, seed)
    counts = torch.tensor([counted[word] for word in words])
    return WordVectors(words, counts, torch.nn.functional.normalize(vectors, dim=1))


def embedding_rows(vocabulary: Vocabulary, vectors: WordVectors, deviation: float, seed: int = 0) -> Tensor:
    """Return the first rows of an embedding, `(entries, features)`.

    A token has the vector of its word, or of the word in lower case. Other rows are drawn, as are those of special
    entries.

    Args:
        vocabulary: of the embedding.
        vectors: of words.
        deviation: standard deviation of the rows that are drawn.
        seed: of these.
    """
    numbers = {word: number for number, word in enumerate(vectors.words)}
    found = torch.tensor([numbers.get(token, numbers.get(token.lower(), -1)) for token in vocabulary.tokens])
    with own_generators([], seed):
        rows = deviation * torch.randn(len(vocabulary), vectors.vectors.shape[1])
    # The tokens follow the special entries.
    own = rows[len(vocabulary.specials) :]
    own[found >= 0] = vectors.vectors[found[found >= 0]]
    return rows


def read_articles(data: Path) -> list[str]:
    """Return the texts of Wikipedia articles."""
    files = [open_dataset("wikitext-2", data, "train")["train"], open_dataset("enwik8-prefix", data)["text"]]
    return [open_unpacked(file).read().decode() for file in files]


def vectors_of_texts(texts: Iterable[str], *, lower_case: bool, features: int) -> WordVectors:
    """Compute the vectors of words from texts, with no window across two of them.

    Args:
        texts: in any order.
        lower_case: whether words are read in lower case.
        features: length of a vector.
    """
    split = Tokenizer("words", lower_case=lower_case).split
    tokens = chain.from_iterable((*split(text), *BETWEEN) for text in texts)
    return word_vectors(list(tokens), features=features, leave_out=set(BETWEEN))


def _cooccurrences(tokens: Sequence[str], words: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Count pairs of word and context, each pair as one number, nearer ones more."""
    position = {word: index for index, word in enumerate(words)}
    ids = np.array([position.get(token, -1) for token in tokens], np.int64)
    pairs, weights = [], []
    for distance in range(1, WINDOW + 1):
        for word, context, is_right in ((ids[:-distance], ids[distance:], 0), (ids[distance:], ids[:-distance], 1)):
            valid = (word >= 0) & (context >= 0) & (context < CONTEXTS)
            own_side = CONTEXTS if distance == 1 and is_right else 0
            found, count = np.unique(word[valid] * 2 * CONTEXTS + context[valid] + own_side, return_counts=True)
            pairs.append(found)
            weights.append(count / max(1, distance - 1))
    found, inverse = np.unique(np.concatenate(pairs), return_inverse=True)
    return found, np.bincount(inverse, np.concatenate(weights))


def _information(cooccurrences: tuple[np.ndarray, np.ndarray], words: int) -> Tensor:
    """Positive pointwise mutual information, sparse, `(words, contexts)`."""
    pairs, weights = cooccurrences
    row, column = pairs // (2 * CONTEXTS), pairs % (2 * CONTEXTS)
    of_row = np.bincount(row, weights, words) + 1e-9
    of_column = np.bincount(column, weights, 2 * CONTEXTS) ** 0.75 + 1e-9
    information = np.log(weights * of_column.sum() / (of_row[row] * of_column[column]))
    positive = information > 0
    places = torch.from_numpy(np.stack([row[positive], column[positive]]))
    values = torch.from_numpy(information[positive]).float()
    return torch.sparse_coo_tensor(places, values, (words, 2 * CONTEXTS), check_invariants=False).coalesce()


def _singular_vectors(matrix: Tensor, features: int, seed: int) -> Tensor:
    """Return the first left singular vectors times the roots of their values."""
    with own_generators([], seed):
        left, values, _ = torch.svd_lowrank(matrix, q=min(features + 10, *matrix.shape), niter=POWER_STEPS)
    return left[:, :features] * values[:features].sqrt()
