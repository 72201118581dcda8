"""One file that holds everything needed to continue a run, replaced atomically."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from elman.data.hashing import hash_of
from elman.errors import ModelError, TrainingError, os_errors_as
from elman.files import atomic_write

FORMAT = "elman-checkpoint"
FORMAT_VERSION = 2
# Names of fields: of settings, and of what follows from them.
SETTINGS, FOLLOWING = "settings.", ("weights.", "identity.cell")
SHOWN = 80

_ANEW = "Delete this file and begin the run anew (without resume), or begin it in another folder."


@dataclass(frozen=True)
class Checkpoint:
    """The content of a checkpoint.

    Attributes:
        tensors: `group/name` to tensor, on the CPU.
        state: the position of the run, as JSON holds it.
        identity: settings, data and shapes of the run, as JSON holds them.
    """

    tensors: Mapping[str, Tensor]
    state: dict[str, Any]
    identity: dict[str, Any]

    def group(self, name: str) -> dict[str, Tensor]:
        """Return the tensors of one group, by their names in it."""
        return {
            key.removeprefix(f"{name}/"): value for key, value in self.tensors.items() if key.startswith(f"{name}/")
        }


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Replace the checkpoint, once the new one is complete on the disk.

    Raises:
        TrainingError: it cannot be written (the disk is full, the folder is gone); the one before is untouched.
    """
    # Cloned, since safetensors takes no tensors that share memory, as tied weights do.
    tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in checkpoint.tensors.items()}
    document = json.dumps({"state": checkpoint.state, "identity": checkpoint.identity})
    metadata = {
        "format": FORMAT,
        "format_version": str(FORMAT_VERSION),
        "document": document,
        "sha256": hash_of(tensors, document),
    }
    content = safetensors.torch.save(tensors, metadata)
    fix = "Make room or the folder writable, then resume; the checkpoint before, if there is one, is untouched."
    with os_errors_as(TrainingError, "The checkpoint cannot be written", where=path, fix=fix):
        atomic_write(path, content)


def read_checkpoint(path: Path) -> Checkpoint:
    """Return the checkpoint in a file.

    Raises:
        ModelError: it is missing, cut short, damaged, not a checkpoint of elman's, or from a later version.
    """
    if not path.is_file():
        raise ModelError("There is no checkpoint to resume from.", where=str(path), fix=_ANEW)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            _check_format(metadata)
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        return _verified(metadata, tensors)
    except ModelError as error:
        raise ModelError(error.problem, where=str(path), fix=error.fix) from None
    except (SafetensorError, OSError) as error:
        raise ModelError(f"The checkpoint is damaged or cut short: {error}.", where=str(path), fix=_ANEW) from error


def check_identity(path: Path, found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Refuse a checkpoint of another model, other settings or other data.

    Raises:
        ModelError: names every field that differs, with both values; settings first. What follows from other settings,
            such as the shapes of weights, is not named.
    """
    differing = differences(found, expected)
    if not differing:
        return
    lines = [f"{name}: {there} in the checkpoint, {here} now" for name, (there, here) in differing.items()]
    flags = [flag for name in differing if (flag := _flag(name, found.get("settings", {})))]
    again = f" ({' '.join(flags)})" if flags else ""
    raise ModelError(
        f"The checkpoint was made by another run: {len(lines)} field{'s' * (len(lines) > 1)} differ"
        f"{'s' * (len(lines) == 1)}.",
        where="\n".join([str(path), *lines]),
        fix=f"Resume with what the checkpoint was made with{again}, or begin anew in another folder.",
    )


def differences(found: Mapping[str, Any], expected: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Return the fields of two identities that differ, with both values as they are shown.

    Settings are first. Where they differ, the network is another one too: its weights and its cell are left out.
    """
    there, here = dict(_flat(found)), dict(_flat(plain(expected)))
    names = [name for name in sorted(there | here) if there.get(name, _NOTHING) != here.get(name, _NOTHING)]
    settings = [name for name in names if name.startswith(SETTINGS)]
    if settings:
        names = [name for name in names if not name.startswith((SETTINGS, *FOLLOWING))]
    return {
        name.removeprefix(SETTINGS): (_shown(there.get(name, _NOTHING)), _shown(here.get(name, _NOTHING)))
        for name in [*settings, *names]
    }


def _flag(name: str, settings: Mapping[str, Any]) -> str:
    """Return the flag that gives a setting its value in the checkpoint.

    "" if the value is not a plain one.
    """
    value, flag = settings.get(name), f"--{name.replace('_', '-')}"
    if isinstance(value, bool):
        return flag if value else flag.replace("--", "--no-", 1)
    return f"{flag} {value}" if isinstance(value, str | int | float) else ""


def plain(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mapping as JSON returns it: tuples as lists, paths and other objects as text."""
    return json.loads(json.dumps(dict(value), default=str))


_NOTHING = object()


def _shown(value: object) -> str:
    text = "nothing" if value is _NOTHING else json.dumps(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if not isinstance(value, Mapping) or not value:
        yield name, value
        return
    for key, inner in value.items():
        yield from _flat(inner, f"{name}.{key}" if name else str(key))


def _check_format(metadata: Mapping[str, str]) -> None:
    if metadata.get("format") != FORMAT:
        raise ModelError("This file is not a checkpoint of elman.", fix="Give the folder of a run of elman.")
    version = metadata.get("format_version", "")
    if not version.isdecimal():
        raise ModelError("The checkpoint is damaged: it has no format version.", fix=_ANEW)
    if int(version) < FORMAT_VERSION:
        raise ModelError(
            f"The checkpoint is in format {version}, which elman wrote before its first release; this one reads format "
            f"{FORMAT_VERSION}.",
            fix=_ANEW,
        )
    if int(version) > FORMAT_VERSION:
        raise ModelError(
            f"The checkpoint is from a later elman: its format is {version}, this one reads {FORMAT_VERSION}.",
            fix="Install a later version of elman, or begin anew in another folder.",
        )


def _verified(metadata: Mapping[str, str], tensors: dict[str, Tensor]) -> Checkpoint:
    document = metadata.get("document", "")
    if metadata.get("sha256") != hash_of(tensors, document):
        raise ModelError("The checkpoint is damaged: its content does not match its checksum.", fix=_ANEW)
    content = json.loads(document)
    return Checkpoint(tensors, content["state"], content["identity"])
