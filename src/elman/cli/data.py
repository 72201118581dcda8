"""Files of the user, read for a command; what was assumed to read them is said."""

import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

from elman.cli.output import say
from elman.errors import DataError, ElmanError
from elman.sequences.fasttext import is_fasttext
from elman.sequences.files import Source, decode_source
from elman.sequences.given import NUMBERED
from elman.sequences.jsonlines import choose_fields, read_record
from elman.sequences.labels import Labels, written
from elman.sequences.listing import listed
from elman.sequences.table_format import TableFormat
from elman.sequences.tables import Table, has_header_of, read_table


def read_labelled(path: str | Path, *, known: TableFormat | None = None, **options: Any) -> Table:
    """Read texts with labels.

    Args:
        path: a file, a folder, or `-` for standard input.
        known: how the training file of the model was read.
        options: those of `read_table` that the user gave; None for those that were not.

    Raises:
        DataError: the file cannot be read as asked, or has no labels.
    """
    table = read_table(path, known=known, **_given(options))
    tell(table)
    if table.labels is None:
        raise DataError(
            f"{table.source} has texts but no labels.", fix="Name the column of the labels with --label, or add one."
        )
    return table


def known_format(form: TableFormat | None, classes: Collection[Any]) -> TableFormat:
    """Return how the training file of a model was read, with the labels that the model knows.

    Args:
        form: None for a model that was not trained on a file.
        classes: the labels.
    """
    return replace(form or TableFormat(), classes=frozenset(map(written, classes)))


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def with_known_labels(table: Table, known: Collection[Any]) -> Table:
    """Return the table with its labels as the model has them; a file has no types, so that 1 and "1" are one label.

    Raises:
        DataError: names the first labels that the model does not know, each with its line, and the known ones.
    """
    labels = Labels(tuple(known))
    found = labels.from_written(table.labels or [])
    strange = labels.unknown(found)
    wrong = [f"{table.places[row]}: {found[row]!r}" for row in strange]
    if wrong:
        raise DataError(
            f"{len(wrong):,} of {len(table):,} labels are unknown to the model.",
            where="\n".join(listed(wrong)),
            fix=f"Known labels: {labels.shown()}. Is --label the right column?",
        )
    return replace(table, labels=found)


def read_texts(
    path: str, *, text: str | None = None, known: TableFormat | None = None, **options: Any
) -> Iterator[tuple[str, Any]]:
    """Read texts without labels: a line each, or those of a file as the training file was read.

    Args:
        path: a file, a folder, or `-` for standard input, which is read as it comes in where each line is a text or
            a JSON object.
        text: the column of the texts.
        known: how the training file of the model was read.
        options: as for `read_labelled`.

    Returns:
        Where each text is, and the text (or the sequence of numbers that a JSONL file holds).

    Raises:
        DataError: it cannot be read so.
    """
    given = _given({"text": text, **options})
    if path == "-" and not given:
        return _stream(known)
    return _rows(read_table(path, known=known, labelled=False, **given))


def _rows(table: Table) -> Iterator[tuple[str, Any]]:
    tell(table)
    return zip(table.places, table.texts, strict=True)


@contextmanager
def places_named(places: Sequence[str], validation: Sequence[str] = ()) -> Iterator[None]:
    """Inside, an error that counts the texts it was given names their places instead.

    Args:
        places: where each text is, such as its file and line.
        validation: the same of the validation data.
    """
    try:
        yield
    except ElmanError as error:
        if not NUMBERED.search(error.where or ""):
            raise
        where = NUMBERED.sub(lambda found: (validation if found[1] else places)[int(found[2]) - 1], error.where or "")
        raise type(error)(error.problem, where=where, fix=error.fix) from error


def _stream(known: TableFormat | None) -> Iterator[tuple[str, Any]]:
    """The texts of standard input: as they come in, if the first line is not that of a table."""
    lines = iter(sys.stdin.buffer)
    first = next(lines, None)
    if first is None:
        return iter(())
    source = Source("standard input", "", [_decoded(first, 1)])
    if source.lines[0].lstrip().startswith("{"):
        return _stream_of_json(source, chain([first], lines), known)
    if _begins_table(source, known):
        return _rows(read_table(decode_source(source.name, "", first + b"".join(lines)), known=known, labelled=False))
    return _stream_of_lines(chain([first], lines))


def _begins_table(source: Source, known: TableFormat | None) -> bool:
    """Whether a first line has tabs or fastText's label, or the names that the training file's header had."""
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


def tell(table: Table) -> None:
    """Say what was assumed to read a table."""
    if table.notes:
        say(f"elman: note: {table.source}: {'; '.join(table.notes)}.")
