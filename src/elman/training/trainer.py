"""The trainer: a network, a task and data in; the history of a run out."""

import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from elman.devices import device_of
from elman.errors import ModelError, TrainingError, UsageError, os_errors_as
from elman.files import remove_leftovers
from elman.folders import CHECKPOINT, LOG, alone_in
from elman.settings.training import MACHINE_SETTINGS, RunSettings
from elman.tasks.task import Data, Task
from elman.training.begin import check_sets, checkpoint_in, goes_on, refuse_another_run
from elman.training.checkpoint import Checkpoint, check_identity, plain, write_checkpoint
from elman.training.evaluation import evaluate
from elman.training.flossing import floss
from elman.training.generators import (
    cuda_devices,
    generator_tensors,
    load_generator_tensors,
    own_generators,
    seed_generators,
)
from elman.training.gradient_watch import check_watched, watch_gradients
from elman.training.interrupts import Interrupts, TrainingInterrupted
from elman.training.kept_memory import kept_memory
from elman.training.learner import NotFiniteError
from elman.training.learners import build_learner
from elman.training.listener import BatchEvent, CheckEvent, EpochEvent, Listener, RunStart, Silent
from elman.training.log import Log
from elman.training.memory import full_memory_named
from elman.training.meter import Meter
from elman.training.processes import find_processes, merged, own_part
from elman.training.record import CheckRecord, EpochRecord, History
from elman.training.schedules import depends_on_total, learning_rate_factor
from elman.training.state import RunState
from elman.training.weights import describe_weights

# Settings that do not change the result; what was read of the vectors is in the identity.
_FREE_SETTINGS = frozenset(
    MACHINE_SETTINGS
    | {"checkpoint_seconds", "checkpoint_batches", "validate_batches", "report_every", "show_sample", "vectors"}
    | {"watch_gradients"}
)


class _StopRequested(Exception):
    """The user asked the run to stop, and it is between two minibatches."""


