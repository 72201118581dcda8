"""A long text as token ids in a file: memory stays the same however long it is."""

import hashlib
import json
import mmap
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from elman.errors import DataError, os_errors_as
from elman.files import atomic_write, atomic_write_all, remove_leftovers
from elman.sequences.coders import ByteCoder, Coder, CoderSettings, coder_from_json, learn_coder, smallest_type
from elman.sequences.corpus import Corpus

IDS_AT_A_TIME = 2**20
PARTS = ("training", "validation")
# Room for any shape, so that the header of a file can be written again when its length is known.
_HEADER_BYTES = 128


@dataclass(frozen=True)
class Counts:
    """What was counted while a text was encoded.

    Attributes:
        tokens: in the text.
        characters: that its tokens after the first stand for: what is there to be predicted. All of the text counts
            that follows the end of the first token, the blanks between words too; of a character that is several tokens
            the one with its first byte counts.
        bytes: the same in bytes of UTF-8.
        unknown: tokens that the vocabulary does not have.
    """

    tokens: int
    characters: int
    bytes: int
    unknown: int


@dataclass(frozen=True, eq=False)
class TokenText:
    """A text as token ids, wherever they are kept.

    Attributes:
        ids: `(tokens,)`, unsigned integers; a memory map for what comes from a file.
        counts: what it is made of.
        fingerprint: a hash of the text and its coder: another text, or another vocabulary, has another.
        name: where it is from.
    """

    ids: np.ndarray
    counts: Counts
    fingerprint: str
    name: str

    def frequencies(self, size: int) -> np.ndarray:
        """How often each id comes, `(size,)`."""
        total = np.zeros(size, dtype=np.int64)
        for part in _parts(self.ids):
            total += np.bincount(part, minlength=size)
        return total

    def release(self) -> None:
        """Gives back the memory of the parts of the file that were looked at; they are read again when needed."""
        _release(self.ids)

    def __len__(self) -> int:
        return len(self.ids)


