"""Progress for people: plain lines, or a live bar in a terminal."""

import math
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from typing import IO, Any

from elman.files import print_if_read
from elman.training.epoch_table import EpochTable
from elman.training.gradient_watch import GradientEvent
from elman.training.listener import BatchEvent, CheckEvent, EpochEvent, RunStart
from elman.training.meter import Meter
from elman.training.record import History

# Width of the figures beside the bar.
FIGURES_WIDTH = 85


class PlainProgress:
    """A line every so many minibatches and one for each epoch, for a file, a pipe or a log.

    The lines read ` minibatches    1- 100: loss = 0.612345, accuracy = 67.30%, 1,234 sequences/s, 0:12 left`.

    Args:
        stream: where the lines go; standard error if left out.
        every: minibatches in a line.
    """

    def __init__(self, stream: IO[str] | None = None, every: int = 100):
        self._stream = stream
        self._every = every
        self._window = Meter()

    def start(self, start: RunStart) -> None:
        """Print the notes, and remember where the run starts."""
        self._start = start
        self._clock = _Clock(start)
        self._window = Meter()
        for note in start.notes:
            self._print(note)

    def batch(self, event: BatchEvent) -> None:
        """Count the minibatch, and print a line after every so many."""
        self._window.add(event.loss, event.metric, event.targets, event.sequences, event.tokens, event.seconds)
        self._clock.batches_here += 1
        if event.batch % self._every == 0 or event.batch == event.batches:
            self._print(self._batches_line(event))
            self._window = Meter()

    def check(self, event: CheckEvent) -> None:
        """Print the scores of the validation set, and what the model wrote."""
        self._print(check_line(event, self._start))
        if event.sample is not None:
            self._print(sample_lines(event.sample))

    def epoch(self, event: EpochEvent) -> None:
        """Print the epoch's line, and what the model wrote."""
        self._print(epoch_line(event, self._start))
        if event.sample is not None:
            self._print(sample_lines(event.sample))

    def gradients(self, event: GradientEvent) -> None:
        """Print how the gradient flows through each layer."""
        for line in event.lines():
            self._print(line)

    def finish(self, history: History) -> None:
        """Print where the run ended, if it stopped early."""
        if history.stopped_early:
            self._print(f"stopped early: no better epoch since epoch {history.best_epoch}")

    def _batches_line(self, event: BatchEvent) -> str:
        figures = self._window.figures()
        first = event.batch - self._window.batches + 1
        return (
            f" minibatches {first:4d}-{event.batch:4d}: loss = {figures['loss']:.6f}"
            f"{metric_text(figures['metric'], self._start, ', ')}, "
            f"{rate_text(figures, self._start)}, {self._clock.time_left(event)} left"
        )

    def _print(self, line: str) -> None:
        print_if_read(line, self._stream or sys.stderr)


class RichProgress:
    """A live bar with loss, metric, rate and time left, and a line that stays for each epoch.

    Args:
        stream: a terminal; standard error if left out.
        every: minibatches over which the figures of the bar are taken.
    """

    def __init__(self, stream: IO[str] | None = None, every: int = 100):
        # Heavy, and of use in a terminal only.
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
        from rich.table import Column

        console = Console(file=stream or sys.stderr)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=max(4, min(40, console.width - FIGURES_WIDTH))),
            MofNCompleteColumn(),
            TextColumn("{task.fields[said]}", table_column=Column(no_wrap=True, overflow="ellipsis")),
        )
        self._progress = Progress(*columns, console=console, transient=True)
        self._table: EpochTable | None = None
        self._every = every
        self._window = Meter()
        self._last = Meter()
        self._drawn = 0.0

    def start(self, start: RunStart) -> None:
        """Print the notes, and draw the bar."""
        for note in start.notes:
            self._progress.console.print(note, highlight=False, markup=False)
        self._start = start
        self._clock = _Clock(start)
        self._bar = self._progress.add_task(
            _epoch_name(start.epochs_done + 1, start), total=start.batches, completed=start.batches_done, said=""
        )
        self._progress.start()

    def batch(self, event: BatchEvent) -> None:
        """Count the minibatch, and redraw the bar at most ten times a second."""
        self._window.add(event.loss, event.metric, event.targets, event.sequences, event.tokens, event.seconds)
        self._clock.batches_here += 1
        if self._window.batches == self._every:
            self._last, self._window = self._window, Meter()
        if (now := time.monotonic()) - self._drawn < 0.1 and event.batch < event.batches:
            return
        self._drawn = now
        self._progress.update(
            self._bar,
            description=_epoch_name(event.epoch, self._start),
            total=event.batches,
            completed=event.batch,
            said=self._said(event),
        )

    def check(self, event: CheckEvent) -> None:
        """Print the scores of the validation set, and what the model wrote, above the bar."""
        self._print(self._rows(validated=True).check(event), event.sample)

    def epoch(self, event: EpochEvent) -> None:
        """Print the epoch's row, and what the model wrote, above the bar."""
        self._print(self._rows(validated=event.record.validation is not None).epoch(event), event.sample)

    def _rows(self, *, validated: bool) -> EpochTable:
        """Return the table of the epochs, and print its header before its first row."""
        if self._table is None:
            self._table = EpochTable(self._start, self._progress.console.width, validated=validated)
            for line in self._table.header():
                self._print(line, None)
        return self._table

    def _print(self, line: str, sample: str | None) -> None:
        show = partial(self._progress.console.print, highlight=False, markup=False)
        show(line, no_wrap=True, overflow="crop", crop=True)
        if sample is not None:
            show(sample_lines(sample))

    def gradients(self, event: GradientEvent) -> None:
        """Print how the gradient flows through each layer, above the bar."""
        for line in event.lines():
            self._print(line, None)

    def finish(self, history: History) -> None:
        """Remove the bar."""
        self._progress.stop()
        if history.stopped_early:
            self._progress.console.print(f"stopped early: no better epoch since epoch {history.best_epoch}")

    def _said(self, event: BatchEvent) -> str:
        # Until the first window is full, and right after one was, the bar shows what it has.
        figures = (self._last if self._last.batches else self._window).figures()
        return (
            f"loss {figures['loss']:.4f}{metric_text(figures['metric'], self._start, '  ', ' ')}  "
            f"{rate_text(figures, self._start)}  {self._clock.time_left(event)} left"
        )


