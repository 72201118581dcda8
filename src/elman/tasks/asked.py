"""Texts to predict, from a file or from standard input as they are typed."""

import sys
from collections.abc import Iterator
from itertools import chain
from typing import Any

from elman.data.files import Source, decode_source
from elman.data.tables.fasttext import is_fasttext
from elman.data.tables.jsonlines import choose_fields, read_record
from elman.data.tables.table_format import TableFormat
from elman.data.tables.tables import Table, has_header_of, read_table
from elman.errors import DataError
from elman.tasks.task import Asked


def read_texts(path: str, known: TableFormat | None, **options: Any) -> Asked:
    """Read texts without labels: a line each, or those of a file as the training file was read.

    Args:
        path: a file, a folder, or `-` for standard input, which is read as it is typed where each line is a text or a
            JSON object.
        known: how the training file of the model was read.
        options: those of `read_table` that the user gave.

    Raises:
        DataError: it cannot be read so.
    """
    if path == "-" and not options:
        return _stream(known)
    return _rows(read_table(path, known=known, labelled=False, **options))


def _rows(table: Table) -> Asked:
    notes = [f"{table.source}: {'; '.join(table.notes)}"] if table.notes else []
    return Asked(notes, zip(table.positions, table.texts, strict=True))


def _stream(known: TableFormat | None) -> Asked:
    """Return the texts of standard input, as they are typed unless they are a table."""
    lines = iter(sys.stdin.buffer)
    first = next(lines, None)
    if first is None:
        return Asked((), iter(()))
    source = Source("standard input", "", [_decoded(first, 1)])
    if source.lines[0].lstrip().startswith("{"):
        return Asked((), _stream_of_json(source, chain([first], lines), known))
    if _begins_table(source, known):
        return _rows(read_table(decode_source(source.name, "", first + b"".join(lines)), known=known, labelled=False))
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
