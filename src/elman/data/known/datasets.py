"""Known data sets, found in a folder and checked by their checksums, and their readers."""

import hashlib
import importlib.resources
import importlib.util
import re
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from elman.data.files import PACKED, UNPACKING_ERRORS, open_unpacked
from elman.data.known.catalogue import DataFile, Dataset, find_dataset
from elman.data.listing import listed
from elman.data.tables.tables import Table, read_table
from elman.errors import DataError, UsageError, nearest


def open_dataset(name: str, folder: str | Path, *parts: str) -> dict[str, Path]:
    """Return the path of each part of a data set, after checking its checksum.

    Args:
        name: one of `DATASETS`.
        folder: the data folder, which has a folder for each data set.
        parts: the parts to open; all if none is named.

    Returns:
        A path for each part. The file is packed if it ends in `.xz`, `.gz` or `.bz2` (see `files.open_unpacked`).

    Raises:
        UsageError: no such data set or part.
        DataError: files are missing, or differ from the original; the message has the command that downloads them.
    """
    dataset = find_dataset(name)
    files = _wanted(dataset, parts)
    own = Path(folder) / name
    paths = {file: find_file(own, file) for file in files}
    missing = [file for file, path in paths.items() if path is None]
    if missing:
        raise DataError(
            f"The data set {name} is not in {folder}: {len(missing)} of {len(files)} files are missing.",
            where="\n".join(f"{own / file.name}, from {file.address or dataset.source}" for file in missing),
            fix=f"Download it: {_command(dataset, missing, folder)}. "
            f"Or give the folder that contains `{name}` (--data DIR).",
        )
    found = {file: path for file, path in paths.items() if path is not None}
    _check(dataset, found, folder)
    return {file.part: path for file, path in found.items()}


def is_there(name: str, folder: str | Path) -> bool:
    """Report whether the data folder has any file of a data set, whole or not.

    Args:
        name: one of `DATASETS`.
        folder: the data folder.
    """
    own = Path(folder) / name
    return any(find_file(own, file) for file in find_dataset(name).files)


def find_file(folder: Path, file: DataFile) -> Path | None:
    """Return the path of a file of a data set, packed or not, or `None` if it is missing.

    Args:
        folder: of the data set.
        file: the file.
    """
    candidates = (folder / (file.name + ending) for ending in ("", *PACKED))
    return next((path for path in candidates if path.is_file()), None)


def difference(path: Path, file: DataFile) -> str | None:
    """Describe how a file differs from the original, or return `None` if it does not."""
    try:
        with open_unpacked(path) as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
            size = stream.tell()
    except UNPACKING_ERRORS as error:
        return f"cannot be read: {error}"
    if file.sha256 is None:
        return None if size == file.size else f"expected {file.size:,} bytes, got {size:,}"
    return None if digest == file.sha256 else f"expected sha256 {file.sha256}, got {digest}"


def _wanted(dataset: Dataset, parts: tuple[str, ...]) -> list[DataFile]:
    known = [file.part for file in dataset.files]
    for part in parts:
        if part not in known:
            raise UsageError(f"The data set {dataset.name} has no part `{part}`.", fix=nearest(part, known))
    return [file for file in dataset.files if not parts or file.part in parts]


def _check(dataset: Dataset, found: Mapping[DataFile, Path], folder: str | Path) -> None:
    differences = {file: difference(path, file) for file, path in found.items()}
    damaged = [file for file in found if differences[file]]
    if damaged:
        raise DataError(
            f"The data set {dataset.name} is damaged: {', '.join(found[file].name for file in damaged)}.",
            where="\n".join(f"{found[file]}: {differences[file]}" for file in damaged),
            fix=f"Download it again: {_command(dataset, damaged, folder)}.",
        )


def _command(dataset: Dataset, files: list[DataFile], folder: str | Path) -> str:
    """Return the command that downloads these files, or the data set to use instead."""
    able = all(file.address for file in files) or dataset.instead is None
    return shlex.join(["elman", "data", "get", dataset.name if able else dataset.instead or "", "--data", str(folder)])


def read_sentiment_words(folder: str | Path) -> tuple[Table, Table]:
    """Return the words to train on and to test on, labelled `1` or `-1`.

    Args:
        folder: the data folder, which contains `sentiment-words`.

    Raises:
        DataError: as `open_dataset`.
    """
    paths = open_dataset("sentiment-words", folder)
    train, test = (read_table(paths[part], text=1, label=2, separator=",") for part in ("train", "test"))
    return train, test


def vader_words() -> Table:
    """Return the words rated for the package vaderSentiment, labelled `positive` or `negative`.

    Kept are the entries of lower-case letters a to z and hyphens, 3,196 positive and 4,031 negative,
    by the sign of their mean rating; emoticons and entries with digits or blanks are left out. Ten
    words are listed twice with the same sign, and `notes` names them: keep both copies on one side
    when splitting.

    Raises:
        DataError: the package is not installed.

    Source: Hutto and Gilbert, "VADER: a parsimonious rule-based model for sentiment analysis of
    social media text", ICWSM 2014.
    """
    rows = [(line, word, rating) for line, word, rating in _vader_entries() if re.fullmatch("[a-z-]+", word)]
    words = [word for _, word, _ in rows]
    twice = [word for word, count in Counter(words).items() if count > 1]
    return Table(
        texts=words,
        labels=["positive" if rating > 0 else "negative" for _, _, rating in rows],
        lines=[line for line, _, _ in rows],
        source="vaderSentiment/vader_lexicon.txt",
        notes=[f"{len(twice)} words are listed twice: {', '.join(twice)}"],
    )


def _vader_entries() -> Iterator[tuple[int, str, float]]:
    """Yield line, entry and mean rating from the installed package, without importing it."""
    spec = importlib.util.find_spec("vaderSentiment")
    if spec is None:
        raise DataError(
            "The demo's words come from the package vaderSentiment, which is not installed.",
            fix='Install the extra: pip install "elman[demo]".',
        )
    lexicon = importlib.resources.files(importlib.util.module_from_spec(spec)) / "vader_lexicon.txt"
    wrong = []
    for number, line in enumerate(lexicon.read_text(encoding="utf-8").split("\n"), start=1):
        fields = line.split("\t")
        if len(fields) == 4:
            yield number, fields[0], float(fields[1])
        elif line:
            wrong.append(f"line {number}: expected 4 fields, got {len(fields)}")
    if wrong:
        raise DataError(
            "The word list of the package vaderSentiment is not as expected.",
            where="\n".join(listed(wrong)),
            fix='Install the version that elman is tested with: pip install "elman[demo]".',
        )
