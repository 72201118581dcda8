"""Electric currents of household appliances, eleven classes of series of unequal length.

Currents of one class differ in their size by orders of magnitude. So the network reads logarithms relative to the mean
size of a series, standardised values, and the size itself, in segments of five steps. All settings were chosen on folds
of the training file.
"""

from pathlib import Path

from elman.data.known.datasets import open_dataset
from elman.recipes.recipe import Parts, Recipe
from elman.tasks.classify import Classify
from elman.tasks.task import Values


def read(name: str, data: Path) -> Parts:
    """Return the series with their classes, to train and to test on."""
    paths = open_dataset(name, data)
    train, test = (_series(paths[part]) for part in ("train", "test"))
    return Parts(train, None, test, train.settings)


def _series(path: Path) -> Values:
    return Classify.source.read(str(path), Classify.columns, {})


appliance_series = Recipe(
    name="appliance-series",
    summary="logarithms, standardised values, level, in segments of 5; 3 bidirectional GRU(128), averaged; 60 epochs",
    task="classify",
    data=("appliance-series",),
    read=read,
    settings={
        "cell": "gru",
        "views": ("log", "series", "level"),
        "segment": 5,
        "ensemble": 3,
        "batch_size": 16,
        "epochs": 60,
        "label_smoothing": 0.1,
        "average_decay": 0.99,
        "validation_fraction": 0.0,
        "checkpoint_seconds": 300,
    },
    reported={"accuracy": 0.931},
    source="nearest neighbour with dynamic time warping without a window, measured on the same files",
    seeds=3,
)
