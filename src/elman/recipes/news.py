"""News of four kinds: the textbook's recurrent networks over words, from titles and from whole items.

The textbook trains each network for one epoch on 120,000 rows; 46,379 of them are in the data set here (source H, whose
titles run into the descriptions, is left out), and 38,642 have a title of their own. Its vectoriser is Keras's:
lower case, punctuation removed, 20,000 entries of which one stands for unknown words and one for padding. Here nothing
is padded, so that the second of them is one more word. Keras draws embeddings uniformly from -0.05 to 0.05; rows as
large as torch's (a deviation of 1) saturate these small networks.
"""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from elman.data.files import open_unpacked
from elman.data.known.datasets import open_dataset
from elman.recipes.recipe import PLAIN, Parts, Recipe
from elman.tasks.task import Values

SOURCE = "lecture notebooks on recurrent networks for AG News (Keras)"
LABELS = {"1": "World", "2": "Sports", "3": "Business", "4": "Sci/Tech"}
RUN_TOGETHER = "H"
WORDS = {"tokens": "words", "lower_case": True, "split": "strip", "max_tokens": 20_000, "embedding_rows": 20_000}
NETWORK = {
    "embedding_deviation": 0.05 / 3**0.5,
    "init": "keras",
}
TRAINING = {"optimizer": "adam", "learning_rate": 1e-3, "batch_size": 16, "epochs": 1}
TEXTBOOK = {**PLAIN, **WORDS, **NETWORK, **TRAINING}


def read_titles(name: str, data: Path) -> Parts:
    """Return the titles of the news, of the rows that have one."""
    paths = open_dataset(name, data, "train", "test")
    train, test = ([(row[0], row[1]) for row in read_rows(paths[part])] for part in ("train", "test"))
    return Parts(_values(train, "titles to train on"), None, _values(test, "test titles"))


def read_news(name: str, data: Path) -> Parts:
    """Return the titles with their descriptions, without the rows in which the two run together."""
    paths = open_dataset(name, data, "train", "train-joined", "test")
    train, test = ([(row[0], f"{row[1]} {row[2]}") for row in read_rows(paths[part])] for part in ("train", "test"))
    joined = [(row[0], row[1]) for row in read_rows(paths["train-joined"]) if row[2] != RUN_TOGETHER]
    return Parts(_values(train + joined, "news to train on"), None, _values(test, "test news"))


def read_rows(path: Path) -> Iterator[list[str]]:
    """Return the rows of a file of news."""
    with open_unpacked(path) as stream:
        text = stream.read().decode()
    yield from csv.reader(io.StringIO(text, newline=""))


def _values(rows: list[tuple[str, str]], source: str) -> Values:
    return Values({"text": [text for _, text in rows], "label": [LABELS[label] for label, _ in rows]}, source=source)


news_rnn_titles = Recipe(
    name="news-rnn-titles",
    summary="titles, vocabulary of the first 2,000; Embedding(20000, 64), SimpleRNN(16), Dense(4)",
    task="classify",
    threads=1,
    data=("ag-news",),
    read=read_titles,
    settings={**TEXTBOOK, "embedding": 64, "cell": "simple_rnn", "hidden_size": 16, "vocabulary_rows": 2_000},
    reported={"parameters": 1_281_364},
    source=SOURCE,
    most_epochs=12,
)

news_rnn = Recipe(
    name="news-rnn",
    summary="titles and descriptions; Embedding(20000, 64), SimpleRNN(16), Dense(4), nothing computed for padding",
    task="classify",
    threads=1,
    data=("ag-news",),
    read=read_news,
    settings={**TEXTBOOK, "embedding": 64, "cell": "simple_rnn", "hidden_size": 16},
    reported={"parameters": 1_281_364},
    source=SOURCE,
    most_epochs=12,
)

news_lstm = Recipe(
    name="news-lstm",
    summary="titles and descriptions; Embedding(20000, 64), LSTM(8), Dense(4)",
    task="classify",
    threads=1,
    data=("ag-news",),
    read=read_news,
    settings={**TEXTBOOK, "embedding": 64, "cell": "lstm", "hidden_size": 8},
    reported={"parameters": 1_282_372},
    source=SOURCE,
    most_epochs=12,
)

news_bilstm = Recipe(
    name="news-bilstm",
    summary="titles and descriptions; Embedding(20000, 128), two bidirectional LSTM(64), Dense(4)",
    task="classify",
    threads=1,
    data=("ag-news",),
    read=read_news,
    settings={
        **TEXTBOOK,
        "embedding": 128,
        "cell": "lstm",
        "hidden_size": 64,
        "num_layers": 2,
        "bidirectional": True,
        "merge": "concat",
        "batch_size": 32,
    },
    reported={"parameters": 2_758_148},
    source=SOURCE,
    most_epochs=8,
)
