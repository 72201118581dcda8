"""The describer: a text for each vector."""

from collections.abc import Sequence
from typing import Any, Self

from elman.models.model import Model
from elman.models.sklearn_tags import estimator_tags, score_to_maximise
from elman.tasks.describe import Describe


class Describer(Model):
    """A text for each vector: what is in a picture, a row of a table or the features of another network.

    Attributes:
        history_: what training recorded, epoch by epoch.
        model_: the network.

    Raises:
        UsageError: there is no such setting.

    >>> vectors = [[0.0, 1.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0]]
    >>> texts = ["a dog sits", "two cats play", "a dog and a cat", "an empty room"]
    >>> model = Describer(hidden_size=16, embedding=16, epochs=80, learning_rate=0.01, attention="none")
    >>> model.fit(vectors, texts).generate([1.0, 0.0])
    'two cats play'
    """

    task = Describe
    fitted_by = "fit(vectors, texts)"

    def fit(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, X: Any, y: Sequence[str], **how: Any
    ) -> Self:
        """Train on vectors with their texts.

        Args:
            X: `(rows, numbers)`, or pictures `(rows, height, width)`.
            y: a text for each.
            how: `validation` (vectors and texts), `folder`, `resume`, `listener`, `start`, as for `Model.fit`.

        Raises:
            UsageError, DataError, ModelError, TrainingError, TrainingInterrupted: as for `Model.fit`.
        """
        return super().fit(list(X), y, **how)

    def predict(self, X: Any, **options: Any) -> list[str]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the best text for each vector.

        Args:
            X: vectors, as for `fit`.
            options: of the search, by name, see `elman.settings.decoding.DecodingOptions`.

        Raises:
            NotFittedError: the model has not been fitted.
            UsageError: options that make no sense.
        """
        return [answer.value for answer in self.answers(list(X), **options)]

    def generate(self, vector: Any, **options: Any) -> str:
        """Return the best text for one vector, as `predict` does."""
        return self.predict([vector], **options)[0]

    def score(self, X: Any, y: Sequence[str]) -> float:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the metric of the settings, negated if smaller is better.

        So searches of scikit-learn, which keep the greatest score, keep the best model.
        """
        return score_to_maximise(self, self.evaluate(list(X), y))

    def __sklearn_tags__(self) -> Any:
        """Return the tags by which scikit-learn's searches and pipelines accept this estimator."""
        return estimator_tags()
