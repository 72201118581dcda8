"""Parts of speech with language models of texts without labels: what the recipe tag-pos gains from them.

Of two models one reads the words of Wikipedia articles and news forward, the other backward; two more may read their
characters. Their states at each word are read by the tagger beside the word itself, as in M. E. Peters et al., Deep
contextualized word representations, 2018, for words, and A. Akbik et al., Contextual String Embeddings for Sequence
Labeling, 2018, for characters; difference: one recurrent layer, whose weights stay as they are. The models are kept in
a folder, and continued if they were stopped.

python -m experiments.contextual_tags --data ../shared/data --models contextual
"""

import argparse
import json
import random
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from elman.data.known.datasets import open_dataset
from elman.data.ragged.ragged import Ragged
from elman.data.text.spelling import SpelledWords
from elman.data.text.tokens import Tokenizer
from elman.folders import CHECKPOINT
from elman.models.language import LanguageModel
from elman.models.tagger import SequenceTagger
from elman.network_parts import build_body
from elman.nn.regularisers import SequenceDropout
from elman.recipes import RECIPES
from elman.recipes.news import RUN_TOGETHER, read_news, read_rows
from elman.recipes.tag_pos import read
from elman.recipes.word_vectors import read_articles
from elman.settings import check_settings
from elman.tag_network import TagEnsemble, TagNetwork
from elman.tasks.sentences import Words
from elman.tasks.tag import Tag, TagSettings
from elman.tasks.tag_labels import TagLabels
from elman.tasks.task import Column
from elman.training.listener import Listener
from elman.training.progress import progress_for
from experiments import run_module

DIRECTIONS = {"forward": 1, "backward": -1}
END = "</s>"
HELD_OUT = 1_500  # of the news
LEAST_WORDS = 9  # of a line of an article
WORDS: dict[str, Any] = {
    "tokens": "words",
    "split": "blanks",
    "lower_case": True,
    "min_count": 4,
    "cell": "lstm",
    "embedding_size": 192,
    "hidden_size": 256,
    "input_dropout": 0.1,
    "output_dropout": 0.2,
    "softmax": "sampled",
    "softmax_samples": 2_048,
    "streams": 64,
    "window": 50,
    "learning_rate": 3e-3,
    "schedule": "cosine",
    "epochs": 3,
}
CHARACTERS: dict[str, Any] = {
    "tokens": "characters",
    "min_count": 100,
    "cell": "lstm",
    "embedding_size": 48,
    "hidden_size": 384,
    "streams": 64,
    "window": 100,
    "learning_rate": 3e-3,
    "schedule": "cosine",
    "epochs": 1,
}
KINDS = {"words": WORDS, "characters": CHARACTERS}
READ = 128  # features of a word that are made of the states of both models
DROPPED = 0.3  # share of the states
SENTENCES = 200  # read at once

split = Tokenizer("words").split


# The language models


class Reader(NamedTuple):
    """A language model, and how it reads.

    Attributes:
        model: the model.
        step: 1 if it reads forward, -1 backward.
    """

    model: LanguageModel
    step: int


def unlabelled_texts(data: Path) -> tuple[list[list[str]], list[list[str]]]:
    """Return the words of texts to learn from, and of some to compare epochs by.

    These are lines of Wikipedia articles, then the news of the training files, of all sources.
    """
    path = open_dataset("ag-news", data, "train-joined")["train-joined"]
    together = [row[1] for row in read_rows(path) if row[2] == RUN_TOGETHER]
    news = [split(text) for text in (*read_news("ag-news", data).train.columns["text"], *together)]
    random.Random(0).shuffle(news)
    lines = (split(line) for article in read_articles(data) for line in article.split("\n"))
    return [words for words in lines if len(words) >= LEAST_WORDS] + news[HELD_OUT:], news[:HELD_OUT]


def language_models(
    texts: Sequence[Sequence[str]],
    held: Sequence[Sequence[str]],
    folder: Path,
    listener: Listener,
    kinds: Sequence[str],
) -> list[Reader]:
    """Train models that read forward and models that read backward.

    Args:
        texts: the words of each text.
        held: texts by which epochs are compared.
        folder: of their checkpoints, in folders of their own; runs in them are continued.
        listener: is given the progress.
        kinds: what they read, as `KINDS` names it.
    """
    found = []
    for kind, (name, step) in product(kinds, DIRECTIONS.items()):
        own, parts = folder / f"{kind}-{name}", (_text(part, step, kind) for part in (texts, held))
        how = {"folder": own, "resume": (own / CHECKPOINT).exists(), "listener": listener}
        found.append(Reader(LanguageModel(**KINDS[kind]).fit(*parts, **how), step))
    return found


def _text(texts: Iterable[Sequence[str]], step: int, kind: str) -> str:
    if kind == "characters":
        return "".join(" ".join(words)[::step] + "\n" for words in texts)
    return "".join(f"{' '.join(words[::step]).lower()} {END}\n" for words in texts)


@torch.inference_mode()
def states(readers: Sequence[Reader], sentences: Sequence[Sequence[str]]) -> Tensor:
    """Return the states of all models after they read each word, `(words, features)`."""
    parts: list[Tensor] = []
    for begin in range(0, len(sentences), SENTENCES):
        some = sentences[begin : begin + SENTENCES]
        parts.append(torch.cat([_states(reader, some) for reader in readers], 1))
    return torch.cat(parts)


