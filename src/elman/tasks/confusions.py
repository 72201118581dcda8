"""Scores of labels, accumulated as a matrix of counts."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from elman.data.ragged.ragged import Ragged
from elman.tasks.task import Batch, Read


class LabelScores:
    """Loss, accuracy, F1 and what they are made of, in memory of the square of the number of labels.

    F1 is the mean over the labels that occur, in the answers or in the truth. The loss is the mean cross entropy in
    nats, without smoothing and weights.

    Args:
        labels: in the order of the outputs.
        column: of a batch, that has the positions of the true labels: a tensor, or `Ragged` with one for each step.
        temperature: by which the logits are divided for the loss.
    """

    def __init__(self, labels: list[Any], column: str, *, temperature: float = 1.0):
        self._labels = labels
        self._column = column
        self._temperature = temperature
        self._counts = torch.zeros(len(labels), len(labels), dtype=torch.int64)
        self._loss = 0.0

    def update(self, batch: Batch, read: Read) -> None:
        """Count a batch, whose outputs are logits `(targets, labels)`."""
        outputs, targets = read.outputs.detach(), batch[self._column]
        targets = targets.data if isinstance(targets, Ragged) else targets
        self.count(targets, outputs.argmax(1))
        self._loss += float(functional.cross_entropy(outputs / self._temperature, targets, reduction="sum"))

    def count(self, targets: Tensor, answers: Tensor) -> None:
        """Count answers without a loss.

        Args:
            targets: positions of the true labels, `(targets,)`.
            answers: positions of the answered labels, `(targets,)`.
        """
        size = len(self._labels)
        self._counts += (targets * size + answers).cpu().bincount(minlength=size * size).view(size, size)

    def compute(self) -> dict[str, Any]:
        """Return every score by its name.

        `majority` is the accuracy of always giving the most frequent label; `confusion` is how often each label (row)
        was answered as each (column).
        """
        counts, total = self._counts, max(1, int(self._counts.sum()))
        right, true, answered = counts.diagonal(), counts.sum(1), counts.sum(0)
        occurring = (true + answered) > 0
        f1 = 2 * right[occurring].double() / (true + answered)[occurring]
        return {
            "loss": self._loss / total,
            "accuracy": int(right.sum()) / total,
            "macro_f1": float(f1.mean()) if len(f1) else 0.0,
            "majority": int(true.max()) / total,
            "count": int(counts.sum()),
            "labels": list(self._labels),
            "confusion": counts.tolist(),
        }
