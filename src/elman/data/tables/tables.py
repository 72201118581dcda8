"""Labelled files read into texts and labels."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from elman.data.files import Mistakes, Source, check_encoding, ending_of, position, read_source
from elman.data.series.read import ENDINGS, SeriesOptions, kind_of_series, read_series
from elman.data.series.values import targets_in
from elman.data.tables import delimited, jsonlines
from elman.data.tables.columns import Column, Columns, choose_columns, parse_column, parse_text
from elman.data.tables.fasttext import is_fasttext, read_fasttext
from elman.data.tables.labels import Label, read_labels
from elman.data.tables.table_format import TableFormat
from elman.data.tables.text_folder import read_folder
from elman.errors import DataError, UsageError

SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
JSON_LINES = (".jsonl", ".ndjson", ".jsonlines", ".json")
_PLAIN = ("", ".txt", ".text", ".ft")
_ENDINGS = ".csv, .tsv, .tab, .txt, .jsonl, .ndjson and .json, each also with .gz, .xz or .bz2"
EXPORTS = {".xlsx": "the spreadsheet", ".xls": "the spreadsheet", ".ods": "the spreadsheet", ".parquet": "the table"}


@dataclass(frozen=True)
class Table:
    """The rows of a labelled file, in their order.

    Attributes:
        texts: one text a row; for series of numbers a list of numbers or of lists of numbers, or an array `(time,
            channel)`.
        labels: one label a row, or None where the file has none: integers if all of a file's labels are, else strings;
            of JSONL also truth values; numbers if these are wanted, or a list of them for each step.
        lines: the line each row begins on, from 1.
        source: the path of the file, or `standard input`.
        notes: what was assumed to read it, one sentence each.
        format: how it was read, to read other files in the same way.
        files: the file of each row with its line, where the rows are of several files.
    """

    texts: list[Any]
    labels: list[Any] | None
    lines: list[int]
    source: str
    notes: list[str]
    format: TableFormat = field(default_factory=TableFormat)
    files: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def is_numeric(self) -> bool:
        """Whether the rows are sequences of numbers instead of texts."""
        return any(not isinstance(text, str) for text in self.texts)

    @property
    def positions(self) -> list[str]:
        """The position of each row: its file and line."""
        return self.files or [f"{self.source}, {position(line)}" for line in self.lines]


def read_table(
    path: str | Path | Source,
    *,
    text: str | int | Sequence[Column] | None = None,
    label: Column | None = None,
    header: bool | Literal["auto"] = "auto",
    separator: str | None = None,
    quote: str | None = None,
    encoding: str | None = None,
    known: TableFormat | None = None,
    labelled: bool = True,
    numeric: bool = False,
    series: str | None = None,
    time: str | None = None,
    channels: str | None = None,
    target: str = "label",
) -> Table:
    r"""Read the texts and labels of a file, or of a folder.

    The ending says how it is read: .csv, .tsv and .tab by the rules of CSV with double quotes; .jsonl, .ndjson and
    .json as one JSON object a line, whose text may be a list of numbers or of lists of numbers; .txt as tab- or
    comma-separated if every line has one, else as one text a line. Each may be compressed (.gz, .xz, .bz2). Standard
    input is read as JSONL if it begins with `{`, else as .txt. Lines that all begin with `__label__` are read as
    fastText does. A folder has a file or a sub-folder for each label, see `read_folder`.

    Columns are given by name, or by number from 1; those of JSONL by name, `a.b` for a field within another. Those
    that are not given are found by usual names (`text`, `label`, `review`, `sentiment` …); else a file of two columns
    has the text first and the label second, and a file of one has texts only. The first row is a header if a column is
    given by name, or if the table shows it, see `is_header`. `notes` says what was assumed. White space around a label
    is left out. An empty text is an empty sequence; a blank line is one only where each line is one text.

    Args:
        path: the file, a folder, `-` for standard input, or what `open_table` gave for one of them.
        text: the column of the text; several, as "2,3" or ["title", "body"], are joined by a blank.
        label: the column of the label.
        header: whether the first row has the names of the columns; "auto" decides as above.
        separator: the character between fields in place of what the ending says; `\n` if each line is one text.
        quote: the character around fields that hold separators, in place of the double quote; `none` if quotes are part
            of the texts. Between tabs, a field within quotes holds line ends only if this is given.
        encoding: of the file, as Python names it; UTF-8 if not given.
        known: the format of the training file of a model, which is used where it fits and nothing else is given.
        labelled: whether labels are wanted; without, a .txt file is not split at commas, which texts have, too.
        numeric: whether the labels are numbers, such as 0.5.
        series: the column that names the series of a table with a step a row.
        time: the column by which the steps of a series are ordered.
        channels: the columns of its values, as "load,heat"; all other columns of numbers if not given.
        target: what a label is called, in messages and as a flag.

    Raises:
        DataError: a file that cannot be read in this way; names all wrong rows, with line, column and repair.
        UsageError: options that contradict each other.
    """
    check_encoding(encoding)
    reader = _Reader(
        text, label, header, separator, quote, encoding, known, labelled, numeric, series, time, channels, target
    )
    opened = open_table(path, separator=separator, encoding=encoding, known=known)
    return reader.table(opened) if isinstance(opened, Source) else reader.folder(opened)


def open_table(
    path: str | Path | Source,
    *,
    separator: str | None = None,
    encoding: str | None = None,
    known: TableFormat | None = None,
) -> Source | Path:
    """Read the lines of a file, for one call of `read_table` or several.

    A folder stays a path. Arguments and errors are those of `read_table`.
    """
    if isinstance(path, Source):
        return path
    if Path(path).is_dir():
        return Path(path)
    if separator is None:
        _check_ending(path)
    return read_like(path, encoding, known)


def read_like(path: str | Path, encoding: str | None, known: TableFormat | None) -> Source:
    """Return the lines of a file, read in the encoding of the training file if it is not UTF-8."""
    if encoding is not None or known is None or known.encoding is None or str(path) == "-":
        return read_source(path, encoding)
    try:
        return read_source(path)
    except DataError:
        return read_source(path, known.encoding)


def _check_ending(path: str | Path) -> None:
    ending = ending_of(path)
    if str(path) != "-" and ending in EXPORTS and Path(path).exists():
        raise DataError(
            f"{path}: files that end in {ending} cannot be read.",
            fix=f"Export {EXPORTS[ending]} as CSV in UTF-8. elman reads {_ENDINGS}.",
        )


@dataclass(frozen=True)
class _Reader:
    """One reading of a file; the fields are the arguments of `read_table`."""

    text: str | int | Sequence[Column] | None
    label: Column | None
    header: bool | str
    separator: str | None
    quote: str | None
    encoding: str | None
    known: TableFormat | None
    labelled: bool
    numeric: bool = False
    series: str | None = None
    time: str | None = None
    channels: str | None = None
    target: str = "label"

    def table(self, source: Source) -> Table:
        notes: list[str] = []
        if (kind := self._kind_of_series(source)) is not None:
            return self._series(source, kind)
        if self.separator is None and self._is_json(source, notes):
            return self._json(source, notes)
        if self.separator is None and is_fasttext(source):
            return self._fasttext(source)
        separator = self._separator(source, notes)
        return self._delimited(source, separator, notes)

    def _kind_of_series(self, source: Source) -> str | None:
        json = source.ending in JSON_LINES or (source.ending == "" and source.lines[0].lstrip().startswith("{"))
        is_table = not json and not is_fasttext(source) and (self.separator is not None or source.ending not in ENDINGS)
        separator = self._separator(source, []) if is_table and source.ending in (*_PLAIN, *SEPARATORS) else None
        return kind_of_series(source, separator, self._series_options(), texts=self.text is not None)

    def _series_options(self) -> SeriesOptions:
        chosen = [name.strip() for name in (self.channels or "").split(",") if name.strip()]
        given = (self.label, self.header, self.separator, self.quote, self.series, self.time, chosen)
        label = given[0] if given[0] is None else parse_column(given[0])
        return SeriesOptions(label, *given[1:], self.known, self.numeric, self.labelled)

    def _series(self, source: Source, kind: str) -> Table:
        separator = "," if source.ending in ENDINGS else self._separator(source, [])
        found, form, notes = read_series(source, kind, separator, self._series_options())
        targets = self._targets(found.targets)
        return Table(found.series, targets, found.lines, source.name, notes, form, list(found.names))

    def _targets(self, written: Sequence[Any] | None) -> list[Any] | None:
        if written is None or not self.numeric:
            return None if written is None else list(read_labels(written))
        return [[float(each) for each in row] if isinstance(row, list) else float(row) for row in written]

    def folder(self, path: Path) -> Table:
        self._refuse_columns(f"{path} is a folder of texts")
        encoding = self.encoding or (self.known.encoding if self.known else None)
        found = read_folder(path, encoding)
        form = TableFormat("folder", encoding=encoding)
        labels = read_labels(found.labels) if self.labelled else None
        lines = [1] * len(found.texts)
        return _table(found.texts, labels, lines, str(path), found.notes, form, files=found.where)

    def _is_json(self, source: Source, notes: list[str]) -> bool:
        if source.ending == "" and source.lines[0].lstrip().startswith("{"):
            notes.append("the first line begins with `{`: read as JSONL")
            return True
        return source.ending in JSON_LINES

    def _json(self, source: Source, notes: list[str]) -> Table:
        if self.header != "auto":
            raise UsageError(
                f"{source.name}: JSONL names its fields in each line and has no header.",
                fix="Leave header (--header, --no-header) out.",
            )
        names = [str(name) for name in parse_text(self.text)]
        label = None if self.label is None else str(self.label)
        fields = jsonlines.choose_fields(source, names, label, self.known, labelled=self.labelled, target=self.target)
        records = jsonlines.read_records(source, fields.text, fields.label, numeric=self.numeric)
        labels: Any = None if fields.label is None else [record.label for record in records if record.label is not None]
        form = TableFormat(
            "jsonl",
            source.ending,
            encoding=source.encoding,
            text=tuple(fields.text),
            label=fields.label,
            text_names=tuple(fields.text),
            label_name=fields.label,
        )
        texts, lines = [record.text for record in records], [record.line for record in records]
        return _table(texts, labels, lines, source.name, [*notes, *fields.notes], form)

    def _fasttext(self, source: Source) -> Table:
        self._refuse_columns(f"{source.name} has fastText's labels (__label__)")
        texts, labels, lines = read_fasttext(source)
        form = TableFormat("fasttext", source.ending, encoding=source.encoding)
        notes = ["every line begins with __label__: read as fastText does"]
        return _table(texts, read_labels(labels) if self.labelled else None, lines, source.name, notes, form)

    def _refuse_columns(self, problem: str) -> None:
        given = {
            "--text": self.text,
            f"--{self.target}": self.label,
            "--separator": self.separator,
            "--quote": self.quote,
        }
        flags = [name for name, value in given.items() if value is not None]
        if self.header != "auto":
            flags.append("--header" if self.header else "--no-header")
        if flags:
            raise UsageError(f"{problem}, which has no columns.", fix=f"Leave {', '.join(flags)} out.")

    def _separator(self, source: Source, notes: list[str]) -> str:
        if self.separator is not None:
            return delimited.parse_separator(self.separator)
        if (named := delimited.separator_line(source)) is not None:
            notes.append(f"the first line names the separator `{named}`")
            return named
        if known := self._known_separator(source):
            return known
        if source.ending in SEPARATORS:
            return SEPARATORS[source.ending]
        if source.ending not in _PLAIN:
            raise DataError(
                f"{source.name}: files that end in {source.ending} cannot be read.",
                fix=f"elman reads {_ENDINGS}. Give the separator (--separator) to read another ending.",
            )
        return self._guessed_separator(source, notes)

    def _known_separator(self, source: Source) -> str | None:
        """Return the separator of the training file, if this file seems to have it."""
        known = self.known
        if known is None or known.separator is None:
            return None
        if has_header_of(source, known):
            return known.separator
        filled = [line for line in source.lines if line.strip()]
        fits = known.separator == delimited.LINES or all(known.separator in line for line in filled[:1])
        return known.separator if fits and known.ending == source.ending else None

    def _guessed_separator(self, source: Source, notes: list[str]) -> str:
        guess = delimited.guess_separator(source.lines, "\t," if self.labelled else "\t")
        if guess == delimited.LINES:
            notes.append("each line is read as one text")
        else:
            name = delimited.separator_name(guess)
            notes.append(rf"every line has a {name}: read as separated by it (--separator '\n' if it is not)")
        return guess

    def _quote(self, separator: str) -> str | None:
        """Return the quote given here or with the training file, before it is parsed."""
        if self.quote is None and self.known and self.known.separator == separator:
            return self.known.quote
        return self.quote

    def _delimited(self, source: Source, separator: str, notes: list[str]) -> Table:
        if separator != delimited.LINES and len(source.lines) == 1 and source.lines[0].count("\r") > 1:
            raise DataError(
                f"{source.name} has carriage returns and no line feed: it is one line.",
                fix="If its lines end with carriage returns, convert them, such as with tr '\\r' '\\n'.",
            )
        given = self._quote(separator)
        quote = delimited.QUOTE if given is None else delimited.parse_quote(given, separator)
        rows = delimited.read_rows(source, separator, quote, spans=given is not None or separator != "\t")
        header, text = self.header, parse_text(self.text)
        label = None if self.label is None else parse_column(self.label)
        if separator == delimited.LINES and header == "auto" and not text and label is None:
            header = False  # a line that happens to read "text" is a text
        self._suspect_separator(source, rows, separator, [*text, label])
        delimited.check_widths(source, rows, separator)
        how: dict[str, Any] = {"known": self.known, "labelled": self.labelled, "target": self.target}
        columns = choose_columns(rows, text, label, header, source.name, **how)
        body = rows[1:] if columns.header else rows
        if not body:
            where = position(rows[0].line)
            raise DataError(f"{source.name} has a header but no rows.", where=where, fix="Give at least one row.")
        names = [name.strip() for name in rows[0].fields] if columns.header else None
        if names:
            _refuse_repeated_header(source, rows[0], body)
        labels = None if columns.label is None else self._labels(source, body, columns.label, names, notes)
        texts = [" ".join(row.fields[index] for index in columns.text) for row in body]
        if columns.guessed and labels is not None and not self.numeric:
            _check_guess(source, texts, labels, columns)
        form = _format(source, separator, given, self.header, columns, names, len(rows[0].fields))
        lines = [row.line for row in body]
        if separator != delimited.LINES or self.labelled:
            notes.extend(columns.notes)
        return _table(texts, labels, lines, source.name, notes, form)

    def _labels(
        self, source: Source, body: list[delimited.Row], index: int, names: list[str] | None, notes: list[str]
    ) -> list[Any]:
        if not self.numeric:
            return _labels(source, body, index, names, notes)
        mistakes, name = Mistakes(source.name), names[index] if names else index + 1
        fields = [row.fields[index] for row in body]
        found = targets_in(fields, mistakes, lambda row: (body[row].line, name), numeric=True)
        mistakes.raise_any("Give each row a finite number, or remove the row; is it the right column?")
        return list(map(float, found))

    def _suspect_separator(
        self, source: Source, rows: list[delimited.Row], separator: str, asked: Sequence[Column | None]
    ) -> None:
        """Refuse a file of one column that another separator divides evenly."""
        more_is_asked = self.labelled or any(isinstance(column, int) and column > 1 for column in asked)
        explicit = self.separator is not None
        if explicit or len(rows[0].fields) > 1 or (separator == delimited.LINES and not more_is_asked):
            return
        other = delimited.suspect_separator(source, separator)
        if other is not None and not (other == "," and separator == delimited.LINES):
            how = "line by line" if separator == delimited.LINES else f"with {delimited.separator_name(separator)}s"
            raise DataError(
                f"{source.name} has one column when it is read {how}, and every line has a "
                f"{delimited.separator_name(other)}.",
                where=f"{position(rows[0].line)}: {source.lines[rows[0].line - 1].strip()[:80]!r}",
                fix=f"Give --separator {delimited.written(other)}; if each line is one text, --separator '\\n'.",
            )


def has_header_of(source: Source, known: TableFormat) -> bool:
    """Report whether a source without a specific ending has the training file's named columns."""
    if source.ending not in _PLAIN or not known.text_names or known.separator in (None, delimited.LINES):
        return False
    fields = [field.strip().strip(delimited.QUOTE) for field in source.lines[0].strip().split(known.separator)]
    return set(known.text_names) <= set(fields)


