"""Values of a task that are rows of a table: CSV, TSV, JSONL, or lists in Python."""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elman.errors import DataError, UsageError
from elman.tasks.task import Column, Data, Option, Values, inputs, targets

if TYPE_CHECKING:
    from elman.sequences.tables import Table

_TABLES = (".csv", ".tsv", ".jsonl")
_COUNTED = re.compile(r"^(?:text|sequence|label) (\d+)\b", re.MULTILINE)


class Rows:
    """Rows, each with a value of each column.

    The first input is a column of texts (or, in JSONL, of lists of numbers); the target, if there is one, of labels.
    """

    noun = "texts"
    help = "Labelled texts: CSV, TSV, TXT or JSONL."
    has_rows = True
    columns_are_flags = True
    options = (
        Option("header", bool, "", "The first row names the columns, or not. [names, if a column is given by name]"),
        Option("separator", str, "CHAR", "The character between two fields of a row. [by the ending of the file]"),
    )

    def read(
        self, path: str, columns: Sequence[Column], options: Mapping[str, Any], *, with_targets: bool = True
    ) -> Values:
        """Read a table; see `elman.sequences.tables.read_table`.

        Raises:
            DataError: the file cannot be read so, or has no labels.
        """
        # numpy and torch are not needed before a file is read.
        from elman.sequences.tables import read_table

        first, *others = inputs(columns)
        target = next(iter(targets(columns)), None)
        how: dict[str, Any] = {"header": "auto" if options.get("header") is None else options["header"]}
        how["separator"] = options.get("separator")
        label = None if target is None else options.get(target.name)
        table = read_table(path, text=options.get(first.name), label=label, **how)
        found: dict[str, Any] = {first.name: table.texts}
        for other in others:
            found[other.name] = read_table(path, text=options.get(other.name) or other.name, **how).texts
        if target is not None and with_targets:
            found[target.name] = _labels(table, target)
        numeric = {"tokens": "values"} if table.is_numeric else {}
        form = {name: value for name, value in options.items() if value is not None}
        return Values(found, places_of(table), table.source, table.notes, numeric, form)

    def typed(self, text: str) -> str:
        """Return the text itself."""
        return text

    def asked(self, path: str, column: str | None = None) -> tuple[Sequence[str], Iterator[tuple[str, Any]]]:
        """Read texts to predict: a line each, or a column of a CSV, TSV or JSONL file.

        Args:
            path: a file, or `-` for standard input, which is read line by line.
            column: the column of the texts in a CSV, TSV or JSONL file.

        Returns:
            What was assumed, and for each text its place and the text (or the numbers that a JSONL file holds).

        Raises:
            DataError: it cannot be read so.
        """
        from elman.sequences.tables import read_table

        endings = {ending.lower() for ending in Path(path).suffixes[-2:]} if path != "-" else set()
        if not endings & set(_TABLES):
            if column is not None:
                raise UsageError(
                    "--column is for CSV, TSV and JSONL files.", fix="Leave it out where a line is a text."
                )
            if path == "-":
                return (), _lines_of_input()
        table = read_table(path, text=column) if endings & set(_TABLES) else read_table(path, separator="\n")
        notes = [f"{table.source}: {note}" for note in table.notes] if endings & set(_TABLES) else []
        return notes, zip(places_of(table), table.texts, strict=True)

    def take(self, values: Sequence[Any], columns: Sequence[Column], *, role: str = "") -> Values:
        """Return a list for each column.

        Raises:
            DataError: lists of unequal lengths, or empty ones.
        """
        lists = {column.name: list(each) for column, each in zip(columns, values, strict=False)}
        first = next(iter(lists.values()))
        for column in targets(columns):
            if column.name in lists and len(lists[column.name]) != len(first):
                raise DataError(
                    f"There are {len(first)} sequences and {len(lists[column.name])} {column.name}s.",
                    fix=f"Give one {column.name} for each sequence.",
                )
        if not first:
            raise DataError("There is no sequence.", fix="Give one or more.")
        return Values(lists)

    def split(self, values: Values, columns: Sequence[Column], fraction: float, seed: int) -> tuple[Values, Values]:
        """Return the rows to learn from and those held out; see `split_rows`."""
        from elman.sequences.split import split_rows

        first = values.columns[inputs(columns)[0].name]
        labels = next((values.columns[each.name] for each in columns if each.stratified), [None] * len(first))
        kept, held = split_rows(first, labels, fraction, seed)
        return select(values, kept), select(values, held)

    def data(self, encoded: Mapping[str, Any], settings: Any) -> Data:
        """Return shuffled batches."""
        from elman.tasks.examples import Examples

        return Examples(encoded, settings)

    def evaluated(self, encoded: Mapping[str, Any], settings: Any, options: Any = None) -> Data:
        """Return the rows in batches, each once."""
        from elman.tasks.examples import Examples

        return Examples(encoded, settings, shuffle=False)

    def facts(self, values: Values) -> str:
        """Return the number of rows."""
        return f"{len(next(iter(values.columns.values()))):,} {self.noun}"


def select(values: Values, rows: Sequence[int]) -> Values:
    """Return these rows, in this order."""
    return Values(
        {name: [column[row] for row in rows] for name, column in values.columns.items()},
        [values.places[row] for row in rows] if values.places else (),
        values.source,
        values.notes,
        values.settings,
        values.form,
    )


def places_of(table: "Table") -> list[str]:
    """Return where each row of a table is."""
    return [f"{table.source}, line {line}" for line in table.lines]


@contextmanager
def places_named(places: Sequence[str]) -> Iterator[None]:
    """Inside, an error that counts the texts it was given names their places instead.

    Args:
        places: where each text is, such as its file and line; without any, errors count on.
    """
    try:
        yield
    except DataError as error:
        if not places:
            raise
        where = _COUNTED.sub(lambda found: places[int(found.group(1)) - 1], error.where or "")
        raise DataError(error.problem, where=where or None, fix=error.fix) from error


def _lines_of_input() -> Iterator[tuple[str, str]]:
    for number, line in enumerate(sys.stdin.buffer, start=1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise DataError(
                "The text is not UTF-8.",
                where=f"standard input, line {number}, byte {error.start + 1}",
                fix="Convert it first, for instance with iconv -t UTF-8.",
            ) from error
        yield f"standard input, line {number}", text.rstrip("\r\n")


def _labels(table: "Table", target: Column) -> list[str]:
    if table.labels is None:
        raise DataError(
            f"{table.source} has texts but no {target.name}s.",
            fix=f"Name the column of the {target.name}s with --{target.name}, or add one.",
        )
    return table.labels
