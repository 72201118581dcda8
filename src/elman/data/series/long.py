"""Series in tables with a step a row."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from elman.data.files import Mistakes, Source, position
from elman.data.series.ts import Read
from elman.data.series.values import FIX, SeriesName, flag_of_targets, is_missing, is_number, numbers_in, targets_in
from elman.data.tables.delimited import Row, check_widths, read_rows
from elman.data.tables.header import LABEL_NAMES, named_like
from elman.errors import DataError, UsageError, nearest

LOOKED_AT = 20


class LongColumns(NamedTuple):
    """Names of the columns of a long table.

    Attributes:
        series: whose value is the same in all steps of a series.
        time: by which the steps of a series are ordered; None for the order of the rows.
        channels: of the values.
        target: of the targets; None without one.
    """

    series: str
    time: str | None
    channels: tuple[str, ...]
    target: str | None


def read_long(
    source: Source,
    separator: str,
    quote: str | None,
    columns: LongColumns,
    *,
    numeric: bool,
    labelled: bool,
    each_step: bool | None = None,
) -> tuple[Read, LongColumns, list[str]]:
    """Read a table with a header and a step a row.

    The target of a series is the same in all its rows, or, for numbers, a number for each step.

    Args:
        source: the file.
        separator: between fields.
        quote: around fields.
        columns: those that are known; no channels for all other columns of numbers, no target to find it.
        numeric: whether the targets are numbers.
        labelled: whether targets are wanted.
        each_step: whether a model was trained with a number for each step; None if that is for the table to show, where
            a target that changes within a series is of the steps.

    Returns:
        The series in the order in which they begin, the columns that were read, and notes.

    Raises:
        DataError: missing columns, fields that are not numbers, doubled time stamps, or labels that change within a
            series; each with its line and column.
    """
    rows = read_rows(source, separator, quote, spans=separator != "\t")
    check_widths(source, rows, separator)
    names, body = [name.strip() for name in rows[0].fields], rows[1:]
    if not body:
        raise DataError(f"{source.name} has a header but no rows.", fix="Give at least one row.")
    columns, notes = _complete(source, names, body, columns, numeric=numeric, labelled=labelled)
    mistakes = Mistakes(source.name)
    values = np.stack([_column(source, names, body, name, mistakes) for name in columns.channels], axis=1)
    targets = _targets(names, body, columns, mistakes, numeric=numeric, labelled=labelled)
    groups = _groups(names, body, columns, mistakes)
    mistakes.raise_any(FIX)
    moved = sum(order != sorted(order) for order in groups.values())
    if moved:
        notes.append(f"the rows of {moved:,} series are sorted by `{columns.time}`")
    found = [[targets[row] for row in order] for order in groups.values()] if targets else []
    if each_step is None and numeric:
        # 2 and 2.0 are the same number.
        each_step = any(len(set(map(float, own))) > 1 for own in found)
    if not each_step:
        _refuse_changes(source, body, targets, groups, columns.target, numeric=numeric)
    answers = None if not targets else found if each_step else [own[0] for own in found]
    if targets and each_step:
        notes.append(f"`{columns.target}` is a target for each step")
    names_of = [_name(source.name, name, columns, body, order) for name, order in groups.items()]
    series = [values[order] for order in groups.values()]
    lines = [body[min(order)].line for order in groups.values()]
    return Read(series, answers, names_of, lines, columns.channels), columns, notes


def _refuse_changes(
    source: Source,
    body: Sequence[Row],
    targets: list[str],
    groups: dict[str, list[int]],
    column: str | None,
    *,
    numeric: bool,
) -> None:
    """Refuse targets that change within a series, where each series has one."""
    mistakes, what = Mistakes(source.name), "target" if numeric else "label"
    known = [float(each) for each in targets] if numeric else targets
    for name, order in groups.items() if targets else ():
        row = next((row for row in order if known[row] != known[order[0]]), None)
        if row is not None:
            problem = f"the {what} of series `{name}` is {targets[row]!r}, and {targets[order[0]]!r} before"
            mistakes.add(body[row].line, column, problem)
    trained = ", as in training" if numeric else ""
    mistakes.raise_any(f"Give all rows of a series the same {what}{trained}.")


def _name(source: str, name: str, columns: LongColumns, body: Sequence[Row], order: list[int]) -> SeriesName:
    return SeriesName(
        f"{source}, series `{name}`",
        lambda step, channel: f"{source}, {position(body[order[step]].line, columns.channels[channel])}",
    )


def _complete(
    source: Source, names: list[str], body: Sequence[Row], given: LongColumns, *, numeric: bool, labelled: bool
) -> tuple[LongColumns, list[str]]:
    for name in (given.series, given.time, given.target, *given.channels):
        if name is not None and names.count(name) != 1:
            problem = "has no column named" if name not in names else "has several columns named"
            raise DataError(f"{source.name} {problem} `{name}`.", where="line 1", fix=nearest(name, names))
    target = given.target
    if target is None and labelled:
        target = _usual_target(source, names, body, given, numeric=numeric)
    others = [name for name in names if name not in (given.series, given.time, target)]
    channels = given.channels
    if not channels:
        at = [names.index(name) for name in others]
        channels = tuple(names[n] for n in at if all(is_number(row.fields[n]) for row in body[:LOOKED_AT]))
    if not channels:
        raise DataError(
            f"{source.name} has no column of numbers beside {given.series}.",
            where="line 1",
            fix="Name the columns of the values with --channels.",
        )
    left = [name for name in others if name not in channels]
    notes = [f"the channels are {', '.join(f'`{name}`' for name in channels)}"]
    notes += [f"the columns {', '.join(f'`{name}`' for name in left)} are not read"] if left else []
    return LongColumns(given.series, given.time, tuple(channels), target), notes


def _usual_target(
    source: Source, names: list[str], body: Sequence[Row], given: LongColumns, *, numeric: bool
) -> str | None:
    """Return the column with a usual name of a target.

    Of several, it is the one whose fields are not numbers.
    """
    others = (given.series, given.time, *given.channels)
    usual = [n for n in named_like(names, LABEL_NAMES) if names[n] not in others]
    if len(usual) > 1:
        words = [n for n in usual if not all(is_number(row.fields[n]) for row in body[:LOOKED_AT])]
        usual = words if len(words) == 1 else usual
    if len(usual) > 1:
        raise DataError(
            f"Expected one column of targets in {source.name}, got {len(usual)} with usual names.",
            where=f"line 1: {', '.join(f'`{names[n]}`' for n in usual)}",
            fix=f"Name the column of the targets with {flag_of_targets(numeric=numeric)}, or those of the values with "
            "--channels.",
        )
    return names[usual[0]] if usual else None


def _column(source: Source, names: list[str], body: Sequence[Row], name: str, mistakes: Mistakes) -> np.ndarray:
    column = names.index(name)
    return numbers_in([row.fields[column] for row in body], mistakes, lambda n: (body[n].line, name))


def _targets(
    names: list[str], body: Sequence[Row], columns: LongColumns, mistakes: Mistakes, *, numeric: bool, labelled: bool
) -> list[str]:
    if columns.target is None or not labelled:
        return []
    column = names.index(columns.target)
    fields = [row.fields[column] for row in body]
    return targets_in(fields, mistakes, lambda n: (body[n].line, columns.target), numeric=numeric)


def _groups(names: list[str], body: Sequence[Row], columns: LongColumns, mistakes: Mistakes) -> dict[str, list[int]]:
    """Return the rows of each series, in the order of their time stamps."""
    column = names.index(columns.series)
    groups: dict[str, list[int]] = {}
    for number, row in enumerate(body):
        if is_missing(row.fields[column]):
            mistakes.add(row.line, columns.series, "the name of the series is missing")
        groups.setdefault(row.fields[column].strip(), []).append(number)
    if columns.time is None:
        return groups
    stamps = _stamps([row.fields[names.index(columns.time)] for row in body], body, columns.time, mistakes)
    for name, rows in groups.items():
        rows.sort(key=stamps.__getitem__)
        for one, other in pairwise(rows):
            if stamps[one] == stamps[other]:
                stamp = body[other].fields[names.index(columns.time)].strip()
                problem = f"series `{name}` has {stamp!r} twice, first in line {body[one].line}"
                mistakes.add(body[other].line, columns.time, problem)
    return groups


def _stamps(fields: list[str], body: Sequence[Row], name: str, mistakes: Mistakes) -> list[float]:
    """Return numbers, or the seconds of dates since 1970 in UTC, by which steps are ordered."""
    numeric = is_number(fields[0])
    mixed = [] if numeric else _with_other_offset(fields)
    for row in mixed:
        has = "a UTC offset" if _has_offset(fields[row]) else "no UTC offset"
        mistakes.add(body[row].line, name, f"{fields[row].strip()[:40]!r} has {has}, unlike line {body[0].line}")
    found = []
    for row, field in zip(body, fields, strict=True):
        try:
            value = float(field) if numeric else _seconds(field.strip())
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            kind = "a number" if numeric else "a date such as 2026-01-31 or 2026-01-31T12:00:00"
            mistakes.add(row.line, name, f"expected {kind}, got {field[:40]!r}")
        found.append(value)
    return found


def _seconds(text: str) -> float:
    stamp = datetime.fromisoformat(text)
    return (stamp - datetime(1970, 1, 1, tzinfo=UTC if stamp.tzinfo else None)).total_seconds()


def _with_other_offset(fields: Sequence[str]) -> list[int]:
    """Return the positions of dates of another kind than the first, with or without an offset."""
    found = [_has_offset(field) for field in fields]
    return [row for row, each in enumerate(found) if each is not None and each != found[0]]


def _has_offset(field: str) -> bool | None:
    """Report whether a date has a UTC offset, None for a field that is not a date."""
    try:
        return datetime.fromisoformat(field.strip()).tzinfo is not None
    except ValueError:
        return None


def check_long_options(series: str | None, time: str | None, channels: Sequence[str]) -> None:
    """Refuse options of long tables without the column of the series.

    Raises:
        UsageError: names them.
    """
    if series is None and (time is not None or channels):
        raise UsageError(
            "--time and --channels are for tables with a step a row, whose series have names in a column.",
            fix="Name that column with --series COL.",
        )
