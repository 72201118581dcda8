"""Training a model: from values to a fitted network."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from elman.cells.from_file import open_cell
from elman.compiler.cell import Cell, describe_options
from elman.data.text.start_rows import with_vector_size
from elman.data.text.token_text import remove_kept
from elman.devices import find_device
from elman.errors import UsageError
from elman.folders import REFIT, RunFolder, alone_in, removed_if_refused
from elman.models.calibration import temperature_of
from elman.models.description import archive_cell
from elman.models.start import Start
from elman.tasks.rows import rows_named
from elman.tasks.task import Data, Task, Values, targets
from elman.training.begin import check_run, goes_on
from elman.training.generators import own_generators
from elman.training.interrupts import TrainingInterrupted
from elman.training.listener import Listener
from elman.training.processes import find_processes
from elman.training.record import History
from elman.training.trainer import Trainer

if TYPE_CHECKING:
    from elman.models.model import Model

GIVEN = "refit changes nothing: validation data that were given are not learned from. Leave them out to hold rows out."


class Fitted(NamedTuple):
    """The result of training a model.

    Attributes:
        task: with its settings and encoders.
        network: trained.
        history: what training recorded.
        train: what it was fitted on.
        held: the data by which epochs were compared.
        unresolved: the settings that the data decided, as they were given.
    """

    task: Task
    network: Any
    history: History
    train: Values
    held: Values | None
    unresolved: dict[str, Any]


def fit(
    model: "Model",
    train: Values,
    held: Values | None,
    *,
    folder: str | Path | None,
    resume: bool,
    listener: Listener | None,
    start: Start | None,
    earlier: Any = None,
    note: str | None = None,
) -> Fitted:
    """Train the network of a model, with the arguments of `Model.fit_values`.

    What held-out data decide can also be taken from a network that was trained `earlier`. The listener is given `note`
    before other notes.
    """
    asked = model.settings()
    with rows_named(train):
        settings, notes = model.task.resolve(with_vector_size(asked), train, validated=held is not None)
    if held is not None and getattr(settings, "refit", False) and not type(settings).model_fields["refit"].default:
        notes = [*notes, GIVEN]
    is_first = find_processes().is_first
    # The first of several processes writes; the others keep what they need elsewhere.
    given_folder = None if folder is None else Path(folder)
    path = given_folder if is_first else None
    resume = is_first and goes_on(path, resume)
    train, held = _divided(model.task, settings, train, held)
    with removed_if_refused(path), alone_in(path):
        # Mistakes that need no data are reported before long data are read.
        device = find_device(settings.device)
        cell = _own_cell(model, settings)
        check_run(settings, validated=held is not None, folder=path, resume=resume)
        task = _new_task(model.task, settings, train)
        if start is not None:
            start.prepare(task)
        with rows_named(train):
            encoded = task.learn(train.columns, path)
        network = model._new_network(task, cell)
        if start is not None:
            start.give(task, network)
        if earlier is not None:
            task.inherit(network, earlier)
        with own_generators([]):
            encoded = task.prepare(network, encoded, fit=not resume)
        network.to(device)
        evaluated = None if held is None else model._encoded(task, held, None, path)
        compared = None if evaluated is None else task.source.evaluated(evaluated, settings)
        every = [*([] if note is None else [note]), *notes, *_notes(task)]
        trainer = _trainer(task, network, encoded, compared, given_folder, every, listener)
        history = trainer.run(resume=resume)
        if earlier is None:
            task.complete(network, compared)
        task.temperature = temperature_of(network, task, compared)
        if path is not None:
            remove_kept(path)
    unresolved = {name: value for name, value in asked if getattr(settings, name) != value}
    return Fitted(task, network, history, train, held, unresolved)


def settings_of_refit(epochs: int) -> dict[str, Any]:
    """Return the settings in which a training on all data differs from the one before."""
    without = {"validation_fraction": 0.0, "validate_batches": None, "patience": None, "metric": None}
    return {**without, "epochs": epochs, "refit": False}


def refit(
    model: "Model",
    earlier: Any,
    values: Values,
    epochs: int,
    *,
    folder: str | Path | None = None,
    resume: bool = False,
    listener: Listener | None = None,
    start: Start | None = None,
) -> Fitted:
    """Train the network of a model once more, on all data.

    Args:
        model: with the settings of `settings_of_refit`.
        earlier: the network before, complete.
        values: all of them.
        epochs: of the model.
        folder: of the training before; this one has a folder in it.
        resume: continue a training on all data that was stopped.
        listener: is given the progress.
        start: weights to start from, as before.

    Raises:
        TrainingInterrupted: names the folder of the training before, from which both are resumed.
    """
    own = None if folder is None else Path(folder) / f"{REFIT}{epochs}"
    goes_on = False
    if own is not None:
        checkpoint = RunFolder(own).checkpoint
        goes_on = resume and checkpoint.exists()
        if not goes_on:
            checkpoint.unlink(missing_ok=True)
    note = f"Training again on all data, for {epochs} epoch{'' if epochs == 1 else 's'}."
    how = {"folder": own, "resume": goes_on, "listener": listener, "start": start, "earlier": earlier, "note": note}
    try:
        return fit(model, values, None, **how)
    except TrainingInterrupted as stop:
        raise TrainingInterrupted(stop.epoch, stop.batch, None if folder is None else Path(folder)) from None


def _divided(task: type[Task], settings: Any, train: Values, held: Values | None) -> tuple[Values, Values | None]:
    """Return what to learn from, and the data by which epochs are compared."""
    if held is not None and settings.validation_fraction:
        raise UsageError(
            "Validation data and validation_fraction exclude each other.", fix="Give one of the two, or neither."
        )
    if held is not None:
        return train, replace(held, role="validation ")
    if settings.validation_fraction:
        if getattr(settings, "refit", False) and settings.averaging == "nt-asgd":
            raise UsageError(
                "With refit the network is trained again on all data, and nt-asgd begins by a validation set.",
                fix="Give refit=False (--no-refit), another averaging, or validation data.",
            )
        return task.source.held_out(train, task.columns, settings)
    return train, None


def _own_cell(model: "Model", settings: Any) -> Cell | None:
    """Return the cell of the settings, which may be the user's own."""
    if settings.cell == "none":
        return None
    cell = open_cell(model.get_params()["cell"])
    # Options that the cell already has are kept: their description is for the configuration file.
    described = describe_options(cell)
    options = {name: value for name, value in settings.cell_options.items() if described.get(name) != value}
    return cell.with_options(**options)


