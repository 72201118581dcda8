"""The folder that a run writes: what is there already decides whether it may."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from elman.cli.failures import RunStopped
from elman.cli.output import say
from elman.errors import UsageError
from elman.folders import (
    CHECKPOINT,
    alone_in,
    folder_state,
    has_aside,
    record_run,
    recorded_command,
    set_aside,
    settle,
)


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
    # Before the lock: nothing is written into a folder of others.
    check_folder(folder, resume=resume, overwrite=overwrite)
    checkpoint = folder / CHECKPOINT
    with alone_in(folder):
        if overwrite:
            set_aside(folder)
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
            settle(folder)


def check_folder(folder: Path, *, resume: bool = False, overwrite: bool = False) -> None:
    """Refuse a folder that a run must not write into, or has nothing to continue in.

    What a killed process had set aside there is put back first.

    Raises:
        UsageError: says what the folder holds.
    """
    if has_aside(folder):
        # A process that started a run over was killed.
        with alone_in(folder):
            settle(folder)
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
