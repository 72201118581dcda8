import json
import math
import resource
from dataclasses import replace
from pathlib import Path

import pytest

from elman.errors import DataError, TrainingError
from elman.training import EpochRecord, History
from elman.training.log import Log
from elman.training.meter import Meter


def record(epoch: int, validation: dict[str, float] | None = None) -> EpochRecord:
    return EpochRecord(epoch, 0.5, 0.75, 0.001, 100.0, 400.0, 2.5, validation)


def history(*scores: tuple[float, float], larger_is_better: bool = True) -> History:
    records = [record(epoch, {"accuracy": one, "loss": loss}) for epoch, (one, loss) in enumerate(scores, 1)]
    return History("accuracy", larger_is_better, records)


def test_means_are_over_targets_and_rates_over_seconds():
    meter = Meter()
    meter.add(1.0, 0.5, targets=2, sequences=2, tokens=10, seconds=0.5)
    meter.add(4.0, 1.0, targets=4, sequences=4, tokens=30, seconds=1.5)
    assert meter.figures() == {
        "loss": 3.0,
        "metric": pytest.approx(5 / 6),
        "sequences_per_second": 3.0,
        "tokens_per_second": 20.0,
        "seconds": 2.0,
    }
    assert Meter().figures()["loss"] == 0.0


@pytest.mark.parametrize(
    ("scores", "larger_is_better", "best"),
    [
        ([(0.5, 1.0), (0.7, 1.0), (0.6, 0.1)], True, 2),
        ([(0.5, 1.0), (0.7, 1.0), (0.4, 9.0)], False, 3),
        ([(0.7, 0.9), (0.7, 0.8), (0.7, 0.8)], True, 2),
        ([(0.7, math.nan), (0.7, 5.0)], True, 2),
        ([(math.nan, 0.1), (0.1, 0.1)], True, 2),
        ([(math.nan, 0.1)], True, None),
        ([], True, None),
    ],
)
def test_the_best_epoch_has_the_best_metric_then_the_lowest_loss_then_came_first(scores, larger_is_better, best):
    one = history(*scores, larger_is_better=larger_is_better)
    assert one.best_epoch == best
    assert one.epochs_since_best == len(scores) - (best or 0)


def test_without_validation_no_epoch_is_the_best():
    assert History("accuracy", True, [record(1)]).best_epoch is None


def test_a_history_survives_json():
    one = history((0.5, 1.0), (0.7, 0.8))
    one.epochs.append(record(3))
    one.stopped_early = True
    assert History.from_json(json.loads(json.dumps(one.to_json(), allow_nan=False))) == one


def test_figures_that_json_cannot_hold_come_back_as_not_a_number():
    text = json.dumps(history((math.nan, math.inf)).to_json(), allow_nan=False)
    scores = History.from_json(json.loads(text)).epochs[0].validation
    assert scores is not None
    assert math.isnan(scores["accuracy"])
    assert math.isnan(scores["loss"])


@pytest.mark.parametrize("document", [{}, {"metric": "a", "larger_is_better": True, "epochs": [{"epoch": 1}]}])
def test_what_is_no_history_is_refused(document):
    with pytest.raises(DataError, match="not the history"):
        History.from_json(document)


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_log_is_cut_back_to_what_the_checkpoint_knows(tmp_path):
    path = tmp_path / "log.jsonl"
    log = Log(path, 0)
    log.write("batches", {"last": 1})
    log.sync()
    length = log.length
    log.write("batches", {"last": 2, "loss": math.nan})
    assert rows(path)[-1] == {"kind": "batches", "last": 2, "loss": None}
    log.close()
    log = Log(path, length)
    log.write("epoch", {"epoch": 1})
    log.close()
    assert rows(path) == [{"kind": "batches", "last": 1}, {"kind": "epoch", "epoch": 1}]


def test_a_lost_log_gets_its_epochs_back_and_says_so(tmp_path):
    path = tmp_path / "log.jsonl"
    with pytest.warns(UserWarning, match="shorter than the checkpoint says"):
        log = Log(path, 500, [record(1), record(2)])
    log.write("batches", {"last": 1})
    log.close()
    assert [row["kind"] for row in rows(path)] == ["epoch", "epoch", "batches"]
    assert EpochRecord(**{key: value for key, value in rows(path)[1].items() if key != "kind"}) == record(2)


def test_a_log_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(TrainingError, match="log cannot be written") as caught:
        Log(tmp_path, 0)
    assert caught.value.where == str(tmp_path)


def test_a_log_that_can_grow_no_more_is_named_once(tmp_path):
    log = Log(tmp_path / "log.jsonl", 0)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40, hard))
    try:
        log.write("epoch", {"epoch": 1})
        with pytest.raises(TrainingError, match="log cannot be written"):
            log.write("epoch", {"epoch": 2})
        log.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    log = Log(tmp_path / "log.jsonl", len('{"kind": "epoch", "epoch": 1}\n'))
    log.close()
    assert rows(tmp_path / "log.jsonl") == [{"kind": "epoch", "epoch": 1}]


def test_records_do_not_change():
    with pytest.raises(AttributeError):
        record(1).epoch = 2  # pyright: ignore[reportAttributeAccessIssue]
    assert replace(record(1), epoch=2) == record(2)
