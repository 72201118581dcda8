"""Rows to predict, from a file or from standard input as they are typed."""

import sys
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

from elman.data.files import Source, check_encoding, decode_source
from elman.data.tables.blocks import BLOCK_BYTES, Read, read_blocks, reader_of, tables_of
from elman.data.tables.cuts import Cut, cut_of
from elman.data.tables.fasttext import is_fasttext
from elman.data.tables.jsonlines import choose_fields, read_record
from elman.data.tables.table_format import TableFormat
from elman.data.tables.tables import Table, has_header_of
from elman.data.text.corpus import PIECE_BYTES, keep
from elman.errors import DataError
from elman.tasks.task import Asked


def read_texts(path: str, known: TableFormat | None, **options: Any) -> Asked:
    """Read texts without labels: a line each, or those of a file as the training file was read.

    A file is read in blocks, so that it may be larger than the memory.

    Args:
        path: a file, a folder, or `-` for standard input, which is read as it is typed where each line is a text or a
            JSON object, and is else kept in a temporary file.
        known: how the training file of the model was read.
        options: those of `read_table` that the user gave.

    Raises:
        DataError: it cannot be read so.
    """
    if path == "-" and not options:
        return _stream(known)
    read = reader_of(known=known, labelled=False, **options)
    return read_rows(path, read, encoding=options.get("encoding"), known=known)


def read_rows(
    path: str,
    read: Read,
    cut: Callable[[Source, TableFormat], Cut | None] = cut_of,
    *,
    encoding: str | None = None,
    known: TableFormat | None = None,
) -> Asked:
    """Read the rows of a file in blocks, so that it may be larger than the memory.

    Args:
        path: a file, a folder, or `-` for standard input, which is kept in a temporary file if it is large.
        read: as for `read_blocks`.
        cut: as for `read_blocks`.
        encoding: that the user gave.
        known: how the training file of the model was read; its encoding is used for a file that is not in UTF-8.

    Raises:
        DataError: it cannot be read so.
    """
    fallback = None if known is None else known.encoding
    if path == "-":
        return _rows(_input_tables(b"", read, cut, encoding))
    return _rows(read_blocks(path, read, cut, encoding=encoding, fallback=fallback))


def _rows(tables: Iterator[Table]) -> Asked:
    # The first table shows mistakes that concern the whole file, and has the notes.
    first = next(tables)
    notes = [f"{first.source}: {'; '.join(first.notes)}"] if first.notes else []
    return Asked(notes, chain(_rows_of(first), chain.from_iterable(map(_rows_of, tables))))


def _rows_of(table: Table) -> Iterator[tuple[str, Any]]:
    """Return the rows of a table with their positions."""
    return zip(table.positions, table.texts, strict=True)


def _input_tables(
    begin: bytes, read: Read, cut: Callable[[Source, TableFormat], Cut | None], encoding: str | None = None
) -> Iterator[Table]:
    """Return the tables of standard input, of which the beginning was read already."""
    check_encoding(encoding)
    content = begin + sys.stdin.buffer.read(BLOCK_BYTES)
    rest = iter(lambda: sys.stdin.buffer.read(PIECE_BYTES), b"")
    if (more := next(rest, None)) is None:
        yield read(decode_source("standard input", "", content, encoding), None)
        return
    corpus = keep("standard input", chain([content, more], rest))
    recoded = corpus if encoding is None else corpus.recoded(encoding)
    yield from tables_of(recoded, read, cut, encoding=encoding)


def _stream(known: TableFormat | None) -> Asked:
    """Return the texts of standard input, as they are typed unless they are a table."""
    lines = iter(sys.stdin.buffer.readline, b"")
    first = next(lines, None)
    if first is None:
        return Asked((), iter(()))
    source = Source("standard input", "", [_decoded(first, 1)])
    if source.lines[0].lstrip().startswith("{"):
        return Asked((), _stream_of_json(source, chain([first], lines), known))
    if _begins_table(source, known):
        return _rows(_input_tables(first, reader_of(known=known, labelled=False), cut_of))
    return Asked((), _stream_of_lines(chain([first], lines)))


def lines_of_input() -> Iterator[tuple[str, str]]:
    """Yield each line of standard input with its name in messages, as it is typed."""
    return _stream_of_lines(iter(sys.stdin.buffer))


def _begins_table(source: Source, known: TableFormat | None) -> bool:
    """Return whether a first line has tabs, fastText's label, or the training file's header."""
    if "\t" in source.lines[0] or is_fasttext(source):
        return True
    return known is not None and has_header_of(source, known)


def _stream_of_lines(lines: Iterator[bytes]) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(lines, start=1):
        text = _decoded(line, number)
        yield f"standard input, line {number}", text.removesuffix("\n").removesuffix("\r")


def _stream_of_json(first: Source, lines: Iterator[bytes], known: TableFormat | None) -> Iterator[tuple[str, Any]]:
    fields = choose_fields(first, [], None, known, labelled=False)
    for number, line in enumerate(lines, start=1):
        if text := _decoded(line, number).strip():
            record = read_record(Source(first.name, "", [text]), number, fields.text)
            yield f"standard input, line {number}", record.text


def _decoded(line: bytes, number: int) -> str:
    try:
        text = line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            "The text is not UTF-8.",
            where=f"standard input, line {number}, byte {error.start + 1}",
            fix="Give its encoding (--encoding), or convert it first, for instance with iconv -t UTF-8.",
        ) from error
    if "\0" in text:
        raise DataError("The text holds a NUL byte.", where=f"standard input, line {number}", fix="Give text in UTF-8.")
    return text
