"""Write files so that a failure leaves either all of the old files or all of the new ones."""

import errno
import hashlib
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

Content = bytes | str | Callable[[Path], object]
# Error numbers of an `OSError`: the disk, or the quota of the user, is full.
FULL = (errno.ENOSPC, errno.EDQUOT)


def atomic_write(path: Path, content: Content) -> None:
    """Write a file with exactly this content, which replaces the old one in one instant.

    A reader, or a machine that loses its power, sees the old file or the new one and nothing between.

    Args:
        path: the file; its folder must exist.
        content: bytes, text (written as UTF-8, halves of surrogate pairs, as a path may have, with a
            backslash), or a function that writes the file whose path it is given.

    Raises:
        OSError: the folder is missing, full or not writable; the old file is then untouched.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "note.txt"
    >>> atomic_write(path, "gate")
    >>> path.read_text()
    'gate'
    """
    atomic_write_all(path.parent, {path.name: content})


def atomic_write_all(folder: Path, contents: Mapping[str, Content]) -> None:
    """Write several files of a folder: all are complete on disk before the first is replaced.

    Args:
        folder: an existing folder.
        contents: name to content, in the order in which they replace the old ones.

    Raises:
        OSError: as in `atomic_write`.
    """
    with _staged(folder, contents) as waiting:
        for name, path in waiting.items():
            path.replace(folder / name)
        _sync_folder(folder)


def discard(stream: IO[str]) -> None:
    """Discard further output to a stream whose reader has left or whose disk is full."""
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())


def print_if_read(line: str, stream: IO[str]) -> None:
    """Print a line to a stream, unless its reader has left."""
    try:
        print(line, file=stream, flush=True)
    except OSError as error:
        # A terminal that was closed takes no more, either.
        if not isinstance(error, BrokenPipeError) and error.errno != errno.EIO:
            raise
        discard(stream)


def remove_leftovers(folder: Path, *names: str) -> None:
    """Remove half-written files of these names that killed processes left in the folder."""
    for name in names:
        for path in folder.glob(f".{name}.*.tmp"):
            with suppress(OSError):
                path.unlink()


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, or of the names and bytes of all files of a folder."""
    if not path.is_dir():
        return sha256(path)
    files = sorted(each for each in path.rglob("*") if each.is_file())
    lines = [f"{each.relative_to(path).as_posix()} {sha256(each)}" for each in files]
    return hashlib.sha256("\n".join(lines).encode(errors="backslashreplace")).hexdigest()


@contextmanager
def _staged(folder: Path, contents: Mapping[str, Content]) -> Iterator[dict[str, Path]]:
    token = secrets.token_hex(4)
    waiting = {name: folder / f".{name}.{token}.tmp" for name in contents}
    try:
        for name, content in contents.items():
            _write_through(waiting[name], content)
        yield waiting
    except OSError as error:
        # The caller knows the files by their own names.
        named = {str(path): str(folder / name) for name, path in waiting.items()}
        if (own := named.get(str(error.filename))) is not None:
            error.filename = own
        raise
    finally:
        for path in waiting.values():
            with suppress(FileNotFoundError):
                path.unlink()


def _write_through(path: Path, content: Content) -> None:
    if callable(content):
        content(path)
    else:
        path.write_bytes(content.encode(errors="backslashreplace") if isinstance(content, str) else content)
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
