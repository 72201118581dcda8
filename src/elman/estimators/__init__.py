"""Models that are fitted, asked and saved in one line each, in the manner of scikit-learn."""

from pathlib import Path

from elman.errors import ModelError
from elman.estimators.base import Estimator
from elman.estimators.classifier import ClassifierSettings, LabelledSequences, Pretrained, SequenceClassifier
from elman.estimators.language import LanguageModel, LanguageSettings
from elman.saved import read_model

__all__ = [
    "ClassifierSettings",
    "Estimator",
    "LabelledSequences",
    "LanguageModel",
    "LanguageSettings",
    "Pretrained",
    "SequenceClassifier",
    "open_model",
]

ESTIMATORS: dict[str, type[Estimator]] = {kind.task: kind for kind in (SequenceClassifier, LanguageModel)}


def open_model(folder: str | Path) -> Estimator:
    """The model in a folder, whatever its task.

    Raises:
        ModelError: the folder is missing, damaged, from a later version, or of a task that this elman does not know.
    """
    saved = read_model(folder)
    if saved.config["task"] not in ESTIMATORS:
        raise ModelError(
            f"This elman has no task `{saved.config['task']}`.", where=str(folder), fix="Install a later elman."
        )
    return ESTIMATORS[saved.config["task"]].from_saved(saved, folder)
