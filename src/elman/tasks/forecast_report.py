"""The report of a forecaster: forecasts against the truth, errors by step, target and series, residuals."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from elman.report.parts import Examples, Numbers, Part
from elman.report.plots import Panel, Plot, Trace

SHOWN_ROWS = 20
# As `forecast_scores` counts residuals.
FARTHEST = 4.0


def parts_of_report(task: Any, scores: Mapping[str, Any]) -> list[Part]:
    """Return the parts of the report.

    Args:
        task: of the model.
        scores: as `ForecastScores.compute` gives them.
    """
    settings, targets = task.settings, task.encoders["series"].layout.target
    share = f"Intervals should hold {100 * settings.interval:g}% of the values."
    remark = "" if scores.get("coverage") is None else share
    parts: list[Part] = [Numbers(list(task.figures(scores)), remark=remark)]
    if scores.get("examples"):
        panels = [_example(number, each, settings) for number, each in enumerate(scores["examples"], 1)]
        note = "The last steps before an origin, the forecast from there, and what followed."
        parts.append(
            Plot("Forecasts", panels, note + (f" Bands are {100 * settings.interval:g}% intervals." if remark else ""))
        )
    if scores.get("mae_by_step"):
        parts.append(Plot("Errors", list(_errors(scores)), "In deviations of the target in training."))
    for name, of in (("mae_by_target", "target"), ("mae_by_series", "series")):
        if scores.get(name):
            rows = sorted(scores[name].items(), key=lambda pair: -pair[1])[:SHOWN_ROWS]
            more = "" if len(scores[name]) <= SHOWN_ROWS or of == "target" else " Those with the largest errors."
            note = f"Mean absolute error, in deviations of the target in training.{more}"
            parts.append(Examples(f"Errors by {of}", (of, "MAE"), rows, note))
    return parts if targets else parts[:1]


def _example(number: int, example: Mapping[str, Any], settings: Any) -> Panel:
    past, future, forecast = example["past"], example["future"], example["forecast"]
    before, after = _steps(-len(past) + 1, past), _steps(1, future)
    traces = [
        Trace(*_known(before, past), colour="ink"),
        Trace(*_known(after, future), label="truth", colour="ink"),
    ]
    band = {name: example[name] for name in ("low", "high") if name in example}
    traces.append(Trace(after, forecast, label="forecast", **band))
    of = f"{example['series']}, " if example["series"] else ""
    name = f"{number}: {of}{example['target']} from {example['origin']}"
    return Panel(name, f"steps from {of}{example['origin']}", example["target"], traces)


def _errors(scores: Mapping[str, Any]) -> Iterator[Panel]:
    steps = scores["mae_by_step"]
    yield Panel("error by step", "steps ahead", "mean absolute error", [Trace(_steps(1, steps), steps)])
    counts = scores.get("residuals") or []
    total = sum(counts)
    if total:
        width = 2 * FARTHEST / len(counts)
        middles = [-FARTHEST + (number + 0.5) * width for number in range(len(counts))]
        bars = Trace(middles, [count / total for count in counts], form="bars")
        yield Panel("residuals", "truth - forecast", "share", [bars])


def _steps(first: int, values: Sequence[Any]) -> list[float]:
    return [float(first + number) for number in range(len(values))]


def _known(steps: Sequence[float], values: Sequence[float | None]) -> tuple[list[float], list[float]]:
    """Return the positions and values, NaN where a value is missing, so that a line has a gap."""
    return list(steps), [math.nan if value is None else value for value in values]
