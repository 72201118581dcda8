"""Files of sentences whose words have labels: two columns, CoNLL-U, or JSONL with lists."""

import codecs
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeGuard

from elman.data.files import Mistakes, Source, check_encoding, open_unpacked, position
from elman.data.tables.cuts import Cut, after_blank_line
from elman.data.tables.table_format import TableFormat
from elman.data.tables.tables import JSON_LINES, Table, read_like
from elman.errors import DataError, UsageError, nearest

CONLLU = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
_ID = re.compile(r"(\d+)(?:-(\d+)|\.(\d+))?")
_CONLLU_FIX = "Write each word as a line of ten fields with tabs between them, and count the words from 1."
_FIX = "Write a word, a tab and its tag on each line, and a blank line after each sentence."


@dataclass(frozen=True)
class Sentences:
    """Sentences, in the order of their file.

    Attributes:
        words: a list for each sentence.
        tags: the same, of the tags; None where the file has none.
        lines: the line that each sentence begins on, from 1.
        source: the path of the file, or `standard input`.
        form: how it was read, to read other files in the same way.
        rows: the line of each word, from 1; empty for files whose lines are sentences.
        column: index of the column of the tags in these lines.
        width: number of fields of these lines; 0 for files whose lines are sentences.
    """

    words: list[list[str]]
    tags: list[list[str]] | None
    lines: list[int]
    source: str
    form: TableFormat = field(default_factory=TableFormat)
    rows: list[list[int]] = field(default_factory=list)
    column: int = 0
    width: int = 0


def read_sentences(
    path: str | Path | Source,
    column: str | None = None,
    *,
    encoding: str | None = None,
    known: TableFormat | None = None,
) -> Sentences:
    """Read a file of sentences.

    A .conllu file has ten columns; comments and the lines of ranges (`1-2`) and of empty nodes (`1.1`) are left out.
    .jsonl has an object with a list `words` and a list of tags on each line. Any other file has a word, a tab and its
    tag on a line and a blank line after each sentence, where `#` is a word; or, without tabs, a sentence on each line,
    with blanks between the words.

    Args:
        path: the file, `-` for standard input, or lines that were read.
        column: of the tags: a name of CoNLL-U, a field of JSONL, or a number from 1; `upos`, `tags` or the last if not
            given.
        encoding: of the file, as Python names it; UTF-8 if not given.
        known: the format of the training file of a model. Unless they are given, its encoding is used if the file is
            not UTF-8, and its column if both files have the same ending.

    Raises:
        DataError: a file that cannot be read in this way; names every wrong line.
        UsageError: a column that such a file cannot have.
    """
    check_encoding(encoding)
    source = path if isinstance(path, Source) else read_like(path, encoding, known)
    if column is None and known is not None and known.ending == source.ending and known.label is not None:
        column = str(known.label)
    form = TableFormat(ending=source.ending, encoding=source.encoding, label=column)
    return replace(_read(source, column), form=form)


def sentence_reader(
    column: str | None = None, *, encoding: str | None = None, known: TableFormat | None = None
) -> tuple[Callable[[Any, TableFormat | None], Table], Callable[[Source, TableFormat], Cut]]:
    """Return a reader of sentences, whole or in blocks, and how their files are cut.

    The beginning of a file decides for all of it whether a sentence is a line, and how many fields a word has.

    Args:
        column, encoding, known: as for `read_sentences`.
    """
    head: list[Sentences] = []

    def read(source: Any, form: TableFormat | None) -> Table:
        if form is None:
            head[:] = [read_sentences(source, column, encoding=encoding, known=known)]
        label = head[0].form.label
        found = head[0] if form is None else _read(source, None if label is None else str(label), head[0])
        names = [f"{found.source}, {position(line)}" for line in found.lines]
        return Table(found.words, None, found.lines, found.source, [], head[0].form, names)

    def cut(_source: Source, _form: TableFormat) -> Cut:
        return Cut(0, after_blank_line) if head[0].width else Cut(0, len, blank_rows=True)

    return read, cut


def fill_tags(
    path: str | Path,
    tags: Sequence[Sequence[str]],
    column: str | None = None,
    *,
    encoding: str | None = None,
    known: TableFormat | None = None,
) -> bytes:
    """Return the bytes of a file with other tags in its column of tags.

    Every other byte stays as it is; a packed file is unpacked.

    Args:
        path: the file.
        tags: for each word of each sentence, as `read_sentences` reads them.
        column, encoding, known: as for `read_sentences`.

    Raises:
        DataError: the file cannot be read, or is not in one encoding.
        UsageError: the file has no columns, or is standard input.
    """
    if str(path) == "-":
        raise UsageError("Standard input cannot be filled with tags.", fix="Give a file.")
    found, source = read_sentences(path, column, encoding=encoding, known=known), read_like(path, encoding, known)
    if not found.rows:
        raise UsageError(f"{path} has no column of tags to fill.", fix="Give a CoNLL-U file, or one with tabs.")
    mark, name = b"", source.encoding or "utf-8"
    with open_unpacked(Path(path)) as file:
        original = file.read()
    if source.encoding is None and original.startswith(codecs.BOM_UTF8):
        mark = codecs.BOM_UTF8
    if mark + "".join(source.lines).encode(name) != original:
        raise DataError(f"{path} cannot be written in {name} as it was.", fix="Convert it to UTF-8 first.")
    lines = list(source.lines)
    for numbers, answers in zip(found.rows, tags, strict=True):
        for number, answer in zip(numbers, answers, strict=True):
            text = lines[number - 1].rstrip("\r\n")
            fields = text.split("\t")
            fields[found.column] = answer
            lines[number - 1] = "\t".join(fields) + lines[number - 1][len(text) :]
    return mark + "".join(lines).encode(name)