def _format(
    source: Source,
    separator: str,
    quote: str | None,
    header: bool | str,
    columns: Columns,
    names: list[str] | None,
    width: int,
) -> TableFormat:
    return TableFormat(
        "delimited",
        source.ending,
        separator=separator,
        quote=quote,
        encoding=source.encoding,
        header=columns.header,
        header_given=isinstance(header, bool),
        width=width,
        text=tuple(index + 1 for index in columns.text),
        label=None if columns.label is None else columns.label + 1,
        text_names=tuple(names[index] for index in columns.text) if names else (),
        label_name=names[columns.label] if names and columns.label is not None else None,
    )


def _refuse_repeated_header(source: Source, header: delimited.Row, body: list[delimited.Row]) -> None:
    mistakes = Mistakes(source.name)
    for row in body:
        if row.fields == header.fields:
            mistakes.add(row.line, None, "the row repeats the header")
    mistakes.raise_any("Remove these rows; files that are put together need one header.")


def _labels(
    source: Source, body: list[delimited.Row], index: int, names: list[str] | None, notes: list[str]
) -> list[Label]:
    mistakes = Mistakes(source.name)
    for row in body:
        if not row.fields[index].strip():
            mistakes.add(row.line, names[index] if names else index + 1, "the label is empty")
    mistakes.raise_any("Give each row a label, or remove the row.")
    texts = [row.fields[index] for row in body]
    if any(text != text.strip() for text in texts):
        notes.append("white space around labels is left out")
    return read_labels(texts)


