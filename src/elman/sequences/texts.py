"""The texts of known data sets for language models: training, validation and test, each a stretch of a file."""

import codecs
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedIOBase
from itertools import pairwise
from pathlib import Path

from elman.errors import DataError, UsageError
from elman.sequences.catalogue import DATASETS, find_dataset
from elman.sequences.datasets import open_dataset
from elman.sequences.files import UNPACKING_ERRORS, open_unpacked

TEXTS = tuple(name for name, dataset in DATASETS.items() if dataset.is_text)
PARTS = ("train", "validation", "test")
CHUNK = 1 << 20
# No character of UTF-8 has more bytes after its first.
LONGEST_TAIL = 3


@dataclass(frozen=True)
class TextPart:
    """A stretch of a text file, read as a stream however large it is.

    Attributes:
        path: the file; unpacked while it is read if its name ends in .xz, .gz or .bz2.
        start: the first byte, of the unpacked text.
        stop: the byte after the last one.
    """

    path: Path
    start: int
    stop: int

    @property
    def size(self) -> int:
        """Its length in bytes."""
        return self.stop - self.start

    def blocks(self, size: int = CHUNK) -> Iterator[bytes]:
        """Its bytes, at most `size` at a time.

        Raises:
            DataError: the file cannot be read or unpacked, or ends before the stretch does.
        """
        with _readable(self.path) as stream:
            stream.seek(self.start)
            left = self.size
            while left > 0:
                block = stream.read(min(size, left))
                if not block:
                    raise DataError(
                        f"{self.path} ends {left:,} bytes before it should.", fix="Get the file again: it was cut."
                    )
                left -= len(block)
                yield block

    def chunks(self, size: int = CHUNK) -> Iterator[str]:
        """Its characters, from at most `size` bytes at a time.

        Raises:
            DataError: as `blocks`; or it is not UTF-8, with the first byte that is wrong.
        """
        decoder = codecs.getincrementaldecoder("utf-8")()
        read = self.start
        for block in self.blocks(size):
            waiting = len(decoder.getstate()[0])
            try:
                yield decoder.decode(block)
            except UnicodeDecodeError as error:
                raise self._not_utf8(read - waiting + error.start) from None
            read += len(block)
        waiting = len(decoder.getstate()[0])
        if waiting:
            raise self._not_utf8(read - waiting)

    def read(self) -> str:
        """All of it, in memory."""
        return "".join(self.chunks())

    def _not_utf8(self, offset: int) -> DataError:
        return DataError(
            f"{self.path} is not UTF-8.", where=f"byte {offset:,}", fix="Convert it first, or read it as bytes."
        )


@dataclass(frozen=True)
class Texts:
    """What a language model is trained, validated and tested on.

    Attributes:
        train: the text to train on.
        validation: that to judge settings on; `None` if there is none.
        test: that to judge the model on; `None` if there is none.
    """

    train: TextPart
    validation: TextPart | None
    test: TextPart | None


def open_text(name: str, folder: str | Path) -> Texts:
    """The texts of a data set for language models, its checksums proved.

    A data set of one file is cut in shares of its bytes, at the next character that begins there.

    Args:
        name: one of `TEXTS`.
        folder: the data folder, which has a folder for each data set.

    Raises:
        UsageError: no such data set, or it is no text.
        DataError: as `open_dataset`.

    Source: the shares of enwik8 are those of M. Mahoney's benchmark as language models use it (90, 5 and 5 million
    bytes); those of tiny-shakespeare are 9 and 1 tenths, as in A. Karpathy's nanoGPT.
    """
    dataset = find_dataset(name)
    if name not in TEXTS:
        raise UsageError(f"The data set `{name}` is no text for a language model.", fix=f"Valid: {', '.join(TEXTS)}.")
    paths = open_dataset(name, folder)
    if dataset.split is None:
        sizes = {file.part: file.size for file in dataset.files}
        return Texts(*(TextPart(paths[part], 0, sizes[part]) for part in PARTS))
    (file,) = dataset.files
    train, validation, test = split_bytes(paths[file.part], file.size, dataset.split)
    assert train is not None
    return Texts(train, validation, test)


def split_bytes(path: Path, size: int, shares: tuple[float, float]) -> list[TextPart | None]:
    """A text cut in three: a training share, a validation share, and the rest; a part without bytes is `None`.

    Args:
        path: the file, packed or not.
        size: bytes, unpacked.
        shares: of these bytes, for training and validation.

    Raises:
        DataError: the file cannot be read or unpacked.
    """
    wanted = int(size * shares[0]), int(size * (shares[0] + shares[1]))
    cuts = [0, *_at_characters(path, wanted, size), size]
    return [TextPart(path, start, stop) if stop > start else None for start, stop in pairwise(cuts)]


def _at_characters(path: Path, offsets: tuple[int, ...], size: int) -> list[int]:
    """Each offset, or the next at which a character begins."""
    found = []
    with _readable(path) as stream:
        for offset in offsets:
            stream.seek(offset)
            tail = stream.read(LONGEST_TAIL)
            inside = next((place for place, byte in enumerate(tail) if byte & 0xC0 != 0x80), len(tail))
            found.append(min(offset + inside, size))
    return found


@contextmanager
def _readable(path: Path) -> Iterator[BufferedIOBase]:
    try:
        with open_unpacked(path) as stream:
            yield stream
    except UNPACKING_ERRORS as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} cannot be read.", where=str(error), fix="Give the path of a readable file.") from error
