"""Labelled files read into texts and labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from elman.errors import DataError, UsageError
from elman.sequences import delimited, jsonlines
from elman.sequences.columns import Column, choose_columns, parse_column, parse_text
from elman.sequences.files import Mistakes, Source, read_source
from elman.sequences.split import split_rows

_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_ENDINGS = ".csv, .tsv, .txt, .jsonl, each also with .gz, .xz or .bz2"


@dataclass(frozen=True)
class Table:
    """The rows of a labelled file, in their order.

    Attributes:
        texts: one text a row; for numeric sequences (JSONL) a list of numbers, or of lists of numbers.
        labels: one label a row, or None where the file has none.
        lines: the line each row begins on, from 1.
        source: the path of the file, or `standard input`.
        notes: what was assumed to read it, one sentence each.
    """

    texts: list[Any]
    labels: list[str] | None
    lines: list[int]
    source: str
    notes: list[str]

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def is_numeric(self) -> bool:
        """Whether the rows are sequences of numbers in place of texts."""
        return any(isinstance(text, list) for text in self.texts)

    def split(self, fraction: float, seed: int) -> tuple["Table", "Table"]:
        """The table in two: what to train on, and the fraction held back; see `split_rows`."""
        kept, held = split_rows(self.texts, self.labels or [], fraction, seed)
        return self.select(kept), self.select(held)

    def select(self, rows: Sequence[int]) -> "Table":
        """A table of these rows, in this order."""
        return Table(
            [self.texts[row] for row in rows],
            None if self.labels is None else [self.labels[row] for row in rows],
            [self.lines[row] for row in rows],
            self.source,
            list(self.notes),
        )


def read_table(
    path: str | Path,
    *,
    text: str | int | Sequence[Column] | None = None,
    label: Column | None = None,
    header: bool | Literal["auto"] = "auto",
    separator: str | None = None,
) -> Table:
    r"""The texts and labels of a file.

    The ending says how it is read: .csv and .tsv by the rules of CSV with double quotes; .jsonl as
    one JSON object a line, whose text may be a list of numbers or of lists of numbers; .txt as
    tab- or comma-separated if every line has one, else as one text a line. Each may be compressed
    (.gz, .xz, .bz2). Standard input is read as .jsonl if it begins with `{`, else as .txt.

    Columns are given by name, which takes a header, or by number from 1, which takes none unless
    header=True. If none is given, columns named `text` and `label` are used; else a file of two
    columns has the text first and the label second, and a file of one has texts only. `notes` says
    what was assumed. White space around a label is left out. An empty text is an empty sequence; a
    blank line is one only where each line is one text, else it may stand only at the end.

    Args:
        path: the file, or `-` for standard input.
        text: the column of the text; several, as "2,3" or ["title", "body"], are joined by a blank.
        label: the column of the label.
        header: whether the first row has the names of the columns; "auto" decides as above.
        separator: the character between fields in place of what the ending says; `\n` if each line
            is one text.

    Raises:
        DataError: a file or rows that cannot be read so; all wrong rows at once, with line, column
            and repair.
        UsageError: options that make no sense together.
    """
    if separator is not None:
        delimited.check_separator(separator)
    source = read_source(path)
    notes: list[str] = []
    if separator is None and _is_jsonl(source, notes):
        return _read_jsonl(source, text, label, header, notes)
    separator = separator or _separator(source, notes)
    return _read_delimited(source, parse_text(text), label, header, separator, notes)


def _is_jsonl(source: Source, notes: list[str]) -> bool:
    if source.ending == "" and source.lines[0].lstrip().startswith("{"):
        notes.append("the first line begins with `{`: read as JSONL")
        return True
    return source.ending == ".jsonl"


def _separator(source: Source, notes: list[str]) -> str:
    if source.ending in _SEPARATORS:
        return _SEPARATORS[source.ending]
    if source.ending not in ("", ".txt"):
        raise DataError(
            f"{source.name}: files that end in {source.ending} cannot be read.",
            fix=f"Known are {_ENDINGS}. Give the separator to read another ending.",
        )
    guess = delimited.guess_separator(source.lines)
    if guess == delimited.LINES:
        notes.append("each line is read as one text")
    else:
        notes.append(f"every line has a {delimited.SEPARATOR_NAMES[guess]}: read as separated by it")
    return guess


def _read_delimited(
    source: Source,
    text: list[Column],
    label: Column | None,
    header: bool | str,
    separator: str,
    notes: list[str],
) -> Table:
    rows = delimited.read_rows(source, separator)
    mark = None if label is None else parse_column(label)
    if separator == delimited.LINES and header == "auto" and not text and mark is None:
        header = False  # a line that happens to read "text" is a text
    columns = choose_columns(rows[0].fields, text, mark, header, source.name)
    delimited.check_widths(source, rows, separator)
    body = rows[1:] if columns.header else rows
    if not body:
        raise DataError(f"{source.name} has a header but no rows.", where="line 1", fix="Give at least one row.")
    names = rows[0].fields if columns.header else None
    labels = None if columns.label is None else _labels(source, body, columns.label, names)
    texts = [" ".join(row.fields[index] for index in columns.text) for row in body]
    return _table(source, texts, labels, [row.line for row in body], [*notes, *columns.notes])


def _labels(source: Source, body: list[delimited.Row], index: int, names: list[str] | None) -> list[str]:
    mistakes = Mistakes(source.name)
    for row in body:
        if not row.fields[index].strip():
            mistakes.add(row.line, names[index].strip() if names else index + 1, "the label is empty")
    mistakes.raise_any("Give each row a label, or take the row out.")
    return [row.fields[index] for row in body]


def _read_jsonl(
    source: Source,
    text: str | int | Sequence[Column] | None,
    label: Column | None,
    header: bool | str,
    notes: list[str],
) -> Table:
    if header != "auto":
        raise UsageError(
            f"{source.name}: JSONL names its fields in each line and has no header.", fix="Leave header out."
        )
    names = [str(name) for name in parse_text(text)] or ["text"]
    if text is None:
        notes.append("the texts are taken from field `text`")
    field = None if label is None else str(label)
    if label is None and jsonlines.has_field(source, "label"):
        field = "label"
        notes.append("the labels are taken from field `label`")
    elif label is None:
        notes.append("there is no field `label`: texts without labels")
    records = jsonlines.read_records(source, names, field)
    labels = None if field is None else [record.label or "" for record in records]
    return _table(source, [record.text for record in records], labels, [record.line for record in records], notes)


def _table(source: Source, texts: list[Any], labels: list[str] | None, lines: list[int], notes: list[str]) -> Table:
    bare = None if labels is None else [label.strip() for label in labels]
    if bare != labels:
        notes.append("white space around labels is left out")
    empty = [line for line, text in zip(lines, texts, strict=True) if not text]
    if empty:
        notes.append(f"{len(empty)} of {len(texts)} texts are empty, the first in line {empty[0]}")
    return Table(texts, bare, lines, source.name, notes)
