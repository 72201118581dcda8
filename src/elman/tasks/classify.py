"""The task of giving each sequence one of several labels."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


class Classify:
    """One label a sequence: cross entropy, accuracy, the probability of each label.

    Outputs are `(batch, labels)`, unnormalised logarithms of probabilities; targets `(batch,)`, the labels' positions.

    Args:
        labels: in the order of the outputs.
        label_smoothing: the part of each target's probability that is spread over all labels (C. Szegedy et al.,
            Rethinking the Inception Architecture, 2016, section 7).
        class_weights: weight of each label in the loss; 1 for all if not given.
    """

    name = "classify"
    metric = "accuracy"
    larger_is_better = True

    def __init__(
        self, labels: Sequence[Any], *, label_smoothing: float = 0.0, class_weights: Sequence[float] | None = None
    ):
        self.labels = list(labels)
        self.label_smoothing = label_smoothing
        self.class_weights = None if class_weights is None else torch.tensor(class_weights)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The mean cross entropy, in nats."""
        weights = None if self.class_weights is None else self.class_weights.to(outputs)
        return functional.cross_entropy(outputs, targets, weight=weights, label_smoothing=self.label_smoothing)

    def hits(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The part of the sequences whose most probable label is right."""
        return (outputs.argmax(1) == targets).float().mean()

    def count(self, targets: Tensor) -> int:
        """Number of sequences."""
        return len(targets)

    def scores(self, outputs: Tensor, targets: Tensor) -> dict[str, float]:
        """Loss, accuracy, and F1 as the mean over the labels that occur, in the answers or in the truth."""
        # Takes seconds to import, and only a model that is judged needs it.
        from torchmetrics.functional.classification import multiclass_f1_score

        f1 = multiclass_f1_score(outputs.argmax(1), targets, num_classes=len(self.labels), average="macro")
        return {
            "loss": float(functional.cross_entropy(outputs, targets)),
            "accuracy": float((outputs.argmax(1) == targets).double().mean()),
            "macro_f1": float(f1),
        }

    def confusion(self, outputs: Tensor, targets: Tensor) -> list[list[int]]:
        """How often each label (row) was answered as each (column)."""
        from torchmetrics.functional.classification import multiclass_confusion_matrix

        return multiclass_confusion_matrix(outputs.argmax(1), targets, num_classes=len(self.labels)).tolist()

    def probabilities(self, outputs: Tensor) -> Tensor:
        """The probability of each label, `(batch, labels)`."""
        return outputs.softmax(1)
