"""A long text as token ids in a file: memory stays the same however long it is."""

import hashlib
import json
import os
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from io import FileIO
from pathlib import Path
from typing import BinaryIO

import numpy as np

from elman.data.text.coders import ByteCoder, Coder, CoderSettings, coder_from_json, learn_coder, refused, smallest_type
from elman.data.text.corpus import Corpus
from elman.errors import DataError, os_errors_as
from elman.files import atomic_write, remove_leftovers

IDS_AT_A_TIME = 2**20
PARTS = ("training", "validation")


@dataclass(frozen=True)
class Counts:
    """What was counted while a text was encoded.

    Attributes:
        tokens: in the text.
        characters: that its tokens after the first stand for: what is there to be predicted. All of the text counts
            that follows the end of the first token, the blanks between words too; of a character that is several tokens
            the one with its first byte counts.
        bytes: the same in bytes of UTF-8.
        unknown: of the tokens after the first, those that the vocabulary does not have.
    """

    tokens: int
    characters: int
    bytes: int
    unknown: int


class TokenFile:
    """Token ids in a file, of which any stretch can be read: `ids[start:stop]`, `(stop - start,)`.

    The file is read, not mapped into memory: of a mapped one, blocks of up to 2 MiB around each id that was looked at
    count as memory of the process, which with some hundred streams are most of a text of 1 GB.

    Args:
        file: used by nothing else; closed with the last reference to this.
        dtype: of an id.
        start: of the first id, in bytes.
        length: ids.
        name: of the text, for errors.

    Raises:
        DataError: when a stretch is read, the file has become shorter or cannot be read.
    """

    def __init__(self, file: FileIO, dtype: np.dtype, *, start: int, length: int, name: str):
        self._file = file
        self.dtype = dtype
        self._start = start
        self._length = length
        self._name = name
        weakref.finalize(self, file.close)

    def __getitem__(self, stretch: slice) -> np.ndarray:
        begin, end, _ = stretch.indices(self._length)
        size = max(0, end - begin) * self.dtype.itemsize
        with os_errors_as(DataError, f"{self._name} can no longer be read", fix="Try again once the file can be."):
            self._file.seek(self._start + begin * self.dtype.itemsize)
            content = self._file.read(size)
        if len(content) < size:
            raise DataError(
                f"{self._name} has become shorter while it was read.", fix="Try again once nothing writes to it."
            )
        return np.frombuffer(content, self.dtype)

    def __len__(self) -> int:
        return self._length


@dataclass(frozen=True, eq=False)
class TokenText:
    """A text as token ids, wherever they are kept.

    Attributes:
        ids: `(tokens,)`, unsigned integers.
        counts: what it is made of.
        fingerprint: a hash of the text and its coder: another text, or another vocabulary, has another.
        name: where it is from.
    """

    ids: np.ndarray | TokenFile
    counts: Counts
    fingerprint: str
    name: str

    def frequencies(self, size: int) -> np.ndarray:
        """Count how often each id occurs, `(size,)`."""
        total = np.zeros(size, dtype=np.int64)
        for start in range(0, len(self.ids), IDS_AT_A_TIME):
            total += np.bincount(self.ids[start : start + IDS_AT_A_TIME], minlength=size)
        return total

    def __len__(self) -> int:
        return len(self.ids)


def learn_tokens(corpus: Corpus, settings: CoderSettings, folder: Path | None = None) -> tuple[Coder, TokenText]:
    """Learn the coder of a training text, and encode the text with it.

    Args:
        corpus: the text.
        settings: how it becomes tokens.
        folder: where both are kept, and taken from if they are there already; a temporary file if not given.

    Raises:
        DataError: a text that cannot be learned from, or no room for its tokens.
    """
    if folder is not None:
        _remove_half_written(folder)
    place = _Place(folder, "training", f"{corpus.digest} {settings.model_dump_json()}")
    if (kept := place.kept()) is not None:
        coder = coder_from_json(kept["coder"])
    else:
        coder = learn_coder(corpus, settings)
    return coder, _encoded(corpus, coder, place, kept)


def encode_tokens(corpus: Corpus, coder: Coder, folder: Path | None = None, *, unknown: str = "allow") -> TokenText:
    """Encode a text with a coder. Other arguments and errors are those of `learn_tokens`.

    Args:
        corpus: the text.
        coder: of the training text.
        folder: as for `learn_tokens`.
        unknown: `refuse` raises DataError on tokens that the coder does not know, with their positions.
    """
    place = _Place(folder, "validation", f"{corpus.digest} {_fingerprint(coder)}")
    tokens = _encoded(corpus, coder, place, place.kept())
    if unknown == "refuse" and tokens.frequencies(len(coder.vocabulary))[: len(coder.vocabulary.specials)].any():
        _refuse_unknown(corpus, coder)
    return tokens


def _refuse_unknown(corpus: Corpus, coder: Coder) -> None:
    """Raise the error that names the first unknown tokens of a text that has some."""
    done = 0
    for piece in coder.cut(corpus.pieces()):
        if coder.vocabulary.unknown_tokens(coder.tokens(piece)):
            raise refused(coder, piece, lambda character, done=done: corpus.locate(done + character))
        done += len(piece)


def remove_kept(folder: Path) -> None:
    """Removes the token files of a run that is finished, and what killed ones left of theirs."""
    for path in _files(folder):
        with suppress(FileNotFoundError):
            path.unlink()
    _remove_half_written(folder)


def _remove_half_written(folder: Path) -> None:
    remove_leftovers(folder, *(path.name for path in _files(folder)))


