"""The translator: a text for each text."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np

from elman.models.model import Model
from elman.models.sklearn_tags import estimator_tags, score_to_maximise
from elman.tasks.task import Unknown
from elman.tasks.translate import Translate


class Translation(NamedTuple):
    """A text that a model wrote for another text.

    Attributes:
        text: what was written.
        score: by which texts are ranked: the log probability under the penalties in use.
    """

    text: str
    score: float


class Translator(Model):
    """A text for each text: another language, another spelling, another form.

    Attributes:
        history_: what training recorded, epoch by epoch.
        model_: the network.

    Raises:
        UsageError: there is no such setting.

    >>> model = Translator(hidden_size=32, embedding=16, epochs=40, batch_size=4, learning_rate=0.01, output_dropout=0)
    >>> model.fit(["ab", "ba", "aab", "bba"], ["AB", "BA", "AAB", "BBA"]).predict(["ab"])
    ['AB']
    """

    task = Translate
    fitted_by = "fit(sources, targets)"

    def fit(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, X: Sequence[str], y: Sequence[str], **how: Any
    ) -> Self:
        """Train on texts with their translations.

        Args:
            X: the sources.
            y: the target of each.
            how: `validation` (sources and targets), `folder`, `resume`, `listener`, `start`, as for `Model.fit`.

        Raises:
            UsageError, DataError, ModelError, TrainingError, TrainingInterrupted: as for `Model.fit`.
        """
        return super().fit(X, y, **how)

    def predict(self, X: Sequence[str], *, unknown: Unknown | None = None, **options: Any) -> list[str]:
        """Return the best text for each source.

        Args:
            X: the sources.
            unknown: what happens to tokens that training never saw, for this call, in place of the setting.
            options: of the search, by name, see `elman.settings.decoding.DecodingOptions`.

        Raises:
            NotFittedError: the model has not been fitted.
            UsageError: options that make no sense.
        """
        return [answer.value for answer in self.answers(X, unknown=unknown, **options)]

    def translate(self, X: Sequence[str], **options: Any) -> list[list[Translation]]:
        """Return the `n_best` texts for each source, best first, with their scores.

        Args:
            X: the sources.
            options: of the search, by name, see `elman.settings.decoding.DecodingOptions`.

        Raises:
            NotFittedError: the model has not been fitted.
            UsageError: options that make no sense.
        """
        return [
            [Translation(each.value, each.score or 0.0) for each in (answer, *answer.others)]
            for answer in self.answers(X, **options)
        ]

    def attention_weights(self, source: str, **options: Any) -> tuple[list[str], list[str], np.ndarray]:
        """Return what the decoder looked at while it wrote the best text.

        Args:
            source: a text.
            options: of the search, by name.

        Returns:
            The tokens of the source, the tokens written, and the weights `(written, source)`, whose rows sum to 1.

        Raises:
            NotFittedError: the model has not been fitted.
            UsageError: a model without attention.
        """
        self._require_fitted()
        # Imported late: this imports torch.
        from elman.tasks.writing import attention_to

        return attention_to(self.model_, source, self.task_, options)

    def score(self, X: Sequence[str], y: Sequence[str]) -> float:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the metric of the settings, negated if smaller is better.

        So searches of scikit-learn, which keep the greatest score, keep the best model.
        """
        return score_to_maximise(self, self.evaluate(X, y))

    def __sklearn_tags__(self) -> Any:
        """Return the tags by which scikit-learn's searches and pipelines accept this estimator."""
        return estimator_tags()
