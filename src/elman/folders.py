"""What a folder is to elman: a model, an unfinished run, or somebody else's."""

import json
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
CHECKPOINT, RUN, LOCK = "checkpoint.safetensors", "run.json", "run.lock"
# At the end of the name of a file of a run that is being started over.
ASIDE = ".before"

FolderState = Literal["missing", "empty", "model", "unfinished", "foreign"]


def folder_state(folder: str | Path) -> FolderState:
    """What a path is to elman: `missing`, `empty`, a `model`, an `unfinished` run, or `foreign` (somebody else's).

    >>> folder_state("no such folder")
    'missing'
    """
    folder = Path(folder)
    if not folder.exists():
        return "missing"
    if not folder.is_dir():
        return "foreign"
    names = {path.name for path in folder.iterdir()} - {LOCK}
    if CONFIG in names and _says_elman(folder / CONFIG):
        return "model"
    if names & {CHECKPOINT, RUN}:
        return "unfinished"
    return "foreign" if names else "empty"


def record_run(folder: str | Path, command: str) -> None:
    """Notes in the folder which command started its run, so that an interrupted one can be continued.

    Args:
        folder: made if it is not there.
        command: the command line, quoted for a shell.

    Raises:
        ModelError: the folder cannot be written, or is a file.
    """
    folder = Path(folder)
    fix = "Give a folder that you may write to."
    with os_errors_as(ModelError, "The run cannot be kept here", where=folder, fix=fix):
        folder.mkdir(parents=True, exist_ok=True)
        atomic_write(folder / RUN, json.dumps({"command": command}, indent=2, ensure_ascii=False) + "\n")


@contextmanager
def alone_in(folder: str | Path | None) -> Iterator[None]:
    """While it lasts, no other run writes into this folder; a process that is killed leaves it free.

    A folder that is not there, or cannot be written, is not locked: the run itself says so.

    Args:
        folder: of a run; may be asked for again by the one who has it.

    Raises:
        UsageError: another run is writing into it.
    """
    lock = None
    if folder is not None and Path(folder).is_dir():
        lock = FileLock(Path(folder) / LOCK, timeout=0, is_singleton=True, fallback_to_soft=False)
    try:
        if lock is not None:
            lock.acquire()
    except Timeout:
        raise UsageError(
            "Another run is writing into this folder.",
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
                # Whatever became of the folder, the run itself has told.
                with suppress(OSError):
                    Path(lock.lock_file).unlink()
            lock.release()


def has_aside(folder: Path) -> bool:
    """Whether a run of this folder was set aside, and neither given back nor removed."""
    return any((folder / (name + ASIDE)).exists() for name in (CHECKPOINT, RUN))


def set_aside(folder: Path) -> None:
    """Set the run of a folder aside while another one is started over it."""
    for name in (CHECKPOINT, RUN):
        with suppress(FileNotFoundError):
            (folder / name).replace(folder / (name + ASIDE))


def settle(folder: Path) -> None:
    """Remove the run that was set aside if the one after it has a checkpoint; give it back if not."""
    began = (folder / CHECKPOINT).exists()
    for name in (CHECKPOINT, RUN):
        # The run has already reported that the folder cannot be changed.
        with suppress(OSError):
            aside = folder / (name + ASIDE)
            if began:
                aside.unlink()
            else:
                aside.replace(folder / name)


def recorded_command(folder: str | Path) -> str | None:
    """The command that started the run of this folder, if `record_run` noted one."""
    try:
        run = json.loads((Path(folder) / RUN).read_bytes())
    except (OSError, ValueError):
        return None
    command = run.get("command") if isinstance(run, dict) else None
    return command if isinstance(command, str) else None


def resume_command(command: str, folder: str | Path | None = None) -> str:
    """The command that continues the run which `command` started.

    Args:
        command: a command line, quoted for a shell.
        folder: where the run is, if it is no longer where the command says.

    >>> resume_command("elman train classify words.csv --out words --overwrite", "copies/words")
    'elman train classify words.csv --out copies/words --resume'
    """
    words = [word for word in shlex.split(command) if word not in ("--overwrite", "--resume")]
    if folder is not None and "--out" in words[:-1]:
        words[words.index("--out") + 1] = str(folder)
    return shlex.join([*words, "--resume"])


def _says_elman(path: Path) -> bool:
    """Whether a config is elman's own, a damaged one included: its mark is looked for in the bytes."""
    try:
        return f'"{FORMAT}"'.encode() in path.read_bytes()
    except OSError:
        return False
