"""Rows of fields between separators (CSV, TSV), and plain lines."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from elman.data.files import Mistakes, Source, position
from elman.errors import DataError, UsageError

LINES = "\n"
QUOTE = '"'
NO_QUOTE = "none"
SEPARATOR_NAMES = {",": "comma", "\t": "tab", ";": "semicolon", "|": "vertical bar", " ": "blank", LINES: "line end"}
# Spellings of separators that are hard to type in a shell.
_WRITTEN = {r"\t": "\t", r"\n": "\n", "tab": "\t", "comma": ",", "semicolon": ";"}
_GUESSED = ",;\t|"
_LOOKED_AT = 200
_EXCEL_SEPARATOR = re.compile(r'"?sep=(.)"?\r?\n?', re.IGNORECASE)


class Row(NamedTuple):
    """The fields of one row, and the line it begins on, from 1."""

    line: int
    fields: list[str]


def parse_separator(separator: str) -> str:
    r"""Return the character that a typed separator means.

    >>> parse_separator(";"), parse_separator(r"\t"), parse_separator("tab")
    (';', '\t', '\t')

    Raises:
        UsageError: it is not one character, or one that cannot separate fields.
    """
    meant = _WRITTEN.get(separator, separator)
    if len(meant) != 1 or meant in '"\r':
        raise UsageError(
            f"{separator!r} cannot separate fields.",
            fix=r"Give one character, such as `;`, `tab` for a tab, or `\n` if each line is one text.",
        )
    return meant


def parse_quote(quote: str, separator: str) -> str | None:
    """Return the character around quoted fields, or None for `none`.

    Raises:
        UsageError: it is not one character, or the separator.
    """
    if quote == NO_QUOTE:
        return None
    if len(quote) != 1 or quote == separator or quote in "\r\n ":
        raise UsageError(
            f"{quote!r} cannot be the quote character.",
            fix="Give one character other than the separator, such as `'`, or `none` if quotes are part of the texts.",
        )
    return quote


def separator_name(separator: str) -> str:
    """Return the name of a separator, for messages.

    >>> separator_name("\\t"), separator_name("~")
    ('tab', '`~`')
    """
    return SEPARATOR_NAMES.get(separator, f"`{separator}`")


def guess_separator(lines: Sequence[str], candidates: str = "\t,") -> str:
    """Return the first candidate that every line has, else the line end."""
    filled = [line for line in lines if line.strip()]
    return next((mark for mark in candidates if all(mark in line for line in filled)), LINES)


def separator_line(source: Source) -> str | None:
    r"""Return the separator named by Excel's first line `sep=X`, or None without such a line."""
    found = _EXCEL_SEPARATOR.fullmatch(source.lines[0])
    return found[1] if found and len(source.lines) > 1 else None


def suspect_separator(source: Source, separator: str) -> str | None:
    """Return another separator by which the first rows all have the same two columns or more."""
    if separator != LINES and _one_width(source, separator) > 1:
        return None
    widths = {mark: _one_width(source, mark) for mark in _GUESSED if mark != separator}
    best = max(widths, key=lambda mark: widths[mark])
    return best if widths[best] > 1 else None


def _one_width(source: Source, separator: str) -> int:
    """Return the common number of fields of the first rows, or 0 without one."""
    lines = [line for line in source.lines[:_LOOKED_AT] if line.strip()]
    try:
        widths = {len(row.fields) for row in _Reader(source.name, lines, separator, QUOTE, spans=True).rows()}
    except DataError:
        widths = {line.count(separator) + 1 for line in lines}
    return widths.pop() if len(widths) == 1 and len(lines) > 1 else 0


