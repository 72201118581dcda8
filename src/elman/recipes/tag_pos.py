"""Parts of speech of English web texts, with two networks of the default settings.

Nothing but the training file is learned from, save for the word vectors of `tag-pos-vectors`, and the epochs and
settings were chosen by the validation file.
"""

from collections import Counter
from dataclasses import replace
from functools import lru_cache
from itertools import chain
from pathlib import Path

from elman.data.known.datasets import open_dataset
from elman.data.text.vocabulary import Vocabulary
from elman.models import Pretrained
from elman.models.start import EMBEDDING
from elman.recipes.news import read_news
from elman.recipes.recipe import Parts, Recipe
from elman.recipes.word_vectors import WordVectors, embedding_rows, read_articles, vectors_of_texts
from elman.tasks.tag import Tag
from elman.tasks.task import Values
from elman.training.listener import Listener

FEATURES, DEVIATION = 160, 0.07


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


def start(parts: Parts, seed: int, data: Path, folder: Path | None, listener: Listener | None) -> Pretrained:
    """Return the vectors of the words of the training sentences, of news and of Wikipedia articles.

    A word of these that is written small is known as a capitalised word too, and in capitals.
    """
    sentences = parts.train.columns["words"]
    vectors = _vectors(data, tuple(map(" ".join, sentences)))
    counts = Counter(chain.from_iterable(sentences))
    forms = chain.from_iterable(_forms(word) for word in vectors.words)
    vocabulary = Vocabulary(dict.fromkeys([*(word for word, _ in counts.most_common()), *forms]))
    rows = embedding_rows(["\n"] * len(vocabulary.specials) + [*vocabulary.tokens], vectors, DEVIATION, seed)
    return Pretrained(vocabulary, {EMBEDDING: rows})


@lru_cache(maxsize=1)
def _vectors(data: Path, sentences: tuple[str, ...]) -> WordVectors:
    news = read_news("ag-news", data).train.columns["text"]
    texts = (*sentences, *news, *read_articles(data))
    return vectors_of_texts(texts, lower_case=False, features=FEATURES)


def _forms(word: str) -> list[str]:
    return [word, word.capitalize(), word.upper()] if word.islower() else [word]


tag_pos_vectors = replace(
    tag_pos,
    name="tag-pos-vectors",
    summary="as tag-pos, with word vectors that were learned from news and Wikipedia articles without labels",
    data=("ud-english-ewt", "wikitext-2", "ag-news", "enwik8-prefix"),
    settings={
        **tag_pos.settings,
        "embedding": FEATURES,
        "freeze": ("embedding",),
        "token_dropout": 0.05,
        "rare_dropout": 0.1,
    },
    reported={},
    source="",
    start=start,
)
