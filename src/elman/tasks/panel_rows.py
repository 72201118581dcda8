"""Series to forecast, from a file that is read whole or in blocks."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any

from elman.data.files import Source
from elman.data.series.panel import Layout
from elman.data.series.panel_files import read_panel_part
from elman.data.tables.blocks import Read
from elman.data.tables.cuts import Cut, cut_of
from elman.data.tables.table_format import TableFormat
from elman.data.tables.tables import Table


def panel_reader(
    options: Mapping[str, Any], known: Layout | None
) -> tuple[Read, Callable[[Source, TableFormat], Cut | None]]:
    """Return a reader of series, whole or in blocks, and how their files are cut.

    Notes on later blocks, such as those on missing steps, are warnings when the block is read.

    Args:
        options: as for `read_panel`.
        known: the layout of the data that a model was trained on.
    """
    said: set[str] = set()

    def read(opened: Any, form: TableFormat | None) -> Table:
        found = read_panel_part(opened, options, known, form)
        for note in found.notes if form is not None else ():
            if note not in said:
                warnings.warn(f"{found.source}: {note}.", stacklevel=2)
        said.update(found.notes)
        names = [f"{found.source}, series {each.name!r}" if each.name else found.source for each in found.series]
        return Table(found.series, None, [0] * len(names), found.source, found.notes, found.form, names)

    def cut(head: Source, form: TableFormat) -> Cut | None:
        # A file of one series is not cut.
        return None if form.series is None else cut_of(head, form)

    return read, cut
