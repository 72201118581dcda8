"""Files of rows that are too large to hold, read in tables of whole rows."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from elman.data.files import PACKED, UNPACKING_ERRORS, Source, ending_of, open_unpacked, split_lines
from elman.data.series.values import SeriesName
from elman.data.tables import delimited
from elman.data.tables.cuts import BLANK, Cut, cut_of
from elman.data.tables.table_format import TableFormat
from elman.data.tables.tables import EXPORTS, Table, read_table
from elman.data.text.corpus import Corpus, open_corpus
from elman.errors import DataError

BLOCK_BYTES = 2**22
# A line in a message, but not one in quotes, which is a text.
_LINE = re.compile(r"(?<!['`])\bline (\d+)")
_BEGIN = re.compile(r"^, line (\d+)")
# A row that is longer is a quote that is never closed. A file that is not longer is read whole to find its mistakes.
_LONGEST_ROW = 16 * BLOCK_BYTES
_FIXED_WIDTH = ("delimited", "jsonl", "fasttext")

# Reads a file, or some lines of it; by the format of the file's beginning, if that was read before.
Read = Callable[[Any, TableFormat | None], Table]


def read_tables(path: str | Path, *, known: TableFormat | None = None, **options: Any) -> Iterator[Table]:
    """Yield the rows of a file in tables of a few megabytes, one after the other.

    The first megabytes decide how the file is read: its separator, header and columns. A mistake in a later block is
    raised when that block is read. Folders, files of one block, and tables with a step a row in which the steps of a
    series do not follow one another, are one table.

    Args:
        path: the file or the folder; not standard input.
        known: as for `read_table`.
        options: the others of `read_table`.

    Raises:
        DataError, UsageError: as `read_table`.
    """
    fallback = None if known is None else known.encoding
    how = {"encoding": options.get("encoding"), "fallback": fallback}
    return read_blocks(path, reader_of(known=known, **options), **how)


def reader_of(*, known: TableFormat | None = None, **options: Any) -> Read:
    """Return a reader of tables, whole or in blocks, with options of `read_table`."""

    def read(source: Any, form: TableFormat | None) -> Table:
        if form is None:
            return read_table(source, known=known, **options)
        kept = {name: value for name, value in options.items() if name in ("labelled", "numeric")}
        return read_table(source, **kept, **options_of(form))

    return read


def options_of(form: TableFormat) -> dict[str, Any]:
    """Return the options with which `read_table` reads other lines of a file in the same way."""
    if form.kind == "jsonl":
        return {"text": list(form.text_names)}
    table = {"separator": form.separator, "quote": form.quote, "header": form.header}
    if form.kind == "delimited":
        return {"text": list(form.text), **table}
    if form.kind == "wide":
        return {"label": form.label, **table, "known": replace(form, label=None, label_name=None)}
    if form.kind == "long":
        return {**table, "known": form}
    return {"known": form} if form.kind in ("ts", "arff") else {}


def read_blocks(
    path: str | Path,
    read: Read,
    cut: Callable[[Source, TableFormat], Cut | None] = cut_of,
    *,
    encoding: str | None = None,
    fallback: str | None = None,
) -> Iterator[Table]:
    """Yield the rows of a file in tables, as `read_tables` does.

    Args:
        path: the file or the folder; not standard input.
        read: reads the file if it is small or cannot be cut, else blocks of it.
        cut: gives where the file is cut.
        encoding: of the file; UTF-8 if not given.
        fallback: its encoding if it is not UTF-8, where none is given.

    Raises:
        DataError, UsageError: as `read`.
    """
    if not is_large(Path(path)):
        yield read(path, None)
        return
    corpus = open_corpus(Path(path), encoding=encoding, fallback=fallback)
    yield from tables_of(corpus, read, cut, ending=ending_of(path), encoding=encoding, whole=path)


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
    corpus: Corpus,
    read: Read,
    cut: Callable[[Source, TableFormat], Cut | None] = cut_of,
    *,
    ending: str = "",
    encoding: str | None = None,
    whole: str | Path | None = None,
) -> Iterator[Table]:
    """Yield the rows of a text in tables, as `read_blocks` does.

    Args:
        corpus: the text.
        read: as for `read_blocks`.
        cut: as for `read_blocks`.
        ending: of its file, which says how it is read.
        encoding: that was given for the file.
        whole: the file, for what cannot be read in blocks; the text itself if not given.
    """
    blocks = _blocks(corpus)
    head = Source(corpus.name, ending, next(blocks, []), encoding)
    first, end = _first_table(corpus, head, read)
    how = None if first is None else cut(replace(head, lines=head.lines[:end]), first.format)
    if first is None or how is None or not _are_together(corpus, head, how):
        source = Source(corpus.name, ending, [*head.lines, *chain.from_iterable(blocks)], encoding)
        yield read(source if whole is None else whole, None)
        return
    # A count of empty texts would be that of the first block.
    notes, form = [note for note in first.notes if "texts are empty" not in note], first.format
    # Its rows are read again, and take memory until then.
    del first
    for block in _whole_rows(head, blocks, how):
        yield replace(block.read(read, form), notes=notes)
        notes = []


@dataclass(frozen=True)
class _Block:
    """Some rows of a file.

    Attributes:
        source: their lines, after those of the header.
        header: number of lines of the header.
        done: lines of the file before those of the rows.
    """

    source: Source
    header: int
    done: int

    @property
    def shift(self) -> int:
        """What is added to the number of a line to get that in the file."""
        return self.done - self.header

    def read(self, read: Read, form: TableFormat) -> Table:
        """Return the rows with their positions in the file."""
        source, shift = self.source, self.shift
        try:
            table = read(source, form)
        except DataError as error:
            where = None if error.where is None else _shifted(error.where, shift)
            raise DataError(_shifted(error.problem, shift), where=where, fix=error.fix) from None
        self._check(form, table.format)
        files = [_moved(name, source.name, shift) for name in table.files]
        return replace(table, lines=[line + shift for line in table.lines], files=files)

    def _check(self, form: TableFormat, found: TableFormat) -> None:
        """Refuse rows that are read in another way than those before them."""
        if form.kind in _FIXED_WIDTH and (found.kind, found.width) != (form.kind, form.width):
            end = len(self.source.lines) + self.shift
            raise DataError(
                f"The rows of {self.source.name} change from line {self.done + 1} to line {end}.",
                where=f"expected {_described(form)}, got {_described(found)}",
                fix="Correct these rows.",
            )


def _whole_rows(head: Source, blocks: Iterator[list[str]], cut: Cut) -> Iterator[_Block]:
    """Yield blocks of whole rows, each after the header."""
    header, waiting, done = head.lines[: cut.header], head.lines[cut.header :], cut.header
    for more in chain([[]], blocks, [None]):
        lines = waiting if more is None else [*waiting, *more]
        end = len(lines) if more is None else cut.end(lines)
        if not end and cut.groups is None and sum(map(len, lines)) > _LONGEST_ROW:
            end = len(lines)
        block, waiting = lines[:end], lines[end:]
        if block and (cut.blank_rows or any(line.strip(BLANK) for line in block)):
            yield _Block(replace(head, lines=[*header, *block]), len(header), done)
        done += end


def _are_together(corpus: Corpus, head: Source, cut: Cut) -> bool:
    """Return whether the rows of each series follow one another."""
    if cut.groups is None:
        return True
    seen: set[str] = set()
    last, blocks = None, _blocks(corpus)
    next(blocks)
    for block in _whole_rows(head, blocks, cut):
        for name in cut.groups(block.source.lines[cut.header :]):
            if name != last and name in seen:
                return False
            seen.add(name)
            last = name
    return True


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


def _first_table(corpus: Corpus, head: Source, read: Read) -> tuple[Table | None, int]:
    """Return rows of a first block and the number of their lines.

    There are no rows where the file is to be read whole to find its mistakes.

    Raises:
        DataError: the block has mistakes, and the file is too long to read all of it.
    """
    failure = None
    for end in (len(head.lines), _even(head.lines)):
        try:
            return read(replace(head, lines=head.lines[:end]), None), end
        except DataError as error:
            # The block may end within a row.
            failure = error
    if failure is not None and corpus.size() > _LONGEST_ROW:
        raise failure
    return None, 0


def _even(lines: Sequence[str]) -> int:
    """Return the end of the last line with an even number of double quotes up to there."""
    quotes, found = 0, 0
    for number, line in enumerate(lines, start=1):
        quotes += line.count(delimited.QUOTE)
        if quotes % 2 == 0:
            found = number
    return found


def _moved(name: str, source: str, shift: int) -> str:
    """Return the position of a row in the file."""
    found = source + _BEGIN.sub(lambda line: f", line {int(line[1]) + shift}", name.removeprefix(source))
    if not isinstance(name, SeriesName):
        return found
    return SeriesName(found, lambda step, channel: _moved(name.at(step, channel), source, shift))


def _shifted(text: str, lines: int) -> str:
    return _LINE.sub(lambda found: f"line {int(found[1]) + lines}", text)


def _described(form: TableFormat) -> str:
    return form.kind if form.width is None else f"{form.width} fields"