def _check_guess(source: Source, texts: list[str], labels: list[Label], columns: Columns) -> None:
    """Refuse labels chosen by position that repeat less than the texts."""
    kinds, others = len(set(labels)), len(set(texts))
    if len(labels) >= 20 and kinds > len(labels) / 2 and others < kinds:
        assert columns.label is not None
        raise DataError(
            f"Column {columns.label + 1} of {source.name} has {kinds:,} different values in {len(labels):,} rows, more "
            f"than column {columns.text[0] + 1}: it seems to be the text.",
            where=f"the most frequent values of column {columns.text[0] + 1}: {_frequent(texts)}",
            fix=f"Give --text {columns.label + 1} --label {columns.text[0] + 1}.",
        )


def _frequent(values: list[str]) -> str:
    return ", ".join(f"{value[:30]!r}" for value, _ in Counter(values).most_common(3))


def _table(
    texts: list[Any],
    labels: Sequence[Label] | None,
    lines: list[int],
    source: str,
    notes: list[str],
    form: TableFormat,
    files: Sequence[str] = (),
) -> Table:
    table = Table(texts, None if labels is None else list(labels), lines, source, list(notes), form, list(files))
    empty = [name for name, text in zip(table.positions, texts, strict=True) if not text]
    if empty:
        table.notes.append(f"{len(empty)} of {len(texts)} texts are empty, the first in {empty[0].rpartition(', ')[2]}")
    return table
