"""The classifier: one label for each sequence."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from elman.data.text.vocabulary import Vocabulary
from elman.models.model import Model
from elman.models.sklearn_tags import estimator_tags
from elman.tasks.classify import Classify
from elman.tasks.task import Task, Unknown


class SequenceClassifier(Model):
    """One label for each sequence: words, sentences, or series of numbers.

    Attributes:
        classes_: the labels, in order.
        history_: what training recorded, epoch by epoch.
        model_: the network.
        vocabulary_: the tokens it knows; None for sequences of numbers.

    Raises:
        UsageError: there is no such setting.

    >>> model = SequenceClassifier(hidden_size=8, epochs=30, learning_rate=0.02, batch_size=2)
    >>> model.fit(["abab", "ba", "ccd", "dcd"], ["ab", "ab", "cd", "cd"]).predict(["baba", "dd"])
    array(['ab', 'cd'], dtype='<U2')
    """

    task = Classify
    fitted_by = "fit(sequences, labels)"

    classes_: np.ndarray
    vocabulary_: Vocabulary | None

    def fit(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, X: Sequence[Any], y: Sequence[Any], **how: Any
    ) -> Self:
        """Train on labelled sequences.

        Args:
            X: texts; or series of numbers, each an array `(time, channel)` or `(time,)`; or a data frame that has them
                as its column `text`, or as its only column of a usual name such as `review`. Series are also read from
                the forms of sktime, pandas and scikit-learn, see `elman.data.series.given.series_of`: one NumPy array
                of three axes is `(series, channel, time)`.
            y: a label for each: strings, integers or truth values, all of one type.
            how: `validation` (sequences and labels), `folder`, `resume`, `listener`, `start`, as for `Model.fit`.

        Raises:
            UsageError, DataError, ModelError, TrainingError, TrainingInterrupted: as for `Model.fit`.
        """
        return super().fit(X, y, **how)

    def predict(self, X: Sequence[Any], *, unknown: Unknown | None = None) -> np.ndarray:
        """Return the most probable label of each sequence, `(sequences,)`.

        Args:
            X: sequences.
            unknown: what happens to tokens that training never saw, for this call, in place of the setting.

        Raises:
            NotFittedError: the model has not been fitted.
            DataError: sequences that cannot be read.
        """
        probabilities = self.predict_proba(X, unknown=unknown)
        return self.classes_[probabilities.argmax(1)]

    def predict_proba(self, X: Sequence[Any], *, unknown: Unknown | None = None) -> np.ndarray:
        """Return the probability of each label, in the order of `classes_`: `(sequences, labels)`.

        Args:
            X: sequences.
            unknown: as for `predict`.
        """
        answers = self.answers(X, unknown=unknown)
        rows = [list((answer.probabilities or {}).values()) for answer in answers]
        return np.array(rows, dtype=np.float64).reshape(len(rows), len(self.classes_))

    def score(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, X: Sequence[Any], y: Sequence[Any]
    ) -> float:
        """Return the accuracy: the fraction of the sequences whose most probable label is right."""
        return self.evaluate(X, y)["accuracy"]

    def _set_fitted(self, task: Task, network: Any) -> None:
        super()._set_fitted(task, network)
        self.classes_ = task.encoders["label"].known.array()
        self.vocabulary_ = task.encoders["text"].vocabulary

    def __sklearn_tags__(self) -> Any:
        """Return the tags by which scikit-learn's searches and pipelines accept this estimator."""
        return estimator_tags("classifier")
