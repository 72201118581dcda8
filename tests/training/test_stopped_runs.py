"""Runs that are stopped, that may not begin, or that cannot go on."""

import errno
import json
import os
import signal
import threading
from functools import partial

import pytest
from helpers_training import EVERYTHING, PLAIN, At, same, trainer, untimed, weights
from small_training import Net, Signs, Words

from elman.errors import ModelError, TrainingError, UsageError
from elman.folders import CHECKPOINT
from elman.training import Trainer, TrainingInterrupted, TrainingSettings
from elman.training.checkpoint import read_checkpoint

interrupt = partial(signal.raise_signal, signal.SIGINT)


@pytest.mark.usefixtures("python_handlers")
class TestInterrupts:
    def test_the_handlers_are_those_from_before_again(self):
        before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
        within = []
        trainer(None, PLAIN, At(lambda: within.append(signal.getsignal(signal.SIGINT)), batch=1)).run()
        assert within[0] != before[0]
        with pytest.raises(TrainingInterrupted):
            trainer(None, PLAIN, At(interrupt, batch=1)).run()
        assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before

    def test_a_second_one_ends_at_once_and_keeps_the_checkpoint(self, tmp_path):
        def twice():
            interrupt()
            interrupt()

        with pytest.raises(KeyboardInterrupt) as caught:
            trainer(tmp_path, PLAIN, At(twice, batch=5)).run()
        assert not isinstance(caught.value, TrainingInterrupted)
        assert read_checkpoint(tmp_path / CHECKPOINT).state["epoch"] == 1
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    def test_the_message_says_where_it_stopped(self, tmp_path):
        with pytest.raises(TrainingInterrupted) as caught:
            trainer(tmp_path, PLAIN, At(interrupt, batch=5)).run()
        assert str(caught.value) == (
            f"Training was interrupted in epoch 2 after minibatch 2; resume it from {tmp_path}."
        )
        with pytest.raises(TrainingInterrupted, match="nothing was kept"):
            trainer(None, PLAIN, At(interrupt, batch=1)).run()

    def test_a_listener_is_told_of_the_end(self):
        listener = At(interrupt, batch=4)
        with pytest.raises(TrainingInterrupted):
            trainer(None, PLAIN, listener).run()
        assert [len(history.epochs) for history in listener.finished] == [1]

    def test_a_signal_that_is_ignored_stays_ignored(self):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        assert len(trainer(None, PLAIN, At(interrupt, batch=1)).run().epochs) == 2

    def test_a_thread_trains_without_handlers(self):
        ends, before = [], signal.getsignal(signal.SIGINT)
        thread = threading.Thread(target=lambda: ends.append(trainer(None, PLAIN).run()))
        thread.start()
        thread.join()
        assert len(ends[0].epochs) == 2
        assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.usefixtures("python_handlers")
