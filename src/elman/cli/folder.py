"""The folder that a command writes, with what the command says about it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from elman.cli.failures import RunStopped
from elman.cli.output import say
from elman.folders import CHECKPOINT, RunFolder, removed_if_refused


@contextmanager
def run_in(path: Path | None, *, command: str, resume: bool, overwrite: bool) -> Iterator[bool]:
    """Prepare a folder for the run inside, and give whether the run continues.

    If the run is refused, what it made is removed and what was set aside is restored. If Ctrl-C ends it, the folder is
    reported. Errors are those of `RunFolder.begin`.

    Args:
        path: the folder; None for a run that writes nothing.
        command: the command line of the run, quoted for a shell.
        resume: continue the run of the folder.
        overwrite: start over.
    """
    if path is None:
        yield False
        return
    folder = RunFolder(path)
    with removed_if_refused(path):
        continues = folder.begin(command, resume=resume, overwrite=overwrite)
        if resume and not folder.checkpoint.exists() and not any(path.glob(f"*/{CHECKPOINT}")):
            say("Nothing of the run was saved yet: it starts from the beginning.")
        try:
            yield continues
        except KeyboardInterrupt as error:
            if getattr(error, "folder", None) is not None or not folder.checkpoint.exists():
                raise
            say()
            raise RunStopped(folder.path) from error
        finally:
            folder.settle()
