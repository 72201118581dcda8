"""Series of a panel as tensors."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elman.errors import DataError, ShapeError
from elman.tasks.panel import Panel

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from elman.data.series.panel import Series


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

    def learn(self, values: Panel, folder: Path | None = None) -> EncodedPanel:
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
    ) -> EncodedPanel:
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

    def _encoded(self, panel: Panel) -> EncodedPanel:
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
        from elman.forecaster import Sizes

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