def _read(source: Source, column: str | None, head: Sentences | None = None) -> Sentences:
    """Read lines, like those of the file's beginning if that was read before."""
    if source.ending in JSON_LINES:
        return _objects(source, column or "tags")
    if source.ending == ".conllu":
        return _columns(source, CONLLU.index("form"), _conllu_column(column or "upos"), len(CONLLU))
    width = max(line.count("\t") + 1 for line in source.lines) if head is None else head.width
    if width < 2:
        return _plain(source)
    return _columns(source, 0, width - 1 if column is None else _number(column, width), width)


def _conllu_column(column: str) -> int:
    if column.lower() in CONLLU:
        return CONLLU.index(column.lower())
    if column.isdecimal():
        return _number(column, len(CONLLU))
    raise UsageError(f"CoNLL-U has no column `{column}`.", fix=nearest(column, CONLLU))


def _number(column: str, width: int) -> int:
    if column.isdecimal() and 1 <= int(column) <= width:
        return int(column) - 1
    raise UsageError(f"The file has no column `{column}`.", fix=f"Give a number from 1 to {width}.")


def _columns(source: Source, word: int, tag: int, width: int) -> Sentences:
    sentences: list[list[tuple[int, str, str]]] = []
    lines, mistakes, conllu = [], Mistakes(source.name), width == len(CONLLU)
    for begin, rows in _blocks(source, comments=conllu):
        found, words = [], 0
        for number, row in rows:
            problem = _wrong_row(row, word, tag, width) or (_wrong_id(row[0], words) if conllu else None)
            if problem is not None:
                mistakes.add(number, *problem)
            if not conllu or row[0].isdecimal():
                words += 1
                if problem is None:
                    found.append((number, row[word].strip(), row[tag].strip()))
        sentences.append(found)
        lines.append(begin)
    mistakes.raise_any(_CONLLU_FIX if conllu else _FIX)
    numbers = [[number for number, _, _ in sentence] for sentence in sentences]
    forms = [[form for _, form, _ in sentence] for sentence in sentences]
    tags = [[label for _, _, label in sentence] for sentence in sentences]
    return Sentences(forms, tags, lines, source.name, rows=numbers, column=tag, width=width)


def _wrong_row(row: list[str], word: int, tag: int, width: int) -> tuple[int | str, str] | None:
    """Return the column of a mistake in a row and what is wrong, or None."""
    if len(row) != width:
        return min(len(row), width) + 1, f"expected {width} fields, got {len(row)}"
    empty = next((column for column in (word, tag) if not row[column].strip()), None)
    return None if empty is None else (empty + 1, "expected a word and its tag, got an empty field")


def _wrong_id(given: str, words: int) -> tuple[int | str, str] | None:
    """Return what is wrong with an ID of CoNLL-U after so many words of its sentence, or None.

    Words count from 1. A range, such as `3-4`, is before its first word and has at least two; an empty node, such as
    `2.1`, is after the word of its number.
    """
    if found := _ID.fullmatch(given):
        first, last, inner = (int(part) if part else 0 for part in found.groups())
        is_node, is_range = found[3] is not None, found[2] is not None
        after = first == words and inner > 0 if is_node else first == words + 1
        if after and (last > first or not is_range):
            return None
    expected = f"{words + 1}, a range such as {words + 1}-{words + 2}, or an empty node such as {words}.1"
    return "id", f"expected {expected}; got {given!r}"


def _blocks(source: Source, *, comments: bool) -> Iterator[tuple[int, list[tuple[int, list[str]]]]]:
    """Yield the first line of each sentence, and its rows with the numbers of their lines."""
    rows: list[tuple[int, list[str]]] = []
    for number, line in enumerate([*source.lines, "\n"], start=1):
        if not line.strip():
            if rows:
                yield rows[0][0], rows
            rows = []
        elif not (comments and line.startswith("#")):
            rows.append((number, line.rstrip("\r\n").split("\t")))


def _plain(source: Source) -> Sentences:
    numbered = [(number, line.split()) for number, line in enumerate(source.lines, start=1)]
    return Sentences([words for _, words in numbered], None, [number for number, _ in numbered], source.name)


def _objects(source: Source, column: str) -> Sentences:
    words, tags, lines, mistakes = [], [], [], Mistakes(source.name)
    for number, line in enumerate(source.lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            mistakes.add(number, None, f"this is not valid JSON: {error}")
            continue
        found = row.get("words") if isinstance(row, dict) else None
        if not _is_words(found):
            mistakes.add(number, "words", "expected a list of words")
            continue
        own = row.get(column)
        if column in row and not _is_words(own):
            mistakes.add(number, column, "expected a list of tags")
            continue
        if own is not None and len(own) != len(found):
            mistakes.add(number, column, f"expected a tag for each of {len(found)} words, got {len(own)} tags")
            continue
        words.append(found)
        tags.append(own)
        lines.append(number)
    mistakes.raise_any('Write one JSON object a line, as {"words": ["a", "dog"], "tags": ["DET", "NN"]}.')
    missing = [line for line, each in zip(lines, tags, strict=True) if each is None]
    if missing and len(missing) < len(lines):
        raise DataError(
            f"Some sentences have no list `{column}`.",
            where=f"{source.name}, line {missing[0]}",
            fix=f"Give each sentence a list `{column}`, or none of them.",
        )
    return Sentences(words, None if missing else tags, lines, source.name)


def _is_words(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(word, str) for word in value)