def progress_for(stream: Any, every: int = 100) -> PlainProgress | RichProgress:
    """Return a live bar if the stream is a terminal, plain lines if it is not.

    >>> import io
    >>> type(progress_for(io.StringIO())).__name__
    'PlainProgress'
    """
    return RichProgress(stream, every) if stream.isatty() else PlainProgress(stream, every)


def epoch_line(event: EpochEvent, start: RunStart) -> str:
    """Return the line of an epoch: its figures in training and on the validation set."""
    record = event.record
    line = (
        f"{_epoch_name(record.epoch, start)}: loss = {record.loss:.6f}{metric_text(record.metric, start, ', ')}, "
        f"{rate_text(asdict(record), start)}, {record.seconds:.1f} s"
    )
    if record.validation is None:
        return line
    return f"{line}; {_validation_text(record.validation, start)}{' (best so far)' * event.is_best}"


def check_line(event: CheckEvent, start: RunStart) -> str:
    """Return the line of a validation within an epoch."""
    record = event.record
    batch = f" minibatch {record.batch} of {record.batches}, epoch {record.epoch}"
    return f"{batch}: {_validation_text(record.validation, start)}"


def sample_lines(text: str) -> str:
    """Return what the model wrote, indented and without control characters."""
    shown = "".join(character for character in text if character.isprintable() or character == "\n")
    return "\n".join(f"  | {line}" for line in shown.split("\n"))


def rate_text(figures: Mapping[str, Any], start: RunStart) -> str:
    """Return the rate with its unit."""
    return f"{start.rate(figures)} {start.unit}/s"


def metric_text(value: float, start: RunStart, before: str, between: str = " = ") -> str:
    """Return a metric with its name, nothing if it is the loss.

    Args:
        value: NaN where it was not scored.
        start: of the run.
        before: what separates it from the loss.
        between: the name and the value.
    """
    if start.metric == "loss":
        return ""
    name = start.metric.replace("_", " ")
    shown = "–" if math.isnan(value) else f"{100 * value:.2f}%" if start.percent else f"{value:.4f}"
    return f"{before}{name}{between}{shown}"


def duration(seconds: float) -> str:
    """Return seconds as minutes and seconds, with hours if there are any.

    >>> duration(12), duration(3723)
    ('0:12', '1:02:03')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _validation_text(scores: Mapping[str, float], start: RunStart) -> str:
    return f"validation: loss = {scores['loss']:.6f}{metric_text(scores[start.metric], start, ', ')}"


class _Clock:
    """Time left, from the minibatches that this process has trained."""

    def __init__(self, start: RunStart):
        self._start = start
        self._begun = time.monotonic()
        self.batches_here = 0

    def time_left(self, event: BatchEvent) -> str:
        """Return the time that the rest of the run takes at the rate so far."""
        left = (self._start.epochs - event.epoch) * event.batches + event.batches - event.batch
        return duration((time.monotonic() - self._begun) / max(self.batches_here, 1) * left)


def _epoch_name(epoch: int, start: RunStart) -> str:
    return f"epoch {epoch:{len(str(start.epochs))}d}/{start.epochs}"
