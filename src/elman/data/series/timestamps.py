"""Time stamps of steps: how they are read, and how far apart they are."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date as calendar_date
from typing import Any, Literal, NamedTuple

import numpy as np

Unit = Literal["step", "second", "business-day", "month"]

MINUTE, HOUR, DAY = 60, 3600, 86400
WEEK = 7 * DAY
# The most frequent difference must be at least this share of all.
_REGULAR = 0.5
_MONDAY, _SATURDAY = 0, 5

_DATE = re.compile(r"(\d{4})(?:[-/](\d{1,2})(?:[-/](\d{1,2}))?)?")
_TIME = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?\s*(Z|[+-]\d{2}:?\d{2})?")
_COMPACT = re.compile(r"(1[89]\d{2}|2[01]\d{2})(\d{2})(\d{2})")
_QUARTER = re.compile(r"(\d{4})[- ]?[Qq]([1-4])")
_ISO_WEEK = re.compile(r"(\d{4})-?W(\d{2})")
_INTEGER = re.compile(r"-?\d+")
EXPECTED = "an ISO date or time, such as 2024-01-31, 2024-01-31 14:00, 2024-01 or 2024-Q1"

_NAMES = {
    ("step", 1): "step",
    ("second", 1): "second",
    ("second", MINUTE): "minute",
    ("second", HOUR): "hour",
    ("second", DAY): "day",
    ("second", WEEK): "week",
    ("business-day", 1): "business day",
    ("month", 1): "month",
    ("month", 3): "quarter",
    ("month", 12): "year",
}


@dataclass(frozen=True)
class Frequency:
    """The distance between two steps of a series.

    Attributes:
        unit: of the count; a business day is Monday to Friday, and a month any calendar month.
        count: units from a step to the next.
        month_end: whether steps of months are the last day of each.
        utc: whether stamps are in UTC, converted from times with an offset.

    >>> str(Frequency("second", 900)), str(Frequency("month", 3))
    ('15 minutes', 'quarter')
    """

    unit: Unit = "step"
    count: int = 1
    month_end: bool = False
    utc: bool = False

    def __str__(self) -> str:
        if (name := _NAMES.get((self.unit, self.count))) is not None:
            return name
        if self.unit != "second":
            return f"{self.count} {_NAMES[self.unit, 1]}s"
        size = next(size for size in (WEEK, DAY, HOUR, MINUTE, 1) if self.count % size == 0)
        return f"{self.count // size} {_NAMES['second', size]}s"

    @property
    def season(self) -> int:
        """Steps of the usual season: a day, a week or a year; 1 without one."""
        if self.unit == "business-day":
            return 5
        if self.unit == "month":
            return max(1, 12 // self.count)
        if self.unit == "step":
            return 1
        if self.count < DAY:
            return DAY // self.count if DAY % self.count == 0 else 1
        return 7 if self.count == DAY else 52 if self.count == WEEK else 1

    def after(self, stamp: Any, steps: int) -> np.ndarray:
        """Return the stamps of the steps that follow one.

        Args:
            stamp: `datetime64[s]`, or a whole number for the unit `step`.
            steps: how many.

        >>> print(Frequency("month", 1, month_end=True).after(np.datetime64("2024-01-31", "s"), 1))
        ['2024-02-29T00:00:00']
        """
        return self.at(stamp, np.arange(1, steps + 1))

    def at(self, stamp: Any, steps: np.ndarray) -> np.ndarray:
        """Return the stamps so many steps after one."""
        if self.unit == "step":
            return int(stamp) + steps * self.count
        stamp = np.datetime64(stamp, "s")
        if self.unit == "second":
            return stamp + (steps * self.count).astype("timedelta64[s]")
        day = stamp.astype("datetime64[D]")
        clock = stamp - day
        if self.unit == "business-day":
            return np.busday_offset(day, steps * self.count, roll="forward").astype("datetime64[s]") + clock
        months = stamp.astype("datetime64[M]") + (steps * self.count).astype("timedelta64[M]")
        return _days_of(months, stamp, month_end=self.month_end) + clock

    def between(self, stamps: np.ndarray) -> np.ndarray:
        """Return the steps from each stamp to the next, NaN where they are not whole."""
        if self.unit in ("step", "second"):
            steps = np.diff(stamps).astype(np.int64) / self.count
        elif self.unit == "business-day":
            days = stamps.astype("datetime64[D]")
            steps = np.busday_count(days[:-1], days[1:]) / self.count
            steps = np.where(np.is_busday(days[1:]) & np.is_busday(days[:-1]), steps, np.nan)
        else:
            months = stamps.astype("datetime64[M]").astype(np.int64)
            steps = np.diff(months) / self.count
            expected = self.at(stamps[0], np.round((months - months[0]) / self.count).astype(np.int64))
            steps = np.where((stamps == expected)[1:], steps, np.nan)
        return np.where(steps == np.round(steps), steps, np.nan)

    def to_json(self) -> dict[str, Any]:
        """Return the frequency as plain values."""
        return asdict(self)


def _days_of(months: np.ndarray, like: np.datetime64, *, month_end: bool) -> np.ndarray:
    """Return the day of each month that a stamp has in its own month, as `datetime64[s]`."""
    first = months.astype("datetime64[D]")
    last = (months + np.timedelta64(1, "M")).astype("datetime64[D]") - np.timedelta64(1, "D")
    own = like.astype("datetime64[D]") - like.astype("datetime64[M]").astype("datetime64[D]")
    return (last if month_end else np.minimum(first + own, last)).astype("datetime64[s]")


def parse_stamp(text: str) -> Any:
    """Return a stamp as `datetime64[s]`, or None for a text that is not one.

    Times with an offset are converted to UTC; those without one are kept as they are.

    >>> str(parse_stamp("2024-01-31 14:05")), str(parse_stamp("2024-Q2")), parse_stamp("31.01.2024")
    ('2024-01-31T14:05:00', '2024-04-01T00:00:00', None)
    """
    text = text.strip()
    try:
        if found := _QUARTER.fullmatch(text):
            return np.datetime64(f"{found[1]}-{3 * int(found[2]) - 2:02d}-01", "s")
        if found := _ISO_WEEK.fullmatch(text):
            # A week that its year does not have is a ValueError.
            return np.datetime64(calendar_date.fromisocalendar(int(found[1]), int(found[2]), 1), "s")
        date, _, clock = text.partition("T" if "T" in text else " ")
        if not (found := _DATE.fullmatch(date) or _COMPACT.fullmatch(date)):
            return None
        year, month, day = (int(each or 1) for each in found.groups())
        stamp = np.datetime64(f"{year:04d}-{month:02d}-{day:02d}", "s")
        return stamp if not clock else _with_time(stamp, clock.strip())
    except ValueError:
        return None


def _with_time(stamp: np.datetime64, clock: str) -> Any:
    if not (found := _TIME.fullmatch(clock)):
        return None
    hours, minutes, seconds = (int(each or 0) for each in found.groups()[:3])
    if hours > 23 or minutes > 59 or seconds > 59:
        return None
    offset = 0
    if (zone := found[4]) not in (None, "Z"):
        digits = zone[1:].replace(":", "")
        offset = (int(digits[:2]) * HOUR + int(digits[2:]) * MINUTE) * (-1 if zone[0] == "-" else 1)
    return stamp + np.timedelta64(hours * HOUR + minutes * MINUTE + seconds - offset, "s")


def has_offset(text: str) -> bool:
    """Report whether a stamp has an offset from UTC.

    >>> has_offset("2024-01-31 14:05+01:00"), has_offset("2024-01-31T14:05Z"), has_offset("2024-01-31")
    (True, True, False)
    """
    clock = text.strip().partition("T" if "T" in text else " ")[2].strip()
    found = _TIME.fullmatch(clock)
    return found is not None and found[4] is not None


def parse_stamps(texts: Sequence[str], *, are_numbers: bool | None = None) -> tuple[np.ndarray, list[int]]:
    """Return the stamps of texts, and the positions of those that are not stamps.

    Whole numbers are numbers of steps, unless all are years (four digits) or dates (eight digits, such as 20240131).

    Args:
        texts: of a column.
        are_numbers: whether whole numbers are numbers of steps; found if not given.
    """
    found = [parse_stamp(text) for text in texts]
    if all(_INTEGER.fullmatch(text.strip()) for text in texts):
        are_dates = len({len(text.strip()) for text in texts}) == 1 and all(stamp is not None for stamp in found)
        if are_numbers or not are_dates:
            return np.array([int(text) for text in texts], dtype=np.int64), []
    wrong = [number for number, stamp in enumerate(found) if stamp is None]
    return np.array([np.datetime64(0, "s") if stamp is None else stamp for stamp in found], "datetime64[s]"), wrong


class Irregularity(NamedTuple):
    """What is wrong between a stamp and the one before it.

    Attributes:
        row: index of the stamp in its series.
        kind: what is wrong.
        missing: number of missing steps, for a gap.
    """

    row: int
    kind: Literal["doubled", "unordered", "irregular", "gap"]
    missing: int = 0


def find_frequency(series: Sequence[np.ndarray]) -> Frequency | None:
    """Return the frequency that several series share, or None for irregular stamps.

    It is the most frequent difference, of at least half of all. Days without any Saturday or Sunday are business days.

    Args:
        series: stamps of each, as `parse_stamps` gave them.
    """
    long = [stamps for stamps in series if len(stamps) > 1]
    if not long:
        return None
    if long[0].dtype.kind != "M":
        count = _usual([np.diff(stamps) for stamps in long])
        return None if count is None else Frequency("step", count)
    if (months := _months(long)) is not None:
        return months
    seconds = _usual([np.diff(stamps).astype(np.int64) for stamps in long])
    if seconds is None:
        return None
    if seconds == DAY and _only_business_days(long):
        return Frequency("business-day", 1)
    return Frequency("second", seconds)


def _usual(differences: Sequence[np.ndarray]) -> int | None:
    """Return the most frequent positive difference, None if it is rare."""
    each = np.concatenate(differences)
    counts = Counter(each[each > 0].tolist())
    if not counts:
        return None
    value, times = max(counts.items(), key=lambda pair: (pair[1], -pair[0]))
    return int(value) if times >= _REGULAR * len(each) else None


def is_usual(series: Sequence[np.ndarray], frequency: Frequency) -> bool:
    """Report whether at least half of the stamps follow the one before by one step."""
    steps = np.concatenate([frequency.between(stamps) for stamps in series if len(stamps) > 1])
    return bool((steps == 1).sum() >= _REGULAR * len(steps))


def _months(series: Sequence[np.ndarray]) -> Frequency | None:
    """Return a frequency of months if all stamps are at one day of the month, or its end."""
    ends = []
    for stamps in series:
        days = stamps.astype("datetime64[D]")
        firsts = stamps.astype("datetime64[M]").astype("datetime64[D]")
        number, clock = (days - firsts).astype(np.int64), (stamps - days).astype(np.int64)
        if (clock != clock[0]).any():
            return None
        end = (stamps.astype("datetime64[M]") + 1).astype("datetime64[D]") - 1 == days
        if end.all() and len(set(number.tolist())) > 1:
            ends.append(True)
        elif (number == number[0]).all():
            ends.append(bool(end.all()) and int(number[0]) > 26)
        else:
            return None
    count = _usual([np.diff(stamps.astype("datetime64[M]").astype(np.int64)) for stamps in series])
    return None if count is None else Frequency("month", count, month_end=all(ends))


def _only_business_days(series: Sequence[np.ndarray]) -> bool:
    days = np.concatenate([stamps.astype("datetime64[D]") for stamps in series])
    # A few days do not show whether weekends are left out.
    spans_weekend = any((stamps[-1] - stamps[0]).astype(np.int64) >= WEEK for stamps in series)
    return spans_weekend and bool(np.is_busday(days).all())


def irregularities(stamps: np.ndarray, frequency: Frequency) -> Iterator[Irregularity]:
    """Yield what is wrong with the stamps of one series, in order."""
    if len(stamps) < 2:
        return
    steps, order = frequency.between(stamps), np.diff(stamps).astype(np.int64)
    for row in np.flatnonzero((steps != 1) | (order <= 0)).tolist():
        if order[row] == 0:
            yield Irregularity(row + 1, "doubled")
        elif order[row] < 0:
            yield Irregularity(row + 1, "unordered")
        elif np.isnan(steps[row]) or steps[row] < 1:
            yield Irregularity(row + 1, "irregular")
        else:
            yield Irregularity(row + 1, "gap", int(steps[row]) - 1)


def written_stamp(stamp: Any, frequency: Frequency) -> str:
    """Return a stamp as a file has it, without a time that is midnight at all steps.

    >>> written_stamp(np.datetime64("2024-01-01", "s"), Frequency("month", 1))
    '2024-01'
    """
    if frequency.unit == "step":
        return str(int(stamp))
    text = str(np.datetime64(stamp, "s")).replace("T", " ")
    if frequency.utc:
        return f"{text}Z"
    day, clock = text.split(" ")
    if clock != "00:00:00":
        return text
    if frequency.unit == "month" and day.endswith("-01"):
        return day[:4] if frequency.count == 12 and day[5:7] == "01" else day[:7]
    return day if frequency.unit != "second" or frequency.count % DAY == 0 else text
