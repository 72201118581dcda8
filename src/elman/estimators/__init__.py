"""Models that are fitted, asked and saved in one line each, in the manner of scikit-learn."""

from elman.estimators.classifier import ClassifierSettings, LabelledSequences, Pretrained, SequenceClassifier
from elman.estimators.language import LanguageModel, LanguageSettings

__all__ = [
    "ClassifierSettings",
    "LabelledSequences",
    "LanguageModel",
    "LanguageSettings",
    "Pretrained",
    "SequenceClassifier",
]
