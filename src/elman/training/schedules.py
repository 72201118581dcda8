"""Learning-rate schedules: the factor of the learning rate, a pure function of the step."""

import math
from collections.abc import Callable

from elman.settings.training import RunSettings

ONE_CYCLE_LOW = 0.1
ONE_CYCLE_END = 0.001
ONE_CYCLE_HALF = 0.45


def depends_on_total(settings: RunSettings) -> bool:
    """Return whether the learning rate of a step depends on the length of the whole run."""
    return settings.schedule not in ("constant", "step") or settings.warmup_fraction > 0


def learning_rate_factor(step: int, total_steps: int, settings: RunSettings) -> float:
    """Return the factor of the learning rate at one step of a run.

    With `p = (step - warm) / (total_steps - warm)`, the part of the run after warm-up that is done, `warm` the steps
    of warm-up and `f` the final fraction:

    - constant: `1`
    - linear: `1 - (1 - f) p`
    - cosine: `f + (1 - f) (1 + cos(pi p)) / 2`
    - step: `step_factor ** (epochs done // step_epochs)`, epochs counted from the start of the run
    - one-cycle: 0.1 up to 1 over 45% of the run, down to 0.1 over 45%, down to 0.001 over the rest, each linear

    A warm-up of `warm` steps goes first: `(step + 1) / warm`, so that no step has the rate 0.

    Args:
        step: steps done before this one, from 0.
        total_steps: steps of the whole run.
        settings: `schedule`, `warmup_fraction`, `final_fraction`, `step_epochs`, `step_factor` and `epochs` are read.

    Source:
        cosine: Loshchilov & Hutter 2017, "SGDR", equation 5, one period without restarts. Warm-up: Goyal et al. 2017,
        "Accurate, large minibatch SGD", section 2.2. One-cycle: Smith 2018, "A disciplined approach to neural network
        hyper-parameters", section 4; the momentum, which Smith moves the other way, stays as it is.

    >>> settings = RunSettings(schedule="cosine")
    >>> [round(learning_rate_factor(step, 100, settings), 6) for step in (0, 50, 100)]
    [1.0, 0.5, 0.0]
    """
    warm = math.ceil(settings.warmup_fraction * total_steps)
    if step < warm:
        return (step + 1) / warm
    if settings.schedule == "step":
        return _step(step / total_steps, settings)
    return _CURVES[settings.schedule]((step - warm) / max(total_steps - warm, 1), settings.final_fraction)


def _step(done: float, settings: RunSettings) -> float:
    # The sum of many epochs' shares can fall short of a whole number by a rounding.
    epochs_done = math.floor(done * settings.epochs + 1e-9)
    return settings.step_factor ** (epochs_done // (settings.step_epochs or 1))


def _constant(_done: float, _final: float) -> float:
    return 1.0


def _linear(done: float, final: float) -> float:
    return 1 - (1 - final) * done


def _cosine(done: float, final: float) -> float:
    return final + (1 - final) * (1 + math.cos(math.pi * done)) / 2


def _one_cycle(done: float, _final: float) -> float:
    if done < ONE_CYCLE_HALF:
        return ONE_CYCLE_LOW + (1 - ONE_CYCLE_LOW) * done / ONE_CYCLE_HALF
    if done < 2 * ONE_CYCLE_HALF:
        return 1 - (1 - ONE_CYCLE_LOW) * (done - ONE_CYCLE_HALF) / ONE_CYCLE_HALF
    tail = (done - 2 * ONE_CYCLE_HALF) / (1 - 2 * ONE_CYCLE_HALF)
    return ONE_CYCLE_LOW - (ONE_CYCLE_LOW - ONE_CYCLE_END) * tail


_CURVES: dict[str, Callable[[float, float], float]] = {
    "constant": _constant,
    "linear": _linear,
    "cosine": _cosine,
    "one-cycle": _one_cycle,
}
