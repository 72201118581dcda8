"""The texts of known data sets for language models: what to train, validate and test on."""

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
        test: to judge the model on; `None` if there is none.
    """

    train: Corpus
    validation: Corpus
    test: Corpus | None = None


def open_text(name: str, folder: str | Path) -> Texts:
    """The texts of a data set for language models, its checksums proved.

    A data set of one file is cut in shares of its bytes, at the next character that begins there.

    Args:
        name: one of `TEXTS`.
        folder: the data folder, which has a folder for each data set.

    Raises:
        UsageError: no such data set, or it is no text.
        DataError: as `open_dataset`.

    Source: the shares of enwik8 are those in which language models report on it, 90, 5 and 5 million bytes; those of
    tiny-shakespeare are 9 and 1 tenths, as in A. Karpathy's nanoGPT.
    """
    dataset = find_dataset(name)
    if not dataset.is_text:
        raise UsageError(f"The data set {name} is no text for language models.", fix=nearest(name, TEXTS))
    paths = open_dataset(name, folder)
    if dataset.split is None:
        return Texts(*(open_corpus(paths[part]) for part in PARTS))
    (path,) = paths.values()
    return Texts(*open_corpus(path).split(*dataset.split))
