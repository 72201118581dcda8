"""What scikit-learn is given to know of the models."""

from typing import Any, Literal


def estimator_tags(kind: Literal["classifier", "regressor"]) -> Any:
    """Return scikit-learn's tags of a model that reads texts, or series of numbers.

    Args:
        kind: of scikit-learn's estimators.
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
