"""Positive or negative, from the letters of a word: the best network here.

A recurrent network first learns, from text without labels, to predict from a word's letters the vector of the words
around it; then all of it is trained on the labels. It sees a word only through its letters, and the test words are
removed from the text beforehand.
"""

import csv
import io
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from elman.data.files import open_unpacked
from elman.data.known.datasets import open_dataset
from elman.data.text.encoder import EncoderSettings, SequenceEncoder
from elman.folders import CHECKPOINT
from elman.models import Pretrained
from elman.networks import NetworkSettings, RowNetwork
from elman.recipes.recipe import PLAIN, Parts, Recipe
from elman.recipes.texts import read_words
from elman.recipes.word_vectors import WordVectors, read_articles, word_vectors
from elman.settings import check_settings
from elman.settings.training import TrainingSettings
from elman.tasks.examples import Examples
from elman.tasks.task import Batch, Metric, Read
from elman.training.generators import own_generators
from elman.training.listener import Listener
from elman.training.trainer import Trainer

READING = {"lower_case": True, "marks": True, "ngrams": 6, "min_count": 3}
NETWORK = {
    "embedding": 64,
    "cell": "lstm",
    "hidden_size": 128,
    "bidirectional": True,
    "pooling": ("max", "mean"),
    "init": "torch",
}
ON_TEXT = {"token_dropout": 0.2, "input_dropout": 0.2}
ON_LABELS = {"token_dropout": 0.4, "input_dropout": 0.3, "dropout": 0.4}
TEXT_TRAINING = {
    "epochs": 5,
    "batch_size": 128,
    "learning_rate": 3e-3,
    "schedule": "cosine",
    "warmup_fraction": 0.05,
    "clip_norm": 1.0,
}
LABEL_TRAINING = {
    "epochs": 10,
    "batch_size": 32,
    "optimizer": "adamw",
    "weight_decay": 0.01,
    "learning_rate": 3e-3,
    "schedule": "cosine",
    "warmup_fraction": 0.1,
    "clip_norm": 1.0,
    "average_decay": 0.99,
    "label_smoothing": 0.1,
}
LONGEST_WORD = 22
RARE = 6.0  # the logarithm of a count beyond which a word weighs no more


class SayVectors:
    """The task of predicting a word's vector: 1 - cosine, weighted.

    Outputs are `(batch, features)`; the column `vector` is `(batch, features + 1)`, the vector and the weight.
    """

    name = "say-vectors"
    metric = Metric("cosine", larger_is_better=True)
    unit = "sequences"

    def read(self, network: Any, batch: Batch, state: Any = None) -> Read:
        """Return the weighted mean of 1 - cosine, with the cosines `(batch,)` as outputs."""
        targets = batch["vector"]
        cosines = functional.cosine_similarity(network(batch["words"]), targets[:, :-1])
        return Read(((1.0 - cosines) * targets[:, -1]).mean(), len(cosines), cosines)

    def scores(self, data: Any) -> "Cosines":
        """Return scores of the loss and the cosine."""
        return Cosines()

    def sample(self, network: Any) -> None:
        """Write nothing."""


class Cosines:
    """Mean loss and cosine."""

    def __init__(self) -> None:
        self._sums = torch.zeros(3, dtype=torch.float64)

    def update(self, batch: Batch, read: Read) -> None:
        """Count a batch in."""
        found = [read.loss.detach() * read.targets, read.outputs.detach().sum(), torch.tensor(float(read.targets))]
        self._sums += torch.stack(found).double()

    def compute(self) -> dict[str, float]:
        """Return the means."""
        loss, cosine, count = self._sums.tolist()
        return {"loss": loss / count, "cosine": cosine / count}


def read_text(data: Path) -> list[str]:
    """Return the words of Wikipedia articles and news, lower-case, with marks that end a clause."""
    texts = read_articles(data)
    news = open_unpacked(open_dataset("ag-news", data, "train")["train"]).read().decode()
    rows = csv.reader(io.StringIO(news, newline=""))
    texts += [f"{title} . {description}" for _, title, description, *_ in rows]
    joined = " . ".join(texts).lower().replace(" @-@ ", "-")
    return re.findall(r"[a-z]+(?:-[a-z]+)*|[.;:!?]", joined)


def pretrain(
    vectors: WordVectors, labelled: list[str], seed: int, folder: Path | None, listener: Listener | None
) -> Pretrained:
    """Train a network to predict the vectors of words from their letters.

    Args:
        vectors: to predict.
        labelled: further words for the vocabulary of letters.
        seed: of everything random.
        folder: of its checkpoints; a run in it is continued.
        listener: is given the progress.
    """
    chosen = [index for index, word in enumerate(vectors.words) if 2 < len(word) < LONGEST_WORD]
    words = [vectors.words[index] for index in chosen]
    encoder = SequenceEncoder(check_settings(EncoderSettings, READING)).adapt([*words, *labelled])
    assert encoder.vocabulary is not None
    weights = vectors.counts[chosen].float().log().clamp(max=RARE)
    targets = torch.cat([vectors.vectors[chosen], (weights / weights.mean()).unsqueeze(1)], 1)
    settings = check_settings(NetworkSettings, {**NETWORK, **ON_TEXT})
    with own_generators([], seed):
        size = len(encoder.vocabulary)
        network = RowNetwork(settings, targets.shape[1] - 1, vocabulary_size=size, ngrams=READING["ngrams"])
    training = check_settings(TrainingSettings, {**TEXT_TRAINING, "seed": seed})
    examples = Examples({"words": encoder.encode(words), "vector": targets}, training)
    task: Any = SayVectors()
    trainer = Trainer(network, task, examples, None, training, folder=folder, listener=listener)
    trainer.run(resume=folder is not None and (folder / CHECKPOINT).exists())
    kept = {name: value for name, value in network.state_dict().items() if not name.startswith("dense.")}
    return Pretrained(encoder.vocabulary, kept)


def start(parts: Parts, seed: int, data: Path, folder: Path | None, listener: Listener | None) -> Pretrained:
    """Return the weights of a network trained on text without the words of the test part."""
    assert parts.test is not None
    vectors = _vectors(data, frozenset(word.lower() for word in parts.test.columns["text"]))
    own = None if folder is None else folder / f"pretraining-{seed}"
    return pretrain(vectors, parts.train.columns["text"], seed, own, listener)


@lru_cache(maxsize=1)
def _vectors(data: Path, leave_out: frozenset[str]) -> WordVectors:
    return word_vectors(read_text(data), leave_out=leave_out)


word_sentiment_best = Recipe(
    name="word-sentiment-best",
    summary="n-gram embeddings, BiLSTM(128), max and mean, Dense(2); first trained on text without labels",
    task="classify",
    threads=1,
    data=("sentiment-words", "wikitext-2", "ag-news", "enwik8-prefix"),
    read=read_words,
    settings={**PLAIN, **READING, **NETWORK, **ON_LABELS, **LABEL_TRAINING},
    reported={"accuracy_mean": 0.879},
    source="character n-grams of 2 to 6 and logistic regression (scikit-learn)",
    seeds=5,
    start=start,
)
