"""The data sets that elman knows, with their addresses, checksums and licences. None is shipped with elman."""

import importlib.resources
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from elman.errors import UsageError, nearest

Packing = Literal["zip", "gz", "head"]


@dataclass(frozen=True)
class DataFile:
    """One file of a data set.

    Attributes:
        part: its use, such as `train`.
        name: its name in the folder of the data set, where it may also be packed, as `NAME.xz` or `NAME.gz`.
        size: bytes, unpacked.
        address: where it is downloaded from; empty for a file that was put together from others.
        sha256: checksum of its unpacked bytes; `None` where only that of the archive is known.
        packing: how the file is contained in the download: not at all (`None`), in a `zip` archive as `member`, as
            `gz`, or as the first `size` bytes (`head`).
        member: its name in the archive.
        packed_sha256: checksum of the download, where that is known and is not the file itself.
    """

    part: str
    name: str
    size: int
    address: str
    sha256: str | None = None
    packing: Packing | None = None
    member: str = ""
    packed_sha256: str | None = None


@dataclass(frozen=True)
class Dataset:
    """A data set.

    Attributes:
        name: its name on the command line, and of its folder below the data folder.
        use: what it is used for, a phrase.
        description: its contents.
        licence: as its source states it.
        source: the page that describes it.
        files: its files.
        is_text: whether it is a text for language models: one file that is cut, or `train`, `validation` and `test`.
        split: of a text in one file, the fractions for training, validation and, if there is one, the test.
        instead: a similar data set whose files can all be downloaded, where those of this one cannot.
    """

    name: str
    use: str
    description: str
    licence: str
    source: str
    files: tuple[DataFile, ...]
    is_text: bool = False
    split: tuple[float, ...] | None = None
    instead: str | None = None

    @property
    def size(self) -> int:
        """Bytes of all files, unpacked."""
        return sum(file.size for file in self.files)


def find_dataset(name: str) -> Dataset:
    """Return the data set of this name.

    Raises:
        UsageError: it is unknown.
    """
    if name not in DATASETS:
        raise UsageError(f"There is no data set `{name}`.", fix=nearest(name, DATASETS))
    return DATASETS[name]


def _dataset(name: str, entry: Mapping[str, Any]) -> Dataset:
    rest = {key: value for key, value in entry.items() if key not in ("base", "files", "split")}
    base = entry.get("base", "")
    files = tuple(DataFile(**{"address": base + file["name"], **file}) for file in entry["files"])
    split = tuple(entry["split"]) if "split" in entry else None
    return Dataset(name, **rest, files=files, split=split)


def _read() -> dict[str, Dataset]:
    table = importlib.resources.files("elman.data.known") / "datasets.toml"
    entries = tomllib.loads(table.read_text(encoding="utf-8"))
    return {name: _dataset(name, entry) for name, entry in entries.items()}


DATASETS = _read()
