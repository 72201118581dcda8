"""Missing values in a table of series."""

from collections.abc import Mapping

import numpy as np

from elman.data.series.panel import Layout, RowMistakes, Table


def refuse_missing(
    table: Table, layout: Layout, rows: np.ndarray, steps: np.ndarray, parts: Mapping[str, np.ndarray]
) -> None:
    """Refuse missing values of a series.

    Args:
        table: of all series.
        layout: its columns.
        rows: of the series.
        steps: of each row.
        parts: the columns of each role, `(steps, columns)`.

    Raises:
        DataError: names their lines and columns.
    """
    mistakes = RowMistakes.of(table)
    for role, part in parts.items():
        columns = getattr(layout, role)
        for row, column in zip(*np.nonzero(np.isnan(part)), strict=True):
            mistakes.at(int(rows[row]), columns[column], "expected a number, got a missing value")
    mistakes.raise_any("Fill the cells in, or give --missing carry (the last value) or --missing mask.")
