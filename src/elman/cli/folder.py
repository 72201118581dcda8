"""The folder that a command writes, with what the command says about it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from elman.cli.failures import RunStopped
from elman.cli.output import say
from elman.folders import CHECKPOINT, RunFolder


def open_folder(path: Path, *, command: str, resume: bool, overwrite: bool) -> bool:
    """Prepare a folder for a run, with the result and errors of `RunFolder.begin`."""
    folder = RunFolder(path)
    continues = folder.begin(command, resume=resume, overwrite=overwrite)
    if resume and not folder.checkpoint.exists() and not any(path.glob(f"*/{CHECKPOINT}")):
        say("Nothing of the run was saved yet: it starts from the beginning.")
    return continues


@contextmanager
def stopped_in(path: Path | None) -> Iterator[None]:
    """Report the folder of a run that Ctrl-C ends, and restore what was set aside."""
    folder = None if path is None else RunFolder(path)
    try:
        yield
    except KeyboardInterrupt as error:
        if getattr(error, "folder", None) is not None or folder is None or not folder.checkpoint.exists():
            raise
        say()
        raise RunStopped(folder.path) from error
    finally:
        if folder is not None:
            folder.settle()
