"""Features of the calendar: where a step is in its hour, day, week, month and year."""

from collections.abc import Sequence

import numpy as np

from elman.data.series.timestamps import DAY, HOUR, WEEK, Frequency

YEAR = 365.25 * DAY
_MONTH = YEAR / 12
# Seconds of each cycle, from short to long.
CYCLES = {"minute": HOUR, "hour": DAY, "weekday": WEEK, "monthday": _MONTH, "yearday": YEAR}
# Of a cycle, for its features to be learned.
_TIMES_SEEN = 2


def cycles_for(frequency: Frequency, steps: int) -> list[str]:
    """Return the cycles of which so many steps of a frequency hold at least two.

    A cycle that was seen only once would be learned as a trend.

    >>> cycles_for(Frequency("second", 3600), 24 * 60), cycles_for(Frequency("month", 1), 24)
    (['hour', 'weekday'], ['yearday'])
    """
    length = _seconds(frequency)
    if length is None:
        return []
    found = [
        name for name, cycle in CYCLES.items() if 2 * length <= cycle * 1.01 and steps * length >= _TIMES_SEEN * cycle
    ]
    return [name for name in found if name != "monthday" or length <= DAY]


def calendar_features(stamps: np.ndarray, cycles: Sequence[str]) -> np.ndarray:
    """Return the sine and the cosine of the position in each cycle.

    Args:
        stamps: `(steps,)` `datetime64[s]`.
        cycles: names from `CYCLES`.

    Returns:
        `(steps, 2 · cycles)`.
    """
    parts = [_position(stamps, cycle) for cycle in cycles]
    angles = 2 * np.pi * np.stack(parts, 1) if parts else np.empty((len(stamps), 0))
    return np.stack([np.sin(angles), np.cos(angles)], 2).reshape(len(stamps), 2 * len(parts))


def _position(stamps: np.ndarray, cycle: str) -> np.ndarray:
    """Return the position of each stamp in a cycle, from 0 to below 1."""
    seconds = stamps.astype("datetime64[s]").astype(np.int64)
    if cycle in ("minute", "hour"):
        return seconds % CYCLES[cycle] / CYCLES[cycle]
    if cycle == "weekday":
        # The first of January 1970 was a Thursday.
        return (seconds + 3 * DAY) % WEEK / WEEK
    unit = "datetime64[M]" if cycle == "monthday" else "datetime64[Y]"
    begin = stamps.astype(unit)
    end = (begin + 1).astype("datetime64[s]").astype(np.int64)
    begin = begin.astype("datetime64[s]").astype(np.int64)
    return (seconds - begin) / (end - begin)


def _seconds(frequency: Frequency) -> float | None:
    if frequency.unit == "step":
        return None
    if frequency.unit == "second":
        return frequency.count
    return frequency.count * (DAY if frequency.unit == "business-day" else _MONTH)
