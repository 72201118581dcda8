"""The report of a comparer: scores, confusion matrix, predicted against true numbers, and the worst pairs."""

import heapq
from collections.abc import Iterator
from typing import Any

from elman.report.figures import figure
from elman.report.parts import WORST, Confusion, Examples, Numbers, Part
from elman.tasks.classify import reliability_of
from elman.tasks.number_report import Sample
from elman.tasks.task import Found, Row


def report_pairs(task: Any, found: Found) -> list[Part]:
    """Return the parts of the report of a comparer.

    Args:
        task: of the model.
        found: scores and answered pairs.
    """
    scores = found.scores
    share, against = scores.get("accuracy"), scores.get("majority")
    parts: list[Part] = [Numbers(list(task.figures(scores)), share, against)]
    if "confusion" in scores:
        parts.append(Confusion(scores["labels"], scores["confusion"]))
    if "reliability" in scores:
        parts.append(reliability_of(scores, task.temperature))
    kinds = getattr(task.encoders["target"], "kinds", [])
    sample = Sample()
    rows = list(_wrong(found.rows, kinds, sample))
    parts += sample.plots("pairs")
    if rows:
        worst = heapq.nlargest(WORST, rows, key=lambda row: row[0])
        header = ("first", "second", "truth", "answer")
        note = "The answers that are furthest from the truth, or of which the model was surest."
        parts.append(Examples("Worst pairs", header, [row[1:] for row in worst], note))
    return parts


def _wrong(rows: Any, kinds: list[str], sample: Sample) -> Iterator[tuple[float, Any, Any, str, str]]:
    """Yield how wrong each answer is, with the pair, the truth and the answer.

    Args:
        rows: read once.
        kinds: of the targets.
        sample: is given the numbers.
    """
    for row in rows:
        if "number" in kinds:
            sample.add(*(float(_column(value, kinds, "number")) for value in (row.values["target"], row.answer.value)))
        distance = _distance(row, kinds)
        if distance > 0:
            truth, answer = (_shown(value) for value in (row.values["target"], row.answer.value))
            yield distance, row.values["first"], row.values["second"], truth, answer


def _column(value: Any, kinds: list[str], kind: str) -> Any:
    """Return the target or answer of a kind, among several or by itself."""
    return value[kinds.index(kind)] if len(kinds) > 1 else value


def _distance(row: Row, kinds: list[str]) -> float:
    """Return the distance of a number from the truth, plus the probability of a wrong label."""
    total = 0.0
    for kind in kinds:
        truth, value = (_column(each, kinds, kind) for each in (row.values["target"], row.answer.value))
        if kind == "number":
            total += abs(float(truth) - float(value))
        elif str(truth).strip() != str(value):
            # An answer that is a similarity is not a label.
            total += row.answer.probability or 0.0
    return total


def _shown(value: Any) -> str:
    values = value if isinstance(value, tuple | list) else (value,)
    return ", ".join(figure(each) for each in values)
