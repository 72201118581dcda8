"""The parts of a data set for a recipe: the parts of a text, words with labels."""

from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

from elman.cells.from_file import open_cell
from elman.data.known.datasets import read_sentiment_words
from elman.data.known.texts import Texts, open_text
from elman.data.tables.tables import Table
from elman.data.text.corpus import Corpus
from elman.recipes.recipe import Parts
from elman.tasks.task import Values


def read_parts(name: str, data: Path, *, whole_alphabet: bool = False, own_cell: str | None = None) -> Parts:
    """Return the parts of a text.

    Args:
        name: of the data set.
        data: the folder that holds the data sets.
        whole_alphabet: whether the model knows the characters of all parts, not only of the first.
        own_cell: a cell in a file beside this one, in place of a built-in one: `file.py:name`.
    """
    texts = open_text(name, data)
    settings: dict[str, Any] = {}
    if whole_alphabet:
        settings["alphabet"] = alphabet_of(texts)
    if own_cell is not None:
        settings["cell"] = open_cell(str(Path(__file__).parent / own_cell))
    train, validation, test = (None if part is None else Values({"text": part}, source=part.name) for part in texts)
    assert train is not None
    return Parts(train, validation, test, settings)


whole_alphabet = partial(read_parts, whole_alphabet=True)


def read_words(name: str, data: Path) -> Parts:
    """Return the words of the data set of sentiments, to train and to test on."""
    train, test = map(_labelled, read_sentiment_words(data))
    return Parts(train, None, test)


def alphabet_of(texts: Texts) -> str:
    """Return the characters of the first part, the most frequent first, then of the others."""
    counts: Counter[str] = Counter()
    for piece in texts.train.pieces():
        counts.update(piece)
    held: list[Corpus] = [text for text in texts[1:] if text is not None]
    others = set().union(*(set(piece) for part in held for piece in part.pieces())) - counts.keys()
    return "".join([*sorted(counts, key=lambda character: (-counts[character], character)), *sorted(others)])


def _labelled(table: Table) -> Values:
    return Values({"text": table.texts, "label": table.labels}, source=table.source)