class Trainer:
    """A run of training that can be stopped at any instant and continued to the same result.

    On a CPU, with the same number of threads, a run that was stopped (Ctrl-C, kill -9, a lost connection) and resumed
    ends with the same bits as one that was never stopped: weights, optimiser, learning rate, order of the data,
    random numbers, best weights, log. For this, everything random in the model must come from torch's generators,
    and everything that changes must be a parameter or a saved buffer.

    Args:
        network: trained in place; at the end it is in evaluation mode.
        task: reads the batches; it has the loss, and the scores by which epochs are compared.
        train: the training set.
        validation: evaluated after each epoch; needed for `patience`.
        settings: of the run.
        folder: where `checkpoint.safetensors` and `log.jsonl` are written, made if missing; `None` writes nothing.
        identity: what must be the same for a run to be resumed, besides the settings, the data and the shapes of the
            weights, as names and values that JSON can hold.
        notes: on what was learned from the data, a line each, for the listener.
        listener: is given each minibatch and epoch, as `progress_for(sys.stderr)`.

    Raises:
        UsageError: the settings do not fit the data, or there is nothing to train.
    """

    def __init__(
        self,
        network: nn.Module,
        task: Task,
        train: Data,
        validation: Data | None,
        settings: RunSettings,
        *,
        folder: Path | None = None,
        identity: Mapping[str, Any] | None = None,
        notes: Sequence[str] = (),
        listener: Listener | None = None,
    ):
        check_sets(train, validation, settings)
        check_watched(network, settings)
        self._network = network
        self._task = task
        self._metric = task.metric
        self._train = train
        self._validation = validation
        self._settings = settings
        # A solution takes one pass over the data.
        self._epochs = 1 if settings.closed_form else settings.epochs
        self._processes = find_processes()
        # The first of several processes writes and reports.
        self._given_folder = None if folder is None else Path(folder)
        self._folder = self._given_folder if self._processes.is_first else None
        self._given_identity = dict(identity or {})
        self._notes = notes
        self._listener = listener if listener is not None and self._processes.is_first else Silent()
        self._devices = cuda_devices(network)
        # Tokens of the largest minibatch that fitted into the memory.
        self._largest = 0

    def run(self, *, resume: bool = False) -> History:
        """Train to the end of the run, from its current position, and return its history.

        Ctrl-C (or SIGTERM) lets the running minibatch finish, writes a checkpoint and raises `TrainingInterrupted`; a
        second Ctrl-C ends at once, with the last checkpoint kept. The caller's random generators stay as they were.

        torch has one random generator for all threads. A run in another thread therefore waits until this one ends, and
        gives what it would give alone. A listener of this run may train other models in the same thread, and must not
        wait for a run in another one.

        While the run lasts, the process keeps the memory that minibatches free (with glibc); it goes back to the
        system at the end, and limits of `mallopt` that the caller had set are glibc's usual ones then.

        Args:
            resume: continue the run of the folder. A finished run gives its history and final weights at once, or goes
                on if the settings have more epochs than it was trained for.

        Raises:
            UsageError: the folder holds a run and `resume` is false, or files that elman did not write, or another run
                is writing to it; or there is no folder to resume from.
            ModelError: the checkpoint to resume from is missing, damaged, or was made by another run.
            TrainingError: the loss or the gradient is not finite, or the folder cannot be written.
            MemoryFullError: a minibatch does not fit into the memory of the device.
            TrainingInterrupted: the run was asked to stop.
        """
        resume = goes_on(self._folder, resume)
        if self._folder is not None and not resume:
            fix = "Give a folder that you may write to."
            with os_errors_as(TrainingError, "The folder of the run cannot be made", where=self._folder, fix=fix):
                self._folder.mkdir(parents=True, exist_ok=True)
        together = self._processes.together()
        with together, alone_in(self._folder), own_generators(self._devices), kept_memory(), Interrupts() as found:
            self._interrupts = found
            self._identity = plain(self._full_identity())
            self._processes.check_same(self._identity)
            self._processes.check_folder(self._given_folder)
            seed_generators(self._processes.seed(self._settings.seed), self._devices)
            checkpoint = self._processes.from_first(self._checkpoint if resume else self._begin)
            if checkpoint is None:
                floss(self._network, self._task, self._train, self._settings)
            self._learner = build_learner(self._network, self._task, self._settings, self._train, self._processes)
            history = History(self._metric.name, self._metric.larger_is_better)
            self._state = RunState(history, processes=self._processes.size)
            self._processes.share_weights(self._network)
            if checkpoint is not None:
                self._restore(checkpoint)
            return self._ended() if self._state.finished else self._to_end()

    def _begin(self) -> None:
        if self._folder is not None:
            refuse_another_run(self._folder)
            remove_leftovers(self._folder, CHECKPOINT)

    def _checkpoint(self) -> Checkpoint:
        path, checkpoint = checkpoint_in(self._folder)
        found, wanted = checkpoint.identity, self._identity
        shorter, longer = _without_epochs(found), _without_epochs(wanted)
        if checkpoint.state["finished"] or not depends_on_total(self._settings):
            # A longer run begins as a shorter one does.
            found, wanted = shorter, longer
        elif found != wanted and shorter == longer:
            raise _wrong_total(path, found["settings"])
        check_identity(path, found, wanted)
        remove_leftovers(path.parent, CHECKPOINT)
        return checkpoint

    def _restore(self, checkpoint: Checkpoint) -> None:
        checkpoint = replace(checkpoint, tensors=own_part(checkpoint.tensors, self._processes))
        state = self._state = RunState.from_json(checkpoint.state)
        self._learner.load(checkpoint)
        seed = self._processes.seed(self._settings.seed + state.steps)
        load_generator_tensors(checkpoint.group("generator"), self._devices, seed)
        if state.processes != self._processes.size and self._processes.is_first:
            warnings.warn(
                f"The run was stopped with {state.processes} processes and goes on with {self._processes.size}: its "
                "results are those of an unbroken run to rounding, and random numbers are others.",
                stacklevel=2,
            )
        state.processes = self._processes.size
        if state.epoch > self._epochs:
            raise UsageError(
                f"Expected at least {state.epoch} epochs, got {self._epochs}: the run is past them.",
                fix="Give more epochs, or begin anew in another folder.",
            )
        state.finished = state.finished and (state.epoch == self._epochs or state.history.stopped_early)

    def _ended(self) -> History:
        self._learner.finish()
        self._network.eval()
        return self._state.history

    def _full_identity(self) -> dict[str, Any]:
        return {
            "identity": self._given_identity,
            "settings": self._settings.model_dump(exclude=set(_FREE_SETTINGS)),
            "task": self._task.name,
            "training data": self._train.fingerprint,
            "validation data": None if self._validation is None else self._validation.fingerprint,
            "weights": describe_weights(self._network),
        }

    def _to_end(self) -> History:
        """Train the rest of the run, and give the network its final weights."""
        folder, history = self._folder, self._state.history
        self._log = None if folder is None else Log(folder / LOG, self._state.log_length, history.epochs)
        self._resumed_seconds = history.seconds
        self._begun = self._saved = time.perf_counter()
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
        return self._state.epoch >= self._epochs or self._state.history.stopped_early

    def _train_epoch(self) -> None:
        self._network.train()
        self._processes.share_weights(self._network)
        self._learner.freeze_for(self._state.epoch)
        if not self._state.batch:
            self._learner.begin_epoch()
        while self._state.batch < len(self._plan):
            if self._check_is_due():
                self._check()
            self._train_batch(self._plan[self._state.batch])
            stop, save = self._processes.agree(self._interrupts.requested, self._checkpoint_is_due())
            if save:
                self._save()
            if stop:
                raise _StopRequested
        self._learner.complete()

    def _checkpoint_is_due(self) -> bool:
        every = self._settings.checkpoint_batches
        if every is not None and self._state.batch % every == 0:
            return True
        return time.perf_counter() - self._saved >= self._settings.checkpoint_seconds

    def _train_batch(self, item: Any) -> None:
        begun = time.perf_counter()
        state = self._state
        rate = self._learning_rate(state.batch)
        batch = self._train.read(self._processes.part_of(self._train, item))
        try:
            with full_memory_named(device_of(self._network), batch, self._settings, fitted=self._largest):
                found = self._learner.step(batch, rate)
        except NotFiniteError as error:
            raise self._failure(error) from None
        self._largest = max(self._largest, batch.tokens)
        state.steps += bool(found.targets)
        state.batch += 1
        seconds = time.perf_counter() - begun
        figures = found.loss, found.metric, found.targets, found.sequences, found.tokens, seconds
        state.running.add(*figures)
        state.window.add(*figures)
        self._log_window(rate)
        self._listener.batch(BatchEvent(state.epoch + 1, state.batch, len(self._plan), *figures, rate))

    def _log_window(self, rate: float) -> None:
        state = self._state
        if state.batch % self._settings.report_every and state.batch < len(self._plan):
            return
        batches = {"epoch": state.epoch + 1, "first": state.batch - state.window.batches + 1, "last": state.batch}
        self._write_log("batches", {**batches, **state.window.figures(), "learning_rate": rate})
        state.window = Meter()

    def _evaluate(self) -> dict[str, float] | None:
        if self._validation is None:
            return None
        # Random numbers of an evaluation must not change those of the training after it.
        with own_generators(self._devices), self._learner.evaluated():
            between, processes = self._heed_interrupts, self._processes
            scores = evaluate(self._network, self._task, self._validation, between=between, processes=processes)
        return {name: value for name, value in scores.items() if isinstance(value, int | float)}

    def _check_is_due(self) -> bool:
        state, every = self._state, self._settings.validate_batches
        if not state.batch or every is None or state.batch % every:
            return False
        # A check that was made before the run was stopped is not repeated.
        return all((check.epoch, check.batch) != (state.epoch + 1, state.batch) for check in state.history.checks[-1:])

    def _check(self) -> None:
        """Evaluate within an epoch."""
        scores = self._evaluate()
        assert scores is not None
        state = self._state
        record = CheckRecord(state.epoch + 1, state.batch, len(self._plan), scores)
        state.history.checks.append(record)
        self._write_log("check", asdict(record))
        self._listener.check(CheckEvent(record, self._sampled()))

    def _sampled(self) -> str | None:
        if not self._processes.is_first:
            return None
        model = self._network
        was_training = model.training
        model.eval()
        with own_generators(self._devices), self._learner.evaluated():
            seed_generators(self._settings.seed + self._state.steps, self._devices)
            text = self._task.sample(model)
        model.train(was_training)
        if text is None:
            return None
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
        self._watch_gradients()

    def _watch_gradients(self) -> None:
        every = self._settings.watch_gradients
        if every is None or self._state.epoch % every:
            return
        with own_generators(self._devices):
            event = watch_gradients(self._network, self._task, self._train, self._state.epoch)
        self._write_log("gradients", event.row())
        self._listener.gradients(event)

    def _finish(self) -> None:
        self._state.finished = True
        # With the weights of the last step, so that the run can go on.
        self._save()
        self._ended()
        if self._processes.any(self._interrupts.requested):
            raise self._interruption()

    def _learning_rate(self, batch: int) -> float:
        # Epochs may differ a little in their minibatches; each assumes that all are like itself.
        batches = len(self._plan)
        step, total = self._state.epoch * batches + batch, self._epochs * batches
        return self._settings.learning_rate * learning_rate_factor(step, total, self._settings)

    def _heed_interrupts(self) -> None:
        if self._processes.any(self._interrupts.requested):
            raise _StopRequested

    def _start(self) -> RunStart:
        state, history = self._state, self._state.history
        epochs, batches = self._epochs, len(self._plan)
        done = state.epoch, state.batch
        given = history.metric, history.larger_is_better, *done, self._task.unit, self._notes
        return RunStart(epochs, batches, *given, percent=self._metric.percent)

    def _save(self) -> None:
        state = self._state
        state.history.seconds = self._resumed_seconds + time.perf_counter() - self._begun
        tensors = self._tensors()
        if self._folder is None or self._log is None:
            return
        self._log.sync()
        state.log_length = self._log.length
        checkpoint = Checkpoint(tensors, state.to_json(), self._identity)
        write_checkpoint(self._folder / CHECKPOINT, checkpoint)
        self._saved = time.perf_counter()

    def _tensors(self) -> dict[str, Tensor]:
        generators = {f"generator/{name}": state for name, state in generator_tensors(self._devices).items()}
        every = {**self._learner.tensors(), **generators}
        own = {name: tensor for name, tensor in every.items() if name.startswith(("generator/", "carried/"))}
        return {**every, **merged(self._processes.gather(own))}

    def _write_log(self, kind: str, row: Mapping[str, Any]) -> None:
        if self._log is not None:
            self._log.write(kind, row)

    def _interruption(self) -> TrainingInterrupted:
        state = self._state
        if state.finished:
            return TrainingInterrupted(state.epoch, len(self._plan), self._given_folder)
        return TrainingInterrupted(state.epoch + 1, state.batch, self._given_folder)

    def _failure(self, error: NotFiniteError) -> TrainingError:
        kept = "The model has the weights from before this minibatch"
        if self._folder is not None:
            kept += ", and the last checkpoint is kept"
        return TrainingError(
            f"The {error.what} is {error.value}, which is not finite.",
            where=f"epoch {self._state.epoch + 1}, minibatch {self._state.batch + 1} of {len(self._plan)}",
            fix=f"Likely the learning rate ({self._settings.learning_rate}) is too high, or the data hold NaN or "
            f"infinity: lower it, set clip_norm, or clean the data. {kept}.",
        )


def _without_epochs(identity: Mapping[str, Any]) -> dict[str, Any]:
    settings = {name: value for name, value in identity["settings"].items() if name != "epochs"}
    return {**identity, "settings": settings}


def _wrong_total(path: Path, settings: Mapping[str, Any]) -> ModelError:
    """Return the error for an unfinished run that is resumed with another number of epochs."""
    epochs, schedule = settings["epochs"], settings["schedule"]
    cause = "warm-up" if schedule in ("constant", "step") else f"schedule `{schedule}`"
    return ModelError(
        f"The run is one of {epochs} epochs, on which the learning rates of its {cause} depend, and is not finished.",
        where=str(path),
        fix=f"Finish it with --epochs {epochs} (epochs={epochs}); a finished run can be continued with more epochs.",
    )
