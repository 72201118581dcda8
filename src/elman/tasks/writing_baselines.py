"""Simple models that a network that writes texts is compared with: the texts of the nearest training rows."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from elman.data.text.tokens import Tokenizer
from elman.tasks.baselines import Baseline

if TYPE_CHECKING:
    from elman.tasks.task import Metric, Task

# Training rows that are kept to find the nearest of.
KEPT = 50_000
GRAM = 3


class Nearest(Baseline):
    """The text of the training row whose input is most like the input.

    It is compared by BLEU, or by the share of exact answers where texts are read by characters.

    Args:
        inputs: column of the inputs.
    """

    name = "nearest"

    def __init__(self, inputs: str):
        self._column = inputs
        self._targets: list[str] = []

    @property
    def title(self) -> str:
        """What it does."""
        return "giving the text of the nearest training row"

    def metric(self, task: "Task") -> "Metric":
        """Return BLEU, or the share of exact answers of texts that are read by characters."""
        name = "exact" if task.settings.tokens == "characters" else "bleu"
        return next(metric for metric in task.metrics if metric.name == name)

    def prepare(self) -> None:
        """Refuse to go on without sacrebleu."""
        from elman.tasks.translate_scores import require_sacrebleu

        require_sacrebleu()

    def fit(self, task: "Task", values: Mapping[str, Any]) -> None:
        """Keep the training rows."""
        self._targets = list(values["target"][:KEPT])
        self._keep(values[self._column][:KEPT])

    def score(self, task: "Task", values: Mapping[str, Any]) -> float:
        """Return the score of `metric`."""
        from elman.tasks.translate_scores import TextScores

        scores = TextScores()
        written = [self._targets[row] for row in self._nearest(values[self._column])]
        scores.update(written, list(values["target"]))
        return float(scores.compute()[self.metric(task).name])

    @abstractmethod
    def _keep(self, inputs: Sequence[Any]) -> None:
        """Keep the inputs of the training rows."""

    @abstractmethod
    def _nearest(self, inputs: Sequence[Any]) -> list[int]:
        """Return the training row that is nearest to each input."""


class NearestText(Nearest):
    """The target of the training source with the most like words, or like runs of three characters."""

    def __init__(self, inputs: str):
        super().__init__(inputs)
        self._inputs: list[str] = []
        self._rows: dict[str, np.ndarray] = {}
        self._norms = np.zeros(0)

    def _keep(self, inputs: Sequence[str]) -> None:
        self._inputs = list(inputs)
        found: dict[str, list[int]] = {}
        for row, text in enumerate(self._inputs):
            for token in set(_tokens(text)):
                found.setdefault(token, []).append(row)
        self._rows = {token: np.array(rows) for token, rows in found.items()}
        self._norms = np.ones(len(self._inputs))
        squares = np.zeros(len(self._inputs))
        for token, rows in self._rows.items():
            squares[rows] += self._weight(token) ** 2
        self._norms = np.sqrt(np.maximum(squares, 1e-12))

    def _weight(self, token: str) -> float:
        """Return the logarithm of the inverse share of the training texts with a token."""
        return float(np.log((1 + len(self._inputs)) / (1 + len(self._rows[token])))) + 1e-3

    def _nearest(self, inputs: Sequence[str]) -> list[int]:
        nearest = []
        for text in inputs:
            scores = np.zeros(len(self._inputs))
            for token in set(_tokens(text)) & self._rows.keys():
                scores[self._rows[token]] += self._weight(token) ** 2
            nearest.append(int((scores / self._norms).argmax()))
        return nearest

    def to_json(self) -> dict[str, Any]:
        """Return the training rows."""
        return {"inputs": self._inputs, "targets": self._targets}

    def load(self, document: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """Take over the training rows."""
        self._targets = list(document["targets"])
        self._keep(document["inputs"])


class NearestVector(Nearest):
    """The text of the training vector at the smallest distance, each number divided by its deviation."""

    def __init__(self, inputs: str):
        super().__init__(inputs)
        self._vectors = np.zeros((0, 0))

    def _keep(self, inputs: Sequence[Any]) -> None:
        self._vectors = _matrix(inputs)

    def _nearest(self, inputs: Sequence[Any]) -> list[int]:
        deviations = self._vectors.std(0)
        scale = np.where(deviations > 0, deviations, 1.0)
        known, asked = self._vectors / scale, _matrix(inputs) / scale
        squares = (known**2).sum(1)
        return [int((squares - 2 * known @ row).argmin()) for row in asked]

    def to_json(self) -> dict[str, Any]:
        """Return the texts."""
        return {"targets": self._targets}

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the vectors."""
        return {"vectors": self._vectors}

    def load(self, document: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """Take over the training rows."""
        self._targets = list(document["targets"])
        self._vectors = arrays["vectors"]


def _tokens(text: str) -> list[str]:
    """Return the words of a text, or its runs of three characters if it is one or two words."""
    words = Tokenizer("words", lower_case=True).split(text)
    if len(words) > GRAM:
        return words
    padded = f" {text.lower()} "
    return [padded[at : at + GRAM] for at in range(max(1, len(padded) - GRAM + 1))]


def _matrix(inputs: Sequence[Any]) -> np.ndarray:
    return np.stack([np.asarray(each, dtype=np.float64).reshape(-1) for each in inputs])
