"""Settings of a forecaster that the data decide."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from elman.data.series.panel import Series, carried
from elman.errors import UsageError
from elman.settings import check_settings
from elman.settings.forecasting import DISTRIBUTIONS, IN_UNITS
from elman.tasks.panel import named, origins_of, training_steps, unit_of
from elman.tasks.task import Values

LONG_HORIZON = 48
LONGEST_SEGMENT = 48
LONGEST_SEASON = 400
USUAL_STEPS = 12
# Fewer training windows than these are named in a note.
FEW_WINDOWS = 10
# The autocorrelation from which a season is found.
CORRELATION = 0.3


def resolved(settings: Any, values: Values, *, validated: bool) -> tuple[Any, Sequence[str]]:
    """Return the settings with every one that the series decide, and notes on them.

    The season is found in the steps before those that are held out.

    Raises:
        UsageError: a window that is not a multiple of the segment, or settings that do not go together.
    """
    panel = values.columns["series"]
    if not len(panel):
        raise UsageError("Expected at least one series, got none.", fix="Give series.")
    fraction = 0.0 if validated else settings.validation_fraction
    season, horizon, left = _season_and_horizon(settings, panel.series, fraction)
    method = settings.method or _method(settings, horizon)
    segment = settings.segment
    if method == "segments":
        segment = segment or _segment(season, horizon, left, settings.window)
        _check_window(settings.window, segment, "segment")
    elif method == "seasons":
        _check_season(season, is_given=settings.season is not None)
        _check_window(settings.window, season, "season")
    unit = unit_of(settings.model_copy(update={"method": method, "segment": segment, "season": season}))
    loss = settings.loss or _loss(settings, method)
    calendar = settings.calendar
    if calendar is None:
        calendar = panel[0].start is not None and method not in IN_UNITS
    found: dict[str, Any] = {
        "season": season,
        "horizon": horizon,
        "method": method,
        "segment": segment,
        "window": settings.window or _window(season, horizon, left, unit),
        "loss": loss,
        "scaling": settings.scaling or _scaling(method, loss),
        "calendar": bool(calendar) and panel[0].start is not None,
    }
    if not validated and not settings.validation_fraction:
        # Without a part to compare epochs by, none of them is the best.
        found["patience"] = None
    complete = _checked(settings, found)
    _check_use(complete, panel[0].past.shape[1])
    return complete, _notes(complete, panel.series, fraction, is_window_given=settings.window is not None)


def _method(settings: Any, horizon: int) -> str:
    has_segments = horizon >= LONG_HORIZON and settings.loss != "student" and not settings.closed_form
    return "segments" if has_segments else "direct"


def _loss(settings: Any, method: str) -> str:
    return "squared" if settings.closed_form else "student" if method == "recursive" else "quantile"


def _scaling(method: str, loss: str) -> str:
    if loss == "negative-binomial":
        return "standard"
    return "mean" if method == "seasons" else "last"


def _season_and_horizon(settings: Any, series: Sequence[Series], fraction: float) -> tuple[int, int, int]:
    """Return the season, the horizon, and the training steps of the longest series."""
    length = max(map(len, series))
    left = length - math.ceil(fraction * length)
    while True:
        season = settings.season or _season(series, left)
        horizon = settings.horizon or (season if season > 1 else USUAL_STEPS)
        if not fraction or length - horizon >= left:
            return season, horizon, left
        # A horizon that is longer than the fraction takes more steps away, in which no season may be found.
        left = length - horizon


def _check_season(season: int, *, is_given: bool) -> None:
    if season < 2:
        raise UsageError(
            f"A network of seasons needs a season of 2 steps or more, {'got 1' if is_given else 'and none was found'}.",
            fix="Give --season with its steps, or another --method.",
        )


def _check_window(window: int | None, unit: int, name: str) -> None:
    if window is not None and window % unit:
        raise UsageError(
            f"Expected a window of whole {name}s of {unit} steps, got {window}.",
            fix=f"Give --window {max(1, window // unit) * unit}, or another --{name}.",
        )


def _checked(settings: Any, found: Mapping[str, Any]) -> Any:
    """Return the settings with those that were found, checked as if they had been given.

    Raises:
        UsageError: settings that do not go together; it names those that are defaults.
    """
    try:
        return check_settings(type(settings), {**settings.model_dump(), **found})
    except UsageError as error:
        chosen = [f"{name} {found[name]}" for name in ("method", "loss", "scaling") if getattr(settings, name) is None]
        defaults = [f"By default for a horizon of {found['horizon']:,}: {', '.join(chosen)}."] if chosen else []
        raise UsageError(error.problem, where="\n".join([error.where or "", *defaults]), fix=error.fix) from None


def _check_use(settings: Any, past: int) -> None:
    """Refuse what the network would not read or not do.

    Raises:
        UsageError: past covariates of a recursive network, or samples of a network that draws none.
    """
    if settings.method == "recursive" and past:
        raise UsageError(
            "A recursive forecast reads no past covariates (--past): they are not known for the steps ahead.",
            fix="Give --method direct or --method segments, or leave --past out.",
        )
    draws = settings.method == "recursive" and settings.loss in DISTRIBUTIONS
    if not draws and settings.samples != type(settings).model_fields["samples"].default:
        raise UsageError(
            f"Nothing is sampled with --method {settings.method} and --loss {settings.loss}: only a recursive forecast "
            "of a distribution draws paths.",
            fix="Leave --samples out, or give --method recursive with --loss student, gaussian or negative-binomial.",
        )


def _notes(settings: Any, series: Sequence[Series], fraction: float, *, is_window_given: bool) -> list[str]:
    """Return notes on series that are shorter than a window, and on few windows to learn from."""
    window, horizon, least = settings.window, settings.horizon, unit_of(settings)
    notes = []
    short = [each.name for each in series if least + horizon <= len(each) < window + horizon]
    if short:
        notes.append(
            f"{named(short)} shorter than window + horizon ({window + horizon:,} steps): read with shorter windows"
        )
    steps = [training_steps(len(each), fraction, horizon, least) for each in series]
    count = sum(len(origins_of(each, 0, settings, settings.train_stride)) for each in steps)
    if 0 < count < FEW_WINDOWS:
        fix = "a shorter --window gives more" if is_window_given else "more steps give more"
        notes.append(
            f"only {count} window{'s' * (count > 1)} to learn from: a window and its horizon are {window + horizon:,} "
            f"steps, and the longest series has {max(steps):,} for training; {fix}"
        )
    return notes


def _window(season: int, horizon: int, left: int, unit: int) -> int:
    """Return the window: two seasons or horizons, at most half of what is left."""
    wanted = max(2 * season, 2 * horizon)
    window = min(wanted, max(1, (left - horizon) // 2))
    return max(1, window // unit) * unit


def _segment(season: int, horizon: int, left: int, window: int | None) -> int:
    usual = season if 2 <= season <= LONGEST_SEGMENT else min(24, horizon)
    room = min(each for each in (window, max(1, (left - horizon) // 2)) if each is not None)
    usual = min(usual, room)
    # A window that was given is cut into whole segments.
    return usual if window is None else next(size for size in range(usual, 0, -1) if window % size == 0)


def _season(series: Sequence[Series], end: int) -> int:
    """Return the season of the stamps' frequency, or of the autocorrelation without stamps.

    Args:
        series: all of them.
        end: the step of the longest series after which nothing is read.
    """
    if series[0].start is not None and series[0].frequency.season > 1:
        return series[0].frequency.season
    longest = max(series, key=len)
    return found_season(carried(longest.target[: max(end, 0)])[:, 0])


def found_season(values: np.ndarray) -> int:
    """Return the lag with the largest autocorrelation of the changes, 1 without a clear one.

    >>> found_season(np.sin(2 * np.pi * np.arange(60) / 7))
    7
    """
    changes = np.diff(values)
    changes = changes - changes.mean() if len(changes) else changes
    total = float(np.square(changes).sum())
    longest = min(LONGEST_SEASON, len(changes) // 3)
    if not total or longest < 3:
        return 1
    correlations = [float((changes[lag:] * changes[:-lag]).sum()) / total for lag in range(1, longest + 1)]
    peaks = [
        lag
        for lag in range(2, longest)
        if correlations[lag - 1] > max(correlations[lag - 2], correlations[lag]) and correlations[lag - 1] > CORRELATION
    ]
    return max(peaks, key=lambda lag: correlations[lag - 1], default=1)
