"""The folder of a run: what it holds, which process writes to it, and how its run is continued or started over."""

import json
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

from elman.errors import ModelError, UsageError, os_errors_as
from elman.files import atomic_write

FORMAT = "elman-model"
CONFIG, TENSORS, VOCABULARY, CARD = "config.json", "model.safetensors", "vocabulary.json", "README.md"
BASELINES, BASELINE_TENSORS = "baselines.json", "baselines.safetensors"
CHECKPOINT, RUN, LOG, LOCK = "checkpoint.safetensors", "run.json", "log.jsonl", "run.lock"
# At the end of the name of a file of a run that is being started over.
ASIDE = ".before"
# Beginning of the name of the folder of a training on all data; its epochs follow.
REFIT = "refit-"
# Files of a run that was killed before its first checkpoint, and what was trained after it.
_LEFTOVER = re.compile(rf"{re.escape(LOCK)}|{REFIT}\d+|(training|validation)-tokens\.(bin|json)|\..*\.tmp")

FolderState = Literal["missing", "empty", "model", "unfinished", "foreign"]


class RunFolder:
    """The folder of a run and of its model.

    Args:
        path: need not exist.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.checkpoint = self.path / CHECKPOINT

    @property
    def state(self) -> FolderState:
        """What the folder holds: a `model`, an `unfinished` run, or `foreign` files, which elman did not write.

        `empty` includes the remains of a run that was killed before its first checkpoint.

        >>> RunFolder("no such folder").state
        'missing'
        """
        if not self.path.exists():
            return "missing"
        if not self.path.is_dir():
            return "foreign"
        names = self.names()
        # The name of the format is searched for in the bytes, so that a damaged config is recognised too.
        if CONFIG in names and f'"{FORMAT}"'.encode() in self._bytes(CONFIG):
            return "model"
        if {name.removesuffix(ASIDE) for name in names} & {CHECKPOINT, RUN}:
            return "unfinished"
        if LOG in names and self._bytes(LOG)[:7] in (b"", b'{"kind"'):
            names.remove(LOG)
        return "empty" if all(map(_LEFTOVER.fullmatch, names)) else "foreign"

    @property
    def command(self) -> str | None:
        """The command that started the run, quoted for a shell; None if the run was started from Python."""
        with suppress(ValueError):
            run = json.loads(self._bytes(RUN))
            if isinstance(run, dict) and isinstance(run.get("command"), str):
                return run["command"]
        return None

    def begin(self, command: str, *, resume: bool, overwrite: bool) -> bool:
        """Prepare the folder for a run, and return whether the run continues.

        Args:
            command: the command line of the run, quoted for a shell; it is recorded in the folder.
            resume: continue the run of the folder.
            overwrite: start over; `settle` restores the old run if the new one ends before its first checkpoint.

        Raises:
            UsageError: as for `check`, or another run is writing to the folder.
            ModelError: the folder cannot be written.
        """
        self.check(resume=resume, overwrite=overwrite)
        with alone_in(self.path):
            if overwrite:
                for name in (CHECKPOINT, RUN):
                    with suppress(FileNotFoundError):
                        (self.path / name).replace(self.path / (name + ASIDE))
            if not resume:
                self.record(command)
            return resume and self.checkpoint.exists()

    def check(self, *, resume: bool = False, overwrite: bool = False) -> None:
        """Refuse a folder that a run must not write to, or that has nothing to continue.

        A run that a killed process had set aside is restored first.

        Raises:
            UsageError: says what the folder holds.
        """
        if any((self.path / (name + ASIDE)).exists() for name in (CHECKPOINT, RUN)):
            with alone_in(self.path):
                self.settle()
        if resume and overwrite:
            raise UsageError("--resume continues a run and --overwrite starts over.", fix="Give one of the two.")
        self.refuse_foreign()
        state = self.state
        if state in ("missing", "empty") and resume:
            raise UsageError(
                "There is no run to continue.", where=str(self.path), fix="Leave out --resume to start one."
            )
        # A run that was stopped before its first checkpoint has nothing to lose.
        if (state == "model" or self.checkpoint.exists()) and not (resume or overwrite):
            raise UsageError(
                f"The folder already holds {'a model' if state == 'model' else 'an unfinished run'}.",
                where=str(self.path),
                fix="Continue it with --resume, start over with --overwrite, or give another folder as --out.",
            )

    def refuse_foreign(self) -> None:
        """Refuse a folder with files that elman did not write.

        Raises:
            UsageError: the folder has such files.
        """
        if self.state == "foreign":
            raise UsageError(
                "The folder for the model holds files that elman did not write.",
                where=str(self.path),
                fix="Give a new folder.",
            )

    def record(self, command: str) -> None:
        """Record the command of a run, so that it can be continued, in a folder made if missing.

        Raises:
            ModelError: the folder cannot be written, or is a file.
        """
        fix = "Give a folder that you may write to."
        with os_errors_as(ModelError, "The run cannot be recorded", where=self.path, fix=fix):
            self.path.mkdir(parents=True, exist_ok=True)
            atomic_write(self.path / RUN, json.dumps({"command": command}, indent=2, ensure_ascii=False) + "\n")

    def settle(self) -> None:
        """Remove the run that was set aside, or restore it if the new one has no checkpoint."""
        begun = self.checkpoint.exists()
        for name in (CHECKPOINT, RUN):
            # The run has already reported that the folder cannot be changed.
            with suppress(OSError):
                aside = self.path / (name + ASIDE)
                if begun:
                    aside.unlink()
                else:
                    aside.replace(self.path / name)

    def names(self) -> set[str]:
        """Return the names of what is in the folder."""
        return {path.name for path in self.path.iterdir()} if self.path.is_dir() else set()

    def saved(self) -> tuple[int, int] | None:
        """Return the inode and time of the checkpoint, or None if the folder has no checkpoint."""
        try:
            found = self.checkpoint.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns

    def remove_own(self, names: set[str]) -> None:
        """Remove those of the files that a run writes before its first checkpoint."""
        for name in names:
            if name in (RUN, LOG) or _LEFTOVER.fullmatch(name):
                (self.path / name).unlink()

    def _bytes(self, name: str) -> bytes:
        """Return the bytes of a file, none if it cannot be read."""
        try:
            return (self.path / name).read_bytes()
        except OSError:
            return b""


@contextmanager
def alone_in(folder: str | Path | None) -> Iterator[None]:
    """Keep other runs out of a folder while inside.

    A process that is killed leaves the folder free.

    A folder that is missing, or that cannot be written, is not locked: the run itself reports it.

    Args:
        folder: of a run; its holder may enter again.

    Raises:
        UsageError: the folder has files that elman did not write, or another run is writing to it.
    """
    lock = None
    if folder is not None and Path(folder).is_dir():
        # Before the lock, which is a file: nothing is written into such a folder.
        RunFolder(folder).refuse_foreign()
        lock = FileLock(Path(folder) / LOCK, timeout=0, is_singleton=True, fallback_to_soft=False)
    try:
        if lock is not None:
            lock.acquire()
    except Timeout:
        raise UsageError(
            "Another run is writing to this folder.",
            where=str(folder),
            fix="Wait until it has ended, stop it, or give another folder.",
        ) from None
    except (OSError, NotImplementedError):
        lock = None
    try:
        yield
    finally:
        if lock is not None:
            if lock.lock_counter == 1:
                # The run has already reported problems with the folder.
                with suppress(OSError):
                    Path(lock.lock_file).unlink()
            lock.release()


@contextmanager
def removed_if_refused(folder: str | Path | None) -> Iterator[None]:
    """Remove what a run made, its folder too, if it fails before its first checkpoint.

    What was in the folder before is left alone, and so is the folder of a run that was interrupted: it may be resumed.

    Args:
        folder: of a run; None for a run that writes nothing.
    """
    if folder is None:
        yield
        return
    run = RunFolder(folder)
    missing = [path for path in (run.path, *run.path.parents) if not path.exists()]
    before, saved = run.names(), run.saved()
    try:
        yield
    except Exception:
        # Nothing is removed if another run writes there, or if something cannot be removed.
        with suppress(OSError, UsageError):
            if run.saved() == saved:
                with alone_in(run.path):
                    run.remove_own(run.names() - before - {LOCK})
                for path in missing:
                    path.rmdir()
        raise


def resume_command(command: str, folder: str | Path | None = None) -> str:
    """Return the command that continues the run which `command` started.

    Args:
        command: a command line, quoted for a shell.
        folder: of the run, if it was moved since.

    >>> resume_command("elman train classify words.csv --out words --overwrite", "copies/words")
    'elman train classify words.csv --out copies/words --resume'
    """
    words = [word for word in shlex.split(command) if word not in ("--overwrite", "--resume")]
    if folder is not None and "--out" in words[:-1]:
        words[words.index("--out") + 1] = str(folder)
    return shlex.join([*words, "--resume"])
