"""Windows of series with the horizon after each, in batches."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from elman.errors import DataError
from elman.tasks.batches import Batch
from elman.tasks.panel import origins_of, unit_of
from elman.tasks.panel_encoder import EncodedPanel

if TYPE_CHECKING:
    from torch import Tensor


LARGER_BATCHES = 4


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
        unit = unit_of(settings)
        pairs: list[tuple[int, int]] = []
        for number, (length, begin) in enumerate(zip(panel.lengths, panel.begins, strict=True)):
            if at_end:
                self._check_end(number, unit)
                pairs.append((number, length))
                continue
            pairs += [(number, origin) for origin in origins_of(length, begin, settings, stride)]
        if not pairs and not at_end:
            longest = max(panel.lengths, default=0)
            raise DataError(
                f"The series are too short: the longest has {longest:,} steps, and a window of {unit:,} and a horizon "
                f"of {self.horizon:,} need {unit + self.horizon:,}.",
                fix="Give longer series, or a shorter --horizon, --segment or --season.",
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
