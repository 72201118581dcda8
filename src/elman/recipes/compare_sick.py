"""Pairs of English sentences: how related they are, from 1 to 5, and whether one follows from or contradicts the other.

Both are learned together. The embedding is that of `word_vectors`, from the captions of multi30k and the sentences of
the training file, without labels, and is not trained. Settings, epochs and the weights of the linear model were chosen
by the trial file.
"""

from functools import lru_cache
from itertools import chain
from pathlib import Path

import torch

from elman.data.files import open_unpacked
from elman.data.known.datasets import open_dataset
from elman.data.text.tokens import Tokenizer
from elman.data.text.vocabulary import Vocabulary
from elman.models.start import Pretrained
from elman.recipes.recipe import Parts, Recipe
from elman.recipes.word_vectors import WordVectors, word_vectors
from elman.tasks.compare import Compare
from elman.tasks.task import Values
from elman.training.generators import own_generators
from elman.training.listener import Listener

FEATURES = 200
# Length of a vector of the embedding.
LENGTH = 3.0
COLUMNS = {"first": "sentence_A", "second": "sentence_B", "target": "relatedness_score,entailment_judgment"}


def read(name: str, data: Path) -> Parts:
    """Return the pairs with both answers, to train, validate and test on."""
    paths = open_dataset(name, data)
    return Parts(_pairs(paths["train"]), _pairs(paths["validation"]), _pairs(paths["test"]))


def start(parts: Parts, seed: int, data: Path, folder: Path | None, listener: Listener | None) -> Pretrained:
    """Return a vocabulary and the vectors of its words, learned from text without labels."""
    vectors, tokens = _vectors(data, tuple(chain(parts.train.columns["first"], parts.train.columns["second"])))
    words = [*vectors.words, *sorted(tokens - set(vectors.words))]
    with own_generators([], seed):
        rows = torch.randn(1 + len(words), FEATURES) * LENGTH / FEATURES**0.5
    rows[0] = 0
    rows[1 : 1 + len(vectors.words)] = vectors.vectors * LENGTH
    return Pretrained(Vocabulary(tuple(words), unknown="allow"), {"embedding.table.weight": rows})


def _pairs(path: Path) -> Values:
    return Compare.source.read(str(path), Compare.columns, COLUMNS)


@lru_cache(maxsize=1)
def _vectors(data: Path, sentences: tuple[str, ...]) -> tuple[WordVectors, frozenset[str]]:
    """Return the vectors of words of captions and sentences, and the words of the sentences."""
    files = open_dataset("multi30k", data, "train-en", "validation-en")
    captions = [line for path in files.values() for line in open_unpacked(path).read().decode().splitlines()]
    split = Tokenizer("words", lower_case=True).split
    own = [split(sentence) for sentence in sentences]
    text = [token for each in chain(own, map(split, captions)) for token in (*each, "\n")]
    return word_vectors(text, features=FEATURES, min_count=2), frozenset(chain.from_iterable(own))


compare_sick = Recipe(
    name="compare-sick",
    summary="relatedness and entailment; vectors of captions, BiLSTM(100), attention, BiLSTM(100), n-grams of both",
    task="compare",
    data=("sick", "multi30k"),
    read=read,
    settings={
        "tokens": "words",
        "embedding": FEATURES,
        "freeze": ("embedding",),
        "rating": "distribution",
        "token_dropout": 0.05,
        "rare_dropout": 0.0,
        "epochs": 12,
        "checkpoint_seconds": 300,
    },
    reported={"pearson_mean": 0.785, "accuracy_mean": 0.848},
    source="ridge and logistic regression on bags of words with overlap features (scikit-learn)",
    seeds=3,
    start=start,
)
