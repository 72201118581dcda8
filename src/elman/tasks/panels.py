"""The source of series in time: read from tables and from Python, and split by time."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from elman.errors import DataError
from elman.tasks.batches import Data
from elman.tasks.columns import Column
from elman.tasks.panel import Panel, named, training_steps, unit_of
from elman.tasks.panel_windows import Windows
from elman.tasks.sources import ENCODING, Asked, Known, Option, Source, Values


class Panels(Source):
    """Series of steps at equal distances: a table with a row a step, or arrays and data frames in Python."""

    noun = "series"
    help = "A CSV or TSV file with a header and a row for each step, the oldest first."
    options = (
        Option("target", list, "COL", "Column to forecast; may be repeated. [all columns of numbers]"),
        Option("time", str, "COL", "Column of the time stamps, or none. [the first one that holds dates]"),
        Option("series", str, "COL", "Column of the names of several series. [series, unique_id … if there is one]"),
        Option("past", list, "COL", "Covariate that is known until the origin; may be repeated."),
        Option("known", list, "COL", "Covariate that is known ahead; may be repeated."),
        Option("static", list, "COL", "Column with one value for each series; may be repeated."),
        Option("missing", str, "HOW", "Missing values and steps: error, carry or mask. [as in training: error]"),
        Option("separator", str, "CHAR", "What is between two fields. [by the ending of the file]"),
        ENCODING,
    )

    def read(
        self,
        path: str | Sequence[str],
        columns: Sequence[Column],
        options: Mapping[str, Any],
        *,
        known: Known | None = None,
    ) -> Values:
        """Read a table with `elman.data.series.panel_files.read_panel`."""
        # numpy is needed only for files.
        from elman.data.series.panel_files import read_panel

        series, layout, notes, source = read_panel(str(path), options, known.layout if known else None)
        decided = {"missing": layout.missing}
        return Values({columns[0].name: Panel(series, layout)}, source=source, notes=notes, settings=decided)

    def take(self, values: Sequence[Any], columns: Sequence[Column], *, role: str = "") -> Values:
        """Return the series of a value from Python, as `panel_of` reads it."""
        from elman.data.series.panel import Layout
        from elman.data.series.panel_values import panel_of

        given = values[0]
        if not isinstance(given, Panel):
            given = [] if isinstance(given, list) and not given else given
            series, layout, _ = panel_of(given, Layout(), role) if len(given) else ([], None, [])
            given = Panel(series, None if layout is None or not layout.target else layout)
        return Values({columns[0].name: given}, source=f"the {role}data", role=role)

    def known(self, values: Values, columns: Sequence[Column]) -> Known:
        """Return the layout of the series."""
        return Known(layout=values.columns[columns[0].name].layout)

    def asked(self, path: str, options: Mapping[str, Any], known: Known | None = None) -> Asked:
        """Read series to forecast, each from its end.

        A file in which the steps of each series follow one another is read in blocks, so that it may be larger than the
        memory.

        Raises:
            DataError: it cannot be read so.
        """
        # Imported late: numpy is not needed before a file is read.
        from elman.tasks.asked import read_rows
        from elman.tasks.panel_rows import panel_reader

        read, cut = panel_reader(options, known.layout if known else None)
        return read_rows(path, read, cut, encoding=options.get("encoding"))

    def split(self, values: Values, columns: Sequence[Column], fraction: float, seed: int) -> tuple[Values, Values]:
        """Return the beginning of each series, and the fraction at its end."""
        return self._split(values, columns[0].name, fraction, 1, 1)

    def held_out(self, values: Values, columns: Sequence[Column], settings: Any) -> tuple[Values, Values]:
        """Return the beginning of each series, and its end, which is at least a horizon long."""
        return self._split(values, columns[0].name, settings.validation_fraction, settings.horizon, unit_of(settings))

    def _split(self, values: Values, name: str, fraction: float, horizon: int, least: int) -> tuple[Values, Values]:
        panel = values.columns[name]
        kept, held, whole = [], [], []
        for each in panel:
            end = training_steps(len(each), fraction, horizon, least)
            if end == len(each):
                whole.append(each.name)
                kept.append(each)
            else:
                kept.append(each.until(end, horizon))
                held.append(replace(each, begin=end))
        if not held:
            raise DataError(
                f"The series {'is' if len(panel) == 1 else 'are'} too short to hold a part out: the longest has "
                f"{max(map(len, panel.series), default=0):,} steps, and a forecast and another one to hold out need at "
                f"least {least + 2 * horizon:,}.",
                where=values.source,
                fix="Give a shorter --horizon or --window, more steps, or --validation-fraction 0.",
            )
        notes = [f"{named(whole)} too short to hold a part out: used for training alone"] if whole else []
        return (
            replace(values, columns={name: Panel(kept, panel.layout)}, notes=[]),
            replace(values, columns={name: Panel(held, panel.layout)}, notes=notes),
        )

    def whole(self, kept: Values, held: Values) -> Values:
        """Return all steps of each series."""
        panel = kept.columns["series"]
        later = {each.name: replace(each, begin=0) for each in held.columns["series"]}
        series = Panel([later.get(each.name, each) for each in panel], panel.layout)
        return replace(kept, columns={"series": series})

    def data(self, encoded: Mapping[str, Any], settings: Any) -> Data:
        """Return shuffled windows."""
        return Windows(encoded["series"], settings, stride=settings.train_stride, shuffle=True)

    def evaluated(self, encoded: Mapping[str, Any], settings: Any, options: Any = None) -> Data:
        """Return every window, in order."""
        return Windows(encoded["series"], settings)

    def asking(self, encoded: Mapping[str, Any], settings: Any) -> Data:
        """Return the window at the end of each series."""
        return Windows(encoded["series"], settings, at_end=True)

    def facts(self, values: Values) -> str:
        """Return the number of series and of steps."""
        panel = values.columns["series"]
        steps = sum(len(each) - each.begin for each in panel)
        return f"{len(panel):,} series, {steps:,} steps"
