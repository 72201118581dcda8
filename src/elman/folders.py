"""What a folder is to elman: a model, an unfinished run, or somebody else's."""

import json
import shlex
from pathlib import Path
from typing import Literal

from elman.errors import ModelError
from elman.files import atomic_write

FORMAT = "elman-model"
CONFIG, TENSORS, VOCABULARY, CARD = "config.json", "model.safetensors", "vocabulary.json", "README.md"
CHECKPOINT, RUN = "checkpoint.safetensors", "run.json"

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
    names = {path.name for path in folder.iterdir()}
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
    try:
        folder.mkdir(parents=True, exist_ok=True)
        atomic_write(folder / RUN, json.dumps({"command": command}, indent=2, ensure_ascii=False) + "\n")
    except OSError as error:
        raise ModelError(
            f"The run cannot be kept here: {error.strerror or error}.",
            where=str(folder),
            fix="Give a folder that you may write to.",
        ) from error


def recorded_command(folder: str | Path) -> str | None:
    """The command that started the run of this folder, if `record_run` noted one."""
    try:
        run = json.loads((Path(folder) / RUN).read_bytes())
    except (OSError, ValueError):
        return None
    command = run.get("command") if isinstance(run, dict) else None
    return command if isinstance(command, str) else None


def resume_command(command: str) -> str:
    """The command that continues the run which `command` started.

    >>> resume_command("elman train classify words.csv --out words --overwrite")
    'elman train classify words.csv --out words --resume'
    """
    words = [word for word in shlex.split(command) if word not in ("--overwrite", "--resume")]
    return shlex.join([*words, "--resume"])


def _says_elman(path: Path) -> bool:
    """Whether a config is elman's own, a damaged one included: its mark is looked for in the bytes."""
    try:
        return f'"{FORMAT}"'.encode() in path.read_bytes()
    except OSError:
        return False
