"""A linear model of n-grams, or of simple features of numbers, to compare a classifier with."""

import importlib.util
import random
import re
import warnings
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from elman.data.text.tf_idf import inverse_frequencies, unit_rows
from elman.errors import MissingPackageError
from elman.tasks.baselines import Baseline, share

if TYPE_CHECKING:
    from elman.tasks.task import Task

# Texts of fewer words on average are words or names, which are read by their characters.
WORDS_OF_A_SENTENCE = 4
LARGEST_FEATURES = 100_000
# Weights that are saved in a model folder: features times labels.
LARGEST_WEIGHTS = 4_000_000
# Letters of all texts, above which some rows are left out, and n-grams of a letter.
LARGEST_SIZE = {"words": 60_000_000, "characters": 3_000_000}
GRAMS_OF_A_LETTER = {"words": 0.35, "characters": 4.0}
INVERSE_REGULARISATION = 10.0
# Products of an n-gram and a label in all iterations of a fit.
LARGEST_WORK = 3e9
LEAST_ITERATIONS, ITERATIONS = 25, 200
# Products of a feature and a label that are held at once.
PRODUCTS = 4_000_000
_WORD = re.compile(r"\w+")


def word_grams(text: str) -> list[str]:
    """Return the words of a text in lower case, and the pairs of neighbours.

    >>> word_grams("Not bad, not good")
    ['not', 'bad', 'not', 'good', 'not bad', 'bad not', 'not good']
    """
    words = _WORD.findall(text.lower())
    return [*words, *map(" ".join, pairwise(words))]


def character_grams(text: str) -> list[str]:
    """Return the runs of 2 to 5 characters of a text in lower case, with a blank at both ends.

    >>> character_grams("No")
    [' n', 'no', 'o ', ' no', 'no ', ' no ']
    """
    marked = f" {' '.join(text.lower().split())} "
    return [marked[begin : begin + size] for size in range(2, 6) for begin in range(len(marked) - size + 1)]


GRAMS: dict[str, Callable[[str], list[str]]] = {"words": word_grams, "characters": character_grams}


class Rows(NamedTuple):
    """Sparse rows of features.

    Attributes:
        starts: index of the first entry of each row, and the number of entries, `(rows + 1,)`.
        features: of each entry, `(entries,)`.
        values: of each entry, `(entries,)`.
    """

    starts: np.ndarray
    features: np.ndarray
    values: np.ndarray


class TfIdf:
    """TF-IDF of n-grams, see `elman.data.text.tf_idf`.

    Args:
        kind: of the n-grams: `words` or `characters`.

    Attributes:
        terms: the n-grams, in order.
        weights: inverse frequency of each, `(terms,)`.
    """

    def __init__(self, kind: str, terms: Sequence[str] = (), weights: np.ndarray | None = None):
        self.kind = kind
        self.terms = list(terms)
        self.weights = np.zeros(0) if weights is None else weights
        self._index = {term: number for number, term in enumerate(self.terms)}

    def fit(self, texts: Sequence[str], most: int) -> Rows:
        """Learn the n-grams that occur in the most texts, and return the rows of the texts.

        Args:
            texts: of the training data.
            most: n-grams to learn.
        """
        found: dict[str, int] = {}
        starts, features, counts = self._count(texts, lambda gram: found.setdefault(gram, len(found)))
        occurring = np.bincount(features, minlength=len(found))
        kept = np.sort(np.argsort(-occurring, kind="stable")[:most])
        names = list(found)
        self.terms = [names[number] for number in kept]
        self._index = {term: number for number, term in enumerate(self.terms)}
        self.weights = inverse_frequencies(len(texts), occurring[kept]).astype(np.float32)
        renamed = np.full(len(found), -1)
        renamed[kept] = np.arange(len(kept))
        return self._weighted(starts, renamed[features], counts)

    def rows(self, texts: Sequence[str]) -> Rows:
        """Return the rows of other texts, without n-grams that were not learned."""
        return self._weighted(*self._count(texts, lambda gram: self._index.get(gram, -1)))

    def _count(self, texts: Sequence[str], number_of: Callable[[str], int]) -> Rows:
        grams = GRAMS[self.kind]
        starts, features, counts = [0], array("l"), array("l")
        for text in texts:
            found = Counter(map(number_of, grams(text)))
            found.pop(-1, None)
            features.extend(found.keys())
            counts.extend(found.values())
            starts.append(len(features))
        return Rows(*(np.array(each, dtype=np.int64) for each in (starts, features, counts)))

    def _weighted(self, starts: np.ndarray, features: np.ndarray, counts: np.ndarray) -> Rows:
        known = features >= 0
        row = np.repeat(np.arange(len(starts) - 1), np.diff(starts))[known]
        features, size = features[known], len(starts) - 1
        values = unit_rows(row, counts[known], self.weights[features], size)
        starts = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=size))])
        return Rows(starts, features, values)


