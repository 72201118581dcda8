"""Files of sentences whose words have labels: two columns, CoNLL-U, or JSONL with lists."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from elman.data.files import Mistakes, Source, check_encoding
from elman.data.tables.table_format import TableFormat
from elman.data.tables.tables import JSON_LINES, read_like
from elman.errors import DataError, UsageError, nearest

CONLLU = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
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
    """

    words: list[list[str]]
    tags: list[list[str]] | None
    lines: list[int]
    source: str
    form: TableFormat = field(default_factory=TableFormat)


def read_sentences(
    path: str | Path, column: str | None = None, *, encoding: str | None = None, known: TableFormat | None = None
) -> Sentences:
    """Read a file of sentences.

    A .conllu file has ten columns, of which ranges (`1-2`) and empty words (`1.1`) are left out; .jsonl has an object
    with a list `words` and a list of tags on each line; any other file has a word, a tab and its tag on a line and a
    blank line after each sentence, or, without tabs, a sentence of words with blanks between on each line.

    Args:
        path: the file, or `-` for standard input.
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
    source = read_like(path, encoding, known)
    if column is None and known is not None and known.ending == source.ending and known.label is not None:
        column = str(known.label)
    form = TableFormat(ending=source.ending, encoding=source.encoding, label=column)
    return replace(_read(source, column), form=form)


def _read(source: Source, column: str | None) -> Sentences:
    if source.ending in JSON_LINES:
        return _objects(source, column or "tags")
    if source.ending == ".conllu":
        return _columns(source, CONLLU.index("form"), _conllu_column(column or "upos"), len(CONLLU))
    if not any("\t" in line for line in source.lines):
        return _plain(source)
    width = max(line.count("\t") + 1 for line in source.lines)
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
    words, tags, lines, mistakes = [], [], [], Mistakes(source.name)
    for begin, rows in _blocks(source, comments=width == len(CONLLU)):
        pairs = []
        for number, row in rows:
            if len(row) != width or not row[word].strip() or not row[tag].strip():
                mistakes.add(number, None, f"expected {width} fields, none of them empty, got {len(row)}")
            elif row[0].isdecimal() or width != len(CONLLU):
                pairs.append((row[word].strip(), row[tag].strip()))
        words.append([pair[0] for pair in pairs])
        tags.append([pair[1] for pair in pairs])
        lines.append(begin)
    mistakes.raise_any(_FIX)
    return Sentences(words, tags, lines, source.name)


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
        if not _is_words(found) or not (column not in row or _is_words(row[column])):
            mistakes.add(number, "words", "expected a list of words, and a list of as many tags")
            continue
        words.append(found)
        tags.append(row.get(column))
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


def _is_words(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(word, str) for word in value)
