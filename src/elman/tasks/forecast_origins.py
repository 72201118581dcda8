"""Rolling origins: for each, the steps before it to learn from, and the horizon after it."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from elman.errors import DataError
from elman.tasks.panel import Panel, unit_of
from elman.tasks.task import Values


class Origin(NamedTuple):
    """The data of one origin.

    Attributes:
        train: the steps of each series before it.
        test: the series until the end of the horizon, of which only the horizon is forecast.
    """

    train: Values
    test: Values


def rolled(values: Values, options: Any, settings: Any) -> Iterator[Origin]:
    """Yield the data of the last origins of a panel, the earliest first.

    The last origin is a horizon before the end of each series.

    Args:
        values: the series.
        options: `origins` and `stride`.
        settings: of the model.

    Raises:
        DataError: a series is too short for the earliest origin.
    """
    panel = values.columns["series"]
    horizon, stride = settings.horizon, options.stride or settings.horizon
    first = (options.origins - 1) * stride + horizon
    needed = unit_of(settings) + horizon + first
    for each in panel:
        if len(each) < needed:
            fewer = (len(each) - unit_of(settings) - 2 * horizon) // stride + 1
            raise DataError(
                f"The series has {len(each):,} steps, and {options.origins} origins need at least {needed:,}.",
                where=f"{values.source}, series {each.name!r}" if each.name else values.source,
                fix=f"Give --origins {fewer} or fewer, or a smaller --stride." if fewer > 0 else "Give longer series.",
            )
    for number in range(options.origins):
        back = first - number * stride
        train = [each.until(len(each) - back, horizon) for each in panel]
        test = [replace(each.until(len(each) - back + horizon), begin=len(each) - back) for each in panel]
        yield Origin(*(replace(values, columns={"series": Panel(part, panel.layout)}) for part in (train, test)))