class Features:
    """Simple features of sequences of numbers: their lengths, and five numbers for each channel.

    Those of a channel are its mean, standard deviation, least, largest and last value.

    Attributes:
        middle, scale: of each feature over the training rows, by which they are standardised.
    """

    title = "means, extremes and last values"

    def __init__(self, middle: np.ndarray | None = None, scale: np.ndarray | None = None):
        self.middle = np.zeros(0) if middle is None else middle
        self.scale = np.ones(0) if scale is None else scale

    def fit(self, sequences: Sequence[Any], most: int) -> Rows:
        """Learn the scale of the features, and return the rows of the sequences."""
        raw = self.describe(sequences)
        self.middle, deviation = raw.mean(0), raw.std(0)
        self.scale = np.where(deviation > 0, deviation, 1.0)
        return self._standardised(raw)

    def rows(self, sequences: Sequence[Any]) -> Rows:
        """Return the rows of other sequences."""
        return self._standardised(self.describe(sequences))

    def describe(self, sequences: Sequence[Any]) -> np.ndarray:
        """Return the features of each sequence, `(rows, features)`."""
        return described(sequences)

    def _standardised(self, raw: np.ndarray) -> Rows:
        scaled = (raw - self.middle) / self.scale
        rows, features = raw.shape
        return Rows(np.arange(rows + 1) * features, np.tile(np.arange(features), rows), scaled.ravel())


def known_values(sequence: Any) -> np.ndarray:
    """Return a sequence of numbers with missing values carried forward, 0 in empty channels."""
    # This imports torch.
    from elman.data.series.arrays import carried

    values = np.asarray(sequence, dtype=np.float64)
    if not np.isnan(values).any():
        return values
    return np.nan_to_num(carried(values.reshape(len(values), -1)))


def described(sequences: Sequence[Any]) -> np.ndarray:
    """Return the features of `Features` of each sequence, `(rows, features)`."""
    found = [known_values(each) for each in sequences]
    steps = [each.reshape(len(each), -1) if each.size else None for each in found]
    width = next((each.shape[1] for each in steps if each is not None), 1)
    rows = []
    for each in steps:
        if each is None:
            rows.append(np.zeros(5 * width + 1))
            continue
        parts = [each.mean(0), each.std(0), each.min(0), each.max(0), each[-1], [len(each)]]
        rows.append(np.concatenate(parts))
    return np.stack(rows)


