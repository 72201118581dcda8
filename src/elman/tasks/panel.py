"""Series with their layout, and where they are cut in time."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from elman.data.series.panel import Layout, Series


SHOWN_NAMES = 3


@dataclass(frozen=True)
class Panel:
    """Series with their layout.

    Attributes:
        series: in order.
        layout: their columns; None where those of the model are meant.
    """

    series: "Sequence[Series]"
    layout: "Layout | None" = None

    def __len__(self) -> int:
        return len(self.series)

    def __getitem__(self, index: int) -> "Series":
        return self.series[index]

    def __iter__(self) -> "Iterator[Series]":
        return iter(self.series)


def named(names: Sequence[str]) -> str:
    """Return names of series as the subject of a sentence, the first of many, with its verb."""
    if list(names) == [""]:
        return "the series is"
    shown = ", ".join(map(repr, names[:SHOWN_NAMES])) + (" …" if len(names) > SHOWN_NAMES else "")
    return f"the series {shown} is" if len(names) == 1 else f"{len(names):,} series ({shown}) are"


def unit_of(settings: Any) -> int:
    """Return the fewest steps that a forecast can be made from.

    A window has a whole number of such units.
    """
    return {"segments": settings.segment, "seasons": settings.season}.get(settings.method, 1)


def training_steps(length: int, fraction: float, horizon: int, least: int) -> int:
    """Return how many steps of a series are left to learn from.

    These are all of them if the series is too short to hold a part out.

    Args:
        length: of the series.
        fraction: held out at its end, of which at least a horizon; 0 for none.
        horizon: of the forecasts.
        least: fewest steps of a window.
    """
    end = length - max(horizon, math.ceil(fraction * length)) if fraction else length
    return end if end >= least + horizon else length


def origins_of(length: int, begin: int, settings: Any, stride: int) -> range:
    """Return the steps of a series from which a horizon is forecast.

    Windows are whole where the series is long enough.

    Args:
        length: of the series.
        begin: first step that may be forecast.
        settings: of the model.
        stride: steps between two origins.
    """
    last, least = length - settings.horizon, unit_of(settings)
    first = max(begin, least if begin else min(max(settings.window, least), max(last, least)))
    return range(first, last + 1, stride)
