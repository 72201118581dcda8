"""A part of the data held back, to score a model on rows that it was not trained on."""

import math
import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

from elman.errors import UsageError

# How many rows fewer than requested may be held back to keep equal texts on one side.
_TOLERANCE = 2


def split_rows(texts: Sequence[Any], labels: Sequence[Any], fraction: float, seed: int) -> tuple[list[int], list[int]]:
    """Return the numbers of the rows to train on and of those held back, both in order.

    The same fraction of each label is held back, to within one row, and never its only row. Equal texts stay on one
    side if that changes the number of rows held back by at most two.

    Args:
        texts: texts, or other sequences.
        labels: one for each.
        fraction: of the rows to hold back, more than 0 and less than 1.
        seed: the same seed gives the same split, on every machine.

    Raises:
        UsageError: the fraction is out of range, or too few rows can be held back.
    """
    if not 0 < fraction < 1:
        raise UsageError(
            f"Expected a fraction between 0 and 1 to hold back, got {fraction:g}.", fix="Give a fraction such as 0.1."
        )
    counts = Counter(labels)
    wanted = max(1, round(fraction * len(texts)))
    if len(texts) - len(counts) < wanted:
        raise _cannot_hold(wanted, len(texts), len(counts), fraction)
    drawn = _Draw(texts, labels, _quotas(counts, fraction, wanted), random.Random(seed)).rows()
    return [row for row in range(len(texts)) if row not in drawn], sorted(drawn)


def _cannot_hold(wanted: int, rows: int, labels: int, fraction: float) -> UsageError:
    able = rows - labels
    reason = f"each of the {labels:,} labels needs a row to train on" if labels > 1 else "training needs a row"
    subject = f"{rows:,} rows are" if rows != 1 else "One row is"
    return UsageError(
        f"{subject} too few to hold back {wanted:,} ({fraction:g}): {reason}, which leaves {able:,}.",
        fix=f"Give {'a validation_fraction of ' + format(able / rows, '.2g') + ' or less' if able else 'more rows'}, "
        "or validation data (--validation FILE), or validation_fraction 0 (--validation-fraction 0) for none.",
    )


def _quotas(counts: Counter[Any], fraction: float, wanted: int) -> dict[Any, int]:
    """Return the number of rows to hold back of each label."""
    labels = sorted(counts, key=str)
    shares = {label: min(fraction * counts[label], counts[label] - 1) for label in labels}
    quotas = {label: math.floor(shares[label]) for label in labels}
    for label in sorted(labels, key=lambda label: quotas[label] - shares[label]):
        if sum(quotas.values()) < wanted and quotas[label] < counts[label] - 1:
            quotas[label] += 1
    while sum(quotas.values()) < wanted:
        quotas[max(labels, key=lambda label: counts[label] - quotas[label])] += 1
    return quotas


class _Draw:
    """Rows drawn group by group, where a group is the rows of one text."""

    def __init__(self, texts: Sequence[Any], labels: Sequence[Any], quotas: dict[Any, int], generator: random.Random):
        self._labels, self._generator = labels, generator
        self._left = Counter(labels)
        self._wanted = dict(quotas)
        self._missing = sum(quotas.values())
        self._held: set[int] = set()
        groups: dict[Any, list[int]] = {}
        for row, text in enumerate(texts):
            groups.setdefault(text if isinstance(text, str) else row, []).append(row)
        self._groups: dict[Any, list[list[int]]] = {}
        for rows in groups.values():
            self._groups.setdefault(labels[rows[0]], []).append(rows)

    def rows(self) -> set[int]:
        """Draw whole groups label by label, then any whole groups, then parts of groups."""
        shuffled = {
            label: self._generator.sample(self._groups[label], len(self._groups[label]))
            for label in sorted(self._groups, key=str)
        }
        for label, groups in shuffled.items():
            for rows in groups:
                self._take(rows, most=min(self._wanted[label], self._missing))
        others = [rows for groups in shuffled.values() for rows in groups if rows[0] not in self._held]
        for rows in others:
            if len(rows) == 1 or self._missing > _TOLERANCE:
                self._take(rows, most=self._missing)
        if self._missing > _TOLERANCE or not self._held:
            for row in (row for rows in others for row in rows if row not in self._held):
                self._take([row], most=self._missing)
        return self._held

    def _take(self, rows: list[int], *, most: int) -> None:
        """Hold these rows back, if they are at most so many and leave a row of each label."""
        taken = Counter(self._labels[row] for row in rows)
        if len(rows) > most or any(self._left[label] <= count for label, count in taken.items()):
            return
        self._held.update(rows)
        self._left -= taken
        self._missing -= len(rows)
        self._wanted.update({label: self._wanted[label] - count for label, count in taken.items()})
