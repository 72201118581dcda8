"""The report of a comparer: scores, confusion matrix, and the pairs that were answered worst."""

import heapq
from collections.abc import Iterator
from typing import Any

from elman.report.figures import figure
from elman.report.parts import WORST, Confusion, Examples, Numbers, Part
from elman.tasks.classify import reliability_of
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
    rows = list(_wrong(found.rows, kinds))
    if rows:
        worst = heapq.nlargest(WORST, rows, key=lambda row: row[0])
        header = ("first", "second", "truth", "answer")
        note = "The answers that are furthest from the truth, or of which the model was surest."
        parts.append(Examples("Worst pairs", header, [row[1:] for row in worst], note))
    return parts


def _wrong(rows: Any, kinds: list[str]) -> Iterator[tuple[float, Any, Any, str, str]]:
    """Yield how wrong each answer is, with the pair, the truth and the answer."""
    for row in rows:
        distance = _distance(row, kinds)
        if distance > 0:
            truth, answer = (_shown(value) for value in (row.values["target"], row.answer.value))
            yield distance, row.values["first"], row.values["second"], truth, answer


def _distance(row: Row, kinds: list[str]) -> float:
    """Return the distance of a number from the truth, plus the probability of a wrong label."""
    several = len(kinds) > 1
    total = 0.0
    for number, kind in enumerate(kinds):
        truth = row.values["target"][number] if several else row.values["target"]
        value = row.answer.value[number] if several else row.answer.value
        if kind == "number":
            total += abs(float(truth) - float(value))
        elif str(truth).strip() != str(value):
            # An answer that is a similarity is not a label.
            total += row.answer.probability or 0.0
    return total


def _shown(value: Any) -> str:
    values = value if isinstance(value, tuple | list) else (value,)
    return ", ".join(figure(each) for each in values)
