import itertools
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from helpers_training import EVERYTHING, At, assert_same_run, left_behind, nothing, trainer
from small_training import Net, Signs, Words
from torch import nn

from elman.errors import ModelError
from elman.folders import CHECKPOINT
from elman.training import TrainingInterrupted
from elman.training.checkpoint import read_checkpoint

OPTIMIZERS = {
    "sgd": {"optimizer": "sgd", "momentum": 0.9},
    "rmsprop": {"optimizer": "rmsprop", "momentum": 0.5},
    "adam": {"optimizer": "adam"},
    "adamw": {"optimizer": "adamw"},
    "hessian-free": {"optimizer": "hessian-free", "cg_iterations": 5, "structural_damping": 0.1},
}
# Of 40 sequences in minibatches of 16, over 3 epochs.
BATCHES = 9
interrupt = partial(signal.raise_signal, signal.SIGINT)
pytestmark = pytest.mark.usefixtures("python_handlers")


class CrashError(Exception):
    """A listener, or the machine, that fails."""


def crash() -> None:
    raise CrashError


def resume(folder: Path, settings: dict, **changes) -> At:
    listener = At(nothing)
    # Another start than the first run's: everything must come from the checkpoint.
    trainer(folder, settings, listener, network=Net(seed=77), **changes).run(resume=True)
    return listener


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_run_stopped_after_any_minibatch_ends_with_the_same_bits(tmp_path, optimizer):
    settings = EVERYTHING | OPTIMIZERS[optimizer]
    trainer(tmp_path / "whole", settings).run()
    for batch in range(1, BATCHES + 1):
        folder = tmp_path / str(batch)
        with pytest.raises(TrainingInterrupted) as caught:
            trainer(folder, settings, At(interrupt, batch=batch)).run()
        assert (caught.value.epoch, caught.value.batch) == ((batch - 1) // 3 + 1, (batch - 1) % 3 + 1)
        assert caught.value.folder == folder
        assert len(resume(folder, settings).events) == BATCHES - batch
        assert_same_run(tmp_path / "whole", folder)


@pytest.mark.parametrize("checkpoint_seconds", [0.0, 1000.0])
def test_a_run_that_crashed_after_any_minibatch_ends_with_the_same_bits(tmp_path, checkpoint_seconds):
    settings = EVERYTHING | {"checkpoint_seconds": checkpoint_seconds}
    trainer(tmp_path / "whole", settings).run()
    for batch in range(1, BATCHES + 1):
        folder = tmp_path / str(batch)
        with pytest.raises(CrashError):
            trainer(folder, settings, At(crash, batch=batch)).run()
        # The crash came before the checkpoint of its minibatch, and after that of an epoch.
        done = batch - 1 if checkpoint_seconds == 0.0 else (batch - 1) // 3 * 3
        assert len(resume(folder, settings).events) == BATCHES - done
        assert_same_run(tmp_path / "whole", folder)


def test_a_run_stopped_again_and_again_ends_with_the_same_bits(tmp_path):
    trainer(tmp_path / "whole", EVERYTHING).run()
    folder = tmp_path / "parts"
    for part in range(BATCHES):
        with pytest.raises(TrainingInterrupted):
            trainer(folder, EVERYTHING, At(interrupt, batch=1), network=Net(seed=part)).run(resume=part > 0)
    resume(folder, EVERYTHING)
    assert_same_run(tmp_path / "whole", folder)


@pytest.mark.parametrize("epoch", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_run_stopped_between_two_epochs_ends_with_the_same_bits(tmp_path, epoch, number):
    trainer(tmp_path / "whole", EVERYTHING).run()
    with pytest.raises(TrainingInterrupted) as caught:
        trainer(tmp_path / "part", EVERYTHING, At(partial(signal.raise_signal, number), epoch=epoch)).run()
    assert (caught.value.epoch, caught.value.batch) == (epoch + 1, 0)
    resume(tmp_path / "part", EVERYTHING)
    assert_same_run(tmp_path / "whole", tmp_path / "part")


class Interrupted(Words):
    """A data set that interrupts the program at one of its minibatches."""

    def __init__(self, at: int):
        super().__init__(20, seed=9)
        self._calls = itertools.count(1)
        self._at = at

    def examples(self, settings, *, shuffle=True):
        data = super().examples(settings, shuffle=shuffle)
        read = data.read

        def interrupting(item):
            if next(self._calls) == self._at:
                interrupt()
            return read(item)

        data.read = interrupting
        return data


@pytest.mark.parametrize("at", [1, 2, 3, 10])
def test_a_run_stopped_while_it_evaluates_ends_with_the_same_bits(tmp_path, at):
    # Minibatches of 4 x 1 sequences: five for the validation set.
    settings = EVERYTHING | {"batch_size": 1, "epochs": 2}
    data = {"train": Words(6), "network": last_step(seed=0)}
    trainer(tmp_path / "whole", settings, **data).run()
    interrupted = {"train": Words(6), "network": last_step(seed=0), "validation": Interrupted(at)}
    with pytest.raises(TrainingInterrupted) as caught:
        trainer(tmp_path / "part", settings, **interrupted).run()
    assert (caught.value.epoch, caught.value.batch) == ((at - 1) // 5 + 1, 6)
    trainer(tmp_path / "part", settings, train=Words(6), network=last_step(seed=3)).run(resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "part")


def last_step(seed: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(Last(), nn.Dropout(0.5), nn.Linear(3, 2))


class Last(nn.Module):
    """The last step of each sequence."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs[:, -1]


class Scripted(Signs):
    """A task whose validation scores are given beforehand, by the steps that the model has seen."""

    def __init__(self, *metrics: float):
        self._metrics = list(metrics)

    def scores(self, data):
        found = super().scores(data)
        if len(data) == 20:
            accuracy = self._metrics.pop(0)
            found.compute = lambda: {"loss": 1.0, "accuracy": accuracy}
        return found


def test_early_stopping_goes_on_across_a_resume(tmp_path):
    settings = EVERYTHING | {"epochs": 9, "patience": 2}
    trainer(tmp_path / "whole", settings, task=Scripted(0.5, 0.9, 0.6, 0.7)).run()
    with pytest.raises(TrainingInterrupted):
        trainer(tmp_path / "part", settings, At(interrupt, epoch=3), task=Scripted(0.5, 0.9, 0.6)).run()
    resume(tmp_path / "part", settings, task=Scripted(0.7))
    assert_same_run(tmp_path / "whole", tmp_path / "part")
    assert len(left_behind(tmp_path / "part")[1]) == 4


def test_an_interrupt_after_the_last_epoch_leaves_a_finished_run(tmp_path):
    with pytest.raises(TrainingInterrupted) as caught:
        trainer(tmp_path, EVERYTHING, At(interrupt, epoch=3)).run()
    assert (caught.value.epoch, caught.value.batch) == (3, 3)
    assert resume(tmp_path, EVERYTHING).started == []


def test_a_finished_run_gives_its_history_and_weights_at_once(tmp_path):
    first = Net()
    history = trainer(tmp_path, EVERYTHING, network=first).run()
    before = (tmp_path / CHECKPOINT).read_bytes(), (tmp_path / "log.jsonl").read_bytes()
    again, listener = Net(seed=5), At(nothing)
    assert trainer(tmp_path, EVERYTHING, listener, network=again).run(resume=True) == history
    assert not again.training
    assert listener.started == []
    assert before == ((tmp_path / CHECKPOINT).read_bytes(), (tmp_path / "log.jsonl").read_bytes())
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])


def test_a_lost_log_does_not_stop_a_resume(tmp_path):
    with pytest.raises(TrainingInterrupted):
        trainer(tmp_path, EVERYTHING, At(interrupt, epoch=2)).run()
    (tmp_path / "log.jsonl").unlink()
    with pytest.warns(UserWarning, match="written again"):
        resume(tmp_path, EVERYTHING)
    assert [row["epoch"] for row in left_behind(tmp_path)[2] if row["kind"] == "epoch"] == [1, 2, 3]


def test_seconds_and_reports_may_change_on_resume(tmp_path):
    with pytest.raises(TrainingInterrupted):
        trainer(tmp_path, EVERYTHING, At(interrupt, batch=2)).run()
    resume(tmp_path, EVERYTHING | {"checkpoint_seconds": 5.0, "report_every": 50})
    assert read_checkpoint(tmp_path / CHECKPOINT).state["finished"]


@pytest.mark.slow
def test_a_killed_run_ends_with_the_same_bits(tmp_path):
    script = Path(__file__).with_name("killed_runs.py")
    subprocess.run([sys.executable, str(script), str(tmp_path)], check=True, timeout=300)
    killed = [folder for folder in tmp_path.iterdir() if folder.name != "whole"]
    assert len(killed) == 13
    for folder in killed:
        assert {path.name for path in folder.iterdir()} == {CHECKPOINT, "log.jsonl"}
        assert_same_run(tmp_path / "whole", folder)


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"schedule": "cosine", "warmup_fraction": 0.0}, "schedule `cosine`"),
        ({"schedule": "constant", "warmup_fraction": 0.1}, "warm-up"),
    ],
)
def test_other_epochs_of_an_unfinished_run_are_refused_with_the_repair(tmp_path, changes, cause):
    settings = EVERYTHING | {"final_fraction": 0.0} | changes
    with pytest.raises(TrainingInterrupted):
        trainer(tmp_path, settings, At(interrupt, epoch=2)).run()
    with pytest.raises(ModelError, match=f"one of 3 epochs.* its {cause} depend") as caught:
        resume(tmp_path, settings | {"epochs": 5})
    assert caught.value.fix is not None
    assert "--epochs 3" in caught.value.fix
    # The repair works as it is written.
    resume(tmp_path, settings)
    resume(tmp_path, settings | {"epochs": 5})


def test_a_run_whose_schedule_knows_no_end_is_resumed_with_other_epochs(tmp_path):
    settings = EVERYTHING | {"schedule": "constant", "warmup_fraction": 0.0, "final_fraction": 0.0}
    with pytest.raises(TrainingInterrupted):
        trainer(tmp_path, settings, At(interrupt, epoch=2)).run()
    resume(tmp_path, settings | {"epochs": 5})
    assert len(left_behind(tmp_path)[1]) == 5
