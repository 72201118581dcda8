"""Simple models that a task is compared with: they are fitted in seconds on the rows that the network learns from."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

from elman.report.parts import Numbers, Part

if TYPE_CHECKING:
    import numpy as np

    from elman.tasks.task import Metric, Task

OFF = "off"


class BaselineScore(NamedTuple):
    """The score of a baseline on data.

    Attributes:
        name: of the baseline, such as `linear`.
        title: what it is, a phrase such as `a linear model of words and word pairs`.
        metric: of the score.
        value: the score.
        seconds: that fitting and scoring took together.
    """

    name: str
    title: str
    metric: "Metric"
    value: float
    seconds: float

    @property
    def shown(self) -> str:
        """The score as people read it."""
        return self.metric.shown(self.value) + ("" if self.metric.percent else f" {self.metric.heading}")

    @property
    def sentence(self) -> str:
        """What it reaches, and in which time."""
        return f"{_capital(self.title)} reaches {self.shown} in {self.seconds:.1f} s."

    def to_json(self) -> dict[str, Any]:
        """Return the score as JSON has it, by the name of the metric."""
        found = {"name": self.name, "description": self.title}
        return {**found, self.metric.name: self.value, "seconds": round(self.seconds, 2)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any], metrics: "Sequence[Metric]") -> Self:
        """Return the score that `to_json` gave.

        Args:
            document: the score.
            metrics: of the task.
        """
        metric = next(each for each in metrics if each.name in document)
        return cls(document["name"], document["description"], metric, document[metric.name], document["seconds"])


class Baseline(ABC):
    """A simple model of a task.

    Attributes:
        name: of the flag `--baseline`, and in the JSON output.
        seconds: that fitting took.
    """

    name: ClassVar[str]
    seconds: float = 0.0

    @property
    @abstractmethod
    def title(self) -> str:
        """What it is, a phrase."""

    def prepare(self) -> None:
        """Import what `fit` needs, which is not part of its seconds.

        Raises:
            MissingPackageError: it needs a package that is not installed.
        """
        return

    def unsuited(self, values: Mapping[str, Any]) -> str:
        """Return why it is left out for these training columns, empty if it is not.

        Args:
            values: the columns by name.
        """
        return ""

    @abstractmethod
    def fit(self, task: "Task", values: Mapping[str, Any]) -> None:
        """Learn from the columns of the training data."""

    @abstractmethod
    def score(self, task: "Task", values: Mapping[str, Any]) -> float:
        """Return the score of `metric` on the columns of other data."""

    def metric(self, task: "Task") -> "Metric":
        """Return the metric that it is compared by."""
        return task.metrics[0]

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Return what was learned, as JSON holds it."""

    def arrays(self) -> "dict[str, np.ndarray]":
        """Return the numbers that were learned."""
        return {}

    @abstractmethod
    def load(self, document: Mapping[str, Any], arrays: "Mapping[str, np.ndarray]") -> None:
        """Take over what `to_json` and `arrays` gave."""


class Majority(Baseline):
    """The most frequent label of the training rows, for every row.

    Args:
        column: of the labels.
    """

    name = "majority"

    def __init__(self, column: str):
        self._column = column
        self._label: Any = None

    @property
    def title(self) -> str:
        """What it does."""
        return "always giving the most frequent label"

    def fit(self, task: "Task", values: Mapping[str, Any]) -> None:
        """Count the labels."""
        self._label = most_frequent(Counter(values[self._column]))

    def score(self, task: "Task", values: Mapping[str, Any]) -> float:
        """Return the accuracy."""
        return share(label == self._label for label in values[self._column])

    def to_json(self) -> dict[str, Any]:
        """Return the label."""
        return {"label": self._label}

    def load(self, document: Mapping[str, Any], arrays: "Mapping[str, np.ndarray]") -> None:
        """Take over the label."""
        self._label = document["label"]


class FrequentTag(Baseline):
    """The most frequent tag of each word in the training sentences, the most frequent of all for unknown words.

    Args:
        words: column of the words.
        tags: column of their tags.
    """

    name = "frequent-tag"

    def __init__(self, words: str, tags: str):
        self._words, self._tags = words, tags
        self._other: Any = None
        self._each: dict[str, Any] = {}

    @property
    def title(self) -> str:
        """What it does."""
        return "giving each word its most frequent tag"

    def fit(self, task: "Task", values: Mapping[str, Any]) -> None:
        """Count the tags of each word."""
        counts: dict[str, Counter[Any]] = {}
        for words, tags in zip(values[self._words], values[self._tags], strict=True):
            for word, tag in zip(words, tags, strict=True):
                counts.setdefault(word, Counter())[tag] += 1
        self._other = most_frequent(sum(counts.values(), Counter()))
        found = {word: most_frequent(each) for word, each in counts.items()}
        # Words that have the tag of unknown words need no entry.
        self._each = {word: tag for word, tag in found.items() if tag != self._other}

    def score(self, task: "Task", values: Mapping[str, Any]) -> float:
        """Return the accuracy over the words."""
        rows = zip(values[self._words], values[self._tags], strict=True)
        pairs = (pair for words, tags in rows for pair in zip(words, tags, strict=True))
        return share(self._each.get(word, self._other) == tag for word, tag in pairs)

    def to_json(self) -> dict[str, Any]:
        """Return the tags, a list of words for each but the most frequent."""
        words: dict[Any, list[str]] = {}
        for word, tag in self._each.items():
            words.setdefault(tag, []).append(word)
        return {"other": self._other, "words": [[tag, each] for tag, each in words.items()]}

    def load(self, document: Mapping[str, Any], arrays: "Mapping[str, np.ndarray]") -> None:
        """Take over the tags."""
        self._other = document["other"]
        self._each = {word: tag for tag, words in document["words"] for word in words}


def most_frequent(counts: Counter[Any]) -> Any:
    """Return what was counted most often, the first in alphabetical order of several.

    >>> most_frequent(Counter("abracadabrab"))
    'a'
    """
    return min(counts, key=lambda value: (-counts[value], str(value)))


def share(found: Any) -> float:
    """Return the share of true values among truth values.

    >>> share([True, False])
    0.5
    """
    values = list(found)
    return sum(values) / max(1, len(values))


def beside(parts: Sequence[Part], task: "Task", found: Sequence[BaselineScore]) -> list[Part]:
    """Return the parts of a report with the baselines after the first score.

    Args:
        parts: of the report.
        task: of the model; a baseline that is among its scores is left out.
        found: scores of the baselines.
    """
    metrics = {metric.name for metric in task.metrics}
    rows = [
        (_heading(each), each.metric.shown(each.value), f"{_capital(each.title)}, in {each.seconds:.1f} s.")
        for each in reversed(found)
        if each.name not in metrics
    ]
    if not parts or not rows or not isinstance(parts[0], Numbers):
        return list(parts)
    first = parts[0]
    numbers = Numbers([*first.rows[:1], *rows, *first.rows[1:]], first.share, first.against, first.remark)
    return [numbers, *parts[1:]]


def _heading(score: BaselineScore) -> str:
    return f"{score.name.replace('-', ' ')} baseline"


def _capital(phrase: str) -> str:
    return phrase[:1].upper() + phrase[1:]
