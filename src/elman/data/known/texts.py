"""The texts of known data sets for language models, in parts to train, validate and test on."""

from pathlib import Path
from typing import NamedTuple

from elman.data.known.catalogue import DATASETS, find_dataset
from elman.data.known.datasets import open_dataset
from elman.data.text.corpus import Corpus, open_corpus
from elman.errors import UsageError, nearest

TEXTS = tuple(name for name, dataset in DATASETS.items() if dataset.is_text)
PARTS = ("train", "validation", "test")


class Texts(NamedTuple):
    """The parts of a text for language models; each is read piece by piece, however large it is.

    Attributes:
        train: to train on.
        validation: to choose settings by.
        test: to evaluate the model on; `None` if there is none.
    """

    train: Corpus
    validation: Corpus
    test: Corpus | None = None


def open_text(name: str, folder: str | Path) -> Texts:
    """Return the texts of a data set for language models, after checking its checksums.

    A data set of one file is cut at fractions of its bytes, each rounded up to the start of a character.

    Args:
        name: one of `TEXTS`.
        folder: the data folder, which has a folder for each data set.

    Raises:
        UsageError: no such data set, or it is not a text.
        DataError: as `open_dataset`.

    Source: the fractions of enwik8 are those usual for language models, 90, 5 and 5 million bytes; those of
    tiny-shakespeare, 90% and 10%, are those of A. Karpathy's nanoGPT.
    """
    dataset = find_dataset(name)
    if not dataset.is_text:
        raise UsageError(f"The data set {name} is not a text for language models.", fix=nearest(name, TEXTS))
    paths = open_dataset(name, folder)
    if dataset.split is None:
        return Texts(*(open_corpus(paths[part]) for part in PARTS))
    (path,) = paths.values()
    return Texts(*open_corpus(path).split(*dataset.split))
