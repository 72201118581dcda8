"""A model of n-grams of tokens, to compare a language model with."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from elman.tasks.baselines import Baseline

if TYPE_CHECKING:
    from elman.tasks.task import Metric, Task

LONGEST = 3
# Entries of the largest table, one for each run of tokens, and tokens that are counted.
LARGEST_TABLE = 2**20
LARGEST_TEXT = 20_000_000
READ_AT_ONCE = 2**20
ORDERS = {1: "unigram", 2: "bigram", 3: "trigram"}


class NGram(Baseline):
    """The probability of each token after the one or two tokens before it, interpolated with shorter contexts.

    p(w | h) = (count(h w) + kinds(h) · p(w | shorter h)) / (count(h) + kinds(h))

    with the number of different tokens that follow h as kinds(h), and 1 / tokens below the shortest context. It reads
    as many tokens before each, up to two, as a table of all runs of tokens has room for.

    Args:
        column: of the text.

    Source:
        I. Witten, T. Bell, The Zero-Frequency Problem, 1991, method C, interpolated.
    """

    name = "n-gram"

    def __init__(self, column: str):
        self._column = column
        self._tokens = ""
        self._is_cut = False
        self._logs: list[np.ndarray] = []

    @property
    def title(self) -> str:
        """How many tokens it reads."""
        part = f", counted on the first {LARGEST_TEXT:,}," if self._is_cut else ""
        return f"a {ORDERS[len(self._logs)]} model of {self._tokens}{part}"

    def metric(self, task: "Task") -> "Metric":
        """Return bits per character, or per byte where these are the tokens."""
        return next(each for each in task.metrics if each.name == _unit(task))

    def fit(self, task: "Task", values: Mapping[str, Any]) -> None:
        """Count the runs of tokens of the training text."""
        from elman.data.text.token_text import read_tokens

        coder = task.encoders[self._column].coder
        self._tokens, size = task.settings.tokens, len(coder.vocabulary)
        order = max(n for n in range(1, LONGEST + 1) if n == 1 or size**n <= LARGEST_TABLE)
        counts = np.zeros(size**order, dtype=np.int64)
        before, total = np.zeros(0, dtype=np.int64), 0
        for _, piece in read_tokens(values[self._column], coder):
            if self._is_cut:
                break
            ids = np.concatenate([before, piece.astype(np.int64)[: LARGEST_TEXT - total]])
            counts += np.bincount(_runs(ids, order, size), minlength=len(counts))
            before, total = ids[max(0, len(ids) - order + 1) :], total + len(piece)
            self._is_cut = total > LARGEST_TEXT
        self._logs = _log_probabilities(counts.reshape((size,) * order))

    def score(self, task: "Task", values: Mapping[str, Any]) -> float:
        """Return the bits per character, or per byte, of another text after its first token."""
        from elman.data.text.token_text import encode_tokens
        from elman.tasks.language import language_scores

        tokens = encode_tokens(values[self._column], task.encoders[self._column].coder)
        order, size = len(self._logs), len(self._logs[0])
        before, nats = np.zeros(0, dtype=np.int64), 0.0
        for start in range(0, len(tokens), READ_AT_ONCE):
            ids = np.concatenate([before, tokens.ids[start : start + READ_AT_ONCE].astype(np.int64)])
            if not start:
                # The first tokens have fewer before them, and the very first none: it is given.
                nats -= sum(float(self._logs[n - 1][tuple(ids[:n])]) for n in range(2, min(order, len(ids) + 1)))
            runs = _runs(ids[not start and order == 1 :], order, size)
            nats -= float(self._logs[-1].ravel()[runs].sum(dtype=np.float64))
            before = ids[max(0, len(ids) - order + 1) :]
        return language_scores(nats / max(1, len(tokens) - 1), tokens.counts)[_unit(task)]

    def to_json(self) -> dict[str, Any]:
        """Return the kind of its tokens."""
        return {"tokens": self._tokens, "order": len(self._logs), "is_cut": self._is_cut}

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the logarithm of each probability, a table for each number of tokens before."""
        return {str(number): each for number, each in enumerate(self._logs, 1)}

    def load(self, document: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """Take over what `to_json` and `arrays` gave."""
        self._tokens, self._is_cut = document["tokens"], document["is_cut"]
        self._logs = [arrays[str(number)] for number in range(1, document["order"] + 1)]


def _unit(task: "Task") -> str:
    return "bits_per_byte" if task.settings.tokens == "bytes" else "bits_per_character"


def _runs(ids: np.ndarray, order: int, size: int) -> np.ndarray:
    """Return the number of each run of tokens, the first token the most significant digit."""
    ends = len(ids) - order + 1
    if ends <= 0:
        return np.zeros(0, dtype=np.int64)
    return sum((ids[n : n + ends] * size ** (order - 1 - n) for n in range(order)), np.zeros(ends, dtype=np.int64))


def _log_probabilities(counts: np.ndarray) -> list[np.ndarray]:
    """Return the log probability of each run's last token, a table for each length of runs."""
    tables = [counts]
    while tables[0].ndim > 1:
        tables.insert(0, tables[0].sum(0))
    shorter, found = np.full(counts.shape[-1], 1 / counts.shape[-1]), []
    for table in tables:
        kinds = (table > 0).sum(-1, keepdims=True)
        total = table.sum(-1, keepdims=True) + kinds
        mixed = (table + kinds * shorter) / np.maximum(total, 1)
        shorter = np.where(total > 0, mixed, shorter)
        found.append(np.log(shorter).astype(np.float32))
    return found
