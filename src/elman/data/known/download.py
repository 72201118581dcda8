"""Files of known data sets, downloaded by address, unpacked and checked by checksum."""

import errno
import gzip
import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlparse

import requests

from elman.data.known.catalogue import DataFile, Dataset, find_dataset
from elman.data.known.datasets import difference, find_file
from elman.errors import DataError
from elman.files import FULL, sha256

TIMEOUT_SECONDS = 30.0
CHUNK = 1 << 16
# The downloaded file has another checksum (a ValueError) or cannot be unpacked.
WRONG = (ValueError, KeyError, EOFError, zlib.error, zipfile.BadZipFile, gzip.BadGzipFile)

# Called with the name of the file, the bytes received, and the total if it is known.
Progress = Callable[[str, int, int | None], None]


@dataclass(frozen=True)
class Got:
    """A file of a data set that is now in its folder.

    Attributes:
        file: which one.
        path: its path.
        downloaded: whether it was downloaded now, or was there before.
    """

    file: DataFile
    path: Path
    downloaded: bool


def get_dataset(
    name: str, folder: Path, *, progress: Progress | None = None, timeout: float = TIMEOUT_SECONDS
) -> list[Got]:
    """Download the files of a data set that are missing or damaged, and check them.

    A whole file is left as it is. A downloaded file replaces a damaged one only when it is complete and its checksum is
    right. An interrupted download is kept beside the file, as `.NAME.part`, and the next call resumes it if the server
    supports that.

    Args:
        name: one of `catalogue.DATASETS`.
        folder: the data folder; it is made if it does not exist.
        progress: called as the download proceeds.
        timeout: seconds that the server may be silent.

    Returns:
        Every file of the data set.

    Raises:
        UsageError: no such data set.
        DataError: a file cannot be downloaded, or differs from the known one; files downloaded before it are kept.
    """
    dataset = find_dataset(name)
    own = folder / name
    _refuse_without_address(dataset, own)
    got = [
        _get(dataset, file, own, progress or (lambda name, received, total: None), timeout) for file in dataset.files
    ]
    for file in dataset.files:
        _part(own, file).unlink(missing_ok=True)
    return got


def _part(folder: Path, file: DataFile) -> Path:
    """Return the path of an incomplete download, which files of one archive share."""
    return folder / f".{file.address.rpartition('/')[2] or file.name}.part"


def _whole(folder: Path, file: DataFile) -> Path | None:
    path = find_file(folder, file)
    return path if path is not None and difference(path, file) is None else None


def _refuse_without_address(dataset: Dataset, folder: Path) -> None:
    """Refuse a data set if a missing file has no address."""
    made = [file for file in dataset.files if not file.address and _whole(folder, file) is None]
    if made:
        other = f"Get `{dataset.instead}` instead, or put" if dataset.instead else "Put"
        raise DataError(
            f"{len(made)} of {len(dataset.files)} files of {dataset.name} cannot be downloaded: "
            "they were put together from other files.",
            where="\n".join(f"{folder / file.name}, see {dataset.source}" for file in made),
            fix=f"{other} them there yourself.",
        )


def _get(dataset: Dataset, file: DataFile, folder: Path, progress: Progress, timeout: float) -> Got:
    present = _whole(folder, file)
    if present is not None:
        return Got(file, present, downloaded=False)
    path, part, unpacked = folder / file.name, _part(folder, file), folder / f".{file.name}.new"
    with _failures_explained(dataset, file, folder):
        folder.mkdir(parents=True, exist_ok=True)
        _check_room(file, folder)
        _fetch(file, part, progress, timeout)
        try:
            whole = _unpack(file, part, unpacked)
            _check(whole, file.sha256)
            whole.replace(path)
        except WRONG:
            # A wrong file cannot be resumed.
            part.unlink(missing_ok=True)
            raise
        finally:
            unpacked.unlink(missing_ok=True)
    return Got(file, path, downloaded=True)


