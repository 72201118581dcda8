"""Positive or negative, from the letters of a word: the best network here.

A recurrent network first learns, from text without labels, to say from a word's letters what company the word keeps;
then all of it is trained on the labels. It sees a word only through its letters, and the words it is judged on are
taken out of the text beforehand.
"""

import csv
import hashlib
import io
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from elman.estimators import Pretrained, SequenceClassifier
from elman.model import NetworkSettings, SequenceNetwork
from elman.recipes.recipe import figures
from elman.recipes.word_vectors import WordVectors, word_vectors
from elman.sequences.datasets import open_dataset, read_sentiment_words
from elman.sequences.encoder import EncoderSettings, SequenceEncoder
from elman.sequences.files import open_unpacked
from elman.sequences.ragged import Ragged
from elman.settings import check_settings
from elman.training.generators import own_generators
from elman.training.listener import Listener
from elman.training.settings import TrainingSettings
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
    """The task of saying a word's vector: 1 - cosine, weighted.

    Outputs are `(batch, features)`; targets `(batch, features + 1)`, the vector and the weight.
    """

    name = "say-vectors"
    metric = "cosine"
    larger_is_better = True

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The weighted mean of 1 - cosine."""
        return ((1.0 - self._cosines(outputs, targets)) * targets[:, -1]).mean()

    def hits(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The mean cosine."""
        return self._cosines(outputs, targets).mean()

    def count(self, targets: Tensor) -> int:
        """Number of words."""
        return len(targets)

    def scores(self, outputs: Tensor, targets: Tensor) -> dict[str, float]:
        """Loss and cosine."""
        return {"loss": float(self.loss(outputs, targets)), "cosine": float(self.hits(outputs, targets))}

    @staticmethod
    def _cosines(outputs: Tensor, targets: Tensor) -> Tensor:
        return functional.cosine_similarity(outputs, targets[:, :-1])


class WordsWithVectors:
    """Words and their vectors, as the trainer reads them."""

    def __init__(self, words: Ragged, targets: Tensor):
        self.words = words
        self.targets = targets
        self.lengths: list[int] = words.lengths.tolist()

    @property
    def fingerprint(self) -> str:
        """A hash of the words."""
        return hashlib.sha256(self.words.data.numpy().tobytes()).hexdigest()

    def batch(self, indices: list[int]) -> tuple[Ragged, Tensor]:
        """These words and their targets."""
        return self.words.select(indices), self.targets[indices]

    def __len__(self) -> int:
        return len(self.lengths)


def read_text(data: Path) -> list[str]:
    """The words of Wikipedia articles and news, lower-case, with the marks that end a clause."""
    files = [open_dataset("wikitext-2", data, "train")["train"], open_dataset("enwik8-prefix", data)["text"]]
    texts = [open_unpacked(file).read().decode() for file in files]
    news = open_unpacked(open_dataset("ag-news", data, "train")["train"]).read().decode()
    rows = csv.reader(io.StringIO(news, newline=""))
    texts += [f"{title} . {description}" for _, title, description, *_ in rows]
    joined = " . ".join(texts).lower().replace(" @-@ ", "-")
    return re.findall(r"[a-z]+(?:-[a-z]+)*|[.;:!?]", joined)


def pretrain(vectors: WordVectors, labelled: list[str], seed: int, listener: Listener | None) -> Pretrained:
    """What a network knows that has learned to say the vectors of words from their letters.

    Args:
        vectors: what to say.
        labelled: further words whose letters the vocabulary should know.
        seed: of everything random.
        listener: told how training goes.
    """
    chosen = [index for index, word in enumerate(vectors.words) if 2 < len(word) < LONGEST_WORD]
    words = [vectors.words[index] for index in chosen]
    encoder = SequenceEncoder(check_settings(EncoderSettings, READING)).fit([*words, *labelled])
    assert encoder.vocabulary is not None
    weights = vectors.counts[chosen].float().log().clamp(max=RARE)
    targets = torch.cat([vectors.vectors[chosen], (weights / weights.mean()).unsqueeze(1)], 1)
    settings = check_settings(NetworkSettings, {**NETWORK, **ON_TEXT})
    with own_generators([], seed):
        size = len(encoder.vocabulary)
        network = SequenceNetwork(settings, targets.shape[1] - 1, vocabulary_size=size, ngrams=READING["ngrams"])
    examples = WordsWithVectors(encoder.encode(words), targets)
    training = check_settings(TrainingSettings, {**TEXT_TRAINING, "seed": seed})
    Trainer(network, SayVectors(), examples, None, training, listener=listener).run()
    kept = {name: value for name, value in network.state_dict().items() if not name.startswith("dense.")}
    return Pretrained(encoder.vocabulary, kept)


@dataclass(frozen=True)
class PretrainedRecipe:
    """The recipe `word-sentiment-best`; used as `recipes.recipe.Recipe` is."""

    name: str = "word-sentiment-best"
    summary: str = "n-gram embeddings, BiLSTM(128), max and mean, Dense(2); first trained on text without labels"
    data: str = "sentiment-words, wikitext-2, ag-news, enwik8-prefix"
    reported: Mapping[str, float] = field(default_factory=lambda: {"accuracy_mean": 0.879})
    source: str = "character n-grams of 2 to 6 and logistic regression (scikit-learn)"
    seeds: int = 5

    def run(
        self,
        data: Path,
        *,
        seed: int | None = None,
        epochs: int | None = None,
        folder: Path | None = None,
        listener: Listener | None = None,
    ) -> dict[str, Any]:
        """Vectors once, then for each seed both trainings; arguments and result as those of `Recipe.run`."""
        train, test = read_sentiment_words(data)
        begun = time.perf_counter()
        judged = {word.lower() for word in test.texts}
        vectors = word_vectors(read_text(data), leave_out=judged)
        vector_seconds = time.perf_counter() - begun
        changes = {} if epochs is None else {"epochs": epochs}
        model, runs = SequenceClassifier(), []
        for number in range(self.seeds):
            begun, current = time.perf_counter(), (seed or 0) + number
            start = pretrain(vectors, train.texts, current, listener)
            settings: dict[str, Any] = {**READING, **NETWORK, **ON_LABELS, **LABEL_TRAINING, **changes, "seed": current}
            model = SequenceClassifier(**settings)
            model.fit(train.texts, train.labels or [], listener=listener, start=start)
            seconds = time.perf_counter() - begun
            runs.append({"seed": current, "seconds": seconds, **model.evaluate(test.texts, test.labels or [])})
        if folder is not None:
            model.save(folder, data={"trained on": self.data}, scores={"accuracy": runs[-1]["accuracy"]})
        return {
            **figures(self, model, runs),
            "seconds_vectors": round(vector_seconds, 1),
            "seconds_each": [round(run["seconds"], 1) for run in runs],
            "words_with_vectors": len(vectors.words),
        }


word_sentiment_best = PretrainedRecipe()
