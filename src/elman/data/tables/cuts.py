"""Where the text of a file may be cut between two rows."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from elman.data.files import Source
from elman.data.tables import delimited
from elman.data.tables.table_format import TableFormat

BLANK = " \r\n"


class Cut(NamedTuple):
    """How the lines of a file are cut into blocks of whole rows.

    Attributes:
        header: number of lines at the beginning that each block needs before its rows.
        end: gives the number of lines that are whole rows, of lines whose first begins a row.
        blank_rows: whether a blank line is a row.
        groups: gives the name of the series of each row, where the rows of a series must be in one block.
    """

    header: int
    end: Callable[[Sequence[str]], int]
    blank_rows: bool = False
    groups: Callable[[Sequence[str]], Iterator[str]] | None = None


def cut_of(head: Source, form: TableFormat) -> Cut | None:
    """Return how a table is cut, None for one that is read whole.

    Args:
        head: the beginning of the file, which does not end within a row.
        form: how it was read.
    """
    if form.kind == "delimited" and form.separator in (None, delimited.LINES):
        return Cut(int(form.header), len, blank_rows=True)
    if form.kind in ("delimited", "wide"):
        rows = _Rows(head.name, form)
        return Cut(rows.header(head) if form.header else 0, rows.end)
    if form.kind == "long":
        series = _Series(head, form)
        return Cut(series.header(head), series.end, groups=series.names)
    if form.kind in ("ts", "arff"):
        return Cut(_lines_to_data(head), without_blank_end)
    return Cut(0, without_blank_end) if form.kind in ("jsonl", "fasttext") else None


def without_blank_end(lines: Sequence[str]) -> int:
    """Return the number of lines up to the last one that is not blank."""
    end = len(lines)
    while end and not lines[end - 1].strip(BLANK):
        end -= 1
    return end


def after_blank_line(lines: Sequence[str]) -> int:
    """Return the number of lines up to the last blank one."""
    end = len(lines)
    while end and lines[end - 1].strip():
        end -= 1
    return end


def _lines_to_data(head: Source) -> int:
    """Return the number of lines up to `@data`, without which each line is one of values."""
    found = (number for number, line in enumerate(head.lines, start=1) if line.strip().lower().startswith("@data"))
    return next(found, 0)


class _Rows:
    """Rows of fields between separators, of which quoted ones may hold line ends.

    Args:
        name: of the file.
        form: how it was read.
    """

    def __init__(self, name: str, form: TableFormat):
        self._name, self._separator = name, form.separator or delimited.LINES
        given = form.quote
        self._quote = delimited.QUOTE if given is None else delimited.parse_quote(given, self._separator)
        self._spans = given is not None or self._separator != "\t"

    def end(self, lines: Sequence[str]) -> int:
        """Return the number of lines that are whole rows."""
        end = len(lines)
        if self._spans and self._quote and any(self._quote in each for each in lines):
            end = delimited.begin_of_last_row(self._name, lines, self._separator, self._quote)
        return without_blank_end(lines[:end])

    def header(self, head: Source) -> int:
        """Return the number of lines before the row after the header."""
        rows = self.read(head.lines)
        return rows[1].line - 1 if len(rows) > 1 else len(head.lines)

    def read(self, lines: Sequence[str]) -> list[delimited.Row]:
        """Return the rows of these lines."""
        source = Source(self._name, "", list(lines))
        return delimited.read_rows(source, self._separator, self._quote, spans=self._spans)


class _Series(_Rows):
    """Series of a table with a step a row, where the steps of a series follow one another.

    Args:
        head: the beginning of the file.
        form: how it was read.
    """

    def __init__(self, head: Source, form: TableFormat):
        super().__init__(head.name, form)
        fields = [name.strip() for name in self.read(head.lines)[0].fields]
        self._column = fields.index(form.series or "")

    def end(self, lines: Sequence[str]) -> int:
        """Return the number of lines before the last series, which may go on."""
        rows = self.read(lines[: super().end(lines)])
        begin = len(rows) - 1
        while begin > 0 and self._name_of(rows[begin - 1]) == self._name_of(rows[-1]):
            begin -= 1
        return rows[begin].line - 1 if rows else 0

    def names(self, lines: Sequence[str]) -> Iterator[str]:
        """Yield the name of the series of each row."""
        return map(self._name_of, self.read(lines))

    def _name_of(self, row: delimited.Row) -> str:
        return row.fields[self._column].strip() if self._column < len(row.fields) else ""
