import io
import re
from dataclasses import replace

import pytest
from helpers_training import trainer

from elman.training import (
    BatchEvent,
    EpochEvent,
    EpochRecord,
    History,
    PlainProgress,
    RichProgress,
    RunStart,
    progress_for,
)
from elman.training.epoch_table import EpochTable
from elman.training.listener import CheckEvent
from elman.training.progress import duration, epoch_line, metric_text
from elman.training.record import CheckRecord

START = RunStart(epochs=2, batches=5, metric="accuracy", larger_is_better=True, percent=True)
RECORD = EpochRecord(1, 0.5, 0.75, 0.001, 1234.4, 4000.0, 2.54, {"accuracy": 0.7, "loss": 0.6})


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def event(batch: int, loss: float = 0.5, metric: float = 0.5, epoch: int = 1) -> BatchEvent:
    return BatchEvent(epoch, batch, 5, loss, metric, 10, 10, 40, 0.005, 0.001)


def lines(listener_every: int, events: list[BatchEvent], start: RunStart = START) -> list[str]:
    stream = io.StringIO()
    progress = PlainProgress(stream, every=listener_every)
    progress.start(start)
    for one in events:
        progress.batch(one)
    return stream.getvalue().splitlines()


def test_a_line_has_the_means_since_the_line_before(monkeypatch):
    times = iter([0.0, 1.0, 2.0, 3.0])
    monkeypatch.setattr("time.monotonic", lambda: next(times))
    assert lines(2, [event(1, 0.2, 0.6), event(2, 0.4, 0.8), event(3), event(4), event(5)]) == [
        " minibatches    1-   2: loss = 0.300000, accuracy = 70.00%, 2,000 sequences/s, 0:04 left",
        " minibatches    3-   4: loss = 0.500000, accuracy = 50.00%, 2,000 sequences/s, 0:03 left",
        " minibatches    5-   5: loss = 0.500000, accuracy = 50.00%, 2,000 sequences/s, 0:03 left",
    ]


@pytest.mark.parametrize(("unit", "rate"), [("windows", "1,234 windows/s"), ("words", "4,000 words/s")])
def test_rates_are_counted_in_the_unit_of_the_task(unit: str, rate: str):
    start = START._replace(unit=unit)
    assert rate in epoch_line(EpochEvent(RECORD, True), start)
    assert rate.split()[0] in EpochTable(start, 100, validated=True).epoch(EpochEvent(RECORD, True))


def test_a_resumed_run_starts_its_first_line_where_it_goes_on():
    said = lines(4, [event(3), event(4), event(5)], START._replace(batches_done=2))
    assert [line.split(":")[0] for line in said] == [" minibatches    3-   4", " minibatches    5-   5"]


def test_the_line_of_an_epoch_has_the_validation_figures():
    assert epoch_line(EpochEvent(RECORD, True), START) == (
        "epoch 1/2: loss = 0.500000, accuracy = 75.00%, 1,234 sequences/s, 2.5 s; "
        "validation: loss = 0.600000, accuracy = 70.00% (best so far)"
    )
    bare = EpochEvent(EpochRecord(12, 0.5, 0.75, 0.001, 1234.4, 4000.0, 2.54), False)
    assert epoch_line(bare, START._replace(epochs=100)) == (
        "epoch  12/100: loss = 0.500000, accuracy = 75.00%, 1,234 sequences/s, 2.5 s"
    )


@pytest.mark.parametrize("metric", ["rmse", "pearson"])
def test_a_score_that_is_not_a_share_is_no_percentage(metric):
    start = START._replace(metric=metric, larger_is_better=metric == "pearson", percent=False)
    assert metric_text(0.4567, start, ", ") == f", {metric} = 0.4567"


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0:00"), (12.4, "0:12"), (59.9, "1:00"), (754, "12:34"), (3600, "1:00:00")]
)
def test_durations(seconds, said):
    assert duration(seconds) == said


def test_lines_go_to_standard_error_unless_told(capsys):
    progress = PlainProgress(every=1)
    progress.start(START)
    progress.batch(event(1))
    progress.epoch(EpochEvent(RECORD, True))
    progress.finish(History("accuracy", True, [RECORD], stopped_early=True))
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[1].startswith("epoch 1/2: ")
    assert err.splitlines()[2] == "stopped early: no better epoch since epoch 1"


def test_a_terminal_gets_a_bar_and_keeps_the_epochs(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    stream = Terminal()
    progress = progress_for(stream, every=2)
    assert isinstance(progress, RichProgress)
    progress.start(START)
    for batch in range(1, 6):
        progress.batch(event(batch, loss=0.25))
    progress.epoch(EpochEvent(RECORD, True))
    progress.finish(History("accuracy", True, [RECORD]))
    said = stream.getvalue()
    assert "5/5" in said
    assert "loss 0.2500  accuracy 50.00%  2,000 sequences/s" in said
    assert "left" in said
    assert "  1/2    0.5000    75.00%    0.6000    70.00%        1,234    2.5 s  best" in said
    hidden, shown = said.rfind("\x1b[?25l"), said.rfind("\x1b[?25h")
    assert -1 < hidden < shown, "the cursor is given back"


@pytest.mark.parametrize("width", [200, 110, 80, 60, 40, 20])
@pytest.mark.parametrize("metric", ["accuracy", "bits_per_character"])
@pytest.mark.parametrize("validated", [True, False])
def test_the_rows_of_the_epochs_are_aligned_and_no_wider_than_the_window(width, metric, validated):
    is_share = metric == "accuracy"
    start = RunStart(epochs=100, batches=5, metric=metric, larger_is_better=is_share, percent=is_share)
    table = EpochTable(start, width, validated=validated)
    scores = {"loss": 0.6, metric: 0.7} if validated else None
    events = [EpochEvent(replace(RECORD, epoch=n, validation=scores), validated and n > 50) for n in (1, 100)]
    rows = [*table.header(), *map(table.epoch, events)]
    if validated:
        rows.append(table.check(CheckEvent(CheckRecord(2, 3, 5, {"loss": 0.5, metric: 0.8}))))
    assert max(map(len, rows)) <= width
    first, second = rows[-3:-1] if validated else rows[-2:]
    assert first.index("1/100") == second.index("100/100") + 2
    assert [end.end() for end in re.finditer(r"\S+", first)][:3] == [end.end() for end in re.finditer(r"\S+", second)][
        :3
    ]
    if width >= 80:
        assert second.endswith("best") is validated
        assert not first.endswith("best")


def test_what_is_no_terminal_gets_lines():
    assert isinstance(progress_for(io.StringIO()), PlainProgress)


def test_a_run_tells_its_progress():
    stream = io.StringIO()
    trainer(None, {"epochs": 2, "batch_size": 16}, PlainProgress(stream, every=2)).run()
    shapes = [re.sub(r"\d+(?:[.,:]\d+)*", "N", line) for line in stream.getvalue().splitlines()]
    batches = " minibatches    N-   N: loss = N, accuracy = N%, N sequences/s, N left"
    epoch = "epoch N/N: loss = N, accuracy = N%, N sequences/s, N s; validation: loss = N, accuracy = N%"
    assert shapes[:3] == [batches, batches, f"{epoch} (best so far)"]
    assert len(shapes) == 6
