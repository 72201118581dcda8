"""Rows of fields between separators (CSV, TSV), and plain lines."""

import csv
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from elman.errors import DataError, UsageError
from elman.sequences.files import Mistakes, Source, place

LINES = "\n"
SEPARATOR_NAMES = {",": "comma", "\t": "tab", LINES: "line end"}


class Row(NamedTuple):
    """The fields of one row, and the line it begins on, from 1."""

    line: int
    fields: list[str]


def check_separator(separator: str) -> None:
    """A separator must be one character that csv can work with.

    Raises:
        UsageError: it is not.
    """
    if len(separator) != 1 or separator in '"\r':
        raise UsageError(
            f"{separator!r} cannot separate fields.",
            fix=r"Give one character, as `,` or a tab, or `\n` if each line is one text.",
        )


def guess_separator(lines: list[str]) -> str:
    """A tab if every line has one, else a comma if every line has one, else the line end alone."""
    filled = [line for line in lines if line.strip()]
    return next((mark for mark in "\t," if all(mark in line for line in filled)), LINES)


def read_rows(source: Source, separator: str) -> list[Row]:
    """The rows of a source; blank lines may stand only after the last of them.

    With the separator `\\n` each line is one field, and a blank one an empty field.

    Raises:
        DataError: a blank line between rows, or a quoted field that does not end as it should.
    """
    if separator == LINES:
        return [Row(number, [line.rstrip("\r\n")]) for number, line in enumerate(source.lines, start=1)]
    lines = _without_blank_end(source.lines)
    with _fields_of_any_size(lines):
        rows = list(_parse(source.name, lines, separator))
    blank = Mistakes(source.name)
    for row in rows:
        if not row.fields:
            blank.add(row.line, None, "the line is blank, where a row is expected")
    blank.raise_any('Take the blank lines out; a row that is one empty text is written as "".')
    return rows


def check_widths(source: Source, rows: list[Row], separator: str) -> None:
    """Every row must have as many fields as the first.

    Raises:
        DataError: rows with too many or too few, each with its line and column.
    """
    width = len(rows[0].fields)
    mistakes = Mistakes(source.name)
    for line, fields in rows:
        if len(fields) != width:
            column = min(len(fields), width) + 1
            mistakes.add(line, column, f"{_fields(len(fields))}, where {width} are expected as in line {rows[0].line}")
    mark = SEPARATOR_NAMES.get(separator, separator)
    mistakes.raise_any(
        f"Put a text that holds a {mark} between double quotes, and fill up what is missing; "
        r"if each line is one text, give the separator `\n`."
    )


def _fields(count: int) -> str:
    return "1 field" if count == 1 else f"{count} fields"


def _without_blank_end(lines: list[str]) -> list[str]:
    end = len(lines)
    while not lines[end - 1].strip(" \r\n"):
        end -= 1
    return lines[:end]


@contextmanager
def _fields_of_any_size(lines: list[str]) -> Iterator[None]:
    # csv refuses fields above 128 KiB unless told otherwise, and can only be told globally.
    before = csv.field_size_limit()
    csv.field_size_limit(max(before, sum(map(len, lines))))
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _parse(name: str, lines: list[str], separator: str) -> Iterator[Row]:
    reader = csv.reader(lines, delimiter=separator, strict=True)
    begin = 0
    try:
        for fields in reader:
            yield Row(begin + 1, fields)
            begin = reader.line_num
    except csv.Error:
        raise _quote_error(name, lines, begin, separator) from None


def _quote_error(name: str, lines: list[str], begin: int, separator: str) -> DataError:
    line, column = _bad_quote(lines[begin:], separator)
    return DataError(
        f"A quoted field in {name} does not end as it should.",
        where=f"{place(begin + line, column)}: the double quote that opens here needs one that closes it, "
        f"followed by a {SEPARATOR_NAMES.get(separator, separator)} or the end of the line",
        fix='Close the quote; write a double quote inside a quoted field twice (""), '
        "and put a field that begins with one between quotes.",
    )


def _bad_quote(lines: list[str], separator: str) -> tuple[int, int]:
    """Line and column, from 1, of the first field that opens a quote and does not close it."""
    text, mark = "".join(lines), re.escape(separator)
    good = re.compile(rf'"[^"]*(?:""[^"]*)*"(?=[{mark}\r\n]|\Z)|[^"{mark}\r\n][^{mark}\r\n]*|(?=[{mark}\r\n]|\Z)')
    at = 0
    while field := good.match(text, at):
        at = field.end() + 1
    before = re.split(r"\r\n|\r|\n", text[:at])
    return len(before), len(before[-1]) + 1
