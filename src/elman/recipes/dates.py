"""Dates as people write them, to be written as ISO 8601 has them: pairs that are generated."""

import random
from collections.abc import Callable
from datetime import date, timedelta

from elman.tasks.task import Values

FIRST, LAST = date(1950, 1, 1), date(2049, 12, 31)
MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def ordinal(day: int) -> str:
    """Return a day of a month as it is spoken of.

    >>> ordinal(1), ordinal(12), ordinal(23)
    ('1st', '12th', '23rd')
    """
    ending = "th" if day in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    return f"{day}{ending}"


def _weekday(day: date) -> str:
    return WEEKDAYS[day.weekday()]


# Each form of a date is unambiguous: days are before months where both are numbers.
FORMS: tuple[Callable[[date], str], ...] = (
    lambda d: f"{d.day} {MONTHS[d.month - 1]} {d.year}",
    lambda d: f"{ordinal(d.day)} of {MONTHS[d.month - 1]} {d.year}",
    lambda d: f"{ordinal(d.day)} {MONTHS[d.month - 1]}, {d.year}",
    lambda d: f"{MONTHS[d.month - 1]} {d.day}, {d.year}",
    lambda d: f"{MONTHS[d.month - 1]} the {ordinal(d.day)}, {d.year}",
    lambda d: f"{MONTHS[d.month - 1][:3]} {d.day} {d.year}",
    lambda d: f"{d.day} {MONTHS[d.month - 1][:3]}. {d.year}",
    lambda d: f"{d.day:02d}/{d.month:02d}/{d.year}",
    lambda d: f"{d.day}.{d.month}.{d.year}",
    lambda d: f"{d.year} {MONTHS[d.month - 1]} {d.day}",
    lambda d: f"{_weekday(d)}, {d.day} {MONTHS[d.month - 1]} {d.year}",
    lambda d: f"{_weekday(d)[:3]} {MONTHS[d.month - 1][:3]} {d.day:02d} {d.year}",
    lambda d: f"on {_weekday(d)} the {ordinal(d.day)} of {MONTHS[d.month - 1]}, {d.year}",
)


def dates(count: int, seed: int) -> tuple[list[str], list[str]]:
    """Return dates as people write them, and the same dates as YYYY-MM-DD.

    The days are drawn from a century, and each is written in a form that is drawn, some in lower or upper case.

    Args:
        count: number of pairs.
        seed: another seed gives other pairs.
    """
    draw = random.Random(seed)
    written, iso = [], []
    for _ in range(count):
        day = FIRST + timedelta(days=draw.randrange((LAST - FIRST).days + 1))
        text = draw.choice(FORMS)(day)
        case = draw.random()
        written.append(text.lower() if case < 0.2 else text.upper() if case < 0.3 else text)
        iso.append(day.isoformat())
    return written, iso


def date_parts(train: int, held: int) -> tuple[Values, Values, Values]:
    """Return pairs to train, validate and test on, of which no text is in two parts."""
    parts: list[Values] = []
    seen: set[str] = set()
    for seed, count in enumerate((train, held, held)):
        pairs = [pair for pair in zip(*dates(count, seed), strict=True) if pair[0] not in seen]
        seen |= {source for source, _ in pairs}
        columns = {"source": [source for source, _ in pairs], "target": [target for _, target in pairs]}
        parts.append(Values(columns, source=f"{len(pairs):,} generated dates"))
    return parts[0], parts[1], parts[2]
