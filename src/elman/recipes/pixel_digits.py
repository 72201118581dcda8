"""Handwritten digits read pixel by pixel, in the order of the rows and in a shuffled one."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from elman.errors import MissingPackageError
from elman.recipes.recipe import PLAIN, Parts, Recipe
from elman.tasks.task import Values

BRIGHTEST = 16
PARTS = 5


def pixel_digits(*, permuted: int | None = None) -> Parts:
    """Return scikit-learn's digits as sequences of 64 steps, each a pixel from 0 to 1.

    There are 1,797 digits of 8 by 8 pixels. Every fifth digit is for the test.

    Args:
        permuted: seed of one order in which the pixels of all digits are read; row by row if not given.

    Raises:
        MissingPackageError: scikit-learn is not installed.

    Source:
        Q. V. Le, N. Jaitly, G. E. Hinton, A Simple Way to Initialize Recurrent Networks of Rectified Linear Units,
        2015, section 4.2, with the digits of E. Alpaydin, C. Kaynak, 1998, in place of MNIST.
    """
    try:
        # Optional, and slow to import.
        from sklearn.datasets import load_digits
    except ImportError:
        raise MissingPackageError(
            "The digits are those of scikit-learn, which is not installed.", fix='Run pip install "elman[baseline]".'
        ) from None
    found: Any = load_digits()
    pixels, labels = found.data / BRIGHTEST, [str(label) for label in found.target]
    order = np.arange(pixels.shape[1])
    if permuted is not None:
        order = np.random.default_rng(permuted).permutation(order)
    steps, held = pixels[:, order, None].astype(np.float32), np.arange(len(labels)) % PARTS == PARTS - 1
    train, test = (_values(steps[part], labels, part) for part in (~held, held))
    return Parts(train, None, test, {"tokens": "values"})


def _values(steps: np.ndarray, labels: list[str], part: np.ndarray) -> Values:
    own = [label for label, is_own in zip(labels, part, strict=True) if is_own]
    return Values({"text": list(steps), "label": own}, source="scikit-learn's digits")


def _read(permuted: int | None, name: str, data: Path) -> Parts:
    return pixel_digits(permuted=permuted)


def _recipe(name: str, order: str, permuted: int | None) -> Recipe:
    return Recipe(
        name=name,
        summary=f"digits of 64 steps, a pixel each, {order}; LSTM(64)",
        task="classify",
        data=(),
        read=partial(_read, permuted),
        settings={
            **PLAIN,
            "scaling": "none",
            "cell": "lstm",
            "hidden_size": 64,
            "batch_size": 20,
            "learning_rate": 5e-3,
            "schedule": "cosine",
            "clip_norm": 1.0,
            "epochs": 40,
        },
        source="Q. V. Le et al., 2015, section 4.2, on MNIST: no figure to compare with",
        threads=1,
    )


pixel_digits_rows = _recipe("pixel-digits", "row by row", None)
pixel_digits_permuted = _recipe("pixel-digits-permuted", "in a shuffled order", 0)