def _check_room(file: DataFile, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if file.size > free:
        raise OSError(errno.ENOSPC, f"{file.size:,} bytes are needed and {free:,} are free", str(folder))


def _fetch(file: DataFile, part: Path, progress: Progress, timeout: float) -> None:
    """Download a file, or its first bytes, resuming from those that `part` already has."""
    wanted = file.size if file.packing == "head" else None
    received = part.stat().st_size if part.exists() else 0
    if wanted is not None and received >= wanted:
        return
    # If the server compressed the answer, bytes received could not be compared with bytes of the file.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={received}-"} if received else {})
    with requests.get(file.address, headers=headers, timeout=timeout, stream=True) as response:
        if response.status_code == requests.codes.requested_range_not_satisfiable:
            # The part is complete, or the file has changed, which its checksum shows.
            return
        response.raise_for_status()
        resumes = received > 0 and response.headers.get("Content-Range", "").startswith(f"bytes {received}-")
        received = received if resumes else 0
        length = response.headers.get("Content-Length")
        total = wanted or (received + int(length) if length else None)
        with part.open("ab" if resumes else "wb") as stream:
            for chunk in response.iter_content(CHUNK):
                kept = chunk if wanted is None else chunk[: wanted - received]
                stream.write(kept)
                received += len(kept)
                progress(file.name, received, total)
                if received == wanted:
                    return


def _unpack(file: DataFile, packed: Path, target: Path) -> Path:
    """Return the path of the file itself: the download, or the target, to which it is unpacked."""
    _check(packed, file.packed_sha256)
    if file.packing == "zip":
        with zipfile.ZipFile(packed) as archive, archive.open(file.member) as source, target.open("wb") as stream:
            shutil.copyfileobj(source, stream)
    elif file.packing == "gz":
        with gzip.open(packed) as source, target.open("wb") as stream:
            shutil.copyfileobj(source, stream)
    else:
        return packed
    return target


def _check(path: Path, expected: str | None) -> None:
    if expected is not None and (found := sha256(path)) != expected:
        raise ValueError(f"expected sha256 {expected}, got {found}")


@contextmanager
def _failures_explained(dataset: Dataset, file: DataFile, folder: Path) -> Iterator[None]:
    """Raise every failure inside as a DataError with its repair."""
    try:
        yield
    except requests.RequestException as error:
        problem, fix = _network_failure(error, file)
        part = _part(folder, file)
        if part.exists() and (kept := part.stat().st_size):
            fix += f" The {kept:,} bytes received so far are kept; the same command resumes from there."
        fix += f" Or put the file at {folder / file.name} yourself."
        raise DataError(f"{file.name} of {dataset.name} {problem}.", where=file.address, fix=fix) from error
    except WRONG as error:
        raise DataError(
            f"The file downloaded for {file.name} of {dataset.name} is not the one that elman knows.",
            where=f"{file.address}\n{error}",
            fix="Try once more. If it happens again, the file has changed there, or a proxy answers instead.",
        ) from error
    except OSError as error:
        if error.errno in FULL:
            problem, fix = "The disk is full", "Make room, or give a folder on another disk (--data DIR)."
        else:
            problem, fix = f"{file.name} cannot be written", "Give a folder that you may write to (--data DIR)."
        raise DataError(f"{problem}: {error.strerror}.", where=str(error.filename or folder), fix=fix) from error


def _network_failure(error: requests.RequestException, file: DataFile) -> tuple[str, str]:
    """Return the problem, as it follows the name of the file, and its repair."""
    host = urlparse(file.address).hostname
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return _refusal(error.response.status_code, error.response.reason)
    if isinstance(error, requests.exceptions.ProxyError):
        return (
            "cannot be downloaded through the proxy",
            "Correct HTTPS_PROXY or HTTP_PROXY, or add the host to NO_PROXY.",
        )
    if isinstance(error, requests.exceptions.SSLError):
        return (
            f"cannot be downloaded: the certificate of {host} is not accepted",
            "Correct the clock, or set REQUESTS_CA_BUNDLE to the certificates of your network.",
        )
    if isinstance(error, requests.Timeout) or "timed out" in str(error).lower():
        return f"was not received: {host} was silent for too long", "Try again, with a larger --timeout."
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "was cut short: the connection broke", "Try again."
    if isinstance(error, requests.ConnectionError):
        return (
            f"cannot be downloaded: there is no connection to {host}",
            "Check the network, and set HTTPS_PROXY if it has a proxy.",
        )
    return f"cannot be downloaded: {error}", "Try again."


def _refusal(status: int, reason: str) -> tuple[str, str]:
    problem = f"cannot be downloaded: the server answered {status} {reason}".rstrip()
    if status in (404, 410):
        return problem, "The file has moved: look for it in a later version of elman, or at the source."
    if status in (401, 403, 407, 451):
        return problem, "The server or a proxy refuses it: try from another network."
    return problem, "Try again later."
