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


def residual_parts(found: Found, target: str) -> list[Part]:
    """Return two plots, and the predictions that are farthest from the truth.

    Args:
        found: whose rows are read once.
        target: the column of the true numbers.
    """
    sample, generator = list[tuple[float, float]](), random.Random(0)
    worst: list[tuple[float, int, Row, float, float]] = []
    seen = 0
    for row in found.rows:
        for true, predicted in _pairs(row, target):
            # A uniform sample of all pairs, whose number is not known before (J. Vitter, 1985, algorithm R).
            if len(sample) < SHOWN_POINTS:
                sample.append((true, predicted))
            elif (at := generator.randrange(seen + 1)) < SHOWN_POINTS:
                sample[at] = true, predicted
            seen += 1
            item = abs(predicted - true), -seen, row, true, predicted
            if len(worst) < WORST:
                heapq.heappush(worst, item)
            elif item[0] > worst[0][0]:
                heapq.heapreplace(worst, item)
    rows = [
        (_shown(row), figure(true), figure(predicted), figure(predicted - true))
        for _, _, row, true, predicted in sorted(worst, reverse=True, key=lambda item: item[:2])
    ]
    note = "The predictions that are farthest from the truth."
    examples = Examples("Worst predictions", ("text", "truth", "prediction", "residual"), rows, note)
    return [_plot(sample, seen), examples] if sample else [examples]


def _pairs(row: Row, target: str) -> Iterator[tuple[float, float]]:
    true, predicted = row.values[target], row.answer.value
    if isinstance(predicted, list):
        yield from zip(map(float, true), predicted, strict=True)
    else:
        yield float(true), predicted


def _plot(sample: list[tuple[float, float]], seen: int) -> Plot:
    true, predicted = [pair[0] for pair in sample], [pair[1] for pair in sample]
    ends = [min(*true, *predicted), max(*true, *predicted)] if len(sample) > 1 else [true[0], true[0]]
    against = Panel(
        "predictions",
        "true number",
        "prediction",
        [Trace(ends, ends, "equal", "dashes", "ink"), Trace(true, predicted, form="points")],
    )
    middles, counts = _histogram([after - before for before, after in sample])
    residuals = Panel("residuals", "prediction - true number", "rows", [Trace(middles, counts, form="bars")])
    part = f" {len(sample):,} of {seen:,} are shown." if seen > len(sample) else ""
    return Plot("Predictions and residuals", [against, residuals], f"Of the rows evaluated.{part}")


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
