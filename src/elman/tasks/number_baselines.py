"""Simple models of numbers: the mean of the training rows, and ridge regression."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from elman.tasks.baselines import Baseline
from elman.tasks.linear_baseline import Features, LinearModel, known_values
from elman.tasks.numbers import NumberScores, is_list, numbers_of

if TYPE_CHECKING:
    from elman.tasks.task import Task

STRENGTHS = (0.01, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0)
# Of the rows, on which strengths are compared.
HELD_OUT = 5
POINTS = 32


class MeanNumber(Baseline):
    """The mean of the training rows, for every row; of targets of steps, that of all steps after the warm-up.

    Args:
        column: of the numbers.
    """

    name = "mean"

    def __init__(self, column: str):
        self._column = column
        self._mean = 0.0

    @property
    def title(self) -> str:
        """What it does."""
        return "always giving the mean"

    def fit(self, task: "Task", values: Mapping[str, Any]) -> None:
        """Compute the mean."""
        true = _counted_numbers(task, values[self._column])
        self._mean = float(true.mean()) if len(true) else 0.0

    def score(self, task: "Task", values: Mapping[str, Any]) -> float:
        """Return the score of the task's first metric."""
        true = _counted_numbers(task, values[self._column])
        return score_numbers(np.full(len(true), self._mean), true)[self.metric(task).name]

    def to_json(self) -> dict[str, Any]:
        """Return the mean."""
        return {"mean": self._mean}

    def load(self, document: Mapping[str, Any], arrays: "Mapping[str, np.ndarray]") -> None:
        """Take over the mean."""
        self._mean = document["mean"]


class ResampledFeatures(Features):
    """Those of `Features`, and the values at 32 positions from the first step to the last, interpolated linearly."""

    title = "means, extremes and values at 32 positions"

    def describe(self, sequences: Sequence[Any]) -> np.ndarray:
        """Return the features of each sequence, `(rows, features)`."""
        simple = super().describe(sequences)
        width = (simple.shape[1] - 1) // 5
        values = np.stack([_resampled(known_values(each), width) for each in sequences])
        return np.concatenate([simple, values], axis=1)


class RidgeNumber(LinearModel):
    """Ridge regression on TF-IDF n-grams of texts, or on features of sequences of numbers.

    The strength is the one of `STRENGTHS` with the smallest squared error on a fifth of the rows; then it is fitted to
    all of them.

    Args:
        column: of the texts or sequences.
        target: column of the numbers.

    Source:
        A. Hoerl, R. Kennard, Ridge Regression, 1970.
    """

    name = "ridge"
    about = "ridge regression"

    @staticmethod
    def _features(middle: np.ndarray | None = None, scale: np.ndarray | None = None) -> Features:
        return ResampledFeatures(middle, scale)

    @property
    def title(self) -> str:
        """What it reads, and how many of the rows where these are not all."""
        return super().title.replace(f"{self.about} of", f"{self.about} on")

    def unsuited(self, values: Mapping[str, Any]) -> str:
        """Return that targets of steps have no ridge regression."""
        if not any(map(is_list, values[self._target][:1])):
            return ""
        return "Ridge regression is left out: it predicts one number for each sequence, and these targets are of steps."

    def fit(self, task: "Task", values: Mapping[str, Any]) -> None:
        """Fit it with scikit-learn."""
        true = numbers_of(values[self._target])
        matrix, true = self.learn_rows(values[self._column], true, ())
        weights, offset = fit_ridge(matrix, np.array(true))
        self._weights, self._offsets = weights[None].astype(np.float32), np.array([offset])

    def score(self, task: "Task", values: Mapping[str, Any]) -> float:
        """Return the score of the task's first metric."""
        true = np.array(numbers_of(values[self._target]))
        return score_numbers(self.predict(values[self._column]), true)[self.metric(task).name]

    def predict(self, sequences: Sequence[Any]) -> np.ndarray:
        """Return the number of each sequence. This does not need scikit-learn."""
        return np.concatenate([np.zeros(0), *(part[:, 0] for part in self.outputs(sequences))])


def fit_ridge(matrix: Any, targets: np.ndarray, strengths: Sequence[float] = STRENGTHS) -> tuple[np.ndarray, float]:
    """Return the weights and the offset of ridge regression with scikit-learn.

    Args:
        matrix: of features, `(rows, features)`, dense or sparse.
        targets: `(rows,)`.
        strengths: of the penalty, of which the best on every fifth row is chosen.
    """
    # scikit-learn takes a second to import, and only training needs it.
    from sklearn.linear_model import Ridge

    def fitted(rows: np.ndarray, strength: float) -> Any:
        return Ridge(alpha=strength).fit(matrix[rows], targets[rows])

    order = np.random.default_rng(0).permutation(len(targets))
    held, kept = order[::HELD_OUT], np.setdiff1d(order, order[::HELD_OUT])
    best = 1.0
    if len(kept):
        errors = [np.square(fitted(kept, each).predict(matrix[held]) - targets[held]).mean() for each in strengths]
        best = strengths[int(np.argmin(errors))]
    model = fitted(order, best)
    return np.asarray(model.coef_), float(model.intercept_)


def score_numbers(predictions: np.ndarray, targets: np.ndarray) -> dict[str, Any]:
    """Return the scores of `NumberScores` for predictions, in the units of the data."""
    # This imports torch.
    import torch

    scores = NumberScores("")
    scores.count(torch.from_numpy(predictions), torch.from_numpy(targets))
    return scores.compute()


def _counted_numbers(task: "Task", targets: Sequence[Any]) -> np.ndarray:
    """Return the targets of rows, or those of their steps after the warm-up."""
    if not any(map(is_list, targets[:1])):
        return np.array(numbers_of(targets))
    return np.array(numbers_of([number for row in targets for number in row[task.settings.warmup_steps :]]))


def _resampled(values: np.ndarray, channels: int) -> np.ndarray:
    """Return `POINTS` values of each channel, zeros for an empty sequence."""
    if not len(values):
        return np.zeros(POINTS * channels)
    steps = values.reshape(len(values), -1)
    positions = np.linspace(0, len(steps) - 1, POINTS)
    each = [np.interp(positions, np.arange(len(steps)), column) for column in steps.T]
    return np.concatenate(each)
