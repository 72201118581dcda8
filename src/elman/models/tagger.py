"""The tagger: one label for each word of a sentence."""

from typing import Any

from elman.models.model import Model
from elman.tasks.tag import Tag


class SequenceTagger(Model):
    """One label for each word of a sentence; `fit(sentences, tags)` and `predict(sentences)` take lists of words.

    Attributes:
        history_: what training recorded, epoch by epoch.
        model_: the network.

    Raises:
        UsageError: there is no such setting.

    >>> model = SequenceTagger(embedding=6, hidden_size=6, epochs=60, learning_rate=0.05, batch_size=2)
    >>> model = model.fit([["the", "dog", "ate"], ["the", "cat"]], [["DET", "NN", "V"], ["DET", "NN"]])
    >>> model.predict([["the", "cat", "ate"]])
    [['DET', 'NN', 'V']]
    """

    task = Tag
    fitted_by = "fit(sentences, tags)"

    def __sklearn_tags__(self) -> Any:
        """Return the tags by which scikit-learn's searches and pipelines accept this estimator."""
        # Only scikit-learn itself calls this. Its classifiers have one label a row, so that this is not one of them.
        from sklearn.utils import InputTags, Tags, TargetTags

        return Tags(
            estimator_type=None,
            target_tags=TargetTags(required=True, one_d_labels=False),
            input_tags=InputTags(string=True, two_d_array=False),
        )
