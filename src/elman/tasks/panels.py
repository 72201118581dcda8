"""Values of a task that are series in time: read, split by time, and cut into windows."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elman.errors import DataError, ShapeError
from elman.tasks.task import ENCODING, Asked, Batch, Column, Data, Known, Option, Source, Values

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from elman.data.series.panel import Layout, Series

LARGER_BATCHES = 4
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
        return self._split(
            values, columns[0].name, settings.validation_fraction, settings.horizon, least_window(settings)
        )

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


def named(names: Sequence[str]) -> str:
    """Return names of series as the subject of a sentence, the first of many, with its verb."""
    if list(names) == [""]:
        return "the series is"
    shown = ", ".join(map(repr, names[:SHOWN_NAMES])) + (" …" if len(names) > SHOWN_NAMES else "")
    return f"the series {shown} is" if len(names) == 1 else f"{len(names):,} series ({shown}) are"


def least_window(settings: Any) -> int:
    """Return the fewest steps that a forecast can be made from."""
    return settings.segment if settings.method == "segments" else 1


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
    last, least = length - settings.horizon, least_window(settings)
    first = max(begin, least if begin else min(max(settings.window, least), max(last, least)))
    return range(first, last + 1, stride)


class PanelEncoder:
    """Series as tensors; learned are the means and deviations of all columns, and the calendar's cycles.

    Targets stay in the units of the data, since the network scales them. Covariates are standardised.

    Attributes:
        layout: of the training data.
        cycles: of the calendar that are read as known covariates.
        middle, spread: mean and deviation of each target.
        notes: on what was learned.
    """

    def __init__(self, settings: Any):
        self._settings = settings
        self.layout: Any = None
        self.cycles: list[str] = []
        self.middle: list[float] = []
        self.spread: list[float] = []
        self.notes: list[str] = []
        self._covariates: dict[str, tuple[list[float], list[float]]] = {}
        # For each series its steps in training, and the stamp of the last of them.
        self.ends: dict[str, tuple[int, str]] = {}

    def learn(self, values: Panel, folder: Path | None = None) -> "EncodedPanel":
        """Learn from the training series, and encode them.

        Raises:
            DataError: series without steps, or counts that are not.
        """
        import numpy as np

        from elman.data.series.calendar import cycles_for
        from elman.data.series.panel import Layout
        from elman.nn.scaling import constant_note

        panel = values
        self.layout = panel.layout or Layout(target=tuple(f"target {n + 1}" for n in range(panel[0].target.shape[1])))
        targets = np.concatenate([each.known_targets for each in panel])
        self.middle, self.spread, constant = _moments(targets)
        self.notes = [
            note[0].lower() + note[1:].removesuffix(".") for note in constant_note(constant, self.layout.target)
        ]
        past, known = (np.concatenate([getattr(each, role) for each in panel]) for role in ("past", "known"))
        static = np.stack([each.static for each in panel])
        parts = {"past": past, "known": known, "static": static}
        self._covariates = {name: _moments(part)[:2] for name, part in parts.items()}
        if self._settings.calendar and panel[0].start is not None:
            self.cycles = cycles_for(self.layout.frequency, max(map(len, panel.series)))
        self.ends = {}
        self.saw(panel)
        return self._encoded(panel)

    def encode(
        self, values: Any, *, unknown: Any = None, folder: Path | None = None, tally: Any = None
    ) -> "EncodedPanel":
        """Encode series of the same columns.

        Raises:
            ShapeError: series with another number of targets or covariates.
            DataError: series without dates where the model reads the calendar, values without a logarithm, or values
                that are not counts.
        """
        panel = values if isinstance(values, Panel) else Panel(list(values))
        for each in panel:
            for role, wanted in (
                ("target", len(self.middle)),
                *((r, len(m)) for r, (m, _) in self._covariates.items()),
            ):
                got = getattr(each, role).shape[-1]
                if got != wanted:
                    raise ShapeError(
                        f"Expected {wanted} column{'s' * (wanted != 1)} of {role} values, as in training, got {got}.",
                        where=f"series {each.name!r}" if each.name else None,
                        fix="Give the columns that the model was trained on.",
                    )
            if self.cycles and (each.start is None or each.frequency.unit == "step"):
                raise DataError(
                    "Expected dates or times of the steps, whose calendar the model reads, got "
                    f"{'none' if each.start is None else 'whole numbers'}.",
                    where=f"series {each.name!r}" if each.name else None,
                    fix="Give the stamps as in training, or train a model with --no-calendar.",
                )
        return self._encoded(panel)

    def _encoded(self, panel: Panel) -> "EncodedPanel":
        import numpy as np
        import torch

        from elman.data.series.calendar import calendar_features

        rows, truth, known = [], [], []
        for each in panel:
            self._check_missing(each)
            ahead = self._standardised("known", each.known) if self.layout.known else np.empty((len(each), 0))
            if self.cycles:
                # A horizon after the end, for forecasts from there.
                total = len(each) + self._settings.horizon
                calendar = calendar_features(each.stamps(0, total), self.cycles)
                short = total - len(ahead)
                filled = np.concatenate([ahead, np.full((max(0, short), ahead.shape[1]), np.nan)])[:total]
                ahead = np.concatenate([filled, calendar], 1)
            rows.append(np.concatenate([self._transformed(each), self._standardised("past", each.past)], 1))
            truth.append(np.where(np.isnan(each.known_targets), np.nan, rows[-1][:, : len(self.middle)]))
            known.append(ahead)
        empty = np.empty((0, self.width))
        return EncodedPanel(
            rows=torch.from_numpy(np.concatenate([empty, *rows])),
            truth=torch.from_numpy(np.concatenate([empty[:, : len(self.middle)], *truth])),
            known=torch.from_numpy(np.concatenate([np.empty((0, self.known_width)), *known])),
            static=torch.from_numpy(
                np.stack([self._standardised("static", each.static[None])[0] for each in panel])
                if len(panel)
                else np.empty((0, len(self._covariates["static"][0])))
            ),
            lengths=[len(each) for each in panel],
            known_lengths=[len(each) for each in known],
            begins=[each.begin for each in panel],
            series=list(panel),
        )

    def _check_missing(self, series: "Series") -> None:
        """Refuse missing targets where the network has no marks for them, and would read zeros."""
        import numpy as np

        if self._settings.missing == "mask":
            return
        steps, targets = np.nonzero(np.isnan(series.target))
        if len(steps):
            name, of = self.layout.target[targets[0]], f"series {series.name!r}, " if series.name else ""
            raise DataError(
                f"Expected known values for a model that was trained without --missing mask, got {len(steps):,} "
                f"missing value{'s' * (len(steps) > 1)}.",
                where=f"{of}step {steps[0] + 1:,}, column `{name}`",
                fix="Give --missing carry, or train the model with --missing mask.",
            )

    def _transformed(self, series: "Series") -> "np.ndarray":
        """Return the targets as the network reads them.

        Raises:
            DataError: a value without a logarithm, where logarithms are wanted, or one that is not a count.
        """
        import numpy as np

        target, is_log = series.target, self._settings.transform == "log"
        if self._settings.loss == "negative-binomial":
            wrong, expected = (target < 0) | (target % 1 > 0), "counts (0, 1, 2 …) for --loss negative-binomial"
            fix = "Correct the values, or train with --loss student or --loss quantile."
        else:
            wrong, expected = (target <= 0) & is_log, "positive values for --transform log"
            fix = "Correct the values, or train without --transform."
        steps, targets = np.nonzero(wrong)
        if len(steps):
            at = f"step {steps[0] + 1}, column `{self.layout.target[targets[0]]}`"
            raise DataError(
                f"Expected {expected}, got {target[steps[0], targets[0]]:g}.",
                where=f"series {series.name!r}, {at}" if series.name else at,
                fix=fix,
            )
        return np.log(target) if is_log else target

    def _standardised(self, role: str, values: "np.ndarray") -> "np.ndarray":
        import numpy as np

        middle, spread = self._covariates[role]
        return (values - np.array(middle)) / np.array(spread)

    @property
    def width(self) -> int:
        """Columns of targets and past covariates."""
        return len(self.middle) + len(self._covariates["past"][0])

    @property
    def known_width(self) -> int:
        """Columns of known covariates, those of the calendar among them."""
        return len(self._covariates["known"][0]) + 2 * len(self.cycles)

    def sizes(self) -> Any:
        """Return the sizes that a network reads."""
        from elman.forecast_network import Sizes

        past, static = len(self._covariates["past"][0]), len(self._covariates["static"][0])
        masked = self._settings.missing == "mask"
        return Sizes(len(self.middle), past, self.known_width, static, masked)

    def saw(self, panel: Panel) -> None:
        """Remember that series were used up to their ends."""
        self.ends |= {each.name: (len(each), _end(each)) for each in panel}

    def is_unseen(self, series: "Series") -> bool:
        """Report whether the first step to forecast is after the data that were used."""
        import numpy as np

        if series.name not in self.ends:
            return True
        steps, stamp = self.ends[series.name]
        if series.start is None or not stamp:
            return series.begin >= steps
        end = int(stamp) if series.frequency.unit == "step" else np.datetime64(stamp)
        return bool(series.stamps(series.begin, 1)[0] > end)

    def to_json(self) -> dict[str, Any]:
        """Return what was learned."""
        return {
            "layout": self.layout.to_json(),
            "cycles": self.cycles,
            "middle": self.middle,
            "spread": self.spread,
            "covariates": {name: list(each) for name, each in self._covariates.items()},
            "ends": {name: list(each) for name, each in self.ends.items()},
        }

    def load(self, document: Mapping[str, Any]) -> None:
        """Take over what `to_json` gave."""
        from elman.data.series.panel import Layout

        self.layout = Layout.from_json(document["layout"])
        self.cycles = list(document["cycles"])
        self.middle, self.spread = document["middle"], document["spread"]
        self._covariates = {name: tuple(each) for name, each in document["covariates"].items()}
        self.ends = {name: tuple(each) for name, each in document["ends"].items()}


def _moments(values: "np.ndarray") -> tuple[list[float], list[float], list[int]]:
    """Return the mean and deviation of each column, and the constant columns.

    The deviation of a constant column is 1.
    """
    import numpy as np

    if not len(values) or not values.shape[1]:
        return [0.0] * values.shape[1], [1.0] * values.shape[1], []
    known = ~np.isnan(values)
    middles = [
        float(column[seen].mean()) if seen.any() else 0.0 for column, seen in zip(values.T, known.T, strict=True)
    ]
    spreads = [float(column[seen].std()) if seen.any() else 0.0 for column, seen in zip(values.T, known.T, strict=True)]
    constant = [
        number
        for number, (column, seen) in enumerate(zip(values.T, known.T, strict=True))
        if not seen.any() or (column[seen] == column[seen][0]).all()
    ]
    return middles, [1.0 if n in constant or not spread else spread for n, spread in enumerate(spreads)], constant


def _end(series: "Series") -> str:
    return "" if series.start is None or not len(series) else str(series.stamps(len(series) - 1, 1)[0])


@dataclass(frozen=True)
class EncodedPanel:
    """Series as tensors, one after the other.

    Attributes:
        rows: `(steps, targets + past)` float64.
        truth: `(steps, targets)`, NaN where a value is missing or was filled.
        known: `(steps + future, known)`.
        static: `(series, static)`.
        lengths: steps of each series.
        known_lengths: steps for which the known covariates of each are given.
        begins: first step of each that may be forecast.
        series: the series themselves, for their stamps and names.
    """

    rows: "Tensor"
    truth: "Tensor"
    known: "Tensor"
    static: "Tensor"
    lengths: list[int]
    known_lengths: list[int]
    begins: list[int]
    series: "list[Series]"


class Windows:
    """Windows of series with the horizon after each, as a data set.

    Args:
        panel: encoded.
        settings: `window`, `horizon`, `method`, `segment`, `batch_size`, `tokens_per_batch`, `bucketing` and `seed` are
            read.
        stride: steps between two origins of a series.
        shuffle: draw the order anew for each epoch; in order, batches are four times as large.
        at_end: one window at the end of each series, whose horizon is not known.

    Raises:
        DataError: there is no window, a series is too short, or known covariates are missing.
    """

    def __init__(
        self, panel: EncodedPanel, settings: Any, *, stride: int = 1, shuffle: bool = False, at_end: bool = False
    ):
        import torch

        self.panel = panel
        self._settings, self._shuffle, self.at_end = settings, shuffle, at_end
        self.horizon: int = settings.horizon
        unit = settings.segment if settings.method == "segments" else 1
        least = least_window(settings)
        pairs: list[tuple[int, int]] = []
        for number, (length, begin) in enumerate(zip(panel.lengths, panel.begins, strict=True)):
            if at_end:
                self._check_end(number, least)
                pairs.append((number, length))
                continue
            pairs += [(number, origin) for origin in origins_of(length, begin, settings, stride)]
        if not pairs and not at_end:
            longest = max(panel.lengths, default=0)
            raise DataError(
                f"The series are too short: the longest has {longest:,} steps, and a window of {least:,} and a horizon "
                f"of {self.horizon:,} need {least + self.horizon:,}.",
                fix="Give longer series, or a shorter --horizon or --segment.",
            )
        self.numbers = torch.tensor([number for number, _ in pairs], dtype=torch.int64)
        self.origins = torch.tensor([origin for _, origin in pairs], dtype=torch.int64)
        self.lengths = self.origins.clamp(max=settings.window) // unit * unit
        starts = torch.tensor([0, *panel.lengths], dtype=torch.int64).cumsum(0)
        known = torch.tensor([0, *panel.known_lengths], dtype=torch.int64).cumsum(0)
        self._ends = starts[self.numbers] + self.origins
        self._known_ends = known[self.numbers] + self.origins
        if at_end:
            self._check_ahead()
        elif not self._has_targets:
            raise DataError(
                f"There is no known target: every value of the horizon after the {len(pairs):,} "
                f"window{'s' * (len(pairs) > 1)} is missing.",
                fix="Give series with known values after the window.",
            )

    def _check_end(self, number: int, least: int) -> None:
        length, series = self.panel.lengths[number], self.panel.series[number]
        if length < least:
            raise DataError(
                f"The series has {length:,} steps, and a forecast needs at least {least:,}.",
                where=f"series {series.name!r}" if series.name else None,
                fix="Give more steps of it.",
            )

    @property
    def _has_targets(self) -> bool:
        """Whether a value of the horizon after any window is known."""
        import torch

        known = torch.cat([torch.zeros(1, dtype=torch.int64), (~self.panel.truth.isnan()).sum(1).cumsum(0)])
        return bool((known[self._ends + self.horizon] > known[self._ends]).any())

    def _check_ahead(self) -> None:
        """Refuse a horizon after the end whose known covariates are missing."""
        if not self.panel.known.shape[1]:
            return
        for number, end in enumerate(self._known_ends.tolist()):
            begin = sum(self.panel.known_lengths[:number])
            part = self.panel.known[end : min(end + self.horizon, begin + self.panel.known_lengths[number])]
            ahead = int((~part.isnan().any(1)).sum())
            if ahead < self.horizon:
                series = self.panel.series[number]
                raise DataError(
                    f"The known covariates are given for {ahead:,} of the {self.horizon:,} steps to forecast.",
                    where=f"series {series.name!r}" if series.name else None,
                    fix="Add rows with them after the end of the series, whose targets are empty.",
                )

    @property
    def fingerprint(self) -> str:
        """A hash of the series and of the origins."""
        from elman.data.hashing import hash_of

        parts = {
            "rows": self.panel.rows,
            "truth": self.panel.truth,
            "known": self.panel.known,
            "static": self.panel.static,
        }
        return hash_of({**parts, "origins": self.origins, "numbers": self.numbers, "lengths": self.lengths})

    def plan(self, epoch: int) -> list[list[int]]:
        """Return the indices of the windows in each batch."""
        from elman.data.ragged.batches import plan_batches

        settings, larger = self._settings, 1 if self._shuffle else LARGER_BATCHES
        return plan_batches(
            self.lengths.tolist(),
            batch_size=settings.batch_size and settings.batch_size * larger,
            tokens_per_batch=settings.tokens_per_batch and settings.tokens_per_batch * larger,
            shuffle=self._shuffle,
            bucketing=settings.bucketing,
            seed=settings.seed,
            epoch=epoch,
        )

    def read(self, item: Sequence[int]) -> Batch:
        """Return the windows of these indices, with what is known ahead and the true future."""
        import torch

        from elman.data.ragged.ragged import Ragged

        chosen = torch.as_tensor(item, dtype=torch.int64)
        ends, known_ends, lengths = self._ends[chosen], self._known_ends[chosen], self.lengths[chosen]
        longest = int(lengths.max()) if len(item) else 0
        steps = torch.arange(-longest, 0)
        inside = steps >= -lengths.unsqueeze(1)
        back = (ends.unsqueeze(1) + steps)[inside]
        rows = self.panel.rows.index_select(0, back)
        if self.panel.known.shape[1]:
            known = self.panel.known.index_select(0, (known_ends.unsqueeze(1) + steps)[inside])
            rows = torch.cat([rows, known], 1)
        ahead = torch.arange(self.horizon)
        columns = {
            "window": Ragged(rows, lengths) if len(set(lengths.tolist())) != 1 else _dense(rows, len(item)),
            "ahead": self.panel.known[known_ends.unsqueeze(1) + ahead]
            if self.panel.known.shape[1]
            else rows.new_empty(len(item), self.horizon, 0),
            "static": self.panel.static[self.numbers[chosen]],
            "series": self.numbers[chosen],
            "origin": self.origins[chosen],
            "index": chosen,
        }
        if not self.at_end:
            future = ends.unsqueeze(1) + ahead
            columns["future"] = self.panel.truth[future]
            # A recursive network reads them in training, filled where they are missing and were filled.
            columns["filled"] = self.panel.rows[:, : self.panel.truth.shape[1]][future]
        return Batch(columns, len(item), len(rows))

    def part(self, item: Sequence[int], rank: int, size: int) -> list[int]:
        """Return the share of a batch that one of several processes reads."""
        from elman.data.ragged.batches import cut_evenly

        positions = cut_evenly(self.lengths[list(item)].tolist(), size)[rank]
        return [item[position] for position in positions]

    def __len__(self) -> int:
        return len(self.origins)


def _dense(rows: "Tensor", count: int) -> Any:
    from elman.data.ragged.ragged import Ragged

    return Ragged.from_dense(rows.unflatten(0, (count, -1)))