def _files(folder: Path) -> list[Path]:
    places = [_Place(folder, part, "") for part in PARTS]
    return [path for place in places for path in (place.ids, place.notes)]


class _Place:
    """The two files of one part of a run: its ids as they are in memory, and what else is known of them as JSON."""

    def __init__(self, folder: Path | None, part: str, made_of: str):
        self.folder = folder
        self.ids = (folder or Path()) / f"{part}-tokens.bin"
        self.notes = (folder or Path()) / f"{part}-tokens.json"
        self.key = hashlib.sha256(made_of.encode()).hexdigest()

    def kept(self) -> dict | None:
        """Return the notes of an earlier encoding of the same text and settings, or None."""
        if self.folder is None:
            return None
        try:
            notes = json.loads(self.notes.read_bytes())
        except (OSError, ValueError):
            return None
        return notes if notes.get("key") == self.key else None


def _encoded(corpus: Corpus, coder: Coder, place: _Place, kept: dict | None) -> TokenText:
    fingerprint = hashlib.sha256(f"{corpus.digest} {_fingerprint(coder)}".encode()).hexdigest()
    dtype, start = smallest_type(len(coder.vocabulary)), 0
    if isinstance(coder, ByteCoder) and corpus.file is not None:
        counter = _Counter(coder)
        for _ in counter.read(corpus):
            pass
        file, start, counts = FileIO(corpus.file), corpus.start, counter.counts()
    elif kept and (file := _open_kept(place.ids, kept["counts"]["tokens"] * dtype.itemsize)):
        counts = Counts(**kept["counts"])
    else:
        file, counts = _write(corpus, coder, place)
    ids = TokenFile(file, dtype, start=start, length=counts.tokens, name=corpus.subject)
    return TokenText(ids, counts, fingerprint, corpus.name)


def _open_kept(path: Path, size: int) -> FileIO | None:
    """Open the file if it exists and is whole."""
    try:
        return FileIO(path) if path.stat().st_size == size else None
    except OSError:
        return None


def _write(corpus: Corpus, coder: Coder, place: _Place) -> tuple[FileIO, Counts]:
    """Encodes the text into a file, whole or not at all."""
    counter = _Counter(coder)
    with os_errors_as(
        DataError,
        f"The tokens of {corpus.name} cannot be kept",
        where=place.folder or tempfile.gettempdir(),
        fix="Give another folder, or make room on the disk: a character takes 1 or 2 bytes there.",
    ):
        if place.folder is None:
            with tempfile.TemporaryFile() as file:
                counter.write(file, corpus)
                file.flush()
                # It is gone with the last descriptor of it.
                return FileIO(os.dup(file.fileno())), counter.counts()
        place.folder.mkdir(parents=True, exist_ok=True)
        # Earlier notes must not be kept with other ids.
        place.notes.unlink(missing_ok=True)
        atomic_write(place.ids, lambda path: counter.write_path(path, corpus))
        notes = {"key": place.key, "counts": asdict(counter.counts()), "coder": coder.to_json()}
        atomic_write(place.notes, json.dumps(notes))
        return FileIO(place.ids), counter.counts()


class _Counter:
    """Writes ids piece by piece, and counts."""

    def __init__(self, coder: Coder):
        self._coder = coder
        self._unknown = coder.vocabulary.specials.get("unknown")
        self._tokens = self._characters = self._bytes = self._unknowns = 0

    def write_path(self, path: Path, corpus: Corpus) -> None:
        with path.open("wb") as file:
            self.write(file, corpus)

    def write(self, file: BinaryIO, corpus: Corpus) -> None:
        dtype = smallest_type(len(self._coder.vocabulary))
        for ids in self.read(corpus):
            file.write(ids.astype(dtype, copy=False).tobytes())

    def read(self, corpus: Corpus) -> Iterator[np.ndarray]:
        """Yield the ids of the text piece by piece, and count them."""
        for text, ids in read_tokens(corpus, self._coder):
            self._count(text, ids)
            yield ids
        if not self._tokens:
            raise DataError(f"{corpus.subject} is empty.", fix="Give a text to read.")

    def counts(self) -> Counts:
        return Counts(self._tokens, self._characters, self._bytes, self._unknowns)

    def _count(self, text: bytes, ids: np.ndarray) -> None:
        """Counts the next piece of a text, in UTF-8 if it is that, and its ids."""
        predicted = ids
        if not self._tokens:
            # The first token, with what stands before it, is given and never predicted.
            text = text[self._coder.end_of_first(text) :] if len(ids) else b""
            predicted = ids[1:]
        self._tokens += len(ids)
        # Counted by the bytes that begin one, so that bytes other than UTF-8 are counted too.
        self._characters += int(np.count_nonzero((np.frombuffer(text, dtype=np.uint8) & 0xC0) != 0x80))
        self._bytes += len(text)
        if self._unknown is not None:
            self._unknowns += int(np.count_nonzero(predicted == self._unknown))


def read_tokens(corpus: Corpus, coder: Coder) -> Iterator[tuple[bytes, np.ndarray]]:
    """Yield the pieces of the text with their ids. Bytes may be in any encoding."""
    if isinstance(coder, ByteCoder):
        for piece in corpus.byte_pieces():
            yield piece, np.frombuffer(piece, dtype=np.uint8)
        return
    done = 0
    for piece in coder.cut(corpus.pieces()):
        yield piece.encode(), coder.encode(piece, lambda character, done=done: corpus.locate(done + character))
        done += len(piece)


def _fingerprint(coder: Coder) -> str:
    return hashlib.sha256(json.dumps(coder.to_json(), sort_keys=True).encode()).hexdigest()
