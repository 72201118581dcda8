"""Labelled files that are too large to hold, read in tables of whole rows."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

from elman.data.files import PACKED, UNPACKING_ERRORS, Source, ending_of, open_unpacked, split_lines
from elman.data.tables import delimited
from elman.data.tables.table_format import TableFormat
from elman.data.tables.tables import EXPORTS, Table, read_table
from elman.data.text.corpus import Corpus, open_corpus
from elman.errors import DataError

BLOCK_BYTES = 2**22
_LINE = re.compile(r"\bline (\d+)")
# A row that is longer is a quote that is never closed.
_LONGEST_ROW = 16 * BLOCK_BYTES
_KINDS = ("delimited", "jsonl", "fasttext")


def read_tables(path: str | Path, *, known: TableFormat | None = None, **options: Any) -> Iterator[Table]:
    """Yield the rows of a file in tables of a few megabytes, one after the other.

    The first megabytes decide how the file is read: its separator, header and columns. A mistake in a later block is
    raised when that block is read. Folders, files of series and files of one block are one table.

    Args:
        path: the file or the folder; not standard input.
        known: as for `read_table`.
        options: the others of `read_table`.

    Raises:
        DataError, UsageError: as `read_table`.
    """
    if not is_large(Path(path)):
        yield read_table(path, known=known, **options)
        return
    fallback = None if known is None else known.encoding
    corpus = open_corpus(Path(path), encoding=options.get("encoding"), fallback=fallback)
    yield from tables_of(corpus, ending_of(path), path, known=known, **options)


def is_large(path: Path) -> bool:
    """Return whether a file, unpacked, has more bytes than a block."""
    if not path.is_file() or ending_of(path) in EXPORTS:
        return False
    if path.suffix.lower() not in PACKED:
        return path.stat().st_size > BLOCK_BYTES
    try:
        with open_unpacked(path) as file:
            return len(file.read(BLOCK_BYTES + 1)) > BLOCK_BYTES
    except UNPACKING_ERRORS:
        # `read_table` has the message.
        return False


def tables_of(
    corpus: Corpus, ending: str, whole: str | Path | None = None, *, known: TableFormat | None = None, **options: Any
) -> Iterator[Table]:
    """Yield the rows of a text in tables, as `read_tables` does.

    Args:
        corpus: the text.
        ending: of its file, which says how it is read.
        whole: the file, for what cannot be read in blocks; the text itself if not given.
        known, options: as for `read_tables`.
    """
    blocks = _blocks(corpus)
    head = Source(corpus.name, ending, next(blocks, []), options.get("encoding"))
    if (first := _first_table(head, {"known": known, **options})) is None:
        source = Source(corpus.name, ending, [*head.lines, *chain.from_iterable(blocks)], head.encoding)
        yield read_table(source if whole is None else whole, known=known, **options)
        return
    table, used = first
    # A count of empty texts would be that of the first block.
    yield replace(table, notes=[note for note in table.notes if "texts are empty" not in note])
    reader = _Reader(head, table.format, options, head.lines[used:], used)
    for lines in blocks:
        yield from reader.tables([*reader.waiting, *lines])
    yield from reader.tables(reader.waiting, last=True)


@dataclass
class _Reader:
    """Reads further blocks of a file as its first one was read."""

    head: Source
    form: TableFormat
    options: dict[str, Any]
    waiting: list[str]
    done: int  # lines of the file before those that wait
    header: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.form.header:
            rows = delimited.read_rows(self.head, self._separator, self._quote, spans=self._spans)
            begin = 1 if delimited.separator_line(self.head) else 0
            self.header = self.head.lines[begin : rows[1].line - 1]

    def tables(self, lines: list[str], *, last: bool = False) -> Iterator[Table]:
        """Yield a table of the whole rows among these lines. The other lines wait."""
        end = len(lines) if last else self._end(lines)
        if not end and sum(map(len, lines)) > _LONGEST_ROW:
            end = len(lines)
        block, self.waiting = lines[:end], lines[end:]
        if block and (self._is_lines or any(line.strip(" \r\n") for line in block)):
            yield self._table(block)
        self.done += end

    def _table(self, block: list[str]) -> Table:
        ending = ".jsonl" if self.form.kind == "jsonl" else self.head.ending
        source = Source(self.head.name, ending, [*self.header, *block], self.head.encoding)
        shift = self.done - len(self.header)
        try:
            table = read_table(source, **self._how())
        except DataError as error:
            where = None if error.where is None else _shifted(error.where, shift)
            raise DataError(_shifted(error.problem, shift), where=where, fix=error.fix) from None
        if (table.format.kind, table.format.width) != (self.form.kind, self.form.width):
            raise DataError(
                f"The rows of {source.name} change from line {self.done + 1} to line {self.done + len(block)}.",
                where=f"expected {_described(self.form)}, got {_described(table.format)}",
                fix="Correct these rows.",
            )
        return replace(table, lines=[line + shift for line in table.lines], notes=[])

    def _how(self) -> dict[str, Any]:
        kept = {name: value for name, value in self.options.items() if name in ("labelled", "numeric")}
        if self.form.kind == "jsonl":
            return {**kept, "text": list(self.form.text_names)}
        if self.form.kind == "fasttext":
            return kept
        return {
            **kept,
            "text": list(self.form.text),
            "separator": self.form.separator,
            "quote": self.form.quote,
            "header": self.form.header,
        }

    def _end(self, lines: list[str]) -> int:
        """Return the number of lines that are whole rows, without blank lines at their end."""
        if self._is_lines:
            return len(lines)
        end = len(lines)
        if self.form.kind == "delimited" and self._spans and self._quote and any(self._quote in each for each in lines):
            end = delimited.begin_of_last_row(self.head.name, lines, self._separator, self._quote)
        while end and not lines[end - 1].strip(" \r\n"):
            end -= 1
        return end

    @property
    def _separator(self) -> str:
        return self.form.separator or delimited.LINES

    @property
    def _is_lines(self) -> bool:
        return self.form.kind == "delimited" and self._separator == delimited.LINES

    @property
    def _quote(self) -> str | None:
        given = self.form.quote
        return delimited.QUOTE if given is None else delimited.parse_quote(given, self._separator)

    @property
    def _spans(self) -> bool:
        return self.form.quote is not None or self._separator != "\t"


def _blocks(corpus: Corpus) -> Iterator[list[str]]:
    """Yield the lines of a text, some megabytes at a time."""
    gathered: list[str] = []
    for piece in corpus.pieces():
        gathered.append(piece)
        if "\n" in piece and sum(map(len, gathered)) >= BLOCK_BYTES:
            text = "".join(gathered)
            end = text.rindex("\n") + 1
            yield split_lines(text[:end])
            gathered = [text[end:]]
    if text := "".join(gathered):
        yield split_lines(text)


def _first_table(head: Source, options: dict[str, Any]) -> tuple[Table, int] | None:
    """Return the rows of a first block and the number of its lines, None for a file read whole."""
    for end in (len(head.lines), _even(head.lines)):
        try:
            table = read_table(replace(head, lines=head.lines[:end]), **options)
        except DataError:
            # The block may end within a row.
            continue
        return (table, end) if table.format.kind in _KINDS else None
    return None


def _even(lines: Sequence[str]) -> int:
    """Return the end of the last line with an even number of double quotes up to there."""
    quotes, found = 0, 0
    for number, line in enumerate(lines, start=1):
        quotes += line.count(delimited.QUOTE)
        if quotes % 2 == 0:
            found = number
    return found


def _shifted(text: str, lines: int) -> str:
    return _LINE.sub(lambda found: f"line {int(found[1]) + lines}", text)


def _described(form: TableFormat) -> str:
    return form.kind if form.width is None else f"{form.width} fields"