def read_rows(source: Source, separator: str, quote: str | None = QUOTE, *, spans: bool = True) -> list[Row]:
    r"""Read the rows of a source, in which only the last lines may be blank.

    With the separator `\n` each line is one field, and a blank one an empty field. A first line such as `sep=;` is
    left out.

    Args:
        source: the file.
        separator: between two fields.
        quote: around a field that holds separators, quotes (doubled) or line ends; None if quotes mean nothing.
        spans: whether a quoted field may hold line ends.

    Raises:
        DataError: a blank line between rows, a quoted field that is not closed, or one that holds line ends although
            `spans` is False; with line and column.
    """
    if separator == LINES:
        return [Row(number, [_bare(line)]) for number, line in enumerate(source.lines, start=1)]
    lines = _without_blank_end(source.lines)
    rows = list(_Reader(source.name, lines, separator, quote, spans=spans).rows(skipped=bool(separator_line(source))))
    blank = Mistakes(source.name)
    for row in rows:
        if not row.fields:
            blank.add(row.line, None, "expected a row, got a blank line")
    blank.raise_any('Remove the blank lines; write a row that is one empty text as "".')
    return rows


def first_rows(source: Source, separator: str, quote: str | None = QUOTE, *, count: int) -> list[list[str]]:
    """Return the fields of the first rows that are not blank, without blanks around them.

    It serves to find what a table has: with quotes that are not closed, each line is a row.

    Args:
        source: the file.
        separator: between two fields.
        quote: around a field that holds separators.
        count: of rows, at most.
    """
    filled = (row.fields for row in _Reader(source.name, source.lines, separator, quote, spans=True).rows())
    try:
        rows = list(islice((fields for fields in filled if any(map(str.strip, fields))), count))
    except DataError:
        rows = [_bare(line).split(separator) for line in source.lines[:count] if line.strip()]
    return [[field.strip() for field in fields] for fields in rows]


def begin_of_last_row(name: str, lines: Sequence[str], separator: str, quote: str | None) -> int:
    """Return the index of the line that the last row begins on.

    The row may continue in lines that follow.

    Args:
        name: of the file.
        lines: some of its lines; the first begins a row.
        separator: between two fields.
        quote: around a field that holds line ends.
    """
    begin = 0
    try:
        for row in _Reader(name, lines, separator, quote, spans=True).rows():
            begin = row.line - 1
    except DataError:
        # A field that is not closed: the row before it is whole, and is read again with it.
        return begin
    return begin


def check_widths(source: Source, rows: list[Row], separator: str) -> None:
    """Refuse rows whose number of fields differs from that of most rows with a separator.

    Raises:
        DataError: rows with too many or too few, each with its line and column.
    """
    counts = Counter(len(row.fields) for row in rows)
    if len(counts) == 1:
        return
    width = max((width for width in counts if width > 1), key=lambda width: counts[width])
    first = next(row.line for row in rows if len(row.fields) == width)
    mistakes = Mistakes(source.name)
    for line, fields in rows:
        if len(fields) != width:
            column = min(len(fields), width) + 1
            mistakes.add(line, column, f"expected {width} fields as in line {first}, got {len(fields)}")
    mistakes.raise_any(_width_fix(source, separator))


def _width_fix(source: Source, separator: str) -> str:
    other = suspect_separator(source, separator)
    if other is not None:
        return f"The fields seem to be separated by a {separator_name(other)}: --separator {written(other)}."
    return (
        f"Put a text that holds a {separator_name(separator)} between double quotes (or give another --quote), add the "
        r"missing fields, and remove comment lines; if each line is one text, give --separator '\n'."
    )


def written(separator: str) -> str:
    """Write a separator as an argument for a shell.

    >>> written("\\t"), written(";")
    ('tab', "';'")
    """
    return "tab" if separator == "\t" else repr(separator)


def _bare(line: str) -> str:
    """Return a line without its line end."""
    return line.removesuffix("\n").removesuffix("\r") if line.endswith("\n") else line


def _without_blank_end(lines: list[str]) -> list[str]:
    end = len(lines)
    while not lines[end - 1].strip(" \r\n"):
        end -= 1
    return lines[:end]


