"""Epochs as rows of an aligned table that is no wider than the window."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import NamedTuple

from elman.training.listener import CheckEvent, EpochEvent, RunStart

_GAP = "  "
# Columns in the order in which they are left out where the window is narrow.
_DISPENSABLE = ("rate", "time", "training metric", "validation metric", "mark", "training loss", "validation loss")
_GROUPS = {"training": ("training loss", "training metric"), "validation": ("validation loss", "validation metric")}


class _Column(NamedTuple):
    name: str
    header: str
    width: int


class EpochTable:
    """Write a header, then a row for each epoch, and for each validation within one.

    Args:
        start: of the run.
        width: of the window, in characters.
        validated: whether there is validation data, for which there are columns.
    """

    def __init__(self, start: RunStart, width: int, *, validated: bool):
        self._start = start
        self._columns = self._fitting(self._all_columns(validated), width)

    def header(self) -> list[str]:
        """Return the lines of the header: the data of the figures, and their names."""
        names = {column.name for column in self._columns}
        lines = [self._group_line()] if names & set(_GROUPS["validation"]) else []
        return [*lines, _joined(column.header.rjust(column.width) for column in self._columns)]

    def epoch(self, event: EpochEvent) -> str:
        """Return the row of an epoch, marked if it is the best so far."""
        record = event.record
        cells = {
            "epoch": f"{record.epoch}/{self._start.epochs}",
            "training loss": f"{record.loss:.4f}",
            "training metric": self._metric(record.metric),
            "rate": self._start.rate(asdict(record)),
            "time": f"{record.seconds:.1f} s",
            "mark": "best" if event.is_best else "",
            **self._validation(record.validation or {}),
        }
        return self._row(cells)

    def check(self, event: CheckEvent) -> str:
        """Return the row of a validation within an epoch."""
        record = event.record
        done = record.epoch - 1 + record.batch / record.batches
        return self._row({"epoch": f"{done:.2f}", **self._validation(record.validation)})

    def _all_columns(self, validated: bool) -> list[_Column]:
        metric, numbers = self._start.metric.replace("_", " "), len(str(self._start.epochs))
        measured = [("loss", "loss", 8), ("metric", metric, 8)]
        columns = [_Column("epoch", "epoch", max(2 * numbers + 1, numbers + 3))]
        for group in ("training", "validation") if validated else ("training",):
            columns += [_Column(f"{group} {name}", header, size) for name, header, size in measured]
        columns += [_Column("rate", f"{self._start.unit}/s", 9), _Column("time", "time", 7)]
        columns += [_Column("mark", "", 4)] if validated else []
        return [column._replace(width=max(column.width, len(column.header))) for column in columns]

    @staticmethod
    def _fitting(columns: list[_Column], width: int) -> list[_Column]:
        for name in _DISPENSABLE:
            if sum(column.width + len(_GAP) for column in columns) - len(_GAP) <= width:
                break
            columns = [column for column in columns if column.name != name]
        return columns

    def _group_line(self) -> str:
        """Return the names of the groups, each right-aligned over its columns."""
        line, done = "", ""
        for column in self._columns:
            done += (_GAP if done else "") + " " * column.width
            for group in _GROUPS:
                if column == self._last_of(group):
                    line = line.ljust(max(len(done) - len(group), len(line) + bool(line))) + group
        return line

    def _last_of(self, group: str) -> _Column | None:
        return next((column for column in reversed(self._columns) if column.name in _GROUPS[group]), None)

    def _validation(self, scores: Mapping[str, float]) -> dict[str, str]:
        if not scores:
            return {}
        metric = self._metric(scores[self._start.metric])
        return {"validation loss": f"{scores['loss']:.4f}", "validation metric": metric}

    def _metric(self, value: float) -> str:
        return f"{100 * value:.2f}%" if self._start.percent else f"{value:.4f}"

    def _row(self, cells: Mapping[str, str]) -> str:
        return _joined(cells.get(column.name, "").rjust(column.width) for column in self._columns)


def _joined(cells: Iterable[str]) -> str:
    return _GAP.join(cells).rstrip()
