"""Parts of speech of English web texts, with two networks of the default settings.

Nothing but the training file is learned from, and the epochs and settings were chosen by the validation file.
"""

from pathlib import Path

from elman.data.known.datasets import open_dataset
from elman.recipes.recipe import Parts, Recipe
from elman.tasks.tag import Tag
from elman.tasks.task import Values


def read(name: str, data: Path) -> Parts:
    """Return the sentences with their universal tags, to train, validate and test on."""
    paths = open_dataset(name, data)
    return Parts(*(_sentences(paths[part]) for part in ("train", "validation", "test")))  # pyright: ignore


def _sentences(path: Path) -> Values:
    return Tag.source.read(str(path), Tag.columns, {"column": "upos"})


tag_pos = Recipe(
    name="tag-pos",
    summary="two networks: words, character LSTM, affixes, two BiLSTM(200); a linear model of words and neighbours",
    task="tag",
    data=("ud-english-ewt",),
    read=read,
    settings={"epochs": 12, "ensemble": 2, "checkpoint_seconds": 300},
    reported={"accuracy": 0.952},
    source="published bidirectional LSTM taggers without pretraining, 94.6 to 95.2%, on releases of the treebank",
)
