"""Files opened, unpacked and decoded, and the mistakes in them gathered and named."""

import bz2
import codecs
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

from elman.data.listing import listed
from elman.errors import DataError, UsageError, os_errors_as

PACKED: dict[str, Callable[[Any], Any]] = {".xz": lzma.open, ".gz": gzip.open, ".bz2": bz2.open}
UNPACKING_ERRORS = (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError)
HOLDS_NUL = "holds a NUL byte, which no text in UTF-8 has"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Source:
    """A text file as it was read.

    Attributes:
        name: its path as given, or `standard input`.
        ending: the ending of the path in lower case without that of the compression, as `.csv`.
        lines: its lines, each with its own line end.
        encoding: as it was given; None for UTF-8.
    """

    name: str
    ending: str
    lines: list[str]
    encoding: str | None = None


@dataclass
class Mistakes:
    """The mistakes found in one source, raised all at once."""

    source: str
    found: list[str] = field(default_factory=list)

    def add(self, line: int, column: int | str | None, problem: str) -> None:
        """Note a mistake. The column is a number, a name, or None for the whole line."""
        self.found.append(f"{position(line, column)}: {problem}")

    def raise_any(self, fix: str) -> None:
        """Raise DataError if there was a mistake."""
        if self.found:
            count = "is a mistake" if len(self.found) == 1 else f"are {len(self.found)} mistakes"
            raise DataError(f"There {count} in {self.source}.", where="\n".join(listed(self.found)), fix=fix)


def position(line: int, column: int | str | None = None) -> str:
    """Describe a line and a column in words.

    >>> position(3, "label")
    'line 3, column `label`'
    """
    if column is None:
        return f"line {line}"
    return f"line {line}, column {column if isinstance(column, int) else f'`{column}`'}"


def read_source(path: str | Path, encoding: str | None = None) -> Source:
    """Read the lines of a file or of standard input (`-`), unpacked if packed.

    A line ends with a line feed, with or without a carriage return before it, and nowhere else. A byte
    order mark is left out.

    Args:
        path: the file.
        encoding: of its text; UTF-8 if not given.

    Raises:
        DataError: a file that is missing, cannot be opened or unpacked, is not in the encoding, holds a
            NUL byte, or is empty.
        UsageError: an encoding that Python does not have.
    """
    check_encoding(encoding)
    if str(path) == "-":
        return decode_source("standard input", "", sys.stdin.buffer.read(), encoding)
    path = Path(path)
    content = _read_bytes(path)
    packed = path.suffix.lower()
    if packed not in PACKED:
        return decode_source(str(path), packed, content, encoding)
    try:
        content = PACKED[packed](io.BytesIO(content)).read()
    except UNPACKING_ERRORS as error:
        raise DataError(
            f"{path} cannot be unpacked as {packed}: it is cut short, damaged or something else.",
            where=str(error),
            fix=f"Get the file again, or rename it without {packed} if it is not compressed.",
        ) from None
    return decode_source(str(path), ending_of(path), content, encoding)


def ending_of(path: str | Path) -> str:
    """Return the ending of a path in lower case, without that of a compression.

    >>> ending_of("words.CSV.gz"), ending_of("-")
    ('.csv', '')
    """
    path = Path(path)
    packed = path.suffix.lower() in PACKED
    return (path.with_suffix("") if packed else path).suffix.lower()


def check_encoding(encoding: str | None) -> None:
    """Refuse an encoding that Python does not have, or that is not of text.

    Raises:
        UsageError: it is not.
    """
    if encoding is None:
        return
    try:
        "".encode(encoding)
    except (LookupError, TypeError, ValueError):
        raise UsageError(
            f"{encoding!r} is not a text encoding.", fix="Give one as Python names it: utf-8, utf-16, latin-1, cp1252 …"
        ) from None


def split_lines(text: str) -> list[str]:
    r"""Split a text after each line feed. A carriage return alone does not end a line.

    >>> split_lines("a\rb\r\nc")
    ['a\rb\r\n', 'c']
    """
    return list(io.StringIO(text, newline="\n"))


