"""Settings of a forecaster that the data decide."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from elman.data.series.panel import Series, carried
from elman.errors import UsageError
from elman.tasks.panels import least_window, named
from elman.tasks.task import Values

LONG_HORIZON = 48
LONGEST_SEGMENT = 48
LONGEST_SEASON = 400
USUAL_STEPS = 12
# The autocorrelation from which a season is found.
CORRELATION = 0.3


def resolved(settings: Any, values: Values, *, validated: bool) -> tuple[Any, Sequence[str]]:
    """Return the settings with every one that the series decide, and notes on them.

    Raises:
        UsageError: a window that is not a multiple of the segment, or settings that do not go together.
    """
    panel = values.columns["series"]
    if not len(panel):
        raise UsageError("Expected at least one series, got none.", fix="Give series.")
    found: dict[str, Any] = {}
    season = settings.season or _season(panel.series)
    horizon = settings.horizon or (season if season > 1 else USUAL_STEPS)
    method = settings.method or ("segments" if horizon >= LONG_HORIZON and settings.loss != "student" else "direct")
    longest = max(map(len, panel.series))
    fraction = 0.0 if validated else settings.validation_fraction
    left = longest - (max(horizon, math.ceil(fraction * longest)) if fraction else 0)
    segment = settings.segment or _segment(season, horizon, left, settings.window) if method == "segments" else None
    if segment is not None and settings.window is not None and settings.window % segment:
        raise UsageError(
            f"Expected a window of whole segments of {segment} steps, got {settings.window}.",
            fix=f"Give --window {max(1, settings.window // segment) * segment}, or another --segment.",
        )
    window = settings.window or _window(season, horizon, left, segment or 1)
    loss = settings.loss or ("student" if method == "recursive" else "quantile")
    scaling = settings.scaling or ("standard" if loss == "negative-binomial" else "last")
    calendar = settings.calendar
    if calendar is None:
        calendar = panel[0].start is not None and method != "segments"
    found = {
        "season": season,
        "horizon": horizon,
        "method": method,
        "segment": segment,
        "window": window,
        "loss": loss,
        "scaling": scaling,
        "calendar": bool(calendar) and panel[0].start is not None,
    }
    if not validated and not settings.validation_fraction:
        # Without a part to compare epochs by, none of them is the best.
        found["patience"] = None
    if method == "recursive" and panel[0].past.shape[1]:
        raise UsageError(
            "A recursive forecast reads no past covariates (--past): they are not known for the steps ahead.",
            fix="Give --method direct or --method segments, or leave --past out.",
        )
    settings = type(settings)(**{**settings.model_dump(), **found})
    short = [
        each.name for each in panel if len(each) < window + horizon and len(each) >= least_window(settings) + horizon
    ]
    notes = []
    if short and len(short) < len(panel):
        notes.append(
            f"{named(short)} shorter than window + horizon ({window + horizon:,} steps): read with shorter windows"
        )
    return settings, notes


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


def _season(series: Sequence[Series]) -> int:
    """Return the season of the stamps' frequency, or of the autocorrelation without stamps."""
    if series[0].start is not None and series[0].frequency.season > 1:
        return series[0].frequency.season
    longest = max(series, key=len)
    return found_season(carried(longest.target)[:, 0])


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
