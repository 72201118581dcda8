"""Files of series of numbers in each of their forms."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from elman.data.files import Source
from elman.data.series.arff import read_arff
from elman.data.series.long import LongColumns, check_long_options, read_long
from elman.data.series.panel import SERIES_NAMES
from elman.data.series.ts import Read, read_ts
from elman.data.series.values import is_number
from elman.data.series.wide import FEWEST_COLUMNS, LOOKED_AT, WideColumns, is_wide, read_wide
from elman.data.tables import delimited
from elman.data.tables.header import LABEL_NAMES, named_like
from elman.data.tables.table_format import TableFormat
from elman.errors import DataError

ENDINGS = {".ts": "ts", ".arff": "arff"}
KINDS = ("wide", "long", "ts", "arff")
SHOWN = 80


class SeriesOptions(NamedTuple):
    """How a file of series is read.

    Attributes:
        label: column of the targets: a name or a number from 1.
        header: whether the first row names the columns, or "auto".
        separator: between the fields of a table.
        quote: around fields of a table, as it was given.
        series: column that names the series of a table with a step a row.
        time: column by which the steps of a series are ordered.
        channels: columns of the values of a table with a step a row.
        known: how the training file of a model was read.
        numeric: whether the targets are numbers.
        labelled: whether targets are wanted.
    """

    label: str | int | None = None
    header: bool | str = "auto"
    separator: str | None = None
    quote: str | None = None
    series: str | None = None
    time: str | None = None
    channels: Sequence[str] = ()
    known: TableFormat | None = None
    numeric: bool = False
    labelled: bool = True


def kind_of_series(source: Source, separator: str | None, options: SeriesOptions, *, texts: bool) -> str | None:
    """Return the form of a file of series, None for a file of texts.

    Args:
        source: the file.
        separator: between its fields; None if it is not a table.
        options: how it is read.
        texts: whether columns of texts were asked for.

    Raises:
        DataError: a model reads series, and a table has none.
    """
    check_long_options(options.series, options.time, options.channels)
    if options.series is not None:
        return "long"
    if source.ending in ENDINGS:
        return ENDINGS[source.ending]
    known = options.known.kind if options.known is not None else None
    if separator in (None, delimited.LINES) or texts:
        return None
    rows = delimited.first_rows(source, separator, _quote(options, separator), count=LOOKED_AT + 1)
    if not rows:
        return None
    if known == "long" and options.known is not None and _is_long(rows[0], options.known):
        return "long"
    target = options.label
    if target is None and known in KINDS and options.known is not None:
        target = options.known.label_name
    _refuse_header_alone(source.name, rows, is_known=known in KINDS)
    # A table of a model that reads numbers may have fewer.
    fewest = {"fewest": 1} if known in KINDS else {}
    if is_wide(rows, target, **fewest):
        _refuse_steps(source.name, rows, options.known)
        return "wide"
    if known in KINDS:
        raise _not_series(source)
    return None


def _refuse_header_alone(source: str, rows: Sequence[list[str]], *, is_known: bool) -> None:
    """Refuse a table of one row with names of columns.

    Args:
        source: name of the file.
        rows: its first rows.
        is_known: whether a model reads series; otherwise the row has many fields, of which one is a usual name of
            targets.
    """
    names = rows[0] if len(rows) == 1 else []
    if not names or any(map(is_number, names)):
        return
    if is_known or (len(names) >= FEWEST_COLUMNS and named_like(names, LABEL_NAMES)):
        raise DataError(f"{source} has a header but no rows.", where="line 1", fix="Give at least one row.")


def _refuse_steps(source: str, rows: Sequence[list[str]], known: TableFormat | None) -> None:
    """Refuse a table with a step a row where a series a row is expected.

    It has a column with a usual name of series, which are the same in several rows.
    """
    steps = known.steps if known is not None else ()
    for column, name in enumerate(rows[0]):
        values = [row[column] for row in rows[1:] if column < len(row)]
        if name.lower() in SERIES_NAMES and name not in steps and len(set(values)) < len(values):
            raise DataError(
                f"Expected a table with a series a row, got one with a step a row: {source}.",
                where=f"line 1, column `{name}`: its values repeat",
                fix=f"Give --series {name}, or a table with a series a row.",
            )


def _not_series(source: Source) -> DataError:
    first = source.lines[0].rstrip("\r\n")
    return DataError(
        f"Expected series of numbers, as in training, got another table: {source.name}.",
        where=f"line 1: {first[:SHOWN]}{' …' if len(first) > SHOWN else ''}",
        fix="Give a table with a series a row (numbers, and at most one other column, for the targets), or name the "
        "column of the series with --series if it has a step a row.",
    )


def read_series(
    source: Source, kind: str, separator: str, options: SeriesOptions
) -> tuple[Read, TableFormat, list[str]]:
    """Read a file of series.

    Args:
        source: the file.
        kind: as `kind_of_series` gave it.
        separator: between the fields of a table.
        options: how it is read.

    Returns:
        The series, how the file was read, and notes.

    Raises:
        DataError: as for `read_ts`, `read_arff`, `read_wide` and `read_long`.
    """
    wanted: dict[str, Any] = {"numeric": options.numeric, "labelled": options.labelled}
    form: dict[str, Any] = {"ending": source.ending, "encoding": source.encoding}
    known = options.known
    if kind == "ts":
        found, notes = read_ts(source, **wanted), ["each line is a series"]
        form |= {"label": None if found.targets is None else "target"}
    elif kind == "arff":
        label = options.label if options.label is not None or known is None or known.kind != "arff" else known.label
        found, notes = read_arff(source, label, **wanted), ["each row is a series"]
        form |= {"label": options.label}
    elif kind == "wide":
        found, columns = _wide(source, separator, options, wanted)
        notes = _wide_notes(columns)
        form |= _wide_form(columns)
    else:
        given = _long_columns(options)
        wanted["each_step"] = known.each_step if known is not None and known.kind == "long" else None
        found, columns, notes = read_long(source, separator, _quote(options, separator), given, **wanted)
        if options.numeric and found.targets is not None:
            form["each_step"] = isinstance(found.targets[0], list)
        form |= {"series": columns.series, "time": columns.time, "channels": columns.channels}
        form |= {"label": columns.target, "label_name": columns.target}
    if kind in ("wide", "long"):
        form |= {"separator": separator, "quote": options.quote}
    return found, TableFormat(kind, **form), [*notes, *_notes(found)]  # type: ignore[arg-type]


def _wide(source: Source, separator: str, options: SeriesOptions, wanted: dict[str, Any]) -> tuple[Read, WideColumns]:
    known, columns = options.known, None
    if known is not None and known.kind == "wide" and isinstance(known.label, int):
        names = ("",) * (known.label - 1) + (known.label_name,) if known.label_name else ()
        columns = WideColumns(known.header, known.label - 1, (), names, known.width)
    quote = _quote(options, separator)
    classes = known.classes if known is not None else frozenset[str]()
    steps = known.steps if known is not None else ()
    return read_wide(source, separator, quote, options.label, options.header, columns, classes, steps, **wanted)


def _wide_form(columns: WideColumns) -> dict[str, Any]:
    target = columns.target
    name = columns.names[target] if target is not None and columns.names else None
    label = None if target is None else target + 1
    form = {"header": columns.header, "label": label, "label_name": name, "width": columns.width}
    return {**form, "steps": tuple(columns.names[n] for n in columns.values if n < len(columns.names))}


def _wide_notes(columns: WideColumns) -> list[str]:
    header = "the first line is a header" if columns.header else "the first line is not a header"
    if columns.target is None:
        return [f"each row is a series, without targets; {header}"]
    name = f"`{columns.names[columns.target]}`" if columns.names else str(columns.target + 1)
    return [f"each row is a series, and column {name} has the targets; {header}"]


def _long_columns(options: SeriesOptions) -> LongColumns:
    known = options.known if options.known is not None and options.known.kind == "long" else None
    label = None if options.label is None else str(options.label)
    if known is None:
        return LongColumns(options.series or "", options.time, tuple(options.channels), label)
    return LongColumns(
        options.series or known.series or "",
        options.time or known.time,
        tuple(options.channels) or known.channels,
        label or (known.label_name if options.labelled else None),
    )


def _is_long(header: Sequence[str], known: TableFormat) -> bool:
    """Report whether a header has columns of a long training file.

    `read_long` names those that are missing.
    """
    return not {known.time, *known.channels}.isdisjoint(header)


def _quote(options: SeriesOptions, separator: str) -> str | None:
    return delimited.QUOTE if options.quote is None else delimited.parse_quote(options.quote, separator)


def _notes(found: Read) -> list[str]:
    empty = sum(not len(each) for each in found.series)
    missing = sum(int(np.isnan(each).sum()) for each in found.series)
    notes = [f"{empty} of {len(found.series)} series are empty"] if empty else []
    values = "1 value is missing" if missing == 1 else f"{missing:,} values are missing"
    return [*notes, *([values] if missing else [])]
