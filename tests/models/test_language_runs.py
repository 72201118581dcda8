"""Runs of a language model: stopped, killed and resumed with the same bits."""

import itertools
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tests.models.small_language import OTHER, SMALL, TEXT

from elman import LanguageModel
from elman.errors import ModelError, TrainingError, UsageError
from elman.folders import CHECKPOINT
from elman.training.checkpoint import read_checkpoint
from elman.training.listener import Silent

# Everything that a resumed run could get wrong: several epochs, dropout, averages, a schedule, checks, samples.
EVERYTHING = SMALL | {
    "num_layers": 2,
    "dropout": 0.2,
    "output_dropout": 0.1,
    "schedule": "cosine",
    "average_decay": 0.9,
    "validate_batches": 7,
    "show_sample": 5,
    "report_every": 4,
    "softmax": "sampled",
    "softmax_samples": 6,
    "tied": True,
}


class Crash(Silent):
    """Fails after the minibatch of this number, counted over the run; counts the minibatches of this process."""

    def __init__(self, at: int | None = None):
        self.at = at
        self.batches = 0

    def batch(self, event):
        self.batches += 1
        if self.batches == self.at:
            raise RuntimeError("crash")


def fit(folder: Path | None, resume: bool = False, listener: Silent | None = None, **changes) -> LanguageModel:
    settings = {**EVERYTHING, "checkpoint_batches": 3, "checkpoint_seconds": 1e6, **changes}
    return LanguageModel(**settings).fit(TEXT, OTHER, folder=folder, resume=resume, listener=listener)


def everything_left(folder: Path) -> tuple[dict, list[str]]:
    """Tensors, and the log without its times."""
    checkpoint = read_checkpoint(folder / CHECKPOINT)
    assert checkpoint.state["finished"]
    times = ("seconds", "sequences_per_second", "tokens_per_second")
    rows = [
        {name: value for name, value in row.items() if name not in times}
        for row in map(json.loads, (folder / "log.jsonl").read_text().splitlines())
    ]
    return dict(checkpoint.tensors), rows


def assert_same_run(one: Path, other: Path) -> None:
    (tensors, log), (other_tensors, other_log) = everything_left(one), everything_left(other)
    assert tensors.keys() == other_tensors.keys()
    assert [name for name in tensors if not torch.equal(tensors[name], other_tensors[name])] == []
    assert log == other_log


def test_what_is_shown_while_training_may_differ_from_the_run_that_is_resumed(tmp_path):
    with pytest.raises(RuntimeError, match="crash"):
        fit(tmp_path, listener=Crash(5))
    fit(tmp_path, resume=True, show_sample=3)


def test_a_run_that_crashed_at_a_minibatch_lost_what_came_after_the_checkpoint(tmp_path):
    whole = Crash()
    fit(tmp_path / "whole", listener=whole)
    draw = random.Random(4)
    for number in range(4):
        folder = tmp_path / str(number)
        at = draw.randrange(1, whole.batches)
        with pytest.raises(RuntimeError, match="crash"):
            fit(folder, listener=Crash(at))
        again = Crash()
        fit(folder, resume=True, listener=again)
        # The checkpoints of every third minibatch of an epoch, and of the epochs, were there.
        assert 0 <= at - (whole.batches - again.batches) <= 3
        assert_same_run(tmp_path / "whole", folder)
        assert {path.name for path in folder.iterdir()} == {CHECKPOINT, "log.jsonl"}


def test_a_run_stopped_again_and_again_ends_with_the_same_bits(tmp_path):
    fit(tmp_path / "whole")
    for number in itertools.count():
        try:
            fit(tmp_path / "parts", resume=number > 0, listener=Crash(5), checkpoint_batches=1)
            break
        except RuntimeError:
            continue
    assert number > 10
    fit(tmp_path / "whole2", checkpoint_batches=1)
    assert_same_run(tmp_path / "whole2", tmp_path / "parts")
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.parametrize(
    ("changes", "text", "named"),
    [
        ({}, TEXT[:-1] + "x", "training data"),
        ({"hidden_size": 13}, TEXT, "hidden_size"),
        ({"streams": 5}, TEXT, "streams"),
        ({"cell": "lstm"}, TEXT, "--cell gru"),
        ({"lower_case": True}, TEXT, "lower_case"),
    ],
)
def test_a_checkpoint_of_another_text_or_model_is_refused(tmp_path, changes, text, named):
    settings = {**SMALL, "checkpoint_batches": 1}
    with pytest.raises(RuntimeError, match="crash"):
        LanguageModel(**settings).fit(TEXT, folder=tmp_path, listener=Crash(3))
    with pytest.raises(UsageError, match="not finished"):
        LanguageModel(**settings).fit(TEXT, folder=tmp_path)
    with pytest.raises(ModelError, match="made by another run") as caught:
        LanguageModel(**{**settings, **changes}).fit(text, folder=tmp_path, resume=True)
    assert named in str(caught.value)
    # The run itself is untouched by that.
    resumed = LanguageModel(**settings).fit(TEXT, folder=tmp_path, resume=True)
    assert resumed.evaluate(OTHER) == LanguageModel(**settings).fit(TEXT).evaluate(OTHER)


