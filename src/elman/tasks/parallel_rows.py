"""Values of a task that are source texts with their targets: two files of parallel lines, a table, or lists."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from elman.errors import DataError, UsageError, nearest
from elman.tasks.parallel_columns import TABLES, TEXTS, columns_of_table, find_columns, more_exact
from elman.tasks.rows import RowSource, form_of, given_options, select
from elman.tasks.task import ENCODING, Asked, Column, Known, Option, Values

if TYPE_CHECKING:
    from elman.data.tables.table_format import TableFormat

HOW = ("header", "separator", "quote", "encoding")
EMPTY = ("refuse", "skip")
SHOWN_ROWS = 5


class Parallel(RowSource):
    """Rows of a source text and its target text.

    `fit(sources, targets)` in Python; on the command line two files whose lines belong together, or one table.
    """

    noun = "pairs"
    help = "The file of the sources and that of their targets, line by line, or one table: TSV, CSV or JSONL."
    columns_are_flags = True
    several = True
    placeholder = "SOURCES TARGETS"
    options = (
        Option("header", bool, "", "The first row names the columns, or not. [by what is in it]"),
        Option("separator", str, "CHAR", "What is between two fields: a character, or tab. [by the file's ending]"),
        Option("quote", str, "CHAR", 'What is around fields with separators in them, or none. ["]'),
        ENCODING,
        Option("empty", str, "HOW", "Pairs with an empty text: refuse names the first, skip counts them. [refuse]"),
    )

    def read(
        self,
        path: str | Sequence[str],
        columns: Sequence[Column],
        options: Mapping[str, Any],
        *,
        known: Known | None = None,
    ) -> Values:
        """Read two files of lines, or a table.

        Raises:
            DataError: files that cannot be read, whose numbers of lines differ, or with an empty text.
            UsageError: more than two files, two tables, or an unknown value of `empty`.
        """
        paths = [path] if isinstance(path, str) else list(path)
        how = _how_empty(options)
        _check_paths(paths)
        form = form_of(known)
        names = [column.name for column in columns]
        values = _read_lines(paths, names, options, form) if len(paths) == 2 else _read_table(paths[0], options, form)
        return _without_empty(values, skip=how == "skip")

    def take(self, values: Sequence[Any], columns: Sequence[Column], *, role: str = "") -> Values:
        """Return a list of texts for each column.

        Raises:
            DataError: values that are not lists of strings, lists of unequal lengths, or an empty text.
        """
        from elman.data.tables.given import values_of

        lists: dict[str, list[Any]] = {}
        for column, given in zip(columns, values, strict=False):
            lists[column.name] = texts = values_of(given, f"{column.name}s", column=column.name)
            wrong = next((row for row, text in enumerate(texts) if not isinstance(text, str)), None)
            if wrong is not None:
                raise DataError(
                    f"Expected {column.name}s that are strings, got {type(texts[wrong]).__name__}.",
                    where=f"{role}{column.name} {wrong + 1}",
                    fix="Give each text as a string.",
                )
        counts = {name: len(texts) for name, texts in lists.items()}
        if len(set(counts.values())) > 1:
            raise DataError(
                f"There are {' and '.join(f'{count:,} {role}{name}s' for name, count in counts.items())}.",
                fix="Give one target for each source.",
            )
        taken = Values(lists, role=role)
        return _without_empty(taken, skip=False) if len(lists) > 1 else taken

    def asked(self, path: str, options: Mapping[str, Any], known: Known | None = None) -> Asked:
        """Read sources to predict, from a file of lines, a table, or as they are typed.

        A file is read in blocks, so that it may be larger than the memory.

        Raises:
            DataError: it cannot be read so.
        """
        # Imported late: numpy is not needed before a file is read.
        from elman.tasks.asked import lines_of_input, read_rows
        from elman.tasks.parallel_sources import read_sources

        form, how = form_of(known), given_options(options, HOW)
        if path == "-" and options.get("column") is None and not how.keys() & {"header", "separator", "quote"}:
            return Asked((), lines_of_input())
        read = partial(read_sources, how, options.get("column"), form)
        return read_rows(path, read, encoding=how.get("encoding"), known=form)

    def facts(self, values: Values) -> str:
        """Return the number of pairs."""
        count = len(next(iter(values.columns.values())))
        return f"{count:,} {self.noun if count != 1 else 'pair'}"


def within_limits(values: Values, lengths: Mapping[str, Sequence[int]], limits: Mapping[str, int | None]) -> Values:
    """Return the pairs whose texts are not too long, with a note on those that were left out.

    Args:
        values: sources and targets.
        lengths: tokens of each text, by column.
        limits: most tokens of a text, by column; None for any number.
    """
    rows = range(len(next(iter(values.columns.values()))))
    long: dict[int, str] = {}
    for name, limit in limits.items():
        for row in rows:
            if limit is not None and lengths[name][row] > limit:
                long.setdefault(row, f"{_row(values, row)}: {lengths[name][row]} tokens of the {name}")
    if not long:
        return values
    most = " or ".join(f"{limit} tokens of the {name}" for name, limit in limits.items() if limit is not None)
    note = f"{_pairs(len(long))} with more than {most} left out ({_shown([*long.values()])})"
    return replace(select(values, [row for row in rows if row not in long]), notes=[*values.notes, note])


def _how_empty(options: Mapping[str, Any]) -> str:
    how = options.get("empty") or EMPTY[0]
    if how not in EMPTY:
        raise UsageError(f"Expected --empty refuse or --empty skip, got {how!r}.", fix=nearest(how, EMPTY))
    return how


def _check_paths(paths: Sequence[str]) -> None:
    # Imported late, as all that reads files.
    from elman.data.files import ending_of

    if len(paths) > 2:
        raise UsageError(
            f"Expected the file of the sources and that of the targets, got {len(paths)} files.",
            where=", ".join(paths),
            fix="Give two files of parallel lines, or one table.",
        )
    tables = [path for path in paths if ending_of(path) in TABLES]
    if len(paths) == 2 and tables:
        raise UsageError(
            f"{tables[0]} is a table, and two files are read as parallel lines.",
            fix="Give one table with both columns, or two files with a text a line.",
        )
    if list(paths) == ["-", "-"]:
        raise UsageError("Standard input can be read only once.", fix="Give the sources or the targets as a file.")


def _read_lines(
    paths: Sequence[str], names: Sequence[str], options: Mapping[str, Any], form: "TableFormat | None"
) -> Values:
    from elman.data.tables.table_format import TableFormat
    from elman.data.tables.tables import read_like

    given = [f"--{name}" for name in (*names, "header", "separator", "quote") if options.get(name) is not None]
    if given:
        raise UsageError(
            f"{', '.join(given)}: only for a table, and two files are read line by line.", fix="Leave them out."
        )
    encoding = options.get("encoding")
    files = [read_like(path, encoding, form) for path in paths]
    sides = [[_text(line) for line in file.lines] for file in files]
    _check_counts([file.name for file in files], sides)
    return Values(
        dict(zip(names, sides, strict=True)),
        [f"{files[0].name} and {files[1].name}, line {number}" for number in range(1, len(sides[0]) + 1)],
        f"{files[0].name} and {files[1].name}",
        form=TableFormat(separator="\n", encoding=files[0].encoding, text=(1,), width=1),
    )


def _check_counts(names: Sequence[str], sides: Sequence[Sequence[str]]) -> None:
    """Refuse sides of unequal numbers of lines, and name the first line that has no partner."""
    counts = [len(side) for side in sides]
    if counts[0] == counts[1]:
        return
    shorter = int(counts[1] < counts[0])
    row = min(counts)
    where = f"line {row + 1}: {names[shorter]} has ended"
    for number, pair in enumerate(zip(*sides, strict=False)):
        empty = [not text.strip() for text in pair]
        if empty[0] != empty[1]:
            row, where = number, f"line {number + 1}: {names[empty.index(True)]} is empty"
            break
    other = next(side for side in sides if row < len(side) and side[row].strip())
    raise DataError(
        f"{names[0]} has {counts[0]:,} lines and {names[1]} has {counts[1]:,}, so that they do not belong together "
        "line by line.",
        where=f"{where}, and the other file has {other[row][:60]!r}",
        fix="Correct the files from this line onwards.",
    )


def _read_table(path: str, options: Mapping[str, Any], form: "TableFormat | None") -> Values:
    from elman.data.tables.tables import open_table, read_table

    how: dict[str, Any] = given_options(options, HOW)
    opened = open_table(path, **given_options(how, ("separator", "encoding")), known=form)
    found = columns_of_table(opened, options, form, wanted=TEXTS)
    how |= more_exact(opened, found, how)
    tables = {name: read_table(opened, text=column, labelled=False, **how) for name, column in found.items()}
    table = tables["source"]
    by_name = all(isinstance(column, str) for column in found.values())
    kept = replace(
        table.format,
        text=(found["source"],),
        text_names=(str(found["source"]),) if by_name else (),
        label=found["target"],
        label_name=str(found["target"]) if by_name else None,
    )
    words = [
        f"{name} is column {f'`{column}`' if isinstance(column, str) else column}" for name, column in found.items()
    ]
    is_trained = form is not None and found == find_columns(form)
    texts = {name: each.texts for name, each in tables.items()}
    return Values(texts, table.positions, table.source, [] if is_trained else ["; ".join(words)], form=kept)


def _without_empty(values: Values, *, skip: bool) -> Values:
    """Return the pairs of which no text is empty.

    Raises:
        DataError: there is an empty one, and none are skipped.
    """
    empty: dict[int, str] = {}
    for name, texts in values.columns.items():
        for row, text in enumerate(texts):
            if not text.strip():
                empty[row] = "source and target" if row in empty else name
    if not empty:
        return values
    first = min(empty)
    if not skip:
        raise DataError(
            f"{_pairs(len(empty)).capitalize()} with an empty text.",
            where=f"{_row(values, first, whole=True)}: the {empty[first]} is empty"
            + (f", and {len(empty) - 1:,} more" if len(empty) > 1 else ""),
            fix="Give each source its target, or leave these pairs out with --empty skip.",
        )
    kept = [row for row in range(len(next(iter(values.columns.values())))) if row not in empty]
    if not kept:
        raise DataError(f"All pairs of {values.source} have an empty text.", fix="Give texts on both sides.")
    shown = [f"{_row(values, row)}: {side}" for row, side in sorted(empty.items())]
    note = f"{_pairs(len(empty))} with an empty text left out ({_shown(shown)})"
    return replace(select(values, kept), notes=[*values.notes, note])


def _text(line: str) -> str:
    return line.removesuffix("\n").removesuffix("\r")


def _pairs(count: int) -> str:
    return f"{count:,} pair{'s' * (count != 1)}"


def _shown(rows: Sequence[str]) -> str:
    return "; ".join([*rows[:SHOWN_ROWS], *(["…"] if len(rows) > SHOWN_ROWS else [])])


def _row(values: Values, row: int, *, whole: bool = False) -> str:
    """Return the name of a row, without that of its file unless it is to be whole."""
    if not values.names:
        return f"{values.role}pair {(values.rows[row] if values.rows else row) + 1}"
    return values.names[row] if whole else values.names[row].removeprefix(f"{values.source}, ")
