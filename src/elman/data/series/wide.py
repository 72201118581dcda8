"""Series in tables with a series a row, as the UCR archive has them."""

from collections.abc import Sequence
from typing import NamedTuple

from elman.data.files import Mistakes, Source, position
from elman.data.series.ts import Read
from elman.data.series.values import (
    FIX,
    SeriesName,
    flag_of_targets,
    is_missing,
    is_number,
    numbers_in,
    targets_in,
    without_end,
)
from elman.data.tables.delimited import Row, read_rows
from elman.data.tables.header import LABEL_NAMES, TEXT_NAMES, named_like, plain_name
from elman.errors import DataError, nearest

# A table has a series a row if all of its first rows are numbers in all but one column, and it has so many.
LOOKED_AT = 20
FEWEST_COLUMNS = 4
_NUMBERED = ("", "id", "ids", "index", "idx")


class WideColumns(NamedTuple):
    """The columns of a wide table, from 0.

    Attributes:
        header: whether the first row names the columns.
        target: the column of the targets; None without one.
        values: the columns of the steps.
        names: of all columns; empty without a header.
        width: number of columns of the widest row; None if it is not known.
    """

    header: bool
    target: int | None
    values: tuple[int, ...]
    names: tuple[str, ...] = ()
    width: int | None = None


def is_wide(rows: Sequence[list[str]], target: str | int | None = None, fewest: int = FEWEST_COLUMNS) -> bool:
    """Report whether a table has a series a row.

    It has at least four columns, with numbers in all but one, which has labels, of which some repeat. A few fields that
    are not numbers are mistakes that `read_wide` names.

    Args:
        rows: the fields of the first rows.
        target: column that is known to have the targets, a name or a number from 1: they need not repeat.
        fewest: columns that the table has at least.
    """
    body, names = rows[1:] or rows, rows[0]
    width = max(map(len, body))
    known = target - 1 if isinstance(target, int) else names.index(target) if target in names else None
    if width < fewest or named_like([name for n, name in enumerate(names) if n != known], TEXT_NAMES - {"x"}):
        return False
    columns = [[row[n] for row in body if n < len(row)] for n in range(width)]
    others = [n for n, fields in enumerate(columns) if 2 * sum(map(_looks_like_a_number, fields)) < len(fields)]
    if len(others) > 1 or all(is_missing(field) for fields in columns for field in fields):
        return False
    if others in ([], [known]):
        return True
    return _has_labels(columns[others[0]], names[others[0]] if others[0] < len(names) else "")


def _has_labels(fields: Sequence[str], name: str) -> bool:
    few = len(fields) < FEWEST_COLUMNS or len(set(fields)) <= len(fields) / 2
    return few or bool(named_like([name], LABEL_NAMES))


def _looks_like_a_number(field: str) -> bool:
    """Report whether a field is a number, also with a decimal comma or infinite."""
    bare = field.strip().lower().replace(",", ".")
    return is_number(bare) or bare.lstrip("+-") in ("inf", "infinity")


def read_wide(
    source: Source,
    separator: str,
    quote: str | None,
    label: str | int | None,
    header: bool | str,
    known: WideColumns | None,
    labels: frozenset[str],
    steps: Sequence[str] = (),
    *,
    numeric: bool,
    labelled: bool,
) -> tuple[Read, WideColumns]:
    """Read a table with a series a row, whose targets are one column.

    Missing values at the end of a row are not part of its series.

    Args:
        source: the file.
        separator: between fields.
        quote: around fields.
        label: column of the targets: a name or a number from 1; None to find it.
        header: whether the first row names the columns; "auto" if it has fields that are not numbers.
        known: how the training file of a model was read.
        labels: those that a model knows.
        steps: names of the steps' columns in the training file, whose order counts where this file has them all.
        numeric: whether the targets are numbers.
        labelled: whether targets are wanted.

    Raises:
        DataError: fields that are not numbers, each with line and column; or targets that cannot be found.
    """
    rows = read_rows(source, separator, quote, spans=separator != "\t")
    columns = _columns(source, rows, label, header, known, labels, numeric=numeric, labelled=labelled)
    columns = columns._replace(values=_in_order(columns, steps))
    body = rows[1:] if columns.header else rows
    if not body:
        raise DataError(f"{source.name} has a header but no rows.", fix="Give at least one row.")
    mistakes, series, targets = Mistakes(source.name), [], []
    for row in body:
        if len(row.fields) > 1 + max((*columns.values, columns.target or 0)):
            mistakes.add(row.line, len(row.fields), f"expected at most {len(columns.names)} fields as in the header")
            continue
        if columns.target is not None and labelled:
            at = lambda _, line=row.line: (line, _name(columns, columns.target or 0))  # noqa: E731
            found = [row.fields[columns.target] if columns.target < len(row.fields) else ""]
            targets += targets_in(found, mistakes, at, numeric=numeric)
        own = [column for column in columns.values if column < len(row.fields)]
        fields = [row.fields[column] for column in own]
        values = numbers_in(fields, mistakes, lambda n, line=row.line, c=own: (line, _name(columns, c[n])))
        series.append(without_end(values)[:, None])
    mistakes.raise_any(FIX)
    lines = [row.line for row in body]
    names = [_named(source.name, line, columns) for line in lines]
    return Read(series, targets if columns.target is not None and labelled else None, names, lines), columns