def learn_tokens(corpus: Corpus, settings: CoderSettings, folder: Path | None = None) -> tuple[Coder, TokenText]:
    """The coder of a training text, and the text encoded by it.

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


def encode_tokens(corpus: Corpus, coder: Coder, folder: Path | None = None) -> TokenText:
    """A text encoded by a coder; arguments and errors as for `learn_tokens`."""
    place = _Place(folder, "validation", f"{corpus.digest} {_fingerprint(coder)}")
    return _encoded(corpus, coder, place, place.kept())


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
    """The two files of one part of a run: its ids as .npy, and what else is known of them as JSON."""

    def __init__(self, folder: Path | None, part: str, made_of: str):
        self.folder = folder
        self.ids = (folder or Path()) / f"{part}-tokens.npy"
        self.notes = (folder or Path()) / f"{part}-tokens.json"
        self.key = hashlib.sha256(made_of.encode()).hexdigest()

    def kept(self) -> dict | None:
        """What was noted, if it is of the same text and settings."""
        if self.folder is None:
            return None
        try:
            notes = json.loads(self.notes.read_bytes())
        except (OSError, ValueError):
            return None
        return notes if notes.get("key") == self.key else None


def _encoded(corpus: Corpus, coder: Coder, place: _Place, kept: dict | None) -> TokenText:
    fingerprint = hashlib.sha256(f"{corpus.digest} {_fingerprint(coder)}".encode()).hexdigest()
    if isinstance(coder, ByteCoder) and corpus.file is not None:
        ids = _mapped_bytes(corpus.file, corpus)
        counter = _Counter(coder)
        for part in _parts(ids):
            counter.count(part.tobytes(), part)
        return TokenText(ids, counter.counts(), fingerprint, corpus.name)
    if kept is not None and (ids := _kept_ids(place.ids, kept)) is not None:
        return TokenText(ids, Counts(**kept["counts"]), fingerprint, corpus.name)
    ids, counts = _write(corpus, coder, place)
    return TokenText(ids, counts, fingerprint, corpus.name)


def _write(corpus: Corpus, coder: Coder, place: _Place) -> tuple[np.ndarray, Counts]:
    """Encodes the text into a file, whole or not at all."""
    with os_errors_as(
        DataError,
        f"The tokens of {corpus.name} cannot be kept",
        where=place.folder or tempfile.gettempdir(),
        fix="Make room on the disk: a character takes 1 or 2 bytes there.",
    ):
        if place.folder is None:
            # It is gone with the last reference to it.
            with tempfile.TemporaryFile() as file:
                counter = _Counter(coder)
                counter.write(file, corpus)  # pyright: ignore[reportArgumentType]
                file.flush()
                return np.memmap(file, counter.dtype, "r", _HEADER_BYTES, (counter.tokens,)), counter.counts()
        place.folder.mkdir(parents=True, exist_ok=True)
        counter = _Counter(coder)
        atomic_write(place.ids, lambda path: counter.write_path(path, corpus))
        notes = {"key": place.key, "counts": asdict(counter.counts()), "coder": coder.to_json()}
        atomic_write_all(place.folder, {place.notes.name: json.dumps(notes)})
    return np.load(place.ids, mmap_mode="r"), counter.counts()


class _Counter:
    """Writes ids piece by piece, and counts."""

    def __init__(self, coder: Coder):
        self._coder = coder
        self._unknown = coder.vocabulary.specials.get("unknown")
        self.dtype = smallest_type(len(coder.vocabulary))
        self.tokens = self._characters = self._bytes = self._unknowns = 0

    def write_path(self, path: Path, corpus: Corpus) -> None:
        with path.open("wb") as file:
            self.write(file, corpus)

    def write(self, file: BinaryIO, corpus: Corpus) -> None:
        file.write(_header(self.dtype, 0))
        for text, ids in _read(corpus, self._coder):
            self.count(text, ids)
            file.write(ids.astype(self.dtype, copy=False).tobytes())
        if not self.tokens:
            raise _empty(corpus)
        file.seek(0)
        file.write(_header(self.dtype, self.tokens))

    def counts(self) -> Counts:
        return Counts(self.tokens, self._characters, self._bytes, self._unknowns)

    def count(self, text: bytes, ids: np.ndarray) -> None:
        """Counts the next piece of a text, in UTF-8 if it is that, and its ids."""
        if not self.tokens:
            # The first token, with what stands before it, is given and never predicted.
            text = text[self._coder.end_of_first(text) :] if len(ids) else b""
        self.tokens += len(ids)
        # Counted by the bytes that begin one, so that what is no UTF-8 is counted too.
        self._characters += int(np.count_nonzero((np.frombuffer(text, dtype=np.uint8) & 0xC0) != 0x80))
        self._bytes += len(text)
        if self._unknown is not None:
            self._unknowns += int(np.count_nonzero(ids == self._unknown))


def _read(corpus: Corpus, coder: Coder) -> Iterator[tuple[bytes, np.ndarray]]:
    """The text piece by piece, each with its ids; bytes may be those of anything."""
    if isinstance(coder, ByteCoder):
        for piece in corpus.byte_pieces():
            yield piece, np.frombuffer(piece, dtype=np.uint8)
        return
    done = 0
    for piece in coder.cut(corpus.pieces()):
        yield piece.encode(), coder.encode(piece, lambda character, done=done: corpus.locate(done + character))
        done += len(piece)


def _header(dtype: np.dtype, length: int) -> bytes:
    """The header of a .npy file, version 1.0, always of the same size."""
    text = f"{{'descr': {np.lib.format.dtype_to_descr(dtype)!r}, 'fortran_order': False, 'shape': ({length},), }}"
    body = text.encode().ljust(_HEADER_BYTES - 11) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(body).to_bytes(2, "little") + body


def _kept_ids(path: Path, kept: dict) -> np.ndarray | None:
    try:
        ids = np.load(path, mmap_mode="r")
    except (OSError, ValueError):
        return None
    return ids if ids.shape == (kept["counts"]["tokens"],) else None


def _mapped_bytes(file: Path, corpus: Corpus) -> np.ndarray:
    size = corpus.size()
    if not size:
        raise _empty(corpus)
    return np.memmap(file, np.uint8, "r", corpus.start, (size,))


def _empty(corpus: Corpus) -> DataError:
    return DataError(f"{corpus.subject} is empty.", fix="Give a text to read.")


def _parts(ids: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(ids), IDS_AT_A_TIME):
        yield np.asarray(ids[start : start + IDS_AT_A_TIME])
        _release(ids)


def _release(ids: np.ndarray) -> None:
    mapped = getattr(ids, "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def _fingerprint(coder: Coder) -> str:
    return hashlib.sha256(json.dumps(coder.to_json(), sort_keys=True).encode()).hexdigest()
