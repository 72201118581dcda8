"""A grid in a report: shares between named rows and columns, such as those of attention."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from elman.report.parts import Part


@dataclass(frozen=True)
class Grid(Part):
    """Shares from 0 to 1 between rows and columns, drawn as shades.

    Attributes:
        title: the heading.
        rows: a label for each row.
        columns: a label for each column.
        shares: a row of shares for each row.
        note: a sentence on them.
    """

    kind: ClassVar[str] = "grid"
    title: str
    rows: Sequence[str]
    columns: Sequence[str]
    shares: Sequence[Sequence[float]]
    note: str = ""

    def lines(self) -> Iterator[str]:
        """Yield nothing: a terminal has no shades."""
        return iter(())
