"""The parts of a report about numbers: predictions against true numbers, residuals, the worst predictions."""

import heapq
import random
from collections.abc import Iterator

from elman.report.figures import figure
from elman.report.parts import WORST, Examples, Part
from elman.report.plots import Panel, Plot, Trace
from elman.tasks.task import Found, Row

# Points in a plot.
SHOWN_POINTS = 1000
BINS = 31


class Sample:
    """Some of many pairs of a true and a predicted number, drawn uniformly, in bounded memory.

    Source:
        J. Vitter, Random Sampling with a Reservoir, 1985, algorithm R: the number of pairs is not known before.
    """

    def __init__(self) -> None:
        self.pairs: list[tuple[float, float]] = []
        self.seen = 0
        self._generator = random.Random(0)

    def add(self, true: float, predicted: float) -> None:
        """Add a pair, in place of an earlier one if there are many."""
        if len(self.pairs) < SHOWN_POINTS:
            self.pairs.append((true, predicted))
        elif (at := self._generator.randrange(self.seen + 1)) < SHOWN_POINTS:
            self.pairs[at] = true, predicted
        self.seen += 1

    def plots(self, noun: str = "rows") -> list[Part]:
        """Return the plots of predictions against true numbers and of the residuals.

        Args:
            noun: what was evaluated, in the plural.

        Returns:
            One part, or none without pairs.
        """
        return [_plot(self.pairs, self.seen, noun)] if self.pairs else []


def residual_parts(found: Found, target: str) -> list[Part]:
    """Return two plots, and the predictions that are farthest from the truth.

    Args:
        found: whose rows are read once.
        target: the column of the true numbers.
    """
    sample = Sample()
    worst: list[tuple[float, int, Row, float, float]] = []
    for row in found.rows:
        for true, predicted in _pairs(row, target):
            sample.add(true, predicted)
            item = abs(predicted - true), -sample.seen, row, true, predicted
            if len(worst) < WORST:
                heapq.heappush(worst, item)
            elif item[0] > worst[0][0]:
                heapq.heapreplace(worst, item)
    rows = [
        (_shown(row), figure(true), figure(predicted), figure(predicted - true))
        for _, _, row, true, predicted in sorted(worst, reverse=True, key=lambda item: item[:2])
    ]
    note = "The predictions that are farthest from the truth."
    return [*sample.plots(), Examples("Worst predictions", ("text", "truth", "prediction", "residual"), rows, note)]


def _pairs(row: Row, target: str) -> Iterator[tuple[float, float]]:
    true, predicted = row.values[target], row.answer.value
    if isinstance(predicted, list):
        yield from zip(map(float, true), predicted, strict=True)
    else:
        yield float(true), predicted


def _plot(sample: list[tuple[float, float]], seen: int, noun: str) -> Plot:
    true, predicted = [pair[0] for pair in sample], [pair[1] for pair in sample]
    ends = [min(*true, *predicted), max(*true, *predicted)] if len(sample) > 1 else [true[0], true[0]]
    against = Panel(
        "predictions",
        "true number",
        "prediction",
        [Trace(ends, ends, "equal", "dashes", "ink"), Trace(true, predicted, form="points")],
    )
    middles, counts = _histogram([after - before for before, after in sample])
    residuals = Panel("residuals", "prediction - true number", noun, [Trace(middles, counts, form="bars")])
    part = f" {len(sample):,} of {seen:,} are shown." if seen > len(sample) else ""
    return Plot("Predictions and residuals", [against, residuals], f"Of the {noun} evaluated.{part}")


def _histogram(values: list[float]) -> tuple[list[float], list[float]]:
    low, high = min(values), max(values)
    width = (high - low) / BINS or 1.0
    counts = [0.0] * BINS
    for value in values:
        counts[min(BINS - 1, int((value - low) / width))] += 1
    return [low + (number + 0.5) * width for number in range(BINS)], counts


def _shown(row: Row) -> str:
    value = row.values["text"]
    return value if isinstance(value, str) else f"{len(value):,} steps"