def _in_order(columns: WideColumns, steps: Sequence[str]) -> tuple[int, ...]:
    """Return the columns of the steps in the order of these names, and others after them."""
    by_name = {columns.names[n]: n for n in columns.values if n < len(columns.names)}
    if not steps or len(by_name) < len(columns.values) or not set(steps) <= by_name.keys():
        return columns.values
    first = [by_name[name] for name in steps]
    return (*first, *(n for n in columns.values if n not in set(first)))


def _named(source: str, line: int, columns: WideColumns) -> SeriesName:
    return SeriesName(
        f"{source}, {position(line)}",
        lambda step, _: f"{source}, {position(line, _name(columns, columns.values[step]))}",
    )


def _name(columns: WideColumns, column: int) -> int | str:
    return columns.names[column] if column < len(columns.names) and columns.names[column] else column + 1


def _columns(
    source: Source,
    rows: Sequence[Row],
    label: str | int | None,
    header: bool | str,
    known: WideColumns | None,
    labels: frozenset[str],
    *,
    numeric: bool,
    labelled: bool,
) -> WideColumns:
    first = [field.strip() for field in rows[0].fields]
    body = rows[1:] or rows
    width = max(len(row.fields) for row in rows)
    columns = [[row.fields[n] for row in body[:LOOKED_AT] if n < len(row.fields)] for n in range(width)]
    texts = [n for n, fields in enumerate(columns) if 2 * sum(map(_looks_like_a_number, fields)) < len(fields)]
    if header == "auto":
        named = [n for n in range(len(first)) if not is_number(first[n]) and n not in texts]
        header = bool(named) or isinstance(label, str)
    names = tuple(first) if header else ()
    target = _target(source, names, texts, width, label, known, labels, body, numeric=numeric, labelled=labelled)
    ignored = {n for n, name in enumerate(names) if plain_name(name) in _NUMBERED and n != target and n == 0}
    values = tuple(n for n in range(len(names) or width) if n != target and n not in ignored)
    return WideColumns(bool(header), target, values, names, width)


def _target(
    source: Source,
    names: tuple[str, ...],
    texts: list[int],
    width: int,
    label: str | int | None,
    known: WideColumns | None,
    labels: frozenset[str],
    body: Sequence[Row],
    *,
    numeric: bool,
    labelled: bool,
) -> int | None:
    if isinstance(label, int):
        if 1 <= label <= width:
            return label - 1
        raise DataError(f"{source.name} has no column {label}.", fix=f"Give a number from 1 to {width}.")
    if label is not None:
        if label in names:
            return names.index(label)
        raise DataError(f"{source.name} has no column named `{label}`.", fix=nearest(label, names[:12]))
    if known is not None and known.target is not None:
        return _known_target(source, names, width, known, labels, body, labelled=labelled)
    usual = named_like(names, LABEL_NAMES)
    if len(usual) == 1:
        return usual[0]
    if len(texts) == 1:
        return texts[0]
    if not names and (labelled or known is None):
        # The form of the UCR archive.
        return 0 if labelled else None
    if not labelled:
        return None
    raise DataError(
        f"{source.name} has a series a row, and it is not clear which column is the target.",
        where=f"line 1: {', '.join(repr(name[:30]) for name in names[:8])}{' …' if len(names) > 8 else ''}",
        fix=f"Give its name or number with {flag_of_targets(numeric=numeric)}.",
    )


def _known_target(
    source: Source,
    names: tuple[str, ...],
    width: int,
    known: WideColumns,
    labels: frozenset[str],
    body: Sequence[Row],
    *,
    labelled: bool,
) -> int | None:
    """Return the column of the targets as in the training file, None if this file has none.

    Without names, a file without targets has one column less than the training file. In files of other widths the
    fields decide, where they can be labels only, or values only.

    Raises:
        DataError: neither decides.
    """
    target = known.target
    assert target is not None
    if known.names and names:
        return names.index(known.names[target]) if known.names[target] in names else None
    usual = named_like(names, LABEL_NAMES)
    if len(usual) == 1:
        return usual[0]
    if labelled or width == known.width:
        return target
    if names or (known.width is not None and width == known.width - 1):
        return None
    found = {row.fields[target].strip() for row in body if target < len(row.fields)}
    kinds = set(map(_kind_of, found))
    if labels and ("word" in kinds or found <= labels):
        return target
    if labels and kinds.isdisjoint(map(_kind_of, labels)):
        return None
    raise DataError(
        f"It is not clear whether {source.name} has a column of targets.",
        where=f"line 1: {width} columns"
        + (f", and {known.width} in the training file" if known.width is not None else ""),
        fix="Add a header that names the columns, with the name `target` for a column of targets.",
    )


def _kind_of(field: str) -> str:
    """Return whether a field is a whole number, another number or missing, or a word."""
    if field.lstrip("+-").isdigit():
        return "whole"
    return "number" if _looks_like_a_number(field) else "word"
