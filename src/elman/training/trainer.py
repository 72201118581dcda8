"""The trainer: a model, a task and data in; the history of a run out."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from torch import nn

from elman.errors import ModelError, TrainingError, UsageError, os_errors_as
from elman.files import remove_leftovers
from elman.folders import CHECKPOINT, alone_in
from elman.tasks.base import StreamTask, Task
from elman.training.checkpoint import Checkpoint, check_identity, plain, read_checkpoint
from elman.training.examples import Examples, Minibatches
from elman.training.generators import cuda_devices, own_generators, seed_generators
from elman.training.interrupts import Interrupts
from elman.training.kept_memory import kept_memory
from elman.training.listener import Listener, Sampler, Silent
from elman.training.record import History
from elman.training.run import Run
from elman.training.settings import RunSettings
from elman.training.state import RunState
from elman.training.weights import describe_weights, load_weights

# None of them changes what is learned.
_FREE_SETTINGS = frozenset(
    {"checkpoint_seconds", "checkpoint_batches", "validate_batches", "report_every", "show_sample"}
)


class Trainer:
    """Trains a model, and can be stopped at any instant and continued as if nothing had been.

    On a CPU, with the same number of threads, a run that was stopped (Ctrl-C, kill -9, a lost connection) and resumed
    ends with the same bits as one that was never stopped: weights, optimiser, learning rate, order of the data,
    random numbers, best weights, log. For this, everything random in the model must come from torch's generators,
    and everything that changes must be a parameter or a saved buffer.

    Args:
        model: trained in place; `model(inputs)` gives the outputs, or a `StreamTask` reads it. At the end it is in
            evaluation mode.
        task: the loss, and the scores by which epochs are compared.
        train: the training set: examples to be shuffled (`settings` are then `TrainingSettings`), or `Minibatches` in
            an order of their own.
        validation: judged after each epoch; needed for `patience`.
        settings: of the run.
        folder: where `checkpoint.safetensors` and `log.jsonl` go; made if it is not there. `None` writes nothing.
        identity: what must be the same for a run to be resumed, besides the settings, the data and the shapes of the
            weights, as names and values that JSON can hold.
        listener: told of each minibatch and epoch, as `progress_for(sys.stderr)` is.
        sample: gives a text that the model, in evaluation mode, writes after each epoch and when the validation set is
            judged within one; the listener and the log get it.

    Raises:
        UsageError: the settings do not fit the data, or nothing is there to train.
    """

    def __init__(
        self,
        model: nn.Module,
        task: Task | StreamTask,
        train: Examples | Minibatches,
        validation: Examples | Minibatches | None,
        settings: RunSettings,
        *,
        folder: Path | None = None,
        identity: Mapping[str, Any] | None = None,
        listener: Listener | None = None,
        sample: Sampler | None = None,
    ):
        _check_sets(train, validation, settings)
        self._model = model
        self._task = task
        self._train = train
        self._validation = validation
        self._settings = settings
        self._folder = None if folder is None else Path(folder)
        self._identity = dict(identity or {})
        self._listener = listener or Silent()
        self._sample = sample

    def run(self, *, resume: bool = False) -> History:
        """Trains the model to the end of the run, and tells what happened.

        Ctrl-C (or SIGTERM) lets the running minibatch finish, writes a checkpoint and raises `TrainingInterrupted`; a
        second Ctrl-C ends at once, with the last checkpoint kept. The caller's random generators stay as they were.

        torch has one random generator for all threads. A run in another thread therefore waits until this one ends, and
        gives what it would give alone. A listener of this run may train other models in the same thread, and must not
        wait for a run in another one.

        While the run lasts, the process keeps the memory that minibatches free (with glibc); it goes back to the
        system at the end, and limits of `mallopt` that the caller had set are glibc's usual ones then.

        Args:
            resume: continue the run of the folder. A finished run gives its history and final weights at once.

        Raises:
            UsageError: the folder holds a run and `resume` is false, or there is no folder to resume from, or another
                run writes into it.
            ModelError: the checkpoint to resume from is missing, damaged, or was made by another run.
            TrainingError: the loss or the gradient is no finite number, or the folder cannot be written.
            TrainingInterrupted: the run was asked to stop.
        """
        if self._folder is not None and not resume:
            _make_folder(self._folder)
        devices = cuda_devices(self._model)
        with alone_in(self._folder), own_generators(devices), kept_memory(), Interrupts() as interrupts:
            checkpoint = self._checkpoint() if resume else self._begin(devices)
            if checkpoint is not None and (state := RunState.from_json(checkpoint.state)).finished:
                load_weights(self._model, checkpoint.group("weights"))
                self._model.eval()
                return state.history
            return self._new_run(interrupts, checkpoint).to_end()

    def _new_run(self, interrupts: Interrupts, checkpoint: Checkpoint | None) -> Run:
        return Run(
            self._model,
            self._task,
            self._train,
            self._validation,
            self._settings,
            folder=self._folder,
            identity=plain(self._full_identity()),
            listener=self._listener,
            interrupts=interrupts,
            checkpoint=checkpoint,
            sample=self._sample,
        )

    def _begin(self, devices: list[int]) -> None:
        if self._folder is not None:
            _refuse_another_run(self._folder)
            remove_leftovers(self._folder, CHECKPOINT)
        seed_generators(self._settings.seed, devices)

    def _checkpoint(self) -> Checkpoint:
        path, checkpoint = _checkpoint_in(self._folder)
        check_identity(path, checkpoint.identity, self._full_identity())
        remove_leftovers(path.parent, CHECKPOINT)
        return checkpoint

    def _full_identity(self) -> dict[str, Any]:
        return {
            "identity": self._identity,
            "settings": self._settings.model_dump(exclude=set(_FREE_SETTINGS)),
            "task": self._task.name,
            "training data": self._train.fingerprint,
            "validation data": None if self._validation is None else self._validation.fingerprint,
            "weights": describe_weights(self._model),
        }


def check_run(settings: RunSettings, *, validated: bool, folder: Path | None, resume: bool) -> None:
    """Refuses what is known to be a mistake before any data are read; a `Trainer` does so itself.

    Args:
        settings: of the run.
        validated: whether there is a validation set.
        folder: where the run writes; none if it writes nothing.
        resume: whether it goes on from the checkpoint there.

    Raises:
        UsageError: settings that need a validation set, or a folder that holds a run, or none to resume from.
        ModelError: a checkpoint to resume from that is missing or damaged.
    """
    _refuse([] if validated else _needs_validation(settings))
    if resume:
        _checkpoint_in(folder)
    elif folder is not None:
        _refuse_another_run(folder)


def _check_sets(
    train: Examples | Minibatches, validation: Examples | Minibatches | None, settings: RunSettings
) -> None:
    empty = [
        problem
        for problem, found in (
            ("The training set is empty.", len(train) == 0),
            ("The validation set is empty; leave it out or give it examples.", _is_empty(validation)),
        )
        if found
    ]
    _refuse(empty + ([] if validation is not None else _needs_validation(settings)))


def _needs_validation(settings: RunSettings) -> list[str]:
    asked = (
        ("validate_batches needs a validation set; give one.", settings.validate_batches),
        ("patience counts epochs by a validation set; give one.", settings.patience),
        ("nt-asgd begins by a validation set; give one.", settings.averaging == "nt-asgd"),
    )
    return [problem for problem, found in asked if found]


def _refuse(mistakes: list[str]) -> None:
    if mistakes:
        raise UsageError("The model cannot be trained with this data.", where="\n".join(mistakes))


def _is_empty(validation: Examples | Minibatches | None) -> bool:
    return validation is not None and len(validation) == 0


def _make_folder(folder: Path) -> None:
    fix = "Give a folder that you may write to."
    with os_errors_as(TrainingError, "The folder of the run cannot be made", where=folder, fix=fix):
        folder.mkdir(parents=True, exist_ok=True)


def _checkpoint_in(folder: Path | None) -> tuple[Path, Checkpoint]:
    if folder is None:
        raise UsageError("There is no folder to resume from.", fix="Give the folder of the run, or resume=False.")
    return folder / CHECKPOINT, read_checkpoint(folder / CHECKPOINT)


def refuse_unfinished(folder: Path) -> None:
    """Refuses a folder that holds an unfinished run: a model saved there would be taken for that run's.

    Raises:
        UsageError: there is a checkpoint to continue from.
    """
    path = folder / CHECKPOINT
    # One that is damaged is told by whoever wants it.
    with suppress(ModelError):
        if path.is_file() and not _is_finished(path):
            raise UsageError(
                "The folder holds a run that is not finished.",
                where=str(path),
                fix="Give another folder, or continue that run with resume=True.",
            )


def _refuse_another_run(folder: Path) -> None:
    if (path := folder / CHECKPOINT).exists():
        raise UsageError(
            f"The folder holds a run that is {'finished' if _is_finished(path) else 'not finished'}.",
            where=str(path),
            fix="Continue it with resume=True; or begin anew in another folder, or after deleting this file.",
        )


def _is_finished(checkpoint: Path) -> bool:
    return RunState.from_json(read_checkpoint(checkpoint).state).finished
