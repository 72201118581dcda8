"""Files of known data sets, downloaded by address, unpacked and proved by checksum."""

import errno
import gzip
import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from elman.data.known.catalogue import DataFile, Dataset, find_dataset
from elman.data.known.datasets import difference, find_file
from elman.errors import DataError
from elman.files import FULL, sha256

TIMEOUT_SECONDS = 30.0
CHUNK = 1 << 16
# What came has another checksum (a ValueError, from pooch too), or cannot be unpacked.
WRONG = (ValueError, KeyError, EOFError, zlib.error, zipfile.BadZipFile, gzip.BadGzipFile)

# Told the name of the file, the bytes that have come, and how many there are, if that is known.
Progress = Callable[[str, int, int | None], None]


@dataclass(frozen=True)
class Got:
    """A file of a data set that now lies in its place.

    Attributes:
        file: which one.
        path: where it lies.
        downloaded: whether it was downloaded now, or was there already.
    """

    file: DataFile
    path: Path
    downloaded: bool


def get_dataset(
    name: str, folder: Path, *, progress: Progress | None = None, timeout: float = TIMEOUT_SECONDS
) -> list[Got]:
    """Every file of a data set in its place below the data folder, its checksum proved.

    What is there and whole stays as it is; what is there and damaged is got again. A file takes its place, and that of
    a damaged one, only when all of it has come and its checksum is right. What has come of one that was cut short is
    kept beside its place, as `.NAME.part`, and the next call goes on from there, where the server can do that.

    Args:
        name: one of `catalogue.DATASETS`.
        folder: the data folder; it is made if it does not exist.
        progress: told how far the download is.
        timeout: seconds that the server may be silent.

    Raises:
        UsageError: no such data set.
        DataError: files that cannot be downloaded, or came otherwise than they should; how many others were got
            before stays so.
    """
    dataset = find_dataset(name)
    place = folder / name
    _refuse_made(dataset, place)
    got = [_get(dataset, file, place, progress, timeout) for file in dataset.files]
    for file in dataset.files:
        _rest(place, file).unlink(missing_ok=True)
    return got


def _rest(place: Path, file: DataFile) -> Path:
    """Where what has come of a file waits for the rest; files of one archive share it."""
    return place / f".{file.address.rpartition('/')[2] or file.name}.part"


def _whole(place: Path, file: DataFile) -> Path | None:
    path = find_file(place, file)
    return path if path is not None and difference(path, file) is None else None


def _refuse_made(dataset: Dataset, place: Path) -> None:
    """Files that somebody put together have no address; the others would be of no use without them."""
    made = [file for file in dataset.files if not file.address and _whole(place, file) is None]
    if made:
        other = f"Get `{dataset.instead}` in its place, or put" if dataset.instead else "Put"
        raise DataError(
            f"{len(made)} of {len(dataset.files)} files of {dataset.name} cannot be downloaded: "
            "they were put together from other files.",
            where="\n".join(f"{place / file.name}, see {dataset.source}" for file in made),
            fix=f"{other} them there yourself.",
        )


def _get(dataset: Dataset, file: DataFile, place: Path, progress: Progress | None, timeout: float) -> Got:
    present = _whole(place, file)
    if present is not None:
        return Got(file, present, downloaded=False)
    # Imports requests, of use here only.
    import pooch

    pooch.get_logger().setLevel("WARNING")
    with _failures_explained(dataset, file, place):
        place.mkdir(parents=True, exist_ok=True)
        _check_room(file, place)
        # pooch's own type of it has other names for the arguments than its callers use.
        fetch: Any = _Downloader(file, _rest(place, file), progress, timeout)
        # By a name of its own: a file that is there and has no checksum counts as whole to pooch.
        new = pooch.retrieve(file.address, file.sha256, f".{file.name}.new", place, downloader=fetch)
        path = Path(new).replace(place / file.name)
    return Got(file, path, downloaded=True)


def _check_room(file: DataFile, place: Path) -> None:
    free = shutil.disk_usage(place).free
    if file.size > free:
        raise OSError(errno.ENOSPC, f"{file.size:,} bytes are needed and {free:,} are free", str(place))


class _Downloader:
    """What pooch calls to fill a file before it proves the checksum."""

    def __init__(self, file: DataFile, rest: Path, progress: Progress | None, timeout: float):
        self.file, self.rest, self.progress, self.timeout = file, rest, progress, timeout

    def __call__(self, url: str, output_file: Any, pooch: Any, *, check_only: bool | None = None) -> None:
        wanted = self.file.size if self.file.packing == "head" else None
        tell = self.progress or (lambda name, come, total: None)
        _fetch(url, self.rest, wanted, self.timeout, lambda come, total: tell(self.file.name, come, total))
        try:
            _unpack(self.file, self.rest, Path(output_file))
        except WRONG:
            # There is nothing to go on from.
            self.rest.unlink()
            raise


