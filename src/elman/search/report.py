"""The page of a search: its best trials, their history, the settings side by side and their importance."""

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from elman.report.figures import figure
from elman.report.page import write_page
from elman.report.parts import Examples, Numbers, Part
from elman.report.plots import Panel, Plot, Trace
from elman.search.trials import DEFAULTS, done, values_of
from elman.settings.space import Choices, Range, Space, drawn_of

BEST = 10
# With fewer trials the importance of a setting is not computed.
FEW = 5


def ranked(study: Any) -> list[Any]:
    """Return the finished trials of a study, the best first."""
    found = [trial for trial in study.get_trials(deepcopy=False) if trial.state.name == "COMPLETE"]
    return sorted(found, key=lambda trial: -trial.value if study.direction.name == "MAXIMIZE" else trial.value)


def write_report(path: Path, study: Any, space: Space, metric: Any, *, title: str, **about: Any) -> None:
    """Write the page of a search.

    Args:
        path: the file.
        study: of Optuna.
        space: of the search.
        metric: of the task.
        title: the heading.
        about: further arguments of `write_page`: settings, facts and command.

    Raises:
        OSError: the file cannot be written.
    """
    write_page(path, title=title, parts=parts_of(study, space, metric), **about)


def parts_of(study: Any, space: Space, metric: Any) -> list[Part]:
    """Return the parts of the page of a search."""
    trials, best = done(study.get_trials(deepcopy=False)), ranked(study)
    parts: list[Part] = [_numbers(trials, best, metric)]
    if best:
        parts += [
            _table(best, space, metric),
            _history(trials, best, metric, study),
            _side_by_side(best, space, metric),
        ]
    importance = importance_of(study, space)
    if importance:
        bars = Trace(range(len(importance)), list(importance.values()), form="bars")
        panel = Panel("importance", "", "importance", [bars], is_wide=True, ticks=list(importance))
        note = "Share of the variance among good trials that each setting explains (PED-ANOVA)."
        parts.append(Plot("Importance of the settings", [panel], note))
    return parts


def importance_of(study: Any, space: Space) -> dict[str, float]:
    """Return how much each setting matters, the most important first.

    It is empty for few trials.

    Source:
        S. Watanabe, A. Bansal, F. Hutter, PED-ANOVA: Efficiently Quantifying Hyperparameter Importance in Arbitrary
        Subspaces, 2023.
    """
    if len(ranked(study)) < FEW or len(drawn_of(space)) < 2:
        return {}
    # An optional package, which takes a second to import.
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
        except (ValueError, RuntimeError):
            # All trials have one value.
            return {}
    return {name: value for name, value in found.items() if math.isfinite(value)}


def _numbers(trials: Sequence[Any], best: Sequence[Any], metric: Any) -> Numbers:
    pruned = len(trials) - len(best)
    defaults = [trial for trial in best if DEFAULTS in trial.user_attrs]
    rows = [("trials", figure(len(trials)), ""), ("pruned or failed", figure(pruned), "Ended before their last epoch.")]
    rows += [(f"best {metric.heading}", metric.shown(trial.value), f"Trial {trial.number}.") for trial in best[:1]]
    rows += [("with the defaults", metric.shown(trial.value), f"Trial {trial.number}.") for trial in defaults[:1]]
    return Numbers(rows, remark="The scores are those of the validation data, by which the best trial was chosen.")


def _table(best: Sequence[Any], space: Space, metric: Any) -> Examples:
    rows = [
        (
            trial.number,
            metric.shown(trial.value),
            *(figure(each, trim=True) for each in values_of(trial, space).values()),
        )
        for trial in best[:BEST]
    ]
    return Examples("Best trials", ("trial", metric.heading, *space), rows)


def _history(trials: Sequence[Any], best: Sequence[Any], metric: Any, study: Any) -> Plot:
    choose, so_far = max if study.direction.name == "MAXIMIZE" else min, []
    finished = sorted(best, key=lambda trial: trial.number)
    for trial in finished:
        so_far.append(trial.value if not so_far else choose(so_far[-1], trial.value))
    numbers = [trial.number for trial in finished]
    pruned = {trial.number: last for trial in trials if (last := _last(trial)) is not None}
    traces = [
        Trace(numbers, [trial.value for trial in finished], "finished", "points", "train"),
        Trace(list(pruned), list(pruned.values()), "pruned", "points", "ink"),
        Trace(numbers, so_far, "best so far", "line", "validation"),
    ]
    return Plot("History", [Panel("history", "trial", metric.heading, [t for t in traces if len(t.x)], is_wide=True)])


def _last(trial: Any) -> float | None:
    values = trial.intermediate_values
    return values[max(values)] if values and trial.state.name == "PRUNED" else None


def _side_by_side(best: Sequence[Any], space: Space, metric: Any) -> Plot:
    """Draw each trial as a line over the settings, the best fifth in colour."""
    good = max(1, len(best) // 5)
    values = [trial.value for trial in best]
    low, high = min(values), max(values)
    traces, drawn = [], drawn_of(space)
    for number, trial in reversed(list(enumerate(best))):
        heights = [_height(domain, trial.params[name]) for name, domain in drawn.items()]
        heights.append((trial.value - low) / (high - low) if high > low else 0.5)
        look: dict[str, Any] = (
            {"form": "line", "colour": "train"} if number < good else {"form": "dashes", "colour": "ink"}
        )
        traces.append(Trace(range(len(heights)), heights, **look))
    ticks = [f"{name.rpartition('.')[2]}\n{_ends(domain)}".replace("_", "_\n", 1) for name, domain in drawn.items()]
    ticks.append(f"{metric.heading}\n{metric.shown(low)} – {metric.shown(high)}")
    panel = Panel("parallel coordinates", "", "low to high", traces, is_wide=True, ticks=ticks)
    return Plot("Settings side by side", [panel], "A line for each finished trial; the best fifth in colour.")


def _height(domain: Range | Choices, drawn: Any) -> float:
    """Return the position of a value in its domain, from 0 to 1."""
    if isinstance(domain, Choices):
        return drawn / max(1, len(domain.values) - 1)
    scale = math.log if domain.log else float
    return (scale(drawn) - scale(domain.low)) / (scale(domain.high) - scale(domain.low))


def _ends(domain: Range | Choices) -> str:
    first, last = (domain.values[0], domain.values[-1]) if isinstance(domain, Choices) else (domain.low, domain.high)
    return f"{figure(first, trim=True)} – {figure(last, trim=True)}"