class TestRefusals:
    @staticmethod
    def stopped(folder, **changes):
        with pytest.raises(TrainingInterrupted):
            trainer(folder, EVERYTHING, At(interrupt, batch=2), **changes).run()

    def test_an_unfinished_run_is_not_begun_anew(self, tmp_path):
        self.stopped(tmp_path)
        before = (tmp_path / CHECKPOINT).read_bytes(), (tmp_path / "log.jsonl").read_bytes()
        with pytest.raises(UsageError, match="not finished") as caught:
            trainer(tmp_path, EVERYTHING).run()
        assert "resume=True" in str(caught.value.fix)
        assert "another folder" in str(caught.value.fix)
        assert before == ((tmp_path / CHECKPOINT).read_bytes(), (tmp_path / "log.jsonl").read_bytes())

    def test_a_damaged_checkpoint_is_neither_resumed_nor_written_over(self, tmp_path):
        self.stopped(tmp_path)
        path = tmp_path / CHECKPOINT
        path.write_bytes(path.read_bytes()[:-9])
        before = path.read_bytes()
        for resume in (False, True):
            with pytest.raises(ModelError, match="cut short"):
                trainer(tmp_path, EVERYTHING).run(resume=resume)
        assert path.read_bytes() == before

    def test_a_finished_run_is_begun_anew_only_after_its_checkpoint_is_deleted(self, tmp_path):
        trainer(tmp_path, PLAIN).run()
        first = (tmp_path / "log.jsonl").read_text().splitlines()
        with pytest.raises(UsageError, match="is finished"):
            trainer(tmp_path, PLAIN).run()
        (tmp_path / CHECKPOINT).unlink()
        trainer(tmp_path, PLAIN).run()
        again = (tmp_path / "log.jsonl").read_text().splitlines()
        assert [untimed(json.loads(line)) for line in first] == [untimed(json.loads(line)) for line in again]

    def test_there_must_be_something_to_resume(self, tmp_path):
        with pytest.raises(UsageError, match="no folder to resume from"):
            trainer(None, PLAIN).run(resume=True)
        with pytest.raises(ModelError, match="no checkpoint to resume from") as caught:
            trainer(tmp_path, PLAIN).run(resume=True)
        assert str(caught.value.where) == str(tmp_path / CHECKPOINT)

    def test_a_run_made_otherwise_is_refused_with_every_difference(self, tmp_path):
        self.stopped(tmp_path)
        changed = EVERYTHING | {"learning_rate": 0.5, "epochs": 4}
        model = Net(hidden=6)
        before = weights(model)
        data = {"train": Words(40, seed=3), "validation": Words(20, seed=8)}
        other = trainer(tmp_path, changed, network=model, **data)
        with pytest.raises(ModelError, match="made by another run: 4 fields differ") as caught:
            other.run(resume=True)
        lines = str(caught.value.where).splitlines()
        assert "learning_rate: 0.02 in the checkpoint, 0.5 now" in lines
        assert "epochs: 3 in the checkpoint, 4 now" in lines
        assert any(line.startswith("training data: ") for line in lines)
        assert any(line.startswith("validation data: ") for line in lines)
        assert same(weights(model), before)

    def test_the_caller_s_identity_counts(self, tmp_path):
        def with_tokens(tokens):
            settings = TrainingSettings(**EVERYTHING)
            data = Words(40).examples(settings), Words(20, seed=9).examples(settings, shuffle=False)
            return partial(Trainer, Net(), Signs(), *data, settings, identity={"tokens": tokens})

        with pytest.raises(TrainingInterrupted):
            with_tokens("characters")(folder=tmp_path, listener=At(interrupt, batch=2)).run()
        with pytest.raises(ModelError, match="1 field differs") as caught:
            with_tokens("words")(folder=tmp_path).run(resume=True)
        assert 'identity.tokens: "characters" in the checkpoint, "words" now' in str(caught.value)
        assert len(with_tokens("characters")(folder=tmp_path).run(resume=True).epochs) == 3

    def test_data_that_cannot_be_trained_with_is_named_all_at_once(self):
        with pytest.raises(UsageError) as caught:
            trainer(None, PLAIN | {"patience": 2}, train=empty(), validation=None)
        assert str(caught.value).splitlines()[1:] == [
            "  The training set is empty.",
            "  patience counts epochs by a validation set; give one.",
        ]
        with pytest.raises(UsageError, match="validation set is empty"):
            trainer(None, PLAIN, validation=empty())

    def test_a_folder_that_cannot_be_made_is_named(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(TrainingError, match="folder of the run cannot be made"):
            trainer(tmp_path / "file" / "run", PLAIN).run()

    def test_state_that_is_no_tensor_is_refused(self):
        class Odd(Net):
            def get_extra_state(self):
                return {"calls": 3}

            def set_extra_state(self, state):
                self.calls = state["calls"]

        with pytest.raises(UsageError, match="state that is not a tensor: _extra_state"):
            trainer(None, PLAIN, network=Odd()).run()


def empty() -> Words:
    """A data set without examples."""
    return Words(0)


def test_a_full_disk_ends_the_run_and_keeps_the_checkpoint(tmp_path, monkeypatch):
    def full(*_args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    # The writer of checkpoints moves them into place; the log is written otherwise.
    fill = At(lambda: monkeypatch.setattr("pathlib.Path.replace", full), batch=5)
    with pytest.raises(TrainingError, match="No space left"):
        trainer(tmp_path, PLAIN, fill).run()
    monkeypatch.undo()
    assert {path.name for path in tmp_path.iterdir()} == {CHECKPOINT, "log.jsonl"}
    whole, part = Net(), Net(seed=4)
    trainer(None, PLAIN, network=whole).run()
    trainer(tmp_path, PLAIN, network=part).run(resume=True)
    assert same(weights(whole), weights(part))
