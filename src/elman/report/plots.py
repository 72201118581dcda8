"""Plots in a report: points, lines and bands over numbers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

from elman.report.parts import Part

Colour = Literal["ink", "train", "validation"]


class Trace(NamedTuple):
    """One set of numbers in a plot.

    Attributes:
        x: positions on the horizontal axis.
        y: positions on the vertical axis.
        label: for the legend; none if empty.
        form: as `points`, a `line`, a thin `dashes`, or `bars` from zero.
        colour: of the page; `ink` is that of its quiet text.
        low: lower ends of a band around a line; none without a band.
        high: upper ends of it.
    """

    x: Sequence[float]
    y: Sequence[float]
    label: str = ""
    form: Literal["points", "line", "dashes", "bars"] = "line"
    colour: Colour = "train"
    low: Sequence[float] = ()
    high: Sequence[float] = ()


class Panel(NamedTuple):
    """A pair of axes with what is drawn in it.

    Attributes:
        name: different from those of other panels of a page, such as `residuals`.
        x_label: of the horizontal axis.
        y_label: of the vertical axis.
        traces: in the order of drawing.
        is_wide: whether it is twice as wide.
        ticks: words for the positions 0, 1, 2, … of the horizontal axis; numbers if not given.
    """

    name: str
    x_label: str
    y_label: str
    traces: Sequence[Trace]
    is_wide: bool = False
    ticks: Sequence[str] = ()


@dataclass(frozen=True)
class Plot(Part):
    """Panels side by side under a heading.

    Attributes:
        title: the heading.
        panels: in order.
        note: a sentence on them.
    """

    kind: ClassVar[str] = "plot"
    title: str
    panels: Sequence[Panel]
    note: str = ""

    def lines(self) -> Iterator[str]:
        """Yield nothing: a terminal has no plots."""
        return iter(())
