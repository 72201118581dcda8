"""Drawn digits in words: the digit, and where its strokes are."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from elman.errors import MissingPackageError
from elman.recipes.recipe import Parts, Recipe
from elman.tasks.task import Values

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
# Rows and columns of the pictures of 8 by 8 that make a band, and the ink from which a stroke is in a field.
BANDS = {"top": slice(0, 3), "middle": slice(3, 5), "bottom": slice(5, 8)}
SIDES = {"left": slice(0, 3), "centre": slice(3, 5), "right": slice(5, 8)}
INK = 5.0
TRAINED, VALIDATED = 1_200, 297


def described(picture: np.ndarray, digit: int) -> str:
    """Return the digit of a picture `(8, 8)` from 0 to 16, and the fields that have strokes.

    >>> picture = np.zeros((8, 8))
    >>> picture[:, 3:5] = 16
    >>> described(picture, 1)
    'one, top centre, middle centre, bottom centre'
    """
    fields = [
        f"{band} {side}" for band, rows in BANDS.items() for side, columns in SIDES.items()
        if picture[rows, columns].mean() >= INK
    ]  # fmt: skip
    return ", ".join([NAMES[digit], *fields])


def read(name: str, data: Path) -> Parts:
    """Return the pictures of scikit-learn with their descriptions, the last to test on."""
    try:
        # scikit-learn is an extra.
        from sklearn.datasets import load_digits
    except ImportError:
        raise MissingPackageError(
            "The drawn digits come with scikit-learn.", fix="Install it: pip install 'elman[baseline]'."
        ) from None
    found: Any = load_digits()
    texts = [described(picture, digit) for picture, digit in zip(found.images, found.target.tolist(), strict=True)]
    ends = (0, TRAINED, TRAINED + VALIDATED, len(texts))
    train, validation, test = (_part(found.data, texts, begin, end) for begin, end in pairwise(ends))
    return Parts(train, validation, test)


def _part(pictures: np.ndarray, texts: list[str], begin: int, end: int) -> Values:
    columns = {"vector": list(pictures[begin:end].astype(np.float32)), "target": texts[begin:end]}
    return Values(columns, source=f"digits {begin + 1:,} to {end:,}", settings={})


describe_digits = Recipe(
    name="describe-digits",
    summary="drawn digits of 8 by 8 in words, and where their strokes are; dense layers, attention, two GRU layers",
    task="describe",
    data=(),
    read=read,
    settings={"epochs": 60, "metric": "exact", "dropout": 0.2, "checkpoint_seconds": 300},
    options={"beam": 1},
)
