"""One run: minibatch after minibatch to the end, from wherever it stands."""

import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from elman.errors import TrainingError
from elman.folders import CHECKPOINT
from elman.tasks.base import StreamTask, Task
from elman.training.checkpoint import Checkpoint, write_checkpoint
from elman.training.evaluation import evaluate
from elman.training.examples import Examples, Minibatches, in_minibatches
from elman.training.generators import (
    cuda_devices,
    generator_tensors,
    load_generator_tensors,
    own_generators,
    seed_generators,
)
from elman.training.interrupts import Interrupts, TrainingInterrupted
from elman.training.learner import Learner, NotFiniteError
from elman.training.listener import BatchEvent, CheckEvent, EpochEvent, Listener, RunStart, Sampler
from elman.training.log import LOG, Log
from elman.training.meter import Meter
from elman.training.record import CheckRecord, EpochRecord, History
from elman.training.schedules import learning_rate_factor
from elman.training.settings import RunSettings
from elman.training.state import RunState


class _StopRequested(Exception):
    """Somebody asked the run to stop, and it stands between two minibatches."""


class Run:
    """A run in progress.

    Args:
        model, task, train, validation, settings, folder, identity, listener, sample: as `elman.training.Trainer` takes
            them.
        interrupts: asked after each minibatch.
        checkpoint: where to go on from; from the start if left out.
    """

    def __init__(
        self,
        model: nn.Module,
        task: Task | StreamTask,
        train: Examples | Minibatches,
        validation: Examples | Minibatches | None,
        settings: RunSettings,
        *,
        folder: Path | None,
        identity: dict[str, Any],
        listener: Listener,
        interrupts: Interrupts,
        checkpoint: Checkpoint | None = None,
        sample: Sampler | None = None,
    ):
        self._learner = Learner(model, task, settings)
        self._task = task
        self._train = in_minibatches(train, settings)
        self._sample = sample
        self._validation = validation
        self._settings = settings
        self._folder = folder
        self._identity = identity
        self._listener = listener
        self._interrupts = interrupts
        self._devices = cuda_devices(model)
        self._state = RunState(History(task.metric, task.larger_is_better))
        if checkpoint is not None:
            self._restore(checkpoint)
        self._log = None if folder is None else Log(folder / LOG, self._state.log_length, self._state.history.epochs)
        self._resumed_seconds = self._state.history.seconds
        self._begun = self._saved = time.perf_counter()

    def to_end(self) -> History:
        """Trains what is left, and gives the model its final weights.

        Raises:
            TrainingError: a loss or a gradient is no finite number, or the folder cannot be written.
            TrainingInterrupted: the run was asked to stop; its checkpoint is written.
        """
        self._plan = self._train.plan(self._state.epoch)
        try:
            self._listener.start(self._start())
            self._save()
            self._train_epochs()
            self._finish()
            return self._state.history
        except _StopRequested:
            self._save()
            raise self._interruption() from None
        finally:
            self._listener.finish(self._state.history)
            if self._log is not None:
                self._log.close()

    def _train_epochs(self) -> None:
        while not self._is_over():
            self._plan = self._train.plan(self._state.epoch)
            self._train_epoch()
            self._end_epoch(self._evaluate())
            if not self._is_over():
                self._save()
                self._heed_interrupts()

    def _is_over(self) -> bool:
        return self._state.epoch >= self._settings.epochs or self._state.history.stopped_early

    def _train_epoch(self) -> None:
        self._learner.model.train()
        if not self._state.batch:
            self._learner.begin_epoch()
        while self._state.batch < len(self._plan):
            if self._check_is_due():
                self._check()
            self._train_batch(self._plan[self._state.batch])
            if self._checkpoint_is_due():
                self._save()
            self._heed_interrupts()

    def _checkpoint_is_due(self) -> bool:
        every = self._settings.checkpoint_batches
        if every is not None and self._state.batch % every == 0:
            return True
        return time.perf_counter() - self._saved >= self._settings.checkpoint_seconds

    def _train_batch(self, item: Any) -> None:
        begun = time.perf_counter()
        state = self._state
        rate = self._learning_rate(state.batch)
        inputs, targets, sequences, tokens = self._train.read(item)
        loss = metric = 0.0
        # The loss of a minibatch without targets is 0 / 0, and there is nothing to learn from it.
        if count := self._task.count(targets):
            try:
                loss, metric = self._learner.step(inputs, targets, rate)
            except NotFiniteError as error:
                raise self._failure(error) from None
            state.steps += 1
        state.batch += 1
        seconds = time.perf_counter() - begun
        figures = (loss, metric, count, sequences, tokens, seconds)
        state.running.add(*figures)
        state.window.add(*figures)
        self._log_window(rate)
        self._listener.batch(BatchEvent(state.epoch + 1, state.batch, len(self._plan), *figures, rate))

    def _log_window(self, rate: float) -> None:
        state = self._state
        if state.batch % self._settings.report_every and state.batch < len(self._plan):
            return
        place = {"epoch": state.epoch + 1, "first": state.batch - state.window.batches + 1, "last": state.batch}
        self._write_log("batches", {**place, **state.window.figures(), "learning_rate": rate})
        state.window = Meter()

    def _evaluate(self) -> dict[str, float] | None:
        if self._validation is None:
            return None
        # What an evaluation draws must not change what the training draws after it.
        with own_generators(self._devices), self._learner.evaluated():
            return evaluate(
                self._learner.model, self._task, self._validation, self._settings, between=self._heed_interrupts
            )

    def _check_is_due(self) -> bool:
        state, every = self._state, self._settings.validate_batches
        if not state.batch or every is None or state.batch % every:
            return False
        # One that was made before the run was stopped is not made again.
        return all((check.epoch, check.batch) != (state.epoch + 1, state.batch) for check in state.history.checks[-1:])

    def _check(self) -> None:
        """Judges the validation set within an epoch."""
        scores = self._evaluate()
        assert scores is not None
        state = self._state
        record = CheckRecord(state.epoch + 1, state.batch, len(self._plan), scores)
        state.history.checks.append(record)
        self._write_log("check", asdict(record))
        self._listener.check(CheckEvent(record, self._sampled()))

    def _sampled(self) -> str | None:
        if self._sample is None:
            return None
        model = self._learner.model
        was_training = model.training
        model.eval()
        with own_generators(self._devices), self._learner.evaluated():
            seed_generators(self._settings.seed + self._state.steps, self._devices)
            text = self._sample(model)
        model.train(was_training)
        self._write_log("sample", {"epoch": self._state.epoch + 1, "batch": self._state.batch, "text": text})
        return text

    def _end_epoch(self, scores: dict[str, float] | None) -> None:
        state, history = self._state, self._state.history
        text = self._sampled()
        rate = self._learning_rate(max(len(self._plan) - 1, 0))
        record = EpochRecord(state.epoch + 1, learning_rate=rate, validation=scores, **state.running.figures())
        history.epochs.append(record)
        self._learner.end_epoch(history)
        is_best = history.best_epoch == record.epoch
        if is_best and self._settings.restore_best:
            with self._learner.evaluated():
                self._learner.keep_as_best()
        patience = self._settings.patience
        history.stopped_early = patience is not None and history.epochs_since_best >= patience
        state.epoch, state.batch, state.running = state.epoch + 1, 0, Meter()
        self._write_log("epoch", asdict(record))
        self._listener.epoch(EpochEvent(record, is_best, text))

    def _finish(self) -> None:
        self._learner.finish()
        self._learner.model.eval()
        self._state.finished = True
        self._save()
        if self._interrupts.requested:
            raise self._interruption()

    def _learning_rate(self, batch: int) -> float:
        # Epochs may differ a little in their minibatches; each sees a run of epochs like itself.
        batches = len(self._plan)
        step, total = self._state.epoch * batches + batch, self._settings.epochs * batches
        return self._settings.learning_rate * learning_rate_factor(step, total, self._settings)

    def _heed_interrupts(self) -> None:
        if self._interrupts.requested:
            raise _StopRequested

    def _start(self) -> RunStart:
        state, history = self._state, self._state.history
        epochs, batches = self._settings.epochs, len(self._plan)
        unit = self._task.unit if isinstance(self._task, StreamTask) else "sequences"
        return RunStart(epochs, batches, history.metric, history.larger_is_better, state.epoch, state.batch, unit)

    def _save(self) -> None:
        state = self._state
        state.history.seconds = self._resumed_seconds + time.perf_counter() - self._begun
        if self._folder is None or self._log is None:
            return
        self._log.sync()
        state.log_length = self._log.length
        checkpoint = Checkpoint(self._tensors(), state.to_json(), self._identity)
        write_checkpoint(self._folder / CHECKPOINT, checkpoint)
        self._saved = time.perf_counter()

    def _tensors(self) -> dict[str, Tensor]:
        generators = generator_tensors(self._devices)
        return {**self._learner.tensors(), **{f"generator/{name}": state for name, state in generators.items()}}

    def _restore(self, checkpoint: Checkpoint) -> None:
        self._state = RunState.from_json(checkpoint.state)
        self._learner.load(checkpoint)
        load_generator_tensors(checkpoint.group("generator"), self._devices)

    def _write_log(self, kind: str, row: Mapping[str, Any]) -> None:
        if self._log is not None:
            self._log.write(kind, row)

    def _interruption(self) -> TrainingInterrupted:
        state = self._state
        if state.finished:
            return TrainingInterrupted(state.epoch, len(self._plan), self._folder)
        return TrainingInterrupted(state.epoch + 1, state.batch, self._folder)

    def _failure(self, error: NotFiniteError) -> TrainingError:
        kept = "The model has the weights from before this minibatch"
        if self._folder is not None:
            kept += ", and the last checkpoint is kept"
        return TrainingError(
            f"The {error.what} is {error.value}, which is no finite number.",
            where=f"epoch {self._state.epoch + 1}, minibatch {self._state.batch + 1} of {len(self._plan)}",
            fix=f"Likely the learning rate ({self._settings.learning_rate}) is too high, or the data hold NaN or "
            f"infinity: lower it, set clip_norm, or clean the data. {kept}.",
        )
