"""Tags of the words of two sentences, as a tutorial on sequence models has them."""

from pathlib import Path

from elman.recipes.recipe import Parts, Recipe
from elman.tasks.task import Values

WORDS = ("The dog ate the apple", "Everybody read that book")
TAGS = ("DET NN V DET NN", "NN V DET NN")


def read(name: str, data: Path) -> Parts:
    """Return the two sentences, to learn and to be scored on."""
    columns = {"words": [row.split() for row in WORDS], "tags": [row.split() for row in TAGS]}
    values = Values(columns, source="two sentences")
    return Parts(values, None, values)


tag_toy = Recipe(
    name="tag-toy",
    summary="two sentences, embedding 6, LSTM(6), a softmax for each word; SGD 0.1, 300 epochs",
    task="tag",
    threads=1,
    data=(),
    read=read,
    settings={
        "embedding": 6,
        "cell": "lstm",
        "hidden_size": 6,
        "num_layers": 1,
        "bidirectional": False,
        "characters": 0,
        "affixes": 0,
        "wide": False,
        "input_dropout": 0.0,
        "dropout": 0.0,
        "token_dropout": 0.0,
        "rare_dropout": 0.0,
        "init": "torch",
        "optimizer": "sgd",
        "learning_rate": 0.1,
        "schedule": "constant",
        "clip_norm": None,
        "average_decay": None,
        "batch_size": 1,
        "bucketing": False,
        "epochs": 300,
    },
    reported={"accuracy": 1.0},
    source="PyTorch tutorial on sequence models and LSTM networks, an LSTM for part-of-speech tagging",
)