class LinearModel(Baseline):
    """A linear model of TF-IDF n-grams of texts, or of simple features of numbers.

    Texts of at least four words on average are read by words and pairs of words, others by their runs of two to five
    characters. The rows are those that the network learned from.

    Args:
        column: of the texts or sequences.
        target: column of what is predicted.
    """

    about = "a linear model"

    def __init__(self, column: str, target: str):
        self._column, self._target = column, target
        self._reader: TfIdf | Features = self._features()
        self._weights = np.zeros((0, 0), dtype=np.float32)
        self._offsets = np.zeros(0, dtype=np.float32)
        self._part: tuple[int, int] | None = None

    @staticmethod
    def _features(middle: np.ndarray | None = None, scale: np.ndarray | None = None) -> "Features":
        """Return what reads sequences of numbers."""
        return Features(middle, scale)

    @property
    def title(self) -> str:
        """What it reads, and how many of the rows where these are not all."""
        reads = {"words": "words and word pairs", "characters": "two to five characters"}
        kind = reads[self._reader.kind] if isinstance(self._reader, TfIdf) else self._reader.title
        part = f", fitted on {self._part[0]:,} of {self._part[1]:,} rows," if self._part else ""
        return f"{self.about} of {kind}{part}"

    def prepare(self) -> None:
        """Import scikit-learn.

        Raises:
            MissingPackageError: it is not installed.
        """
        if importlib.util.find_spec("sklearn") is None:
            raise MissingPackageError(
                "A linear model to compare with needs the package scikit-learn, which is not installed.",
                fix='Install the extra: pip install "elman[baseline]"',
            )
        import sklearn.linear_model  # noqa: F401

    def learn_rows(self, sequences: Sequence[Any], targets: Sequence[Any], kinds: Sequence[Any]) -> tuple[Any, Any]:
        """Learn the features, and return a sparse matrix of them and the targets of its rows.

        Args:
            sequences: of the training data.
            targets: one for each.
            kinds: values of which each is in some row, where not all rows are used.
        """
        # scikit-learn takes a second to import, and only training needs it.
        from scipy.sparse import csr_matrix

        if all(isinstance(each, str) for each in sequences):
            self._reader = TfIdf(_kind(sequences))
            chosen = _sample(sequences, targets, kinds, _most_letters(self._reader.kind, max(1, len(kinds))))
            if len(chosen) < len(sequences):
                self._part = len(chosen), len(sequences)
                sequences, targets = [sequences[row] for row in chosen], [targets[row] for row in chosen]
        most = max(100, min(LARGEST_FEATURES, LARGEST_WEIGHTS // max(1, len(kinds))))
        rows = self._reader.fit(sequences, most)
        width = len(self._reader.terms) if isinstance(self._reader, TfIdf) else len(self._reader.middle)
        return csr_matrix((rows.values, rows.features, rows.starts), shape=(len(sequences), width)), targets

    def outputs(self, sequences: Sequence[Any]) -> Iterator[np.ndarray]:
        """Yield the outputs of the sequences in parts, `(rows, outputs)`, without scikit-learn."""
        rows, table = self._reader.rows(sequences), self._weights.T
        entries = max(1, PRODUCTS // max(1, len(self._offsets)))
        first = 0
        while first < len(sequences):
            # At least one row, and as many as hold so many entries.
            end = max(first + 1, int(np.searchsorted(rows.starts, rows.starts[first] + entries, side="right")) - 1)
            part = slice(rows.starts[first], rows.starts[end])
            each = np.repeat(np.arange(end - first), np.diff(rows.starts[first : end + 1]))
            scores = np.tile(self._offsets.astype(np.float64), (end - first, 1))
            np.add.at(scores, each, table[rows.features[part]] * rows.values[part][:, None])
            yield scores
            first = end

    def to_json(self) -> dict[str, Any]:
        """Return the n-grams in order."""
        document: dict[str, Any] = {"part": self._part}
        if isinstance(self._reader, TfIdf):
            document |= {"kind": self._reader.kind, "terms": self._reader.terms}
        return document

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the weights, and those of the n-grams or the scale of the features."""
        found = {"weights": self._weights, "offsets": self._offsets}
        if isinstance(self._reader, TfIdf):
            return {**found, "terms": self._reader.weights}
        return {**found, "middle": self._reader.middle, "scale": self._reader.scale}

    def load(self, document: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """Take over what `to_json` and `arrays` gave."""
        self._part = tuple(document["part"]) if document["part"] else None
        self._weights, self._offsets = arrays["weights"], arrays["offsets"]
        if "kind" in document:
            self._reader = TfIdf(document["kind"], document["terms"], arrays["terms"])
        else:
            self._reader = self._features(arrays["middle"], arrays["scale"])


class Linear(LinearModel):
    """Logistic regression on TF-IDF n-grams of texts, or on simple features of numbers.

    Args:
        column: of the texts or sequences.
        labels: column of the labels.
    """

    name = "linear"

    def __init__(self, column: str, labels: str):
        super().__init__(column, labels)
        self._labels: list[Any] = []

    def fit(self, task: "Task", values: Mapping[str, Any]) -> None:
        """Fit it with scikit-learn."""
        # scikit-learn takes a second to import, and only training needs it.
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression

        self._labels = sorted(set(values[self._target]), key=str)
        matrix, labels = self.learn_rows(values[self._column], values[self._target], self._labels)
        known = {label: number for number, label in enumerate(self._labels)}
        strength = INVERSE_REGULARISATION if isinstance(self._reader, TfIdf) else 1.0
        iterations = int(LARGEST_WORK / (max(1, matrix.nnz) * len(self._labels)))
        iterations = max(LEAST_ITERATIONS, min(ITERATIONS, iterations))
        model = LogisticRegression(C=strength, max_iter=iterations)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(matrix, [known[label] for label in labels])
        weights, offsets = np.asarray(model.coef_), np.asarray(model.intercept_)
        if len(self._labels) == 2:
            weights, offsets = np.concatenate([0 * weights, weights]), np.array([0.0, offsets[0]])
        self._weights, self._offsets = weights.astype(np.float32), offsets.astype(np.float32)

    def score(self, task: "Task", values: Mapping[str, Any]) -> float:
        """Return the accuracy."""
        answers = self.predict(values[self._column])
        return share(answer == label for answer, label in zip(answers, values[self._target], strict=True))

    def predict(self, sequences: Sequence[Any]) -> list[Any]:
        """Return the most probable label of each sequence. This does not need scikit-learn."""
        return [self._labels[best] for scores in self.outputs(sequences) for best in scores.argmax(1)]

    def to_json(self) -> dict[str, Any]:
        """Return the labels, and the n-grams in order."""
        return {"labels": self._labels, **super().to_json()}

    def load(self, document: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """Take over what `to_json` and `arrays` gave."""
        super().load(document, arrays)
        self._labels = list(document["labels"])


def _kind(texts: Sequence[str]) -> str:
    words = sum(len(_WORD.findall(text)) for text in texts)
    return "words" if words >= WORDS_OF_A_SENTENCE * len(texts) else "characters"


def _most_letters(kind: str, labels: int) -> int:
    """Return the letters of the rows that are fitted, fewer for many labels."""
    grams = LARGEST_WORK / (LEAST_ITERATIONS * labels)
    return int(min(LARGEST_SIZE[kind], grams / GRAMS_OF_A_LETTER[kind]))


def _sample(texts: Sequence[str], targets: Sequence[Any], kinds: Sequence[Any], most: int) -> Sequence[int]:
    """Return the rows to fit: at most `most` letters, with each of `kinds` among the targets."""
    if sum(map(len, texts)) <= most:
        return range(len(texts))
    order = random.Random(0).sample(range(len(texts)), len(texts))
    first = list({targets[row]: row for row in reversed(order)}.values()) if kinds else []
    chosen, size = dict.fromkeys(first), 0
    for row in order:
        size += len(texts[row])
        if size > most:
            break
        chosen[row] = None
    return sorted(chosen)