class _Reader:
    """Cuts lines into rows of fields."""

    def __init__(self, name: str, lines: Sequence[str], separator: str, quote: str | None, *, spans: bool):
        self._name, self._lines, self._separator, self._spans = name, lines, separator, spans
        self._quote = quote or ""
        mark, around = re.escape(separator), re.escape(self._quote)
        self._blank_quoted = re.compile(
            rf" +{around}((?:[^{around}\n]|{around}{around})*){around} *(?={mark}|\r?\n|\Z)" if quote else r"(?!)"
        )
        self._after = re.compile(rf"{'' if separator == ' ' else ' *'}(?={mark}|\r?\n|\Z)")

    def rows(self, *, skipped: int = 0) -> Iterator[Row]:
        at = skipped
        while at < len(self._lines):
            line = self._lines[at]
            if self._quote and self._quote in line:
                fields, end = self._quoted_row(at)
            else:
                bare = _bare(line)
                fields, end = bare.split(self._separator) if bare else [], at + 1
            yield Row(at + 1, fields)
            at = end

    def _quoted_row(self, begin: int) -> tuple[list[str], int]:
        """Return the fields of the row that begins with this line, and the line after it, from 0."""
        text, last, at = self._lines[begin], begin, 0
        fields: list[str] = []
        while True:
            if text.startswith(self._quote, at):
                text, last, close = self._closed(text, begin, last, at)
                field, at = text[at + 1 : close], self._end_of_quoted(text, begin, at, close)
                fields.append(field.replace(self._quote * 2, self._quote))
            elif found := self._blank_quoted.match(text, at):
                fields.append(found[1].replace(self._quote * 2, self._quote))
                at = found.end()
            else:
                end = text.find(self._separator, at)
                fields.append(text[at:end] if end >= 0 else _bare(text[at:]))
                at = end if end >= 0 else len(text)
            if not text.startswith(self._separator, at):
                return fields, last + 1
            at += 1

    def _closed(self, text: str, begin: int, last: int, opening: int) -> tuple[str, int, int]:
        """Return the text with all lines of its quoted field, its last line, and the closing quote."""
        first, at = last, opening + 1
        while True:
            close = text.find(self._quote, at)
            while close >= 0 and text.startswith(self._quote, close + 1):
                close = text.find(self._quote, close + 2)
            if close >= 0:
                break
            at, last = len(text), last + 1
            if last == len(self._lines):
                raise self._bad_quote(text, begin, opening)
            text += self._lines[last]
        if last > first and not self._spans:
            raise self._swallowed(text, begin, opening, last)
        return text, last, close

    def _end_of_quoted(self, text: str, begin: int, opening: int, close: int) -> int:
        after = self._after.match(text, close + 1)
        if after is None:
            raise self._bad_quote(text, begin, opening)
        return after.end()

    def _position(self, text: str, begin: int, at: int) -> tuple[int, int]:
        """Return the line and the column of a character of the row's text, from 1."""
        before = text[:at]
        return begin + 1 + before.count("\n"), at - before.rfind("\n")

    def _bad_quote(self, text: str, begin: int, opening: int) -> DataError:
        return DataError(
            f"A quoted field in {self._name} is not closed.",
            where=f"{position(*self._position(text, begin, opening))}: the {self._quote_name} that opens here needs "
            f"one that closes it, followed by a {separator_name(self._separator)} or the end of the line",
            fix=f"Close the quote; write a {self._quote_name} inside a quoted field twice ({self._quote * 2}), and put "
            "a field that begins with one between quotes; if quotes are part of the texts, give --quote none.",
        )

    def _swallowed(self, text: str, begin: int, opening: int, last: int) -> DataError:
        line, column = self._position(text, begin, opening)
        return DataError(
            f"A quoted field in {self._name} runs from line {line} to line {last + 1}.",
            where=f"{position(line, column)}: the {self._quote_name} that opens here is closed in line {last + 1}",
            fix="If quotes are part of the texts, as is usual between tabs, give --quote none; if this field does hold "
            f"line ends, give --quote {self._quote!r}.",
        )

    @property
    def _quote_name(self) -> str:
        return "double quote" if self._quote == QUOTE else f"quote {self._quote}"
