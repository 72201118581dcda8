"""The sources of a translator, in a file of lines or a table, read whole or in blocks."""

from collections.abc import Mapping
from typing import Any

from elman.data.files import Source, ending_of
from elman.data.tables.blocks import options_of
from elman.data.tables.delimited import LINES, read_rows
from elman.data.tables.table_format import TableFormat
from elman.data.tables.tables import Table, open_table, read_like, read_table
from elman.tasks.parallel_columns import TABLES, columns_of_table, find_columns, more_exact
from elman.tasks.rows import given_options


def read_sources(
    how: Mapping[str, Any], column: str | None, known: TableFormat | None, opened: Any, form: TableFormat | None
) -> Table:
    """Return the sources of a file, or of some lines of it.

    Args:
        how: options of the file that the user gave.
        column: of the sources, if the user gave it.
        known: how the training file was read.
        opened: the file, or lines of it.
        form: of the file's beginning, if that was read before.
    """
    if form is not None and form.separator == LINES:
        return _source_lines(opened)
    if form is not None:
        return read_table(opened, labelled=False, **options_of(form))
    if column is None and not how.keys() & {"header", "separator", "quote"} and _are_lines(opened, how, known):
        return _source_lines(_opened_like(opened, how, known))
    opened = open_table(opened, **given_options(how, ("separator", "encoding")), known=known)
    asked = {**how, "source": column}
    source = columns_of_table(opened, asked, known, wanted=("source",), flags=("column",))["source"]
    return read_table(opened, text=source, labelled=False, **{**how, **more_exact(opened, {"source": source}, how)})


def _are_lines(opened: Any, how: Mapping[str, Any], known: TableFormat | None) -> bool:
    """Return whether each line of a file is a source."""
    if (opened.ending if isinstance(opened, Source) else ending_of(opened)) in TABLES:
        return False
    # A text may have a tab, but not where the training file had tabs between its columns.
    return not find_columns(known) or "\t" not in _opened_like(opened, how, known).lines[0]


def _opened_like(opened: Any, how: Mapping[str, Any], known: TableFormat | None) -> Source:
    return opened if isinstance(opened, Source) else read_like(opened, how.get("encoding"), known)


def _source_lines(file: Source) -> Table:
    """Return each line of a file as a source."""
    rows = read_rows(file, LINES)
    form = TableFormat(separator=LINES, encoding=file.encoding, text=(1,), width=1)
    return Table([row.fields[0] for row in rows], None, [row.line for row in rows], file.name, [], form)
