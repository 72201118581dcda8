"""One long text, of any length: read in pieces, as often as one likes, and never held whole."""

import codecs
import gzip
import hashlib
import io
import lzma
import sys
import tempfile
import weakref
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from elman.data.files import (
    HOLDS_NUL,
    PACKED,
    check_encoding,
    guess_encoding,
    missing_file,
    not_decoded,
    not_utf8,
    nul_decoded,
    open_unpacked,
    position,
)
from elman.errors import DataError, os_errors_as

PIECE_BYTES = 2**20
_BYTE_ORDER_MARK = "\ufeff"
_FIX_TEXT = "Give a text, a Path, or parts of a text."

# Describes the position of a character of this number, from 0, in a text.
Locate = Callable[[int], str]


@dataclass(frozen=True)
class Corpus:
    """A text, or a part of one, that is read piece by piece.

    Attributes:
        name: where it is from, as a person knows it.
        open: gives the bytes of the whole text from the start.
        file: the file that has exactly the bytes of the whole text, if there is one.
        start: where this part begins, in bytes.
        stop: where it ends; the end of the text if not given.
        files: the files that the whole text is put together from, if there are several.
        any_character: whether NUL is read as a character; in a file it shows that the file is not in UTF-8.
    """

    name: str
    open: Callable[[], Any]
    file: Path | None = None
    start: int = 0
    stop: int | None = None
    files: tuple["Corpus", ...] = ()
    any_character: bool = False

    @property
    def subject(self) -> str:
        """The name at the start of a sentence; that of a file stays as it is."""
        return f"T{self.name[1:]}" if self.name.startswith("the ") else self.name

    def byte_pieces(self) -> Iterator[bytes]:
        """Yield the bytes of the text in pieces.

        Raises:
            DataError: a file that is missing or cannot be read or unpacked.
        """
        left = sys.maxsize if self.stop is None else self.stop - self.start
        with _failures_named(self.name), self.open() as stream:
            if self.start:
                stream.seek(self.start)
            while left > 0 and (piece := stream.read(min(PIECE_BYTES, left))):
                left -= len(piece)
                yield piece

    def pieces(self) -> Iterator[str]:
        """Yield the characters of the text in pieces, without a byte order mark at its start.

        Raises:
            DataError: bytes that are not UTF-8, or NUL in a file, with their position; and as `byte_pieces`.
        """
        left, done, lines, is_first = b"", 0, 0, self.start == 0
        for piece in self.byte_pieces():
            data = left + piece
            text, used = self._decoded(data, done, lines, final=False)
            left, done, lines = data[used:], done + used, lines + data.count(b"\n", 0, used)
            if text:
                yield text.removeprefix(_BYTE_ORDER_MARK) if is_first else text
                is_first = False
        self._decoded(left, done, lines, final=True)

    def locate(self, character: int) -> str:
        """Locate a character of `pieces`, counted from 0, in the whole text, read up to there.

        >>> open_corpus("one\\ntwo").split(0.5, 0.5)[1].locate(2)
        'the text, line 2, column 3'

        Raises:
            DataError: as `pieces`.
        """
        line, column = 1, 1
        before = replace(self, start=0, stop=self.start)
        if self.files:
            return _locate_in_files(self.files, sum(map(len, before.pieces())) + character)
        for piece in chain(before.pieces(), _first(character, self.pieces())):
            line += piece.count("\n")
            column = len(piece) - piece.rindex("\n") if "\n" in piece else column + len(piece)
        return f"{self.name}, {position(line, column)}"

    def size(self) -> int:
        """Count the bytes of the text."""
        if self.file is not None:
            return (self.file.stat().st_size if self.stop is None else self.stop) - self.start
        return sum(map(len, self.byte_pieces()))

    def split(self, *fractions: float) -> tuple["Corpus", ...]:
        """Split the text into consecutive parts of these shares of its bytes, at whole characters.

        >>> [list(part.pieces()) for part in open_corpus("naïve art").split(0.25, 0.75)]
        [['na'], ['ïve art']]

        Args:
            fractions: of each part; they sum to 1.
        """
        size, starts, share = self.size(), [self.start], 0.0
        for fraction in fractions[:-1]:
            share += fraction
            starts.append(self._character_from(self.start + round(share * size)))
        ends = [*starts[1:], self.start + size]
        return tuple(replace(self, start=start, stop=stop) for start, stop in zip(starts, ends, strict=True))

    def _character_from(self, start: int) -> int:
        """Return the position of the first byte from `start` that begins a character."""
        near = next(replace(self, start=start, stop=start + 4).byte_pieces(), b"")
        return start + next((shift for shift, byte in enumerate(near) if byte & 0xC0 != 0x80), len(near))

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of its bytes, in hexadecimal."""
        digest = hashlib.sha256()
        for piece in self.byte_pieces():
            digest.update(piece)
        return digest.hexdigest()

    def _decoded(self, data: bytes, done: int, lines: int, *, final: bool) -> tuple[str, int]:
        try:
            text, used = codecs.utf_8_decode(data, "strict", final)
        except UnicodeDecodeError as error:
            raise self._not_utf8("is not UTF-8", data, error.start, done, lines) from None
        if not self.any_character and "\0" in text:
            raise self._not_utf8(HOLDS_NUL, data, data.index(b"\0"), done, lines)
        return text, used

    def _not_utf8(self, problem: str, data: bytes, at: int, done: int, lines: int) -> DataError:
        """Return the error for a byte of the data, which begin after `done` bytes and `lines` lines."""
        for file in self.files:
            # Raises the same with the file's own name and position.
            deque(file.pieces(), maxlen=0)
        # The lines before a part of a text were not counted.
        where = "" if self.start else position(lines + data.count(b"\n", 0, at) + 1)
        guess = f'{self._guess_encoding()} A model with tokens="bytes" (--tokens bytes) reads any bytes.'
        return not_utf8(self.name, problem, data[at], self.start + done + at, where, guess)

    def _guess_encoding(self) -> str:
        return guess_encoding(next(replace(self, start=0, stop=None).byte_pieces(), b""))

    def recoded(self, encoding: str) -> "Corpus":
        """Return the text of bytes in another encoding, kept in a temporary file as UTF-8.

        Raises:
            DataError: bytes that are not in that encoding, or decode to NUL; and as `byte_pieces`.
        """
        return keep(self.name, self._recoded_pieces(encoding))

    def _recoded_pieces(self, encoding: str) -> Iterator[bytes]:
        decoder, done, is_first, line = codecs.getincrementaldecoder(encoding)(), 0, True, 1
        for piece in chain(self.byte_pieces(), [b""]):
            done += len(piece)
            try:
                text = decoder.decode(piece, final=not piece)
            except UnicodeDecodeError as error:
                # The error's bytes begin with those that an earlier piece ended in.
                offset = done - len(error.object) + error.start
                raise not_decoded(self.name, encoding, error, offset, self._guess_encoding()) from None
            if "\0" in text:
                where = position(line + text.count("\n", 0, text.index("\0")))
                raise nul_decoded(self.name, encoding, where, self._guess_encoding())
            line += text.count("\n")
            if text:
                yield encode_utf8(text.removeprefix(_BYTE_ORDER_MARK) if is_first else text, self.name)
                is_first = False


def numbered(character: int) -> str:
    """Locate a character, counted from 0, in a text without a name.

    >>> numbered(0)
    'character 1'
    """
    return f"character {character + 1:,}"


def encode_utf8(text: str, name: str = "the text", locate: Locate = numbered) -> bytes:
    """Encode the text in UTF-8.

    Raises:
        DataError: half of a surrogate pair, with its position.
    """
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"{name[0].upper()}{name[1:]} cannot be written as UTF-8: it holds half of a surrogate pair.",
            where=locate(error.start),
            fix="Repair the text where it was decoded; what a shell hands over must be UTF-8 too.",
        ) from None


Text = str | Path | Iterable[str] | Iterable[Path] | Corpus


def open_corpus(
    text: Text, *, name: str = "the text", encoding: str | None = None, fallback: str | None = None
) -> Corpus:
    """Return the text as a corpus.

    Args:
        text: the text itself; or a `Path`, unpacked if its name ends in .gz, .xz or .bz2, where `-` is standard input;
            or a list of paths, which are read one after the other, each from a line of its own; or an
            iterable of parts of the text; or a corpus, which stays what it is. What can be read once only (parts,
            standard input, a pipe), and what is put together, is kept in a temporary file.
        name: what a text that is not a file is called in messages.
        encoding: of files, as Python names it; UTF-8 if not given.
        fallback: the encoding of files that are not UTF-8, where no encoding is given.

    Raises:
        DataError: a file that is missing, a part that is not a string, bytes that are not in the encoding or decode to
            NUL, or text that cannot be written as UTF-8.
        UsageError: an encoding that Python does not have.
    """
    check_encoding(encoding)
    if isinstance(text, Corpus):
        return text
    if isinstance(text, str):
        content = encode_utf8(text, name)
        return Corpus(name, lambda: io.BytesIO(content), any_character=True)
    if isinstance(text, Path):
        return _open_files([text], encoding, fallback)
    if not isinstance(text, Iterable):
        raise DataError(f"{name[0].upper()}{name[1:]} is a {type(text).__name__}.", fix=_FIX_TEXT)
    parts = text if isinstance(text, list | tuple) else iter(text)
    if isinstance(parts, list | tuple) and parts and all(isinstance(part, Path) for part in parts):
        return _open_files([part for part in parts if isinstance(part, Path)], encoding, fallback)
    return replace(keep(name, _encoded_parts(parts, name)), any_character=True)


def is_read_once(path: Path) -> bool:
    """Return whether a source can be read only once: standard input, a pipe or a device."""
    return str(path) == "-" or path.is_fifo() or path.is_char_device()


def name_of_files(paths: Sequence[Path]) -> str:
    """Describe several files in a message.

    >>> name_of_files([Path("a.txt"), Path("b.txt"), Path("c.txt")])
    'a.txt and 2 more files'
    """
    more = len(paths) - 1
    return str(paths[0]) + (f" and {more} more file{'s' * (more > 1)}" if more else "")


def _open_files(paths: Sequence[Path], encoding: str | None, fallback: str | None) -> Corpus:
    files = tuple(_decoded(_open_file(path), encoding, fallback) for path in paths)
    if len(files) == 1:
        return files[0]
    return replace(keep(name_of_files(paths), _one_after_the_other(files)), files=files)


def _decoded(file: Corpus, encoding: str | None, fallback: str | None) -> Corpus:
    """Return the file, recoded where it is not in UTF-8."""
    if encoding is None and fallback is not None and not _is_utf8(file):
        encoding = fallback
    return file if encoding is None or codecs.lookup(encoding).name == "utf-8" else file.recoded(encoding)


def _is_utf8(file: Corpus) -> bool:
    try:
        deque(file.pieces(), maxlen=0)
    except DataError:
        return False
    return True


def _one_after_the_other(files: Iterable[Corpus]) -> Iterator[bytes]:
    """Yield the bytes of the files, with line ends between files and one byte order mark."""
    mark, last = _BYTE_ORDER_MARK.encode(), b"\n"
    for number, file in enumerate(files):
        begins = True
        for piece in file.byte_pieces():
            yield (b"\n" if begins and not last.endswith(b"\n") else b"") + (
                piece.removeprefix(mark) if begins and number else piece
            )
            begins, last = False, piece


def _locate_in_files(files: Iterable[Corpus], character: int) -> str:
    """Locate a character, counted from 0, in concatenated files."""
    last_position = ""
    for file in files:
        size, last = 0, "\n"
        for piece in file.pieces():
            size, last = size + len(piece), piece
        if character < size:
            return file.locate(character)
        last_position = file.locate(max(size - 1, 0))
        character -= size + (not last.endswith("\n"))
    return last_position


def _open_file(path: Path) -> Corpus:
    if str(path) == "-":
        return keep("standard input", _pieces_of(sys.stdin.buffer))
    if is_read_once(path):
        with _failures_named(str(path)), path.open("rb") as stream:
            return keep(str(path), _pieces_of(stream))
    if not path.is_file():
        raise missing_file(path)
    is_packed = path.suffix.lower() in PACKED
    return Corpus(str(path), lambda: open_unpacked(path), None if is_packed else path)


def _pieces_of(stream: BinaryIO) -> Iterator[bytes]:
    return iter(lambda: stream.read(PIECE_BYTES), b"")


def keep(name: str, parts: Iterable[bytes]) -> Corpus:
    """Return a text of these parts in UTF-8, kept in a temporary file."""
    file: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115  # pyright: ignore[reportAssignmentType]

    @contextmanager
    def from_the_start() -> Iterator[BinaryIO]:
        file.seek(0)
        yield file

    # Gone with the last part of the text that is read from it.
    weakref.finalize(from_the_start, file.close)
    for part in parts:
        file.write(part)
    return Corpus(name, from_the_start)


def _encoded_parts(parts: Iterable[str | Path], name: str) -> Iterator[bytes]:
    for number, part in enumerate(parts, start=1):
        if not isinstance(part, str):
            raise DataError(f"Part {number} of {name} is a {type(part).__name__}.", fix=_FIX_TEXT)
        yield encode_utf8(part, f"part {number} of {name}")


def _first(characters: int, pieces: Iterable[str]) -> Iterator[str]:
    """So many characters, in pieces."""
    for piece in pieces:
        yield piece[:characters]
        characters -= len(piece)
        if characters <= 0:
            return


@contextmanager
def _failures_named(name: str) -> Iterator[None]:
    with os_errors_as(DataError, f"{name} cannot be read", fix="Give the path of a readable file."):
        try:
            yield
        except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
            raise DataError(
                f"{name} cannot be unpacked: it is cut short, damaged or something else.",
                where=str(error),
                fix="Get the file again, or rename it without the ending of a compression if it is not compressed.",
            ) from None