def open_unpacked(path: Path) -> io.BufferedIOBase:
    """Open a file to read bytes, unpacked on the fly if its name ends in .gz, .xz or .bz2.

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
    """Return the error for a missing file, with the files that exist beside it."""
    if path.is_dir():
        return DataError(f"{path} is a folder.", fix=f"Give its files: {path}/*")
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


def decode_source(name: str, ending: str, content: bytes, encoding: str | None = None) -> Source:
    """Decode the bytes of a file. Arguments and errors are those of `Source` and `read_source`."""
    marked = len(_BYTE_ORDER_MARK) if content.startswith(_BYTE_ORDER_MARK) else 0
    if encoding is None or (marked and codecs.lookup(encoding).name == "utf-8"):
        text = _decode_utf8(name, content[marked:], marked)
    else:
        text = _decode_as(name, content, encoding)
    lines = split_lines(text)
    if not text.strip():
        raise DataError(f"{name} is empty.", fix="Give at least one row.")
    return Source(name, ending, lines, encoding)


def _decode_utf8(name: str, body: bytes, marked: int) -> str:
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise _encoding_error(name, body, marked, error.start, "is not UTF-8") from None
    if "\0" in text:
        raise _encoding_error(name, body, marked, body.index(b"\0"), HOLDS_NUL)
    return text


def _decode_as(name: str, content: bytes, encoding: str) -> str:
    try:
        text = content.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise not_decoded(name, encoding, error, error.start, guess_encoding(content)) from None
    if "\0" in text:
        before = split_lines(text[: text.index("\0")] + "x")
        raise nul_decoded(name, encoding, position(len(before), len(before[-1])), guess_encoding(content))
    return text


def nul_decoded(name: str, encoding: str, where: str, guess: str) -> DataError:
    """Return the error for a NUL character in a decoded file.

    Args:
        name: of the file.
        encoding: in which it was read.
        where: the position of the character.
        guess: as `guess_encoding` gave it.
    """
    return DataError(
        f"{name} holds a NUL character when it is read as {encoding}.",
        where=where,
        fix=f"Give the encoding that the file was saved in (--encoding). {guess}",
    )


def not_decoded(name: str, encoding: str, error: UnicodeDecodeError, offset: int, guess: str) -> DataError:
    """Return the error that names the byte of a file that is not in an encoding.

    Args:
        name: of the file.
        encoding: in which it was read.
        error: that Python raised.
        offset: of the byte in the file.
        guess: as `guess_encoding` gave it.
    """
    return DataError(
        f"{name} is not {encoding}: {error.reason}.",
        where=f"byte 0x{error.object[error.start]:02x} at offset {offset}",
        fix=f"Give the encoding that the file was saved in (--encoding). {guess}",
    )


def guess_encoding(content: bytes) -> str:
    """Guess the encoding from the first bytes."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "It begins as UTF-16 does: --encoding utf-16."
    sample = content[:2000]
    for name, zeros in (("utf-16-le", sample[1::2]), ("utf-16-be", sample[0::2])):
        if len(zeros) > 3 and zeros.count(0) > 0.4 * len(zeros):
            return f"It looks like UTF-16: --encoding {name}."
    if content.startswith(_OTHER_FILES):
        return "It is not a text file: export it as CSV in UTF-8 first."
    if b"\0" in content:
        return "If it is UTF-8, remove the NUL bytes."
    return "Western European files are often in --encoding cp1252 or latin-1."


# How files begin that people take for text: archives and spreadsheets (.xlsx), old spreadsheets, PDF, Parquet.
_OTHER_FILES = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0", b"%PDF", b"PAR1", b"\x1f\x8b", b"\xfd7zXZ", b"BZh")


def _encoding_error(name: str, body: bytes, marked: int, at: int, problem: str) -> DataError:
    before = split_lines(body[:at].decode() + "x")
    where = position(len(before), len(before[-1]))
    return not_utf8(name, problem, body[at], marked + at, where, guess_encoding(body))


def not_utf8(name: str, problem: str, byte: int, offset: int, where: str, guess: str) -> DataError:
    """Return the error that names the byte of a file that is not a text in UTF-8.

    Args:
        name: of the file.
        problem: the byte's, as a clause without its subject.
        byte: its value.
        offset: of the byte in the file.
        where: its line and column; empty if they are not known.
        guess: as `guess_encoding` gave it.
    """
    return DataError(
        f"{name} {problem}.",
        where=f"byte 0x{byte:02x} at offset {offset}" + f", {where}" * bool(where),
        fix=f"Save it as UTF-8 text, or give its encoding (--encoding). {guess}",
    )
