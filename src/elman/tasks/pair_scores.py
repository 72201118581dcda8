"""Scores of pairs: of numbers and labels, and of how near like sequences are."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from elman.tasks.calibration import CalibratedScores
from elman.tasks.numbers import NumberScores
from elman.tasks.pair_targets import PairTarget
from elman.tasks.task import Batch, Read

# Rows whose values are kept for scores that need their order.
KEPT = 100_000


class KeptRows:
    """The values of rows, of the first 100,000, in memory that does not grow.

    Args:
        columns: number of values of a row.
    """

    def __init__(self, columns: int):
        self._rows = torch.zeros(0, columns, dtype=torch.float64)
        self._count = 0

    def update(self, *columns: Tensor) -> None:
        """Keep rows, one tensor `(rows,)` for each column."""
        rows = torch.stack([column.detach().double().cpu() for column in columns], 1)[: KEPT - self._count]
        if self._count + len(rows) > len(self._rows):
            more = torch.zeros(min(KEPT, 2 * (self._count + len(rows))) - len(self._rows), rows.shape[1])
            self._rows = torch.cat([self._rows, more.double()])
        self._rows[self._count : self._count + len(rows)] = rows
        self._count += len(rows)

    def columns(self) -> tuple[Tensor, ...]:
        """Return the columns of the rows that were kept."""
        return self._rows[: self._count].unbind(1)


class AnswerScores:
    """Scores of numbers, of labels, or of both.

    Spearman's rho is that of the first 100,000 pairs.

    Args:
        target: learned.
        temperature: by which logits are divided.
    """

    def __init__(self, target: PairTarget, temperature: float):
        self._target = target
        self._numbers = self._labels = None
        if target.number is not None:
            self._numbers, self._kept = NumberScores("number"), KeptRows(2)
        if target.label is not None:
            self._labels = CalibratedScores(target.labels, "label", temperature)
        self._loss, self._count = 0.0, 0

    def update(self, batch: Batch, read: Read) -> None:
        """Count a batch."""
        targets = batch["target"]
        self._loss, self._count = self._loss + float(read.loss.detach()) * len(targets), self._count + len(targets)
        if self._labels is not None:
            column = {"label": targets[:, self._target.kinds.index("label")].long()}
            part = Batch(column, batch.sequences, batch.tokens)
            self._labels.update(part, read._replace(outputs=read.outputs["label"]))
        if self._numbers is not None:
            assert self._target.number is not None
            true = self._target.number.restored(targets[:, self._target.kinds.index("number")])
            found = self._target.number.restored(read.outputs["number"].detach())
            self._numbers.count(found, true)
            self._kept.update(found, true)

    def compute(self) -> dict[str, Any]:
        """Return every score by its name."""
        found: dict[str, Any] = {}
        if self._labels is not None:
            found |= self._labels.compute()
        if self._numbers is not None:
            numbers = self._numbers.compute()
            # Constant predictions are not correlated with anything.
            found |= {"pearson": numbers["pearson"] or 0.0, "spearman": spearman(*self._kept.columns())}
            found["mse"] = numbers["rmse"] ** 2
        if self._labels is not None and self._numbers is not None:
            found["mean_score"] = (found["pearson"] + found["accuracy"]) / 2
        if self._numbers is not None:
            found["loss"] = self._loss / max(1, self._count)
        return {**found, "count": self._count}


class NearnessScores:
    """How well the similarity of pairs follows whether they are alike, or a number.

    The scores are those of the first 100,000 pairs.

    Args:
        shares: numbers as similarities, from standardised targets; None for pairs that are alike or not.
    """

    def __init__(self, shares: Callable[[Tensor], Tensor] | None):
        self._shares = shares
        self._kept = KeptRows(2)
        self._loss, self._count = 0.0, 0

    def update(self, batch: Batch, read: Read) -> None:
        """Count a batch."""
        targets = batch["target"][:, 0]
        self._kept.update(read.outputs["similarity"], targets if self._shares is None else self._shares(targets))
        self._loss, self._count = self._loss + float(read.loss.detach()) * len(targets), self._count + len(targets)

    def compute(self) -> dict[str, Any]:
        """Return every score by its name."""
        found, true = self._kept.columns()
        if self._shares is None:
            scores = {"auc": area_under_curve(found, true > 0), "average_precision": average_precision(found, true > 0)}
        else:
            numbers = NumberScores("")
            numbers.count(found, true)
            scores = {"pearson": numbers.compute()["pearson"] or 0.0, "spearman": spearman(found, true)}
        return {**scores, "loss": self._loss / max(1, self._count), "count": self._count}


class TripletScores:
    """How many triplets are in order: the first sequence is nearer to the second than to the third."""

    def __init__(self):
        self._ordered, self._loss, self._count = 0, 0.0, 0

    def update(self, batch: Batch, read: Read) -> None:
        """Count a batch."""
        near, far = read.outputs["similarity"], read.outputs["other"]
        self._ordered += int((near > far).sum())
        self._loss, self._count = self._loss + float(read.loss.detach()) * len(near), self._count + len(near)

    def compute(self) -> dict[str, Any]:
        """Return every score by its name."""
        count = max(1, self._count)
        return {"ordered": self._ordered / count, "loss": self._loss / count, "count": self._count}


def ranks(values: Tensor) -> Tensor:
    """Return the rank of each value from 1, equal values sharing the mean of theirs.

    >>> ranks(torch.tensor([0.3, 0.1, 0.3])).tolist()
    [2.5, 1.0, 2.5]
    """
    _, which, counts = values.unique(sorted=True, return_inverse=True, return_counts=True)
    last = counts.cumsum(0).double()
    return (last - (counts - 1) / 2)[which]


def spearman(first: Tensor, second: Tensor) -> float:
    """Return Spearman's rank correlation, 0 if all values of either are equal.

    >>> round(spearman(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0.1, 0.3, 0.2])), 3)
    0.5
    """
    one, two = (ranks(values) - (len(values) + 1) / 2 for values in (first, second))
    scale = float((one.square().sum() * two.square().sum()).sqrt())
    return float((one * two).sum()) / scale if scale else 0.0


def area_under_curve(similarities: Tensor, alike: Tensor) -> float:
    """Return the probability that a like pair is nearer than another, 0.5 without both kinds.

    Source:
        J. Hanley, B. McNeil, The Meaning and Use of the Area under a Receiver Operating Characteristic Curve, 1982.

    >>> area_under_curve(torch.tensor([0.9, 0.2, 0.5]), torch.tensor([True, False, False]))
    1.0
    """
    positive, negative = int(alike.sum()), int((~alike).sum())
    if not positive or not negative:
        return 0.5
    total = float(ranks(similarities)[alike].sum())
    return (total - positive * (positive + 1) / 2) / (positive * negative)


def average_precision(similarities: Tensor, alike: Tensor) -> float:
    """Return the mean precision among pairs at least as near as each like pair.

    >>> average_precision(torch.tensor([0.9, 0.5, 0.2]), torch.tensor([True, False, True])).__round__(4)
    0.8333
    """
    order = similarities.argsort(descending=True, stable=True)
    values, right = similarities[order], alike[order].double()
    _, counts = values.unique_consecutive(return_counts=True)
    # Pairs of one similarity are as near as the last of them.
    ends = (counts.cumsum(0) - 1).repeat_interleave(counts) if len(values) else counts
    found = right.cumsum(0)[ends] / (ends + 1)
    return float((found * right).sum() / right.sum().clamp(min=1))
