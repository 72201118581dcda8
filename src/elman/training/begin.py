"""What must hold before a run begins: settings that fit the data, and a checkpoint to resume or none."""

from contextlib import suppress
from pathlib import Path

from elman.errors import ModelError, UsageError
from elman.folders import CHECKPOINT
from elman.launch import is_restarted
from elman.settings.training import RunSettings
from elman.tasks.task import Data
from elman.training.checkpoint import Checkpoint, read_checkpoint


def check_run(settings: RunSettings, *, validated: bool, folder: Path | None, resume: bool) -> None:
    """Refuse mistakes that are known before any data are read.

    A `Trainer` does so itself.

    Args:
        settings: of the run.
        validated: whether there is a validation set.
        folder: where the run writes; none if it writes nothing.
        resume: whether it continues from the checkpoint of the folder.

    Raises:
        UsageError: settings that need a validation set, a folder that holds a run, or no run to resume.
        ModelError: a checkpoint to resume from that is missing or damaged.
    """
    _refuse([] if validated else _needs_validation(settings))
    if resume:
        checkpoint_in(folder)
    elif folder is not None:
        refuse_another_run(folder)


def check_sets(train: Data, validation: Data | None, settings: RunSettings) -> None:
    """Refuse sets that nothing can be learned from, and settings that need a validation set.

    Raises:
        UsageError: names every mistake.
    """
    mistakes = ["The training set is empty."] if len(train) == 0 else []
    if validation is None:
        mistakes += _needs_validation(settings)
    elif len(validation) == 0:
        mistakes.append("The validation set is empty; leave it out or give it examples.")
    _refuse(mistakes)


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


def goes_on(folder: Path | None, resume: bool) -> bool:
    """Return whether a run is resumed: on request, or when torchrun started it again."""
    return resume or (is_restarted() and folder is not None and (folder / CHECKPOINT).exists())


def checkpoint_in(folder: Path | None) -> tuple[Path, Checkpoint]:
    """Return the checkpoint of a folder, with its path.

    Raises:
        UsageError: there is no folder.
        ModelError: its checkpoint is missing or damaged.
    """
    if folder is None:
        raise UsageError("There is no folder to resume from.", fix="Give the folder of the run, or resume=False.")
    return folder / CHECKPOINT, read_checkpoint(folder / CHECKPOINT)


def refuse_unfinished(folder: Path) -> None:
    """Refuse to save a model into a folder with an unfinished run, to which it does not belong.

    Raises:
        UsageError: there is a checkpoint to continue from.
    """
    path = folder / CHECKPOINT
    # A damaged checkpoint is reported when it is read.
    with suppress(ModelError):
        if path.is_file() and not _is_finished(path):
            raise UsageError(
                "The folder holds a run that is not finished.",
                where=str(path),
                fix="Give another folder, or continue that run with resume=True.",
            )


def refuse_another_run(folder: Path) -> None:
    """Refuse a folder that holds a run.

    Raises:
        UsageError: says whether that run is finished.
    """
    if (path := folder / CHECKPOINT).exists():
        raise UsageError(
            f"The folder holds a run that is {'finished' if _is_finished(path) else 'not finished'}.",
            where=str(path),
            fix="Continue it with resume=True; or begin anew in another folder, or after deleting this file.",
        )


def _is_finished(checkpoint: Path) -> bool:
    return read_checkpoint(checkpoint).state["finished"]
