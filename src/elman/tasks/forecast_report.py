"""The report of a forecaster: forecasts against the truth, errors, residuals."""

from collections.abc import Mapping
from typing import Any

from elman.report.parts import Numbers, Part


def parts_of_report(task: Any, scores: Mapping[str, Any]) -> list[Part]:
    """Return the parts of the report."""
    coverage = scores.get("coverage")
    remark = "" if coverage is None else f"Intervals should hold {100 * task.settings.interval:g}% of the values."
    return [Numbers(list(task.figures(scores)), remark=remark)]
