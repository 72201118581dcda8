"""Time stamps of a table of series: read, and checked against their frequency."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from elman.data.series.panel import Layout, RowMistakes, Table
from elman.data.series.timestamps import (
    EXPECTED,
    Frequency,
    find_frequency,
    has_offset,
    irregularities,
    is_usual,
    parse_stamps,
    written_stamp,
)
from elman.errors import DataError


def stamps_of(table: Table, layout: Layout) -> tuple[np.ndarray | None, bool]:
    """Return the stamps, and whether they are in UTC because they had offsets.

    Raises:
        DataError: stamps that cannot be read, only some with an offset, or another kind of stamps than in training.
    """
    if layout.time is None:
        return None, False
    cells = table.columns[layout.time]
    texts, known = [str(cell) for cell in cells], layout.frequency
    if isinstance(cells, np.ndarray) and cells.dtype.kind == "M":
        stamps, wrong = cells.astype("datetime64[s]"), np.flatnonzero(np.isnat(cells)).tolist()
    else:
        stamps, wrong = parse_stamps(texts, are_numbers=None if known is None else known.unit == "step")
    mistakes = RowMistakes.of(table)
    for row in wrong:
        mistakes.at(row, layout.time, f"expected {EXPECTED}, got {texts[row][:40]!r}")
    mistakes.raise_any(f"Write the time stamps in ISO form{_or_no_time(layout)}.")
    if known is not None and (known.unit == "step") != (stamps.dtype.kind != "M"):
        kinds = ("whole numbers", "dates or times")
        expected, got = kinds if known.unit == "step" else kinds[::-1]
        raise DataError(
            f"Expected {expected} as time stamps, as in training, got {got}.",
            where=f"{table.source}, column `{layout.time}`",
            fix=f"Give a column of {expected}, or train a model on these stamps.",
        )
    offsets = [has_offset(text) for text in texts]
    if any(offsets) and not all(offsets):
        mistakes.at(offsets.index(not offsets[0]), layout.time, "expected stamps that all have an offset, or none")
        mistakes.raise_any("Give every time an offset (such as +01:00 or Z), or leave all of them out.")
    return stamps, any(offsets)


def _or_no_time(layout: Layout) -> str:
    """Return the advice to read no stamps, which a trained model that reads them cannot follow."""
    return ", or give --time none to read the rows as equal steps" if layout.frequency is None else ""


def with_frequency(table: Table, layout: Layout, groups: Mapping[str, np.ndarray], stamps: np.ndarray | None) -> Layout:
    """Return the layout with the frequency of the stamps.

    It must be that of the training data if it is known.

    Raises:
        DataError: doubled, unordered or irregular stamps, or another frequency.
    """
    if stamps is None:
        return replace(layout, frequency=layout.frequency or Frequency())
    each = [stamps[rows] for rows in groups.values()]
    found = find_frequency([np.unique(own) for own in each])
    known = layout.frequency
    if known is None and max(map(len, each), default=0) < 2:
        raise DataError(
            "Expected at least two rows of a series, got one: the distance between two steps is not known.",
            where=f"{table.source}, column `{layout.time}`",
            fix="Give more rows (or another column with --series if the table has several series).",
        )
    if found is None and known is None:
        raise DataError(
            "The time stamps are irregular: no distance between two of them is that of at least half.",
            where=f"{table.source}, column `{layout.time}`",
            fix="Resample the series to steps of one length (name the column of the series with --series if the table "
            "has several), or give --time none to read the rows as equal steps.",
        )
    frequency = known or found
    assert frequency is not None
    _check_stamps(table, layout, groups, stamps, frequency)
    differs = known is not None and found is not None and (found.unit, found.count) != (known.unit, known.count)
    # A few days without a weekend are business days too.
    if differs and not is_usual(each, frequency):
        raise DataError(
            f"Expected steps of a {known}, as in training, got steps of a {found}.",
            where=f"{table.source}, column `{layout.time}`",
            fix=f"Give data with a row for each {known}.",
        )
    return replace(layout, frequency=frequency)


_STAMP_FIXES = {
    "doubled": "Remove one of the two rows; if the table has several series, name the column of their names "
    "with --series.",
    "unordered": "Sort the rows by time, the oldest first.",
    "irregular": "Resample the series to steps of one length",
    "gap": "Add the missing rows, or give --missing carry (the last value) or --missing mask (read as missing)",
}


def _check_stamps(
    table: Table, layout: Layout, groups: Mapping[str, np.ndarray], stamps: np.ndarray, frequency: Frequency
) -> None:
    """Refuse doubled, unordered and irregular stamps, and gaps unless they are filled."""
    found: dict[str, RowMistakes] = {}
    for name, rows in groups.items():
        own = stamps[rows]
        series = f" of the series {name!r}" if name else ""
        for row, kind, missing in irregularities(own, frequency):
            if kind == "gap" and layout.missing != "error":
                continue
            stamp, before = (written_stamp(own[each], frequency) for each in (row, row - 1))
            problem = {
                "doubled": f"the stamp {stamp}{series} occurs twice in a row",
                "unordered": f"the stamp {stamp}{series} follows the later {before}",
                "irregular": f"the stamp {stamp}{series} is not a whole number of steps (a {frequency}) after {before}",
                "gap": f"{missing} step{'s' * (missing > 1)} missing between {before} and {stamp}{series}",
            }[kind]
            found.setdefault(kind, RowMistakes.of(table)).at(int(rows[row]), layout.time, problem)
    for kind in ("unordered", "doubled", "irregular", "gap"):
        if kind in found:
            fix = _STAMP_FIXES[kind]
            found[kind].raise_any(fix if fix.endswith(".") else f"{fix}{_or_no_time(layout)}.")
