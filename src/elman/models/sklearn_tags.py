"""What scikit-learn is given to know of the models."""

from collections.abc import Mapping
from typing import Any, Literal


def estimator_tags(kind: Literal["classifier", "regressor"] | None = None) -> Any:
    """Return scikit-learn's tags of a model that reads texts, or series of numbers.

    Args:
        kind: of scikit-learn's estimators; None for another.
    """
    # Only scikit-learn itself calls this.
    from sklearn.utils import ClassifierTags, InputTags, RegressorTags, Tags, TargetTags

    return Tags(
        estimator_type=kind,
        target_tags=TargetTags(required=True),
        classifier_tags=ClassifierTags() if kind == "classifier" else None,
        regressor_tags=RegressorTags() if kind == "regressor" else None,
        input_tags=InputTags(string=True, two_d_array=True, three_d_array=True),
    )


def score_to_maximise(model: Any, scores: Mapping[str, Any]) -> float:
    """Return the metric of a model's settings, negated if smaller is better.

    Args:
        model: fitted.
        scores: of its evaluation.
    """
    metric = model.task_.metric
    return scores[metric.name] if metric.larger_is_better else -scores[metric.name]
