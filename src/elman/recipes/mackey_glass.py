"""The Mackey–Glass series, one step ahead, by a reservoir of 100 units."""

from pathlib import Path

import numpy as np

from elman.recipes.recipe import Parts, Recipe
from elman.tasks.task import Values

TRAINED, TESTED, WARM_UP = 2_000, 500, 100
DELAY = 17


def mackey_glass(steps: int, *, delay: int = DELAY, start: float = 1.2, parts: int = 10) -> np.ndarray:
    """Return the Mackey–Glass series, `(steps,)`, one value for each unit of time.

    x' = 0.2·x(t - delay) / (1 + x(t - delay)¹⁰) - 0.1·x

    Args:
        steps: number of values.
        delay: the delay in units of time; 17 is weakly chaotic.
        start: the value at all times up to 0.
        parts: steps of the integration in a unit of time.

    Source:
        M. C. Mackey, L. Glass, Oscillation and Chaos in Physiological Control Systems, 1977, equation 4b. It is
        integrated by the Runge-Kutta method of fourth order, in which the delayed value is constant during a step.
    """
    known = np.full(steps * parts + delay * parts + 1, start)
    size, first = 1.0 / parts, delay * parts
    for now in range(first, len(known) - 1):
        before = known[now - first]
        rise = 0.2 * before / (1.0 + before**10)
        one = rise - 0.1 * known[now]
        two = rise - 0.1 * (known[now] + size * one / 2)
        three = rise - 0.1 * (known[now] + size * two / 2)
        four = rise - 0.1 * (known[now] + size * three)
        known[now + 1] = known[now] + size * (one + 2 * two + 2 * three + four) / 6
    return known[first + parts :: parts]


def read(name: str, data: Path) -> Parts:
    """Return the first part of the series to train on, and the next to test on, after a warm-up."""
    series = mackey_glass(TRAINED + TESTED + 1)
    series = 2 * (series - series.min()) / (series.max() - series.min()) - 1
    train, test = (0, TRAINED), (TRAINED - WARM_UP, TRAINED + TESTED)
    return Parts(_next(series, *train), None, _next(series, *test), {"tokens": "values"})


def _next(series: np.ndarray, first: int, last: int) -> Values:
    """Return each value with the next one as its target."""
    columns = {"text": [series[first:last, None]], "target": [series[first + 1 : last + 1].tolist()]}
    return Values(columns, source=f"values {first + 1:,} to {last:,} of the series")


mackey_glass_step = Recipe(
    name="mackey-glass",
    summary="one step ahead of the Mackey–Glass series (delay 17); a reservoir of 100 units, ridge regression",
    task="regress",
    data=(),
    read=read,
    settings={
        "tokens": "values",
        "cell": "reservoir",
        "cell_options": {"recurrent": "sparse(0.9, 0.1)", "input_scaling": 0.3, "bias_scaling": 0.2},
        "hidden_size": 100,
        "bidirectional": False,
        "scaling": "none",
        "batch_size": 1,
        "dropout": 0.0,
        "warmup_steps": WARM_UP,
        "validation_fraction": 0.0,
        "ridges": (1e-12, 1e-10, 1e-8, 1e-6),
    },
    reported={"rmse": 0.00234},
    source="ReservoirPy's reservoir of 100 units on such a series (0.00085 with its best ridge)",
    seeds=20,
)
