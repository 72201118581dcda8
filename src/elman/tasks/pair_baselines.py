"""Simple models that a comparer is compared with: a constant answer, and a linear model of n-grams of both texts."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from elman.tasks.baselines import Baseline, most_frequent
from elman.tasks.pair_targets import PairTarget, columns_of

if TYPE_CHECKING:
    from torch import Tensor

    from elman.data.text.ngrams import NgramRows, Ngrams
    from elman.nn.wide import Wide
    from elman.tasks.task import Metric, Task


class Constant(Baseline):
    """The mean of the training numbers or their most frequent label, for every pair.

    It is compared by the accuracy or by the mean squared error, since a constant is not correlated with anything.
    """

    name = "constant"

    def __init__(self):
        self._values: list[Any] = []

    @property
    def title(self) -> str:
        """What it does."""
        return "always giving the same answer"

    def fit(self, task: "Task", values: Mapping[str, Any]) -> None:
        """Compute the mean, or count the labels."""
        kinds = _kinds(task)
        columns = columns_of(values["target"]) if kinds else []
        self._values = [
            float(np.mean(list(map(float, column)))) if kind == "number" else most_frequent(Counter(map(str, column)))
            for kind, column in zip(kinds, columns, strict=True)
        ]

    def metric(self, task: "Task") -> "Metric":
        """Return the accuracy, the mean squared error, or a score that a constant has by chance."""
        kinds = _kinds(task)
        answers = task.settings.objective == "answer"
        name = "ordered" if not kinds else "accuracy" if "label" in kinds else "mse"
        return _metric(task, name if answers or not kinds or "label" not in kinds else "auc")

    def score(self, task: "Task", values: Mapping[str, Any]) -> float:
        """Return the score of `metric`."""
        name, kinds = self.metric(task).name, _kinds(task)
        if name in ("ordered", "auc"):
            return 0.5
        columns = columns_of(values["target"])
        if name == "mse":
            number = kinds.index("number")
            return float(np.mean([(float(value) - self._values[number]) ** 2 for value in columns[number]]))
        number = kinds.index("label")
        return float(np.mean([str(value).strip() == self._values[number] for value in columns[number]]))

    def to_json(self) -> dict[str, Any]:
        """Return the answer."""
        return {"values": self._values}

    def load(self, document: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """Take over the answer."""
        self._values = list(document["values"])


class LinearPairs(Baseline):
    """A linear model of the n-grams that both texts have or one of them, and of how much they overlap.

    Numbers are fitted by ridge regression, labels by logistic regression, see `Wide`. For the objectives that learn
    vectors it is the overlap alone: the cosine of the TF-IDF n-grams.
    """

    name = "linear"

    def __init__(self):
        self._ngrams: Ngrams | None = None
        self._is_symmetric = False
        self._crosses: list[int] = []
        self._parts: dict[str, Wide] = {}
        self._answers = True

    @property
    def title(self) -> str:
        """What it reads."""
        what = "a linear model of the n-grams of both texts" if self._answers else "the cosine of TF-IDF n-grams"
        return what if self._ngrams is not None else "the same answer to all pairs"

    def fit(self, task: "Task", values: Mapping[str, Any]) -> None:
        """Fit it to all pairs of texts.

        Sequences of numbers have no n-grams, and all get the same answer.
        """
        # These import torch.
        from elman.data.text.ngrams import Ngrams
        from elman.nn.wide import Wide

        settings = task.settings
        self._answers, self._is_symmetric = settings.objective == "answer", bool(settings.symmetric)
        texts = [*values["first"], *values["second"]]
        if not all(isinstance(text, str) for text in texts):
            return
        self._ngrams = Ngrams("texts" if settings.tokens in ("characters", "bytes") else "words")
        self._ngrams.learn(texts)
        if not self._answers:
            return
        self._crosses = self._pairs.learn(*(self._ngrams.encode(values[name]) for name in ("first", "second")))
        rows, targets, target = self._rows(values), task.encoders["target"].encode(values["target"]), _target(task)
        for column, kind in enumerate(target.kinds):
            is_number = kind == "number"
            part = Wide(self._features, 1 if is_number else len(target.labels), _loss(kind))
            wanted = targets[:, column].float()[:, None] if is_number else targets[:, column].long()
            part.fit(rows, wanted, seed=settings.seed)
            self._parts[kind] = part

    def metric(self, task: "Task") -> "Metric":
        """Return the metric that epochs are compared by."""
        return task.metric if task.metric.name not in ("loss", "macro_f1") else _metric(task, task.kind.metric)  # pyright: ignore[reportAttributeAccessIssue]

    def score(self, task: "Task", values: Mapping[str, Any]) -> float:
        """Return the score of `metric`."""
        # This imports torch.
        import torch

        from elman.tasks.task import Batch, Read

        size = len(values["first"])
        scores = task.scores(())  # pyright: ignore[reportArgumentType]
        if not self._answers:
            outputs = {"similarity": self._cosines(values["first"], values["second"])}
            if not _kinds(task):
                outputs["other"] = self._cosines(values["first"], values["target"])
        elif self._ngrams is None:
            widths = {"number": (size,), "label": (size, len(_target(task).labels))}
            outputs = {kind: torch.zeros(widths[kind]) for kind in _kinds(task)}
        else:
            rows = self._rows(values)
            outputs = {kind: part(rows) for kind, part in self._parts.items()}
            outputs = {kind: found[:, 0] if kind == "number" else found for kind, found in outputs.items()}
        targets = task.encoders["target"].encode(values["target"]) if _kinds(task) else None
        with torch.no_grad():
            scores.update(Batch({"target": targets}, size, 0), Read(torch.zeros(()), size, outputs))
        found = scores.compute()
        return float(found[self.metric(task).name])

    def to_json(self) -> dict[str, Any]:
        """Return the n-grams, and the number of outputs for each kind of target."""
        parts = {kind: part.weight.shape[1] for kind, part in self._parts.items()}
        ngrams = None if self._ngrams is None else self._ngrams.to_json()
        found = {"symmetric": self._is_symmetric, "crosses": self._crosses, "answers": self._answers}
        return {**found, "ngrams": ngrams, "parts": parts}

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the weights."""
        return {
            f"{kind} {name}": value.detach().numpy()
            for kind, part in self._parts.items()
            for name, value in (("weight", part.weight), ("bias", part.bias))
        }

    def load(self, document: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """Take over what `to_json` and `arrays` gave."""
        # These import torch.
        import torch

        from elman.data.text.ngrams import Ngrams
        from elman.nn.wide import Wide

        self._answers, self._is_symmetric = document["answers"], document["symmetric"]
        self._crosses = list(document["crosses"])
        self._ngrams = None if document["ngrams"] is None else Ngrams.from_json(document["ngrams"])
        for kind, width in document["parts"].items():
            self._parts[kind] = part = Wide(self._features, width, _loss(kind))
            part.load_state_dict(
                {
                    **part.state_dict(),
                    **{name: torch.from_numpy(arrays[f"{kind} {name}"]) for name in ("weight", "bias")},
                }
            )

    @property
    def _features(self) -> int:
        return len(self._pairs)

    @property
    def _pairs(self) -> Any:
        from elman.data.text.pair_ngrams import PairNgrams

        assert self._ngrams is not None
        return PairNgrams(self._ngrams, symmetric=self._is_symmetric, crosses=self._crosses)

    def _rows(self, values: Mapping[str, Any]) -> "NgramRows":
        assert self._ngrams is not None
        return self._pairs.rows(*(self._ngrams.encode(values[name]) for name in ("first", "second")))

    def _cosines(self, first: Sequence[Any], second: Sequence[Any]) -> "Tensor":
        """Return the cosine of the n-grams of each pair of texts, 0 for sequences of numbers."""
        import torch

        from elman.data.text.pair_ngrams import PairNgrams

        if self._ngrams is None:
            return torch.zeros(len(first))
        return PairNgrams(self._ngrams, symmetric=True).cosines(self._ngrams.encode(first), self._ngrams.encode(second))


def _kinds(task: "Task") -> list[str]:
    return getattr(task.encoders["target"], "kinds", [])


def _target(task: "Task") -> PairTarget:
    return task.encoders["target"]


def _metric(task: "Task", name: str) -> "Metric":
    return next(metric for metric in task.metrics if metric.name == name)


def _loss(kind: str) -> Any:
    return "squared" if kind == "number" else "cross_entropy"
