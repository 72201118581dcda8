"""Classifiers without settings on texts by which no default was chosen, beside four linear models of n-grams.

Words by their part of speech and by their language, sentences by their genre, and speeches by who makes them, all from
data sets of other tasks. Equal texts are in one part alone, and parts are divided by a seed of their own, except that
the genres have the parts of the treebank.

python -m experiments.unseen_texts --data ../shared/data --seeds 3
"""

import argparse
import json
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.pipeline import make_pipeline

from elman import SequenceClassifier
from elman.data.files import open_unpacked
from elman.data.known.datasets import open_dataset
from elman.data.known.texts import open_text
from elman.recipes.tag_pos import read
from experiments import run_module

TESTED = 0.2
SPEAKERS = 8  # those who speak most often
CLASSES = ("NOUN", "PROPN", "VERB", "ADJ", "ADV")
LANGUAGES = ("en", "de", "fr")
SHORTEST = 3  # letters of a word whose language is asked for
READS = {
    "words and pairs": {"ngram_range": (1, 2)},
    "2 to 5 characters": {"analyzer": "char_wb", "ngram_range": (2, 5)},
}
STRENGTHS = (1.0, 10.0)

Rows = list[tuple[str, str]]  # text and label


class Parts(NamedTuple):
    """Rows to train and to test on."""

    train: Rows
    test: Rows


def divided(rows: Iterable[tuple[str, str]]) -> Parts:
    """Divide rows by a seed of their own."""
    every = sorted(rows)
    random.Random(0).shuffle(every)
    tested = int(TESTED * len(every))
    return Parts(every[tested:], every[:tested])


def word_classes(data: Path) -> Parts:
    """Return words with the part of speech that they have most often."""
    counts: dict[str, Counter[str]] = {}
    for part in read("ud-english-ewt", data)[:3]:
        assert part is not None
        for words, tags in zip(part.columns["words"], part.columns["tags"], strict=True):
            for word, tag in zip(words, tags, strict=True):
                if word.isalpha() and tag in CLASSES:
                    counts.setdefault(word.lower(), Counter())[tag] += 1
    return divided((word, found.most_common(1)[0][0]) for word, found in counts.items())


def word_languages(data: Path) -> Parts:
    """Return the words of a file of captions in three languages, those of a single language."""
    path = open_dataset("multi30k", data)
    found: dict[str, set[str]] = {}
    for language in LANGUAGES:
        text = open_unpacked(path[f"test-{language}"]).read().decode().lower()
        for word in set(re.findall(r"[^\W\d_]+", text)):
            found.setdefault(word, set()).add(language)
    return divided(
        (word, next(iter(languages)))
        for word, languages in found.items()
        if len(word) >= SHORTEST and len(languages) == 1
    )


def speakers(data: Path) -> Parts:
    """Return the speeches of the characters who speak most often."""
    parts = open_text("tiny-shakespeare", data)
    text = "".join(piece for part in parts if part is not None for piece in part.pieces())
    speeches = [speech.partition(":\n") for speech in text.split("\n\n")]
    rows = {(" ".join(words.split()), name) for name, _, words in speeches if words.strip()}
    most = [name for name, _ in Counter(name for _, name in rows).most_common(SPEAKERS)]
    owners = Counter(words for words, _ in rows)
    return divided((words, name) for words, name in rows if name in most and owners[words] == 1)


def genres(data: Path) -> Parts:
    """Return the sentences of the treebank with the kind of page that each is from."""
    paths = open_dataset("ud-english-ewt", data)
    return Parts(*(list(_sentences(paths[part])) for part in ("train", "test")))


def _sentences(path: Path) -> Iterator[tuple[str, str]]:
    genre = ""
    for line in open_unpacked(path).read().decode().splitlines():
        name, _, value = line.partition(" = ")
        if name == "# sent_id":
            genre = value.partition("-")[0]
        elif name == "# text":
            yield value, genre


SETS: dict[str, Callable[[Path], Parts]] = {
    "word-classes": word_classes,
    "word-languages": word_languages,
    "speakers": speakers,
    "genres": genres,
}


def linear(parts: Parts) -> dict[str, float]:
    """Return the accuracy of each linear model on the test rows."""
    texts, labels = zip(*parts.train, strict=True)
    asked, truth = zip(*parts.test, strict=True)
    found = {}
    for (name, reads), strength in product(READS.items(), STRENGTHS):
        features: Any = TfidfVectorizer(sublinear_tf=True, **reads)
        model = make_pipeline(features, LogisticRegression(C=strength, max_iter=300)).fit(texts, labels)
        found[f"{name}, C = {strength:g}"] = float(accuracy_score(truth, model.predict(asked)))
    return found


def networks(parts: Parts, seeds: int) -> list[float]:
    """Return the accuracy of elman's classifier without settings for each seed."""
    texts, labels = (list(each) for each in zip(*parts.train, strict=True))
    asked, truth = (list(each) for each in zip(*parts.test, strict=True))
    models = (SequenceClassifier(seed=seed).fit(texts, labels) for seed in range(seeds))
    return [float(accuracy_score(truth, model.predict(asked))) for model in models]


def main(given: Sequence[str] | None = None) -> None:
    """Print the accuracies on each set as JSON, a line a set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--seeds", type=int, default=1, help="of elman's classifiers, from 0")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS), help="all if not given")
    asked = parser.parse_args(given)
    for name in asked.sets:
        parts = SETS[name](asked.data)
        models = linear(parts)
        begin = time.process_time()
        found = networks(parts, asked.seeds)
        seconds = (time.process_time() - begin) / asked.seeds
        best = max(models, key=models.__getitem__)
        figures = {"elman": fmean(found), "each": found, "linear": models[best], "best": best, "every": models}
        sizes = {"train": len(parts.train), "test": len(parts.test), "labels": len({row[1] for row in parts.train})}
        sys.stdout.write(json.dumps({"set": name, **sizes, **figures, "seconds": round(seconds, 1)}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    run_module(main)
