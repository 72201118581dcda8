"""The comparer: a number or a label for two sequences, and sequences that are near another one."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import torch

from elman.devices import device_of, widened
from elman.errors import UsageError
from elman.models.model import Model
from elman.tasks.compare import Compare
from elman.tasks.pair_outputs import ids_of
from elman.tasks.task import Unknown


class Neighbour(NamedTuple):
    """A sequence that is near another one.

    Attributes:
        position: its index among those that were given.
        similarity: how near it is: a number of the scale of the training, a cosine, or e to the minus distance.
    """

    position: int
    similarity: float


class SequenceComparer(Model):
    """A number, a label or both for two sequences; `fit(pairs, y)` and `predict(pairs)` take pairs of sequences.

    Attributes:
        history_: what training recorded, epoch by epoch.
        model_: the network.

    Raises:
        UsageError: there is no such setting.

    >>> pairs = [("a cat", "the cat"), ("a dog", "a cat"), ("the dog", "a dog"), ("the cat", "the dog")] * 4
    >>> model = SequenceComparer(hidden_size=8, epochs=3, wide="off").fit(pairs, ["same", "other", "same", "other"] * 4)
    >>> model.predict([("the dog", "a dog")]).shape
    (1,)
    """

    task = Compare
    fitted_by = "fit(pairs, y)"

    def fit(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, X: Any, y: Any, *, validation: Sequence[Any] | None = None, **how: Any
    ) -> Self:
        """Train on pairs of sequences with their answers.

        Args:
            X: pairs `[(first, second), …]`, an array or a data frame of two columns, or two lists `[firsts, seconds]`
                of a length other than two.
            y: for each pair a number, a label, or a tuple of one of each; for the objective triplet a third sequence.
            validation: pairs and their answers, in the same forms, by which epochs are compared.
            how: `folder`, `resume`, `listener`, `start`, as for `Model.fit`.

        Raises:
            UsageError, DataError, ModelError, TrainingError, TrainingInterrupted: as for `Model.fit`.
        """
        held = None if validation is None else (*columns_of_pairs(validation[0]), validation[1])
        return super().fit(*columns_of_pairs(X), y, validation=held, **how)

    def predict(self, X: Any, *, unknown: Unknown | None = None) -> np.ndarray:
        """Return the answer to each pair, `(pairs,)`, or `(pairs, 2)` for a number and a label.

        Args:
            X: pairs, as for `fit`.
            unknown: what happens to tokens that training never saw, for this call, in place of the setting.

        Raises:
            NotFittedError: the model has not been fitted.
            DataError: pairs that cannot be read.
        """
        found = [answer.value for answer in self.answers(_pairs(X), unknown=unknown)]
        if any(isinstance(value, tuple) for value in found):
            rows = np.empty((len(found), 2), dtype=object)
            rows[:] = found
            return rows
        return np.array(found)

    def predict_proba(self, X: Any, *, unknown: Unknown | None = None) -> np.ndarray:
        """Return the probability of each label, in the order of `classes_`: `(pairs, labels)`.

        Raises:
            UsageError: the model gives no labels.
        """
        self._require_fitted()
        if not self.task_.kind.has_labels:
            raise UsageError("The answers of this comparer have no probabilities.", fix="Use predict(pairs).")
        answers = self.answers(_pairs(X), unknown=unknown)
        rows = [list((answer.probabilities or {}).values()) for answer in answers]
        return np.array(rows, dtype=np.float64).reshape(len(rows), len(self.classes_))

    def evaluate(self, X: Any, y: Any, **how: Any) -> dict[str, Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return every score on pairs with their answers, as `Model.evaluate` does."""
        return super().evaluate(*columns_of_pairs(X), y, **how)

    def baseline(self, X: Any, y: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the scores of simple models on pairs with their answers, as `Model.baseline` does."""
        return super().baseline(*columns_of_pairs(X), y)

    def score(self, X: Any, y: Any) -> float:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return Pearson's r of numbers, the accuracy of labels, or the mean of the two.

        For vectors it is the area under the ROC curve, or the share of the triplets that are in order.
        """
        return self.evaluate(X, y)[self.task_.kind.metric]

    @property
    def classes_(self) -> np.ndarray:
        """The labels, in order; none without labels."""
        self._require_fitted()
        return np.array(self.task_.labels)

    def transform(self, X: Sequence[Any]) -> np.ndarray:
        """Return a vector for each sequence, `(sequences, features)`.

        Raises:
            UsageError: the objective is `answer`, whose vectors depend on both sequences.
        """
        self._require_fitted()
        if self.task_.settings.objective == "answer":
            raise UsageError(
                "This comparer gives answers to pairs, and has no vectors of single sequences.",
                fix="Train with objective=cosine, contrastive or triplet.",
            )
        columns = self.task.source.take([X], self.task.columns[:1])
        encoded = self._encoded(self.task_, columns, None)
        data = self.task.source.evaluated(encoded, self.task_.settings)
        rows: list[Any] = [None] * len(columns.columns["first"])
        with torch.inference_mode(), self._computing():
            for indices in data.plan(0) if rows else ():
                batch = data.read(indices).to(device_of(self.model_))
                found = self.model_.vectors(ids_of(batch["first"]))
                for index, row in zip(indices, widened(found).cpu().numpy(), strict=True):
                    rows[index] = row
        return np.stack(rows) if rows else np.zeros((0, 0), np.float32)

    def nearest(self, text: Any, texts: Sequence[Any], top: int | None = None) -> list[Neighbour]:
        """Return the sequences that are nearest to another one, the nearest first.

        Args:
            text: to compare with, as the first of each pair.
            texts: to choose from.
            top: number of them to return; all if not given.

        Raises:
            NotFittedError: the model has not been fitted.
            DataError: the model gives labels only.
        """
        self._require_fitted()
        values = self.task.source.take([[text] * len(texts), list(texts)], self.task.columns[:2])
        found: list[Neighbour] = []
        if len(texts):
            data = self.task.source.evaluated(self._encoded(self.task_, values, None), self.task_.settings)
            with torch.inference_mode(), self._computing():
                for indices in data.plan(0):
                    batch = data.read(indices).to(device_of(self.model_))
                    similarities = self.task_.kind.similarities(self.model_, batch)
                    found += map(Neighbour, indices, similarities)
        found.sort(key=lambda each: (-each.similarity, each.position))
        return found[:top]

    def __sklearn_tags__(self) -> Any:
        """Return the tags by which scikit-learn's searches and pipelines accept this estimator."""
        # Only scikit-learn itself calls this.
        from sklearn.utils import InputTags, Tags, TargetTags

        return Tags(
            estimator_type=None,
            target_tags=TargetTags(required=True, one_d_labels=False),
            input_tags=InputTags(string=True, two_d_array=True),
        )


def columns_of_pairs(X: Any) -> tuple[Sequence[Any], Sequence[Any]]:
    """Return the first and the second sequences of pairs.

    >>> columns_of_pairs([("a", "b"), ("c", "d"), ("e", "f")])
    (['a', 'c', 'e'], ['b', 'd', 'f'])
    >>> columns_of_pairs([["a", "c", "e"], ["b", "d", "f"]])
    (['a', 'c', 'e'], ['b', 'd', 'f'])

    Raises:
        UsageError: rows that are not pairs.
    """
    if hasattr(X, "iloc"):
        X = list(zip(X.iloc[:, 0], X.iloc[:, 1], strict=True)) if X.shape[1] == 2 else X.to_numpy()
    rows = list(X)
    if len(rows) == 2 and all(isinstance(row, list | np.ndarray) and len(row) != 2 for row in rows):
        return list(rows[0]), list(rows[1])
    wrong = next((n for n, row in enumerate(rows, 1) if isinstance(row, str) or len(row) != 2), None)
    if wrong is not None:
        raise UsageError(
            f"Expected pairs of sequences, got {rows[wrong - 1]!r:.60}.",
            where=f"pair {wrong}",
            fix="Give a list of pairs, [(first, second), …], or two lists, [firsts, seconds].",
        )
    return [row[0] for row in rows], [row[1] for row in rows]


def _pairs(X: Any) -> list[tuple[Any, Any]]:
    return list(zip(*columns_of_pairs(X), strict=True))