def test_a_full_disk_ends_the_run_and_the_last_checkpoint_is_good(tmp_path, monkeypatch):
    from elman.training import checkpoint as module

    fit(tmp_path / "whole")
    writes, atomic_write = itertools.count(1), module.atomic_write

    def filling(path, content):
        if next(writes) > 4:
            raise OSError(28, "No space left on device")
        atomic_write(path, content)

    with monkeypatch.context() as patched:
        patched.setattr(module, "atomic_write", filling)
        with pytest.raises(TrainingError, match="No space left"):
            fit(tmp_path / "part")
    again = Crash()
    fit(tmp_path / "part", resume=True, listener=again)
    # The first checkpoint was that of the start, three more came with every third minibatch.
    assert again.batches == 2 * len(TEXT) // 40 - 9 + (2 * len(TEXT) % 40 > 0)
    assert_same_run(tmp_path / "whole", tmp_path / "part")


def test_the_log_and_the_history_have_checks_and_samples(tmp_path):
    model = fit(tmp_path)
    _, log = everything_left(tmp_path)
    kinds = [row["kind"] for row in log]
    assert kinds.count("check") == len(model.history_.checks) == 2 * 4
    assert kinds.count("sample") == kinds.count("check") + 2
    assert all(len(row["text"]) == 5 for row in log if row["kind"] == "sample")
    record = model.history_.epochs[-1]
    assert record.validation is not None
    best = model.history_.epochs[(model.history_.best_epoch or 0) - 1].validation
    assert best == pytest.approx(model.evaluate(OTHER))


DYING = """
import os, random, signal, sys, threading, time, torch
torch.set_num_threads(1)
sys.path[:0] = sys.argv[1:3]
from test_language_runs import Crash, fit
from pathlib import Path

class Die(Crash):
    # Some time after a minibatch: in the midst of another one, of judging, or of writing.
    def batch(self, event):
        self.batches += 1
        if self.batches == self.at:
            threading.Timer(random.uniform(0.0, 0.02), os.kill, (os.getpid(), signal.SIGKILL)).start()

fit(None)
runs = int(sys.argv[4])
for number in range(runs):
    random.seed(number)
    if os.fork() == 0:
        # One in each part of the run's first 40 minibatches.
        at = random.randint(1 + 40 * number // runs, 40 * (number + 1) // runs)
        fit(Path(sys.argv[3]) / f"killed {number}", listener=Die(at))
        time.sleep(1.0)
    assert os.WTERMSIG(os.wait()[1]) == signal.SIGKILL
"""


@pytest.mark.slow
def test_runs_killed_at_random_moments_end_with_the_same_bits(tmp_path):
    fit(tmp_path / "whole")
    here = Path(__file__).parent
    script = [sys.executable, "-c", DYING, str(here), str(here.parents[1]), str(tmp_path), "10"]
    subprocess.run(script, check=True, timeout=300, env=dict(os.environ))
    killed = sorted(tmp_path.glob("killed *"))
    assert len(killed) == 10
    for folder in killed:
        fit(folder, resume=True)
        assert_same_run(tmp_path / "whole", folder)


def test_a_model_is_not_saved_into_an_unfinished_run(tmp_path):
    with pytest.raises(RuntimeError, match="crash"):
        fit(tmp_path, listener=Crash(8))
    before = {path.name for path in tmp_path.iterdir()}
    with pytest.raises(UsageError, match="a run that is not finished"):
        LanguageModel(**SMALL).fit(TEXT).save(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == before
    fit(tmp_path, resume=True).save(tmp_path)
    assert LanguageModel.load(tmp_path).evaluate(OTHER)
