"""The model folder: config, weights, vocabulary and a card, written whole or not at all."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from torch import Tensor

from elman.errors import MissingPackageError, ModelError, UsageError, nearest, os_errors_as
from elman.files import atomic_write_all, remove_leftovers
from elman.folders import (
    BASELINE_TENSORS,
    BASELINES,
    CARD,
    CONFIG,
    FORMAT,
    TENSORS,
    VOCABULARY,
    RunFolder,
    resume_command,
)

__all__ = ["SavedModel", "consistent", "read_model", "write_model"]

FORMAT_VERSION = 2
_REPAIR = "Copy the whole folder again from where it was made, or train the model again."


@dataclass(frozen=True)
class SavedModel:
    """The content of a model folder.

    Attributes:
        config: the task, the settings, the labels and the other entries that `write_model` was given.
        tensors: name to weight, on the CPU.
        vocabulary: the vocabulary as it was given.
        baselines: the simple models that it is compared with; empty if it was saved without any.
        baseline_tensors: name to tensor of these.
    """

    config: dict[str, Any]
    tensors: dict[str, Tensor]
    vocabulary: dict[str, Any]
    baselines: dict[str, Any] = field(default_factory=dict)
    baseline_tensors: dict[str, Tensor] = field(default_factory=dict)


class _FileRecord(BaseModel):
    bytes: int
    sha256: str


class _Manifest(BaseModel):
    model_config = ConfigDict(extra="allow")

    format_version: int
    elman_version: str
    task: str
    files: dict[str, _FileRecord]


def write_model(
    folder: str | Path,
    *,
    config: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    vocabulary: Mapping[str, Any],
    card: str,
    baselines: Mapping[str, Any] | None = None,
    baseline_tensors: Mapping[str, Tensor] | None = None,
) -> None:
    """Write a model folder, or leave the folder as it was if something fails.

    All files are complete on the disk before the first of them is replaced.

    Args:
        folder: made if it is missing; files of other names in it are left alone.
        config: anything that JSON can hold, `task` included; format, version and checksums are added.
        tensors: name to weight, of any shapes and devices.
        vocabulary: anything that JSON can hold.
        card: the text of README.md, see `write_card`.
        baselines: anything that JSON can hold; without it the folder has no files of baselines.
        baseline_tensors: name to tensor.

    Raises:
        UsageError: the folder has files of the same names that elman did not write.
        ModelError: the folder cannot be written, or is a file.
    """
    folder = Path(folder)
    _refuse_foreign(folder)
    checked = {TENSORS: _as_safetensors(tensors), VOCABULARY: _as_json(vocabulary)}
    if baselines:
        tables = _as_safetensors(baseline_tensors or {})
        checked = {BASELINE_TENSORS: tables, BASELINES: _as_json(baselines, indent=None), **checked}
    config = {
        **config,
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "elman_version": version("elman"),
        "files": {name: _record(content).model_dump() for name, content in checked.items()},
    }
    fix = "Give a folder that you may write to, on a disk with room."
    with os_errors_as(ModelError, "The model cannot be saved", where=folder, fix=fix):
        folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(folder, *checked, CARD, CONFIG)
        atomic_write_all(folder, {**checked, CARD: card, CONFIG: _as_json(config)})
        for name in {BASELINE_TENSORS, BASELINES} - checked.keys():
            (folder / name).unlink(missing_ok=True)


def read_model(folder: str | Path) -> SavedModel:
    """Return the model in a folder, after every check of it has passed.

    Args:
        folder: a folder made by `write_model`.

    Raises:
        ModelError: the folder is missing, foreign, unfinished, damaged or from a later elman; it names the file,
            the reason and the repair.
    """
    folder = Path(folder)
    _require_model(folder)
    config = _read_config(folder / CONFIG)
    manifest = _check_manifest(folder / CONFIG, config)
    names = [VOCABULARY, TENSORS, *(name for name in (BASELINES, BASELINE_TENSORS) if name in manifest.files)]
    contents = {name: _read_checked(folder / name, manifest) for name in names}
    compared = BASELINES in contents and BASELINE_TENSORS in contents
    return SavedModel(
        config=config,
        tensors=_read_tensors(folder / TENSORS, contents[TENSORS]),
        vocabulary=_parse_json(folder / VOCABULARY, contents[VOCABULARY]),
        baselines=_parse_json(folder / BASELINES, contents[BASELINES]) if compared else {},
        baseline_tensors=_read_tensors(folder / BASELINE_TENSORS, contents[BASELINE_TENSORS]) if compared else {},
    )


@contextmanager
def consistent(folder: str | Path) -> Iterator[None]:
    """Report errors of restoring a model as files that do not belong together.

    Raises:
        ModelError: the files do not belong together.
        MissingPackageError: the model needs a package that is not installed.
    """
    try:
        yield
    except MissingPackageError as error:
        # A fault of this machine and not of the folder.
        raise MissingPackageError(error.problem, where=str(folder), fix=error.fix) from None
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        reasons = [error.problem, error.where or ""] if isinstance(error, UsageError) else str(error).splitlines()
        reason = "\n".join(line.strip() for line in reasons[:2])
        raise ModelError(
            "The model folder's files do not belong together.",
            where=f"{folder}: {type(error).__name__}: {reason}",
            fix="Copy the whole folder again from where it was made, or train the model again.",
        ) from error


def _refuse_foreign(folder: Path) -> None:
    if folder.is_dir() and RunFolder(folder).state == "foreign":
        own = {CONFIG, TENSORS, VOCABULARY, CARD, BASELINES, BASELINE_TENSORS}
        names = {path.name for path in folder.iterdir()} & own
        # These two files are elman's own, also if the config was lost.
        if names and not {TENSORS, VOCABULARY} <= names:
            raise UsageError(
                f"The folder holds {', '.join(sorted(names))}, which elman did not write.",
                where=str(folder),
                fix="Give a new folder.",
            )


def _as_safetensors(tensors: Mapping[str, Tensor]) -> bytes:
    return safetensors.torch.save(
        {name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}
    )


def _as_json(value: Mapping[str, Any], indent: int | None = 2) -> bytes:
    # Half of a surrogate pair, as in a path, is written as JSON writes it.
    return json.dumps(value, indent=indent, ensure_ascii=False).encode(errors="backslashreplace") + b"\n"


def _record(content: bytes) -> _FileRecord:
    return _FileRecord(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


def _require_model(folder: Path) -> None:
    match RunFolder(folder).state:
        case "model":
            return
        case "missing":
            raise ModelError("There is no such model folder.", where=str(folder), fix=_neighbours(folder))
        case "unfinished" if not (folder / TENSORS).exists():
            command = RunFolder(folder).command
            raise ModelError(
                "This run is not finished: the folder holds no model yet.",
                where=str(folder),
                fix=f"Continue it: {resume_command(command, folder)}"
                if command
                else "Continue its training with --resume.",
            )
    if folder.is_file():
        raise ModelError(
            "This is a file; a model is a folder.",
            where=str(folder),
            fix=f"Give the folder: {folder.parent}" if folder.name in (CONFIG, TENSORS) else _neighbours(folder),
        )
    found = {path.name for path in folder.iterdir()}
    if {TENSORS, VOCABULARY} <= found or (CONFIG not in found and found & {TENSORS, VOCABULARY}):
        problem = "is damaged: it does not name the format of a model" if CONFIG in found else "is missing"
        raise ModelError(f"{CONFIG} {problem}.", where=str(folder / CONFIG), fix=_REPAIR)
    raise ModelError(
        "This is not a model folder of elman.",
        where=str(folder),
        fix=f"A model folder has {CONFIG}, {TENSORS} and {VOCABULARY}; `elman train` makes one.",
    )


def _neighbours(folder: Path) -> str:
    near = folder.absolute().parent
    names = [path.name for path in near.iterdir() if (path / CONFIG).is_file()] if near.is_dir() else []
    if not names:
        return "Give the folder that `elman train --out` made."
    return nearest(folder.name, names)


def _read_config(path: Path) -> dict[str, Any]:
    return _parse_json(path, _read_bytes(path))


def _check_manifest(path: Path, config: dict[str, Any]) -> _Manifest:
    written = config.get("format_version")
    if isinstance(written, int) and written > FORMAT_VERSION:
        maker = config.get("elman_version", "a later version")
        raise ModelError(
            f"The model was written by elman {maker} in format {written}; "
            f"this is elman {version('elman')}, which reads format {FORMAT_VERSION}.",
            where=str(path),
            fix="Install a later elman: pip install --upgrade elman",
        )
    if isinstance(written, int) and written < FORMAT_VERSION:
        raise ModelError(
            f"The model is in format {written}, which elman wrote before its first release; this elman reads format "
            f"{FORMAT_VERSION}.",
            where=str(path),
            fix="Train the model again; its README.md has the command.",
        )
    try:
        return _Manifest.model_validate(config)
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
        raise ModelError(
            "The config lacks entries of a model folder.", where="\n".join([str(path), *lines]), fix=_REPAIR
        ) from error


def _read_checked(path: Path, manifest: _Manifest) -> bytes:
    content = _read_bytes(path)
    expected = manifest.files.get(path.name)
    if expected is None:
        raise ModelError(f"{CONFIG} has no checksum of {path.name}.", where=str(path), fix=_REPAIR)
    if len(content) < expected.bytes:
        raise ModelError(
            f"The file is cut short: {len(content):,} of {expected.bytes:,} bytes.", where=str(path), fix=_REPAIR
        )
    if _record(content) != expected:
        raise ModelError(
            "The file is not the one that was saved: its checksum differs, so it was edited or damaged.",
            where=str(path),
            fix=_REPAIR,
        )
    return content


def _read_bytes(path: Path) -> bytes:
    fix = "Check what it is and its permissions."
    with os_errors_as(ModelError, "The file cannot be read", where=path, fix=fix):
        try:
            return path.read_bytes()
        except FileNotFoundError as error:
            raise ModelError(f"{path.name} is missing.", where=str(path), fix=_REPAIR) from error


def _parse_json(path: Path, content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content.decode())
    except UnicodeDecodeError as error:
        raise ModelError(f"The file is not UTF-8 text (byte {error.start:,}).", where=str(path), fix=_REPAIR) from error
    except json.JSONDecodeError as error:
        where = f"{path}, line {error.lineno}, column {error.colno}"
        raise ModelError(f"The file is not valid JSON: {error.msg}.", where=where, fix=_REPAIR) from error
    if not isinstance(value, dict):
        raise ModelError("Expected a JSON object, got other JSON.", where=str(path), fix=_REPAIR)
    return value


def _read_tensors(path: Path, content: bytes) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load(content)
    except SafetensorError as error:
        raise ModelError(f"The weights cannot be read: {error}.", where=str(path), fix=_REPAIR) from error
