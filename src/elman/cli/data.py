"""Files of the user, read for a command; what was assumed to read them is said."""

import re
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from elman.cli.output import say
from elman.errors import DataError, UsageError
from elman.sequences.tables import Table, read_table

_TABLES = (".csv", ".tsv", ".jsonl")
_SHOWN = 5
_COUNTED = re.compile(r"^(?:text|sequence) (\d+)\b", re.MULTILINE)


def read_labelled(
    path: str | Path,
    *,
    text: str | None = None,
    label: str | None = None,
    header: bool | None = None,
    separator: str | None = None,
) -> Table:
    """Texts with labels.

    Args:
        path: a file, or `-` for standard input.
        text: column of the texts, by name or number.
        label: column of the labels, by name or number.
        header: whether the first row names the columns; `None` decides by looking.
        separator: between the fields of a row, where the name of the file does not say it.

    Raises:
        DataError: the file cannot be read as asked, or has no labels.
    """
    table = read_table(path, text=text, label=label, header="auto" if header is None else header, separator=separator)
    _tell(table)
    if table.labels is None:
        raise DataError(
            f"{table.source} has texts but no labels.", fix="Name the column of the labels with --label, or add one."
        )
    return table


def check_labels(table: Table, known: Collection[object]) -> None:
    """Every label must be one that the model knows.

    Raises:
        DataError: names the first unknown labels, each with its line, and the known ones.
    """
    names = {str(label) for label in known}
    wrong = [(line, label) for line, label in zip(table.lines, table.labels or [], strict=True) if label not in names]
    if not wrong:
        return
    places = [f"{table.source}, line {line}: {label!r}" for line, label in wrong[:_SHOWN]]
    more = [f"… and {len(wrong) - _SHOWN:,} more"] if len(wrong) > _SHOWN else []
    raise DataError(
        f"{len(wrong):,} of {len(table):,} labels are unknown to the model.",
        where="\n".join([*places, *more]),
        fix=f"Known labels: {', '.join(sorted(names))}. Is --label the right column?",
    )


def read_texts(path: str, column: str | None = None) -> Iterator[tuple[str, Any]]:
    """Texts without labels: a line each, or a column of a CSV, TSV or JSONL file.

    Args:
        path: a file, or `-` for standard input, which is read as it comes in.
        column: the column of the texts in a CSV, TSV or JSONL file.

    Returns:
        Where each text is, and the text (or the sequence of numbers that a JSONL file holds).

    Raises:
        DataError: it cannot be read so.
    """
    if path == "-":
        _refuse_column(column)
        return _stream()
    name = Path(path)
    endings = [ending.lower() for ending in name.suffixes[-2:]]
    if not set(endings) & set(_TABLES):
        _refuse_column(column)
        table = read_table(name, separator="\n")
    else:
        table = read_table(name, text=column)
        _tell(table)
    return zip(lines_of(table), table.texts, strict=True)


@contextmanager
def places_named(places: Sequence[str]) -> Iterator[None]:
    """Inside, an error that counts the texts it was given names their places instead.

    Args:
        places: where each text is, such as its file and line.
    """
    try:
        yield
    except DataError as error:
        where = _COUNTED.sub(lambda found: places[int(found.group(1)) - 1], error.where or "")
        raise DataError(error.problem, where=where or None, fix=error.fix) from error


def lines_of(table: Table) -> list[str]:
    """Where each row of a table is."""
    return [f"{table.source}, line {line}" for line in table.lines]


def _refuse_column(column: str | None) -> None:
    if column is not None:
        raise UsageError("--column is for CSV, TSV and JSONL files.", fix="Leave it away where a line is a text.")


def _stream() -> Iterator[tuple[str, str]]:
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


def _tell(table: Table) -> None:
    if table.notes:
        say(f"elman: note: {table.source}: {'; '.join(table.notes)}.")
