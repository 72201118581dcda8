"""Pretrained word vectors: files of word2vec, GloVe and fastText, of which only the rows that are needed are kept."""

import io
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import mode
from typing import Any, NamedTuple

import numpy as np

from elman.data.files import UNPACKING_ERRORS, Mistakes, missing_file, open_unpacked, position
from elman.data.listing import listed
from elman.errors import DataError

HEAD_BYTES = 2**18
CHUNK_BYTES = 2**20
LONGEST_WORD = 10_000
MOST_MISTAKES = 20
_HEADER = re.compile(rb"(\d+) (\d+)[ \t\r]*")
_DECIMAL = re.compile(rb"[-+]?\d*\.\d+(?:[eE][-+]?\d+)?")
# Bytes that the numbers of a binary file have and a text has not.
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f]")
# How other files begin that come with vectors.
_OTHERS = (
    ((793_712_314).to_bytes(4, "little"), "a model of fastText", "Give its file of vectors, which ends in .vec."),
    (b"PK\x03\x04", "an archive", "Unpack it, and give one of its files."),
)
_REPAIR = "Get the file again, or correct these lines."


class Form(NamedTuple):
    """How a file of vectors is written.

    Attributes:
        width: numbers of a vector.
        words: how many words the first line announces; None without such a line.
        binary: whether the numbers are float32, little-endian, in place of text.
    """

    width: int
    words: int | None
    binary: bool


class Vectors(NamedTuple):
    """Some rows of a file of vectors.

    Attributes:
        rows: the vector `(width,)` of each word that was kept.
        added: words that were not asked for, in the order of the file.
        duplicates: rows that were left out because the same word has an earlier one.
    """

    rows: dict[str, np.ndarray]
    added: list[str]
    duplicates: int

    def find(self, word: str) -> np.ndarray | None:
        """Return the vector of a word, else that of its lower-case form, else None."""
        found = self.rows.get(word)
        return self.rows.get(word.lower()) if found is None else found


def read_form(path: Path) -> Form:
    """Return how a file of vectors is written, from its first lines.

    Raises:
        DataError: it is missing, cannot be read, or is not a file of vectors.
    """
    with _opened(path) as stream:
        return _form_of(path, stream.peek())


def read_vectors(
    path: Path, wanted: Collection[str], *, more: int = 0, is_token: Callable[[str], bool] = lambda word: True
) -> Vectors:
    """Read the vectors of some words, in memory that follows their number.

    Read are text files of word2vec, fastText (`.vec`) and GloVe, with and without a first line that has the numbers of
    words and features, and binary files of word2vec; each may be packed (.gz, .xz, .bz2). A word in a text file may
    contain blanks: the numbers are counted from the end of the line. Of equal words the first one is kept.

    Every line is checked for its width and its encoding. The numbers are read, and checked, of the rows that are kept.

    Args:
        path: the file.
        wanted: the words; the lower-case form of each is kept, too.
        more: how many other words to keep, the first of the file.
        is_token: whether another word can be kept.

    Raises:
        DataError: the file cannot be read, or has broken lines, which are named.
    """
    with _opened(path) as stream:
        form = _form_of(path, stream.peek())
        found = _Found(path, wanted, more, is_token)
        if form.binary:
            _read_binary(stream, form, found)
        else:
            _read_text(stream, form, found)
    found.mistakes.raise_any(_REPAIR)
    return Vectors(found.rows, found.added, found.duplicates)


@contextmanager
def _opened(path: Path) -> Iterator[io.BufferedReader]:
    try:
        with open_unpacked(path) as stream:
            raw: Any = stream
            yield io.BufferedReader(raw, HEAD_BYTES)
    except (FileNotFoundError, IsADirectoryError):
        raise missing_file(path) from None
    except DataError:
        raise
    except UNPACKING_ERRORS as error:
        raise DataError(
            f"The vectors in {path} cannot be read: the file is cut short or damaged.",
            where=str(error),
            fix="Get the file again.",
        ) from None


def _form_of(path: Path, head: bytes) -> Form:
    for begin, kind, fix in _OTHERS:
        if head.startswith(begin):
            raise DataError(f"{path} is {kind}, not a file of vectors.", fix=fix)
    first, _, rest = head.partition(b"\n")
    lines = [line for line in head.split(b"\n")[:-1] or [head] if line.strip()]
    header = _HEADER.fullmatch(first)
    if header and rest:
        words, width = int(header[1]), int(header[2])
        if _CONTROL.search(rest[:HEAD_BYTES]):
            return _checked(path, Form(width, words, binary=True))
        if len(rest.partition(b"\n")[0].split()) != 2 or width == 1:
            return _checked(path, Form(width, words, binary=False))
    width = mode(len(line.split()) - 1 for line in lines) if lines else 0
    if width < 1 or _CONTROL.search(head):
        raise DataError(
            f"{path} is not a file of word vectors.",
            where=f"{position(1)}: {first[:60].decode(errors='replace')!r}",
            fix="Give a file of word2vec, GloVe or fastText: a word and its numbers in each line, or word2vec's binary "
            "form.",
        )
    return Form(width, None, binary=False)


def _checked(path: Path, form: Form) -> Form:
    if form.width < 1 or not form.words:
        raise DataError(
            f"{path} announces {form.words} words and vectors of {form.width}.",
            where=position(1),
            fix="Give a file with vectors.",
        )
    return form


