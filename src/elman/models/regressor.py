"""The regressor: a number for each sequence."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from elman.errors import UsageError
from elman.models.model import Model
from elman.models.sklearn_tags import estimator_tags
from elman.tasks.regress import Regress
from elman.tasks.task import Unknown


class SequenceRegressor(Model):
    """A number for each sequence, or for each step of it: words, sentences, or series of numbers.

    Attributes:
        history_: what training recorded, epoch by epoch.
        model_: the network.

    Raises:
        UsageError: there is no such setting.

    >>> model = SequenceRegressor(hidden_size=8, epochs=60, learning_rate=0.02, batch_size=2, dropout=0)
    >>> model.fit(["a", "aa", "aaa", "aaaa"], [1, 2, 3, 4]).predict(["aaa"]).round()
    array([3.])
    """

    task = Regress
    fitted_by = "fit(sequences, numbers)"

    def fit(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, X: Any, y: Sequence[Any], **how: Any
    ) -> Self:
        """Train on sequences with numbers.

        Args:
            X: texts, or sequences of numbers `(time, channel)` in any form of `SequenceClassifier.fit`.
            y: a number for each sequence, or a list of a number for each of its steps.
            how: `validation` (sequences and numbers), `folder`, `resume`, `listener`, `start`, as for `Model.fit`.

        Raises:
            UsageError, DataError, ModelError, TrainingError, TrainingInterrupted: as for `Model.fit`.
        """
        return super().fit(X, y, **how)

    def predict(self, X: Any, *, unknown: Unknown | None = None) -> Any:
        """Return the number of each sequence, `(sequences,)`.

        Where each step has a number, it is a list of arrays `(steps,)`. Of several quantiles it is that nearest to the
        median.

        Args:
            X: sequences.
            unknown: what happens to tokens that training never saw, for this call, in place of the setting.

        Raises:
            NotFittedError: the model has not been fitted.
            DataError: sequences that cannot be read.
        """
        values = super().predict(X, unknown=unknown)
        if self.task_.encoders["target"].each_step:
            return [np.array(row, dtype=np.float64) for row in values]
        return np.array(values, dtype=np.float64)

    def predict_quantiles(self, X: Any, *, unknown: Unknown | None = None) -> Any:
        """Return the quantiles of the number of each sequence, `(sequences, quantiles)`.

        Where each step has a number, it is a list of arrays `(steps, quantiles)`.

        Args:
            X: sequences.
            unknown: as for `predict`.

        Raises:
            UsageError: the model was trained with another loss than `quantile`.
        """
        answers = self.answers(X, unknown=unknown)
        if not self.task_.quantiles:
            raise UsageError(
                f"The model predicts numbers alone: its loss is {self.task_.settings.loss}.",
                fix='Train it with loss="quantile" (--loss quantile).',
            )
        rows = [np.array(list((answer.bounds or {}).values()), dtype=np.float64).T for answer in answers]
        return rows if self.task_.encoders["target"].each_step else np.array(rows).reshape(len(rows), -1)

    def score(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, X: Any, y: Sequence[Any]
    ) -> float:
        """Return R²: 1 for perfect predictions, 0 for the mean of y."""
        found = self.evaluate(X, y)["r2"]
        return float("nan") if found is None else found

    def __sklearn_tags__(self) -> Any:
        """Return the tags by which scikit-learn's searches and pipelines accept this estimator."""
        return estimator_tags("regressor")
