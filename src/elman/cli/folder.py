"""The folder that a run writes: what is there already decides whether it may."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from elman.cli.failures import RunStopped
from elman.cli.output import say
from elman.errors import UsageError
from elman.folders import CHECKPOINT, RUN, alone_in, folder_state, record_run, recorded_command

# At the end of the name of a file of a run that is being started over.
ASIDE = ".before"


def open_folder(folder: Path, *, command: str, resume: bool, overwrite: bool) -> bool:
    """Makes the folder ready for a run, and tells whether the run continues from a checkpoint in it.

    Args:
        folder: what the user gave as --out.
        command: the command line of this run, kept in the folder.
        resume: the user asked to continue.
        overwrite: the user asked to start over.

    Raises:
        UsageError: the folder holds what this run must not touch, or nothing to continue, or belongs to another run.
        ModelError: it cannot be written.
    """
    if any((folder / (name + ASIDE)).exists() for name in (CHECKPOINT, RUN)):
        # A process that started a run over was killed.
        with alone_in(folder):
            _settle(folder)
    # Before the lock: nothing is written into a folder of others.
    check_folder(folder, resume=resume, overwrite=overwrite)
    checkpoint = folder / CHECKPOINT
    with alone_in(folder):
        if overwrite:
            _set_aside(folder)
        if resume and not checkpoint.exists() and not any(folder.glob(f"*/{CHECKPOINT}")):
            say("Nothing of the run was saved yet: it starts from the beginning.")
        if not resume:
            record_run(folder, command)
        return resume and checkpoint.exists()


@contextmanager
def stopped_in(folder: Path | None) -> Iterator[None]:
    """A run in its folder: whoever stops it is told where it is kept, if it is, wherever it was stopped.

    What it started over is back as it was if it ends before a checkpoint of its own.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        if getattr(error, "folder", None) is not None or folder is None or not (folder / CHECKPOINT).exists():
            raise
        say()
        raise RunStopped(folder) from error
    finally:
        if folder is not None:
            _settle(folder)


def _set_aside(folder: Path) -> None:
    for name in (CHECKPOINT, RUN):
        with suppress(FileNotFoundError):
            (folder / name).replace(folder / (name + ASIDE))


def _settle(folder: Path) -> None:
    """The run that was set aside goes if there is a checkpoint of the one after it, and comes back if there is none."""
    began = (folder / CHECKPOINT).exists()
    for name in (CHECKPOINT, RUN):
        # A folder that takes no change was told of where the run failed in it.
        with suppress(OSError):
            aside = folder / (name + ASIDE)
            if began:
                aside.unlink()
            else:
                aside.replace(folder / name)


def check_folder(folder: Path, *, resume: bool = False, overwrite: bool = False) -> None:
    """Refuses a folder that a run must not write into, or has nothing to continue in.

    Raises:
        UsageError: says what the folder holds.
    """
    if resume and overwrite:
        raise UsageError("--resume continues a run and --overwrite starts over.", fix="Give one of the two.")
    state = folder_state(folder)
    if state == "foreign":
        raise UsageError(
            "The folder for the model holds something that elman did not write.",
            where=str(folder),
            fix="Give a new folder as --out.",
        )
    if state in ("missing", "empty") and resume:
        raise UsageError("There is no run to continue.", where=str(folder), fix="Leave --resume away to start one.")
    # A run that was stopped before its first checkpoint has nothing to lose.
    if (state == "model" or (folder / CHECKPOINT).exists()) and not (resume or overwrite):
        held = "a model" if state == "model" else "an unfinished run"
        raise UsageError(
            f"The folder already holds {held}.",
            where=str(folder),
            fix="Continue it with --resume, start over with --overwrite, or give another folder as --out.",
        )


def made_by(folder: Path, command: str) -> bool:
    """Whether the run of this folder was started by this sub-command of elman.

    >>> made_by(Path("no such folder"), "demo")
    False
    """
    recorded = recorded_command(folder)
    return recorded is not None and shlex.split(recorded)[1:2] == [command]