def _states(reader: Reader, sentences: Sequence[Sequence[str]]) -> Tensor:
    """Return the states of a model, `(words, units)`, in the order of the words."""
    model, step = reader
    known, pieces, ends = model.coder_.vocabulary, [], []
    for words in sentences:
        tokens, last = [], []
        for word in words[::step]:
            tokens += _tokens(word, step, model.tokens, is_first=not tokens)
            last.append(len(tokens) - 1)
        pieces.append(torch.tensor(known.encode(tokens)))
        ends.append(last[::step])
    batch = Ragged.from_list(pieces)
    firsts = (batch.lengths.cumsum(0) - batch.lengths).tolist()
    places = [first + end for first, last in zip(firsts, ends, strict=True) for end in last]
    return model.model_.eval().read(batch).steps.data[places]


def _tokens(word: str, step: int, kind: str, *, is_first: bool) -> list[str]:
    """Return what a model reads of a word, after what is between it and the word before."""
    if kind == "characters":
        return ["\n" if is_first else " ", *word[::step]]
    # A word may be several tokens of the model, such as "n't".
    return [*([END] if is_first else []), *(split(word.lower()) or [word.lower()])[::step]]


# The tagger


@dataclass(frozen=True)
class WordsInContext(SpelledWords):
    """Sentences of words with the states of language models at each word, `(total, features)`."""

    context: Tensor

    def select(self, indices: Sequence[int]) -> "WordsInContext":
        """Return these sentences in this order."""
        some, rows = super().select(indices), self.ids.replace(self.context).select(indices)
        return WordsInContext(some.ids, some.forms, some.characters, some.features, rows.data)

    def tensors(self) -> Mapping[str, Tensor]:
        """Return every tensor by a name."""
        return {**super().tensors(), "context": self.context}


class ContextNetwork(TagNetwork):
    """A tagger that reads states of language models beside each word."""

    def __init__(self, settings: Any, tags: int, *, context: int, **how: Any):
        super().__init__(settings, tags, **how)
        self.context = nn.Sequential(nn.Linear(context, READ), nn.ReLU())
        self.context_dropout = SequenceDropout(DROPPED)
        # The layers are built again, for more features of a word.
        width = self.body.input_size + READ  # pyright: ignore[reportOptionalMemberAccess]
        self.body = build_body(settings, width, how["cell"], bidirectional=True, merge=settings.merge)

    def _embedded(self, ids: Ragged, batch: Any, *spelled: Any) -> tuple[Ragged, Tensor | None]:
        steps, _ = super()._embedded(ids, batch, *spelled)
        rows = self.context(self.context_dropout(steps.replace(batch.context)).data)
        return steps.replace(torch.cat([steps.data, rows], 1)), None


def tagger(readers: Sequence[Reader], **settings: Any) -> SequenceTagger:
    """Return an untrained tagger that reads the states of these models."""

    class Contexts(Words):
        def encode(self, values: Sequence[Sequence[str]], **how: Any) -> WordsInContext:
            words = super().encode(values, **how)
            # A tensor of inference mode cannot be part of training.
            context = states(readers, values).clone()
            return WordsInContext(words.ids, words.forms, words.characters, words.features, context)

    class TagInContext(Tag):
        columns = (Column("words", Contexts), Column("tags", TagLabels, "target"))

        def network(self, cell: Any) -> Any:
            sizes, allowed = self.encoders["words"].sizes(), self.encoders["tags"].allowed()
            how = {"cell": cell, "allowed": allowed, **sizes}
            features = sum(reader.model.model_.body.output_size for reader in readers)
            network = TagEnsemble(self.settings, len(self.tags), 1, **how)
            members = range(self.settings.ensemble)
            network.members = nn.ModuleList(
                ContextNetwork(self.settings, len(self.tags), context=features, **how) for _ in members
            )
            network.wide = self.new_wide(len(self.tags))
            return network

    class Tagger(SequenceTagger):
        task = TagInContext

    return Tagger(**settings)


def main(given: Sequence[str] | None = None) -> None:
    """Train the models that are missing, then the tagger, and print its scores on the test file as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--models", type=Path, required=True, help="folder where the language models are kept")
    parser.add_argument("--seed", type=int, default=0, help="of the tagger")
    parser.add_argument("--epochs", type=int, default=RECIPES["tag-pos"].settings["epochs"], help="of the tagger")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=["words"], help="what the language models read")
    asked = parser.parse_args(given)
    settings = {**RECIPES["tag-pos"].settings, "epochs": asked.epochs, "seed": asked.seed}
    # A mistake in them is found before the language models are trained.
    check_settings(TagSettings, settings)
    texts, held = unlabelled_texts(asked.data)
    readers = language_models(texts, held, asked.models, progress_for(sys.stderr), asked.kinds)
    begin = time.perf_counter()
    parts = read("ud-english-ewt", asked.data)
    model = tagger(readers, **settings)
    model.fit_values(parts.train, parts.validation, listener=progress_for(sys.stderr))
    scores = {name: model.evaluate_values(part) for name, part in zip(("validation", "test"), parts[1:3], strict=True)}
    figures = {f"{name}_{key}": scores[name][key] for name in scores for key in ("accuracy", "unknown_accuracy")}
    sys.stdout.write(json.dumps({"seed": asked.seed, **figures, "seconds": time.perf_counter() - begin}) + "\n")


if __name__ == "__main__":
    run_module(main)