def _fetch(url: str, rest: Path, wanted: int | None, timeout: float, tell: Callable[[int, int | None], None]) -> None:
    """Fill `rest` with what the address gives, or the first `wanted` bytes, going on from what it already has."""
    import requests

    come = rest.stat().st_size if rest.exists() else 0
    if wanted is not None and come >= wanted:
        return
    # Compressed on the way, the bytes that came and those in the file could not be compared.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={come}-"} if come else {})
    with requests.get(url, headers=headers, timeout=timeout, stream=True) as response:
        if response.status_code == requests.codes.requested_range_not_satisfiable:
            # All of it had come; or it is another file by now, which the checksum will tell.
            return
        response.raise_for_status()
        goes_on = response.headers.get("Content-Range", "").startswith(f"bytes {come}-") and come > 0
        come = come if goes_on else 0
        length = response.headers.get("Content-Length")
        total = wanted or (come + int(length) if length else None)
        with rest.open("ab" if goes_on else "wb") as stream:
            for chunk in response.iter_content(CHUNK):
                stream.write(chunk if wanted is None else chunk[: wanted - come])
                come += len(chunk)
                tell(come if wanted is None else min(come, wanted), total)
                if wanted is not None and come >= wanted:
                    return


def _unpack(file: DataFile, came: Path, target: Path) -> None:
    """Put the file itself, out of what came, at the target."""
    if file.packed_sha256 is not None and (found := sha256(came)) != file.packed_sha256:
        raise ValueError(f"expected sha256 {file.packed_sha256}, found {found}")
    if file.packing == "zip":
        with zipfile.ZipFile(came) as archive, archive.open(file.member) as source, target.open("wb") as stream:
            shutil.copyfileobj(source, stream)
    elif file.packing == "gz":
        with gzip.open(came) as source, target.open("wb") as stream:
            shutil.copyfileobj(source, stream)
    else:
        came.replace(target)


@contextmanager
def _failures_explained(dataset: Dataset, file: DataFile, place: Path) -> Iterator[None]:
    """Inside, whatever goes wrong becomes one DataError with its repair."""
    import requests

    try:
        yield
    except requests.RequestException as error:
        problem, fix = _network_failure(error, file)
        rest = _rest(place, file)
        if rest.exists() and (kept := rest.stat().st_size):
            fix += f" The {kept:,} bytes that have come are kept; the same command goes on from there."
        fix += f" Or put the file at {place / file.name} yourself."
        raise DataError(f"{file.name} of {dataset.name} {problem}.", where=file.address, fix=fix) from error
    except WRONG as error:
        raise DataError(
            f"What came for {file.name} of {dataset.name} is not the file that elman knows.",
            where=f"{file.address}\n{error}",
            fix="Try once more. If it happens again, the file has changed there, or a proxy answers in its place.",
        ) from error
    except OSError as error:
        if error.errno in FULL:
            problem, fix = "The disk is full", "Make room, or say --data DIR with a folder on another disk."
        else:
            problem, fix = f"{file.name} cannot be written", "Say --data DIR with a folder that you may write to."
        raise DataError(f"{problem}: {error.strerror}.", where=str(error.filename or place), fix=fix) from error


def _network_failure(error: Any, file: DataFile) -> tuple[str, str]:
    """What went wrong on the way, after the name of the file, and what to do about it."""
    import requests

    host = urlparse(file.address).hostname
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return _refusal(error.response.status_code, error.response.reason)
    if isinstance(error, requests.exceptions.ProxyError):
        return "cannot be got through the proxy", "Correct HTTPS_PROXY and HTTP_PROXY, or name the host in NO_PROXY."
    if isinstance(error, requests.exceptions.SSLError):
        return (
            f"cannot be got: the certificate of {host} is not accepted",
            "Correct the clock, or name the certificates of your network in REQUESTS_CA_BUNDLE.",
        )
    if isinstance(error, requests.Timeout) or "timed out" in str(error).lower():
        return f"did not come: {host} was silent for too long", "Try again, with a larger --timeout."
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "was cut short: the connection broke", "Try again."
    if isinstance(error, requests.ConnectionError):
        return f"cannot be got: there is no connection to {host}", "Check the network, and HTTPS_PROXY if it has one."
    return f"cannot be got: {error}", "Try again."


def _refusal(status: int, reason: str) -> tuple[str, str]:
    said = f"cannot be got: the server answered {status} {reason}".rstrip()
    if status in (404, 410):
        return said, "The file has moved: look for it in a later version of elman, or at the source."
    if status in (401, 403, 407, 451):
        return said, "The server or a proxy refuses it: try from another network."
    return said, "Try again later."
