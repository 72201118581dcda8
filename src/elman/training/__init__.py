"""Training: a trainer that can be stopped at any instant, its settings, its record and its progress."""

from elman.settings.training import RunSettings, TrainingSettings
from elman.training.evaluation import evaluate
from elman.training.interrupts import TrainingInterrupted
from elman.training.listener import BatchEvent, EpochEvent, Listener, RunStart
from elman.training.progress import PlainProgress, RichProgress, progress_for
from elman.training.record import EpochRecord, History
from elman.training.trainer import Trainer

__all__ = [
    "BatchEvent",
    "EpochEvent",
    "EpochRecord",
    "History",
    "Listener",
    "PlainProgress",
    "RichProgress",
    "RunSettings",
    "RunStart",
    "Trainer",
    "TrainingInterrupted",
    "TrainingSettings",
    "evaluate",
    "progress_for",
]
