"""Files opened, unpacked and decoded, and the mistakes in them gathered and named."""

import bz2
import difflib
import gzip
import io
import lzma
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from elman.errors import DataError, os_errors_as
from elman.sequences.listing import listed

PACKED: dict[str, Callable[[Any], Any]] = {".xz": lzma.open, ".gz": gzip.open, ".bz2": bz2.open}
UNPACKING_ERRORS = (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError)
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Source:
    """A text file as it was read.

    Attributes:
        name: its path as given, or `standard input`.
        ending: the ending of the path in lower case without that of the compression, as `.csv`.
        lines: its lines, each with its own line end.
    """

    name: str
    ending: str
    lines: list[str]


@dataclass
class Mistakes:
    """The mistakes found in one source, raised all at once."""

    source: str
    found: list[str] = field(default_factory=list)

    def add(self, line: int, column: int | str | None, problem: str) -> None:
        """Note a mistake; the column is a number or a name, or None for the whole line."""
        self.found.append(f"{place(line, column)}: {problem}")

    def raise_any(self, fix: str) -> None:
        """Raise DataError if there was a mistake."""
        if self.found:
            count = "is a mistake" if len(self.found) == 1 else f"are {len(self.found)} mistakes"
            raise DataError(f"There {count} in {self.source}.", where="\n".join(listed(self.found)), fix=fix)


def place(line: int, column: int | str | None = None) -> str:
    """A line and a column in words.

    >>> place(3, "label")
    'line 3, column `label`'
    """
    if column is None:
        return f"line {line}"
    return f"line {line}, column {column if isinstance(column, int) else f'`{column}`'}"


def read_source(path: str | Path) -> Source:
    """The lines of a file, unpacked if its name ends in .gz, .xz or .bz2; `-` is standard input.

    A UTF-8 byte order mark is left out.

    Raises:
        DataError: a file that is missing, cannot be opened or unpacked, is not UTF-8, holds a NUL
            byte, or is empty.
    """
    if str(path) == "-":
        return _decode("standard input", "", sys.stdin.buffer.read())
    path = Path(path)
    content = _read_bytes(path)
    packed = path.suffix.lower()
    if packed not in PACKED:
        return _decode(str(path), packed, content)
    try:
        content = PACKED[packed](io.BytesIO(content)).read()
    except UNPACKING_ERRORS as error:
        raise DataError(
            f"{path} cannot be unpacked as {packed}: it is cut short, damaged or something else.",
            where=str(error),
            fix="Get the file again, or take the ending away if it is not compressed.",
        ) from None
    return _decode(str(path), path.with_suffix("").suffix.lower(), content)


def open_unpacked(path: Path) -> io.BufferedIOBase:
    """A file to read bytes from, unpacked while it is read if its name ends in .gz, .xz or .bz2.

    Raises:
        OSError: it cannot be opened. Reading raises one of `UNPACKING_ERRORS` where the file is damaged.
    """
    ending = path.suffix.lower()
    return PACKED[ending](path) if ending in PACKED else path.open("rb")


def _read_bytes(path: Path) -> bytes:
    with os_errors_as(DataError, f"{path} cannot be read", fix="Give the path of a readable file."):
        try:
            return path.read_bytes()
        except FileNotFoundError:
            raise missing_file(path) from None


def missing_file(path: Path) -> DataError:
    """The error that says that there is no such file, and what is there instead."""
    if path.is_dir():
        return DataError(f"{path} is a folder.", fix="Give a file.")
    return DataError(f"There is no file {path}.", fix=_nearby(path))


def _nearby(path: Path) -> str:
    if not path.parent.is_dir():
        return f"There is no folder {path.parent} either: check the path."
    names = sorted(entry.name for entry in path.parent.iterdir())
    if not names:
        return f"The folder {path.parent} is empty: check the path."
    close = difflib.get_close_matches(path.name, names, n=1)
    guess = f"Did you mean `{path.parent / close[0]}`? " if close else ""
    return f"{guess}The folder {path.parent} holds: {', '.join(names[:8])}{' …' if len(names) > 8 else ''}"


def _decode(name: str, ending: str, content: bytes) -> Source:
    marked = len(_BYTE_ORDER_MARK) if content.startswith(_BYTE_ORDER_MARK) else 0
    body = content[marked:]
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise _encoding_error(name, body, marked, error.start, "is not UTF-8") from None
    if "\0" in text:
        raise _encoding_error(name, body, marked, body.index(b"\0"), "holds a NUL byte: it is no text in UTF-8")
    # newline="" keeps line ends, so that a quoted field keeps those inside it.
    lines = list(io.StringIO(text, newline=""))
    if not text.strip():
        raise DataError(f"{name} is empty.", fix="Give at least one row.")
    return Source(name, ending, lines)


def _encoding_error(name: str, body: bytes, marked: int, at: int, problem: str) -> DataError:
    before = list(io.StringIO(body[:at].decode() + "x", newline=""))
    return DataError(
        f"{name} {problem}.",
        where=f"byte 0x{body[at]:02x} at offset {marked + at}, {place(len(before), len(before[-1]))}",
        fix="Save the file as UTF-8 text (it may be Latin-1, UTF-16 or not a text at all).",
    )
