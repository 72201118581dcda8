"""Tables of series in files: CSV or TSV with a header, a row a step."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from elman.data.files import Source, read_source
from elman.data.series.panel import MISSING_WORDS, SERIES_NAMES, Layout, Series, Table
from elman.data.series.panel_table import assemble
from elman.data.series.timestamps import parse_stamp
from elman.data.tables.delimited import check_widths, guess_separator, parse_separator, read_rows, separator_name
from elman.data.tables.table_format import TableFormat
from elman.errors import DataError, UsageError

NO_TIME = "none"
_LOOKED_AT = 50
_YEAR = re.compile(r"\d{4}")


class PanelFile(NamedTuple):
    """The series of a file, or of some lines of it.

    Attributes:
        series: in the order in which they begin.
        layout: their columns.
        notes: what was assumed to read them.
        source: name of the file.
        form: how it was read; of the kind `wide` where it has one series.
    """

    series: list[Series]
    layout: Layout
    notes: list[str]
    source: str
    form: TableFormat


def read_panel(
    path: str, options: Mapping[str, Any], known: Layout | None = None
) -> tuple[list[Series], Layout, list[str], str]:
    """Read the series of a file.

    Args:
        path: the file, or `-` for standard input.
        options: `target`, `past`, `known`, `static` (lists of columns), `time`, `series`, `missing`, `separator` and
            `encoding`, as far as they were given.
        known: the layout of the data that a model was trained on.

    Returns:
        The series, their layout, notes, and the name of the file.

    Raises:
        DataError: names every mistake with line and column.
        UsageError: a column with two roles, or stamps where the model reads none, or none where it reads them.
    """
    found = read_panel_part(path, options, known)
    return found.series, found.layout, found.notes, found.source


def read_panel_part(
    path: str | Path | Source,
    options: Mapping[str, Any],
    known: Layout | None = None,
    form: TableFormat | None = None,
) -> PanelFile:
    """Read the series of a file, or of some lines of it.

    Args:
        path: the file, `-` for standard input, or lines that were read.
        options: as for `read_panel`.
        known: as for `read_panel`.
        form: how the beginning of the same file was read, of which these are other lines.

    Raises:
        DataError, UsageError: as for `read_panel`.
    """
    separator = options.get("separator") if form is None else form.separator
    source = path if isinstance(path, Source) else read_source(path, options.get("encoding"))
    table, mark = _open(source, separator)
    layout, notes = _layout(table, options) if known is None else (_changed(table, known, options), [])
    series, layout, more = assemble(table, layout, leaves_out=True, may_be_empty=form is not None)
    kind = "wide" if layout.series is None else "long"
    found = TableFormat(kind, source.ending, separator=mark, encoding=source.encoding, series=layout.series)
    return PanelFile(series, layout, [*notes, *more], table.source, found)


def _open(source: Source, separator: str | None) -> tuple[Table, str]:
    """Return the cells of a file, and what separates them."""
    if separator is not None:
        mark = parse_separator(separator)
    else:
        mark = {".tsv": "\t"}.get(source.ending) or guess_separator(source.lines[:_LOOKED_AT], ",\t;|")
        # A table of one column has no separator.
        mark = "," if mark == "\n" else mark
    rows = read_rows(source, mark)
    check_widths(source, rows, mark)
    first = [cell.strip() for cell in rows[0].fields]
    if all(_is_value(cell) for cell in first):
        names, body = [str(number) for number in range(1, len(first) + 1)], rows
    else:
        names, body = first, rows[1:]
    doubled = next((name for name in names if names.count(name) > 1), None)
    if doubled is not None:
        raise DataError(
            f"Two columns are named `{doubled}`.", where=f"{source.name}, line 1", fix="Give each column its own name."
        )
    if not body:
        raise DataError(
            f"{source.name} has a header and no rows.",
            fix=f"Give a row for each step, {separator_name(mark)}s between.",
        )
    columns = {name: [row.fields[number] for row in body] for number, name in enumerate(names)}
    return Table(source.name, columns, len(body), [row.line for row in body]), mark


def _is_value(cell: str) -> bool:
    return cell.lower() in MISSING_WORDS or _is_number(cell) or parse_stamp(cell) is not None


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _named(table: Table, given: Any) -> tuple[str, ...]:
    """Return the names of columns, which may be numbers from 1."""
    names = list(table.columns)
    found = []
    for name in [given] if isinstance(given, str) else given or ():
        is_number = name not in names and name.isdigit() and 0 < int(name) <= len(names)
        found.append(names[int(name) - 1] if is_number else name)
    return tuple(found)


def _layout(table: Table, options: Mapping[str, Any]) -> tuple[Layout, list[str]]:
    """Return the columns as they were given, and those that the table shows, with notes."""
    lists: dict[str, Any] = {name: _named(table, options.get(name)) for name in ("target", "past", "known", "static")}
    time, series = ((_named(table, options.get(name)) or (None,))[0] for name in ("time", "series"))
    if series is None:
        series = next((name for name in table.columns if name.lower() in SERIES_NAMES), None)
    notes, used = [], {*(name for each in lists.values() for name in each), series}
    if series is not None and not options.get("series"):
        notes.append(f"the names of the series are in the column `{series}`")
    if time == NO_TIME and NO_TIME not in table.columns:
        time = None
    elif time is None:
        time = next((name for name in table.columns if name not in used and _has_stamps(table.columns[name])), None)
        notes += [f"the time stamps are in the column `{time}`"] if time is not None else []
    if not lists["target"]:
        used |= {time}
        numeric = [name for name in table.columns if name not in used and _has_numbers(table.columns[name])]
        if not numeric:
            raise DataError(
                "There is no column of numbers.", where=table.source, fix="Name the columns to forecast: --target COL"
            )
        lists["target"] = tuple(numeric)
        notes.append(f"the targets are {', '.join(f'`{name}`' for name in numeric)}")
    return Layout(**lists, time=time, series=series, missing=options.get("missing") or "error"), notes


def _has_stamps(cells: Sequence[str]) -> bool:
    """Report whether most cells are stamps that no number looks like.

    The others are mistakes, which are named when the stamps are read.
    """
    shown = cells[:_LOOKED_AT]
    found = sum(parse_stamp(cell) is not None and not _YEAR.fullmatch(cell.strip()) for cell in shown)
    return 2 * found > len(shown)


def _has_numbers(cells: Sequence[str]) -> bool:
    """Report whether a column has numbers, also with decimal commas, which are refused later."""
    shown = [cell.strip() for cell in cells[:_LOOKED_AT]]
    shown = [cell.replace(",", ".") if cell.count(",") == 1 else cell for cell in shown]
    return any(map(_is_number, shown)) and all(_is_value(cell) for cell in shown)


def _changed(table: Table, known: Layout, options: Mapping[str, Any]) -> Layout:
    """Return the layout of the training data, with other names of columns where they are given."""
    given = {name: _named(table, options[name]) for name in ("target", "past", "known", "static") if options.get(name)}
    for name, columns in given.items():
        wanted = getattr(known, name)
        if len(columns) != len(wanted):
            raise DataError(
                f"Expected {len(wanted)} columns for --{name} ({', '.join(wanted)}), got {len(columns)}.",
                where=table.source,
                fix="Give one column for each that the model was trained on, in the same order.",
            )
    time = options.get("time")
    if time == NO_TIME and NO_TIME not in table.columns:
        if known.time is not None:
            raise UsageError(
                f"Expected the column of the time stamps ({known.time} in training), got --time none.",
                where=table.source,
                fix="Leave --time none out, or train a model with --time none.",
            )
        options = {**options, "time": None}
    elif time and known.time is None:
        raise UsageError(
            f"The model was trained without time stamps, got --time {time}.",
            where=table.source,
            fix="Leave --time out, or train a model with it.",
        )
    single = {name: _named(table, options[name])[0] for name in ("time", "series") if options.get(name)}
    missing = {"missing": options["missing"]} if options.get("missing") else {}
    return replace(known, **given, **single, **missing)
