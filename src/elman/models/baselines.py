"""The baselines of a model: fitted on its training data, scored on other data, saved with it."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from elman.errors import MissingPackageError
from elman.tasks.baselines import Baseline, BaselineScore
from elman.tasks.task import Task, Values


def fit_baselines(task: Task, values: Values, last: str | None = None) -> tuple[list[Baseline], list[str]]:
    """Fit the baselines of a task.

    Args:
        task: fitted.
        values: that the network learned from.
        last: the name of the last baseline to fit, of those in the order of the task; if not given, all but
            those that must be asked for.

    Returns:
        The fitted ones, and a sentence for each that is left out: it needs a missing package, or other data.
    """
    fitted, missing = [], []
    for baseline in task.baselines():
        if baseline.name in task.asked_baselines and baseline.name != last:
            continue
        try:
            if reason := baseline.unsuited(values.columns):
                missing.append(reason)
            else:
                baseline.prepare()
                begun = time.monotonic()
                baseline.fit(task, values.columns)
                baseline.seconds = time.monotonic() - begun
                fitted.append(baseline)
        except MissingPackageError as error:
            missing.append(f"{error.problem} {error.fix}")
        if baseline.name == last:
            break
    return fitted, missing


def score_baselines(task: Task, fitted: Sequence[Baseline], values: Values) -> list[BaselineScore]:
    """Return the score of each baseline on data, the strongest baseline last."""
    found = []
    for baseline in fitted:
        begun = time.monotonic()
        score = baseline.score(task, values.columns)
        seconds = baseline.seconds + time.monotonic() - begun
        found.append(BaselineScore(baseline.name, baseline.title, baseline.metric(task), score, seconds))
    return found


def baselines_to_json(fitted: Sequence[Baseline]) -> dict[str, Any]:
    """Return what the baselines learned, without their numbers."""
    return {each.name: {**each.to_json(), "seconds": each.seconds} for each in fitted}


def baseline_tensors(fitted: Sequence[Baseline]) -> dict[str, Tensor]:
    """Return the numbers that the baselines learned, by the name of the baseline and their own."""
    return {
        f"{each.name}/{name}": torch.from_numpy(values) for each in fitted for name, values in each.arrays().items()
    }


def restore_baselines(task: Task, document: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> list[Baseline]:
    """Return the baselines that were saved, but for those that this elman does not know."""
    found = []
    for baseline in task.baselines():
        if baseline.name in document:
            start = f"{baseline.name}/"
            own = {name.removeprefix(start): tensors[name].numpy() for name in tensors if name.startswith(start)}
            baseline.load(document[baseline.name], own)
            baseline.seconds = document[baseline.name]["seconds"]
            found.append(baseline)
    return found
