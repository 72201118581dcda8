"""A part of the data held back, to be judged on what was not trained on."""

import random
from collections.abc import Sequence
from typing import Any

from elman.errors import UsageError


def split_rows(texts: Sequence[Any], labels: Sequence[Any], fraction: float, seed: int) -> tuple[list[int], list[int]]:
    """The numbers of the rows to train on, and of the fraction held back, both in order.

    Each label is held back in the same proportion, and equal texts stay together, so that no text is in both.

    Args:
        texts: texts, or other sequences.
        labels: one for each.
        fraction: of the rows to hold back, more than 0 and less than 1.
        seed: the same seed gives the same split, on every machine.

    Raises:
        UsageError: the fraction is out of range, or leaves one side empty.
    """
    if not 0 < fraction < 1:
        raise UsageError(
            f"The fraction to hold back is {fraction:g}.", fix="Give more than 0 and less than 1, for instance 0.1."
        )
    rows_of: dict[str | int, list[int]] = {}
    for row, text in enumerate(texts):
        rows_of.setdefault(text if isinstance(text, str) else row, []).append(row)
    groups_of: dict[Any, list[list[int]]] = {}
    for rows in rows_of.values():
        groups_of.setdefault(labels[rows[0]], []).append(rows)
    generator = random.Random(seed)
    held: set[int] = set()
    for label in sorted(groups_of, key=str):
        groups = groups_of[label]
        held.update(_draw(groups, round(fraction * sum(map(len, groups))), generator))
    if not held:
        held.update(_draw(max(groups_of.values(), key=len), 1, generator))
    if not held or len(held) == len(texts):
        raise UsageError(
            f"{len(texts):,} texts are too few to hold {fraction:g} of them back.",
            fix="Give validation data (--validation FILE), or another validation_fraction (0 for none).",
        )
    return [row for row in range(len(texts)) if row not in held], sorted(held)


def _draw(groups: list[list[int]], wanted: int, generator: random.Random) -> list[int]:
    """Rows of whole groups until there are enough; the last group of a label always stays behind."""
    drawn: list[int] = []
    for rows in generator.sample(groups, len(groups))[:-1]:
        if len(drawn) >= wanted:
            break
        drawn.extend(rows)
    return drawn