class _Found:
    """The rows that are kept of a file."""

    def __init__(self, path: Path, wanted: Collection[str], more: int, is_token: Callable[[str], bool]):
        self._wanted = {form for word in wanted for form in (word, word.lower())}
        self._more, self._is_token = more, is_token
        self.path = path
        self.rows: dict[str, np.ndarray] = {}
        self.added: list[str] = []
        self.duplicates = 0
        self.mistakes = Mistakes(str(path))

    def keeps(self, word: str) -> bool:
        """Return whether the row of a word is needed, and count it if it is a duplicate."""
        if word in self.rows:
            self.duplicates += 1
            return False
        return word in self._wanted or (len(self.added) < self._more and self._is_token(word))

    def keep(self, word: str, row: np.ndarray) -> None:
        """Keep the row of a word."""
        if word not in self._wanted:
            self.added.append(word)
        self.rows[word] = row

    @property
    def has_enough_mistakes(self) -> bool:
        """Whether reading on would only name more of them."""
        return len(self.mistakes.found) >= MOST_MISTAKES


def _read_text(stream: io.BufferedReader, form: Form, found: _Found) -> None:
    if form.words is not None:
        stream.readline()
    number = first = 1 if form.words is not None else 0
    blank = 0
    for number, line in enumerate(stream, first + 1):
        if found.has_enough_mistakes:
            return
        if not line.strip():
            blank += 1
            continue
        try:
            _read_line(line, form.width, found)
        except ValueError as error:
            found.mistakes.add(number, None, str(error))
    words = number - first - blank
    if form.words is not None and words < form.words:
        found.mistakes.add(
            number, None, f"expected {form.words:,} words, as line 1 says, got {words:,}: the file is cut short"
        )


def _read_line(line: bytes, width: int, found: _Found) -> None:
    """Read a line of text. Raises `ValueError` with what is wrong."""
    line = line.rstrip()
    # Most lines have one blank before each number, and are not needed.
    if line.count(b" ") == width and not line.startswith(b" ") and b"\t" not in line:
        word, fields = _decoded(line[: line.index(b" ")]), None
    else:
        first, *fields = line.rsplit(None, width)
        word = _decoded(first)
        extra = first.rsplit(None, 1)
        if len(fields) < width or (len(extra) == 2 and _DECIMAL.fullmatch(extra[1])):
            raise ValueError(f"expected a word and {width} numbers, got {len(line.split())} fields")
    if found.keeps(word):
        found.keep(word, _row(word, line.rsplit(None, width)[1:] if fields is None else fields, width))


def _row(word: str, fields: list[bytes], width: int) -> np.ndarray:
    if len(fields) < width:
        raise ValueError(f"expected a word and {width} numbers, got {len(fields)} fields")
    try:
        with np.errstate(over="ignore"):
            row = np.array(list(map(float, fields)), np.float32)
    except ValueError:
        wrong = next(field for field in fields if not _is_number(field))
        shown = wrong.decode(errors="replace")[:40]
        raise ValueError(f"expected numbers, got {shown!r} for the word {word!r}") from None
    return _finite(word, row)


def _is_number(field: bytes) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _finite(word: str, row: np.ndarray) -> np.ndarray:
    if not np.isfinite(row).all():
        raise ValueError(f"the vector of {word!r} is not finite")
    return row


def _decoded(word: bytes) -> str:
    try:
        return word.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"the word is not UTF-8: byte 0x{word[error.start]:02x} in {word[:40]!r}") from None


def _read_binary(stream: io.BufferedReader, form: Form, found: _Found) -> None:
    stream.readline()
    assert form.words is not None
    chunk = _Chunk(stream)
    for number in range(1, form.words + 1):
        if found.has_enough_mistakes:
            return
        packed = chunk.word()
        numbers = None if packed is None else chunk.take(4 * form.width)
        if packed is None or numbers is None:
            raise DataError(
                f"The vectors in {found.path} are cut short or damaged.",
                where="\n".join(listed([*found.mistakes.found, f"word {number:,} of {form.words:,}"])),
                fix="Get the file again.",
            )
        try:
            word = _decoded(packed)
            if found.keeps(word):
                found.keep(word, _finite(word, np.frombuffer(numbers, "<f4").astype(np.float32)))
        except ValueError as error:
            found.mistakes.found.append(f"word {number:,}: {error}")


class _Chunk:
    """The bytes of a stream, some of them ahead."""

    def __init__(self, stream: io.BufferedReader):
        self._stream, self._bytes, self._at = stream, b"", 0

    def word(self) -> bytes | None:
        """Return the bytes of a word, up to the next blank, or None if there is none."""
        while (end := self._bytes.find(b" ", self._at)) < 0:
            if len(self._bytes) - self._at > LONGEST_WORD or not self._more():
                return None
        word, self._at = self._bytes[self._at : end], end + 1
        return word.removeprefix(b"\n")

    def take(self, count: int) -> bytes | None:
        """Return so many bytes, or None if there are fewer."""
        while len(self._bytes) - self._at < count:
            if not self._more():
                return None
        taken = self._bytes[self._at : self._at + count]
        self._at += count
        return taken

    def _more(self) -> bool:
        piece = self._stream.read(CHUNK_BYTES)
        self._bytes, self._at = self._bytes[self._at :] + piece, 0
        return bool(piece)
