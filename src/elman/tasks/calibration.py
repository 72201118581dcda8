"""Probabilities that are as large as the share of right answers: a temperature, and how far they are from it."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from elman.tasks.confusions import LabelScores
from elman.tasks.task import Batch, Read

BINS = 15
# Of the inverse temperature. Held-out answers that are all right would have it grow without end.
LIMITS = 0.05, 20.0
# Deviation of the inverse temperature from 1 before anything is known, so that few held-out rows change little.
DEVIATION = 0.5
ITERATIONS = 100


def fit_temperature(logits: Tensor, targets: Tensor) -> float:
    """Return the temperature T for which softmax(logits / T) fits the targets best.

    With b = 1 / T, the convex function

        sum(cross entropy(b · logits, targets)) + (b - 1)² / (2 · 0.5²)

    is minimised by Newton's method in float64. The order of the probabilities does not change.

    Args:
        logits: `(rows, labels)`, of rows that the network did not learn from.
        targets: positions of the true labels, `(rows,)`.

    Returns:
        The temperature, from 0.05 to 20; 1 without rows, or where a logit is not finite.

    Source:
        C. Guo et al., On Calibration of Modern Neural Networks, 2017, section 4.2. Difference: the second term, a prior
        that keeps the probabilities of a few held-out rows from deciding.

    >>> sure = torch.tensor([[9.0, 0.0]] * 100)
    >>> round(fit_temperature(sure, torch.tensor([0] * 73 + [1] * 27)), 1)  # softmax(9 / 9) is 0.73
    8.8
    """
    if not len(targets) or not logits.isfinite().all():
        return 1.0
    logits = logits.double()
    true = logits.gather(1, targets[:, None])[:, 0]
    low, high = LIMITS
    inverse = 1.0
    for _ in range(ITERATIONS):
        probabilities = (inverse * logits).softmax(1)
        mean = (probabilities * logits).sum(1)
        slope = float((mean - true).sum()) + (inverse - 1) / DEVIATION**2
        curvature = float((probabilities * (logits - mean[:, None]).square()).sum()) + 1 / DEVIATION**2
        # The minimum is between the last positions with a falling and a rising slope.
        low, high = (low, inverse) if slope > 0 else (inverse, high)
        step = inverse - slope / curvature
        following = step if low <= step <= high else (low + high) / 2
        if abs(following - inverse) <= 1e-12 * inverse:
            break
        inverse = following
    return 1 / inverse


class Reliability:
    """How often answers of about the same probability are right, in memory that does not grow with them.

    Bin k of 15 has the answers whose probability is above k / 15 and at most (k + 1) / 15.
    """

    def __init__(self):
        self._sums = torch.zeros(BINS, 3, dtype=torch.float64)

    def update(self, probabilities: Tensor, right: Tensor) -> None:
        """Count answers.

        Args:
            probabilities: of the answers, `(answers,)`.
            right: whether each is, `(answers,)`.
        """
        probabilities = probabilities.detach().double().cpu()
        bins = (probabilities * BINS).ceil().long().sub(1).clamp(0, BINS - 1)
        rows = torch.stack([torch.ones_like(probabilities), probabilities, right.double().cpu()], 1)
        self._sums.index_add_(0, bins, rows)

    def bins(self) -> list[tuple[int, float, float]]:
        """Return the number, the mean probability and the share of right answers of each bin."""
        return [
            (int(count), probability / max(count, 1.0), right / max(count, 1.0))
            for count, probability, right in self._sums.tolist()
        ]

    def error(self) -> float:
        """Return the expected calibration error.

        It is the distance of the mean probability and the share of right answers of a bin, averaged over the answers.

        Source:
            M. Naeini et al., Obtaining Well Calibrated Probabilities Using Bayesian Binning, 2015, equation 3.
        """
        count, probability, right = self._sums.unbind(1)
        return float((probability - right).abs().sum() / count.sum().clamp(min=1))


class CalibratedScores:
    """The scores of labels, with the calibration error of the probabilities at a temperature and without it.

    The loss is that of the probabilities at the temperature.

    Args:
        labels: in the order of the outputs.
        column: of a batch, that has the positions of the true labels.
        temperature: by which logits are divided.
    """

    def __init__(self, labels: list[Any], column: str, temperature: float = 1.0):
        self._scores = LabelScores(labels, column, temperature=temperature)
        self._column = column
        self._temperature = temperature
        self._before, self._after = Reliability(), Reliability()

    def update(self, batch: Batch, read: Read) -> None:
        """Count a batch, whose outputs are logits `(rows, labels)`."""
        self._scores.update(batch, read)
        logits = read.outputs.detach().double()
        right = logits.argmax(1) == batch[self._column]
        for reliability, temperature in ((self._before, 1.0), (self._after, self._temperature)):
            reliability.update((logits / temperature).softmax(1).amax(1), right)

    def compute(self) -> dict[str, Any]:
        """Return every score by its name, see `LabelScores.compute` and `Reliability`."""
        return {
            **self._scores.compute(),
            "calibration_error": self._after.error(),
            "calibration_error_before": self._before.error(),
            "reliability": self._after.bins(),
        }


def bin_names() -> Sequence[str]:
    """Return the range of each bin in percent.

    >>> bin_names()[0], bin_names()[-1]
    ('0–7%', '93–100%')
    """
    edges = [round(100 * number / BINS) for number in range(BINS + 1)]
    return [f"{low}–{high}%" for low, high in pairwise(edges)]


def is_temperature(value: object) -> bool:
    """Return whether a value of a configuration file can be a temperature."""
    return isinstance(value, int | float) and math.isfinite(value) and value > 0