def _new_task(kind: type[Task], settings: Any, train: Values) -> Task:
    task = kind(settings)
    task.metric  # noqa: B018 - an unknown one is refused before training
    for encoder in task.encoders.values():
        if train.form is not None and hasattr(encoder, "channels"):
            encoder.channels = train.form.channels
    return task


def _trainer(
    task: Task,
    network: Any,
    encoded: Mapping[str, Any],
    compared: Data | None,
    folder: Path | None,
    notes: list[str],
    listener: Listener | None,
) -> Trainer:
    identity = {
        "cell": archive_cell(network),
        **{column.name: task.encoders[column.name].to_json() for column in targets(task.columns)},
        **_identities(task),
    }
    data = task.source.data(encoded, task.settings)
    return Trainer(
        network, task, data, compared, task.settings, folder=folder, identity=identity, notes=notes, listener=listener
    )


def _notes(task: Task) -> list[str]:
    """Return notes on what was learned from the data, and on weights that will not be learned."""
    notes = [note for encoder in task.encoders.values() for note in getattr(encoder, "notes", [])]
    if task.settings.fitter is None and task.settings.closed_form:
        notes.append("A reservoir keeps the weights that are drawn; ridge regression solves for the output layer.")
    return notes


def _identities(task: Task) -> dict[str, str]:
    """Return the hashes of what the encoders learned that a run must have again to be resumed."""
    found = {name: getattr(encoder, "identity", {}) for name, encoder in task.encoders.items()}
    return {f"{what} of {name}": digest for name, each in found.items() for what, digest in each.items()}
