"""Known data, named by address and checksum; none of it comes with elman."""

import hashlib
import importlib.resources
import importlib.util
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from elman.errors import DataError, UsageError, nearest
from elman.sequences.listing import listed
from elman.sequences.tables import Table, read_table


@dataclass(frozen=True)
class DataFile:
    """One file of a data set.

    Attributes:
        part: what it is for, as `train`.
        name: its name in the folder of the data set.
        address: where the original is.
        sha256: checksum of its bytes.
    """

    part: str
    name: str
    address: str
    sha256: str


@dataclass(frozen=True)
class Dataset:
    """A data set: its name, its folder below the data folder, its files, and what is in them."""

    name: str
    folder: str
    description: str
    files: tuple[DataFile, ...]


_WORKSHOP = "https://github.com/shwars/NeuroWorkshop/blob/d6cdccb251687f39b09696e6257dc3585e2db942/Data/Sentiment/"

DATASETS = {
    dataset.name: dataset
    for dataset in [
        Dataset(
            name="sentiment-words",
            folder="sentiment-words",
            description="English words of Hu and Liu's opinion lexicon (2004): word,label a line, "
            "1 for positive and -1 for negative; 6,064 to train on, 725 to test",
            files=(
                DataFile(
                    part="train",
                    name="sentiment-train.txt",
                    address=_WORKSHOP + "sentiment-train.txt",
                    sha256="b2b4badd7a195ba1fef5fb9f50e82663ea89043e95ebdb1d1c05a9434d84bc3c",
                ),
                DataFile(
                    part="test",
                    name="sentiment-test.txt",
                    address=_WORKSHOP + "sentiment-test.txt",
                    sha256="c864e23fec0bc66b1c942532f8e86a5690ac179a5c1ae2e20dcf0041a30acc70",
                ),
            ),
        ),
        Dataset(
            name="wikitext-2",
            folder="wikitext-2",
            description="Wikipedia articles, 2.1 million words; the documents of the training text in another order",
            files=(
                DataFile(
                    part="train",
                    name="train_documents_reordered.txt.xz",
                    address="https://github.com/longluv1605/drive",
                    sha256="682bebbd7d0bde395a98866bae4a9fa222b72ff7781e7d6948a4ea623139deb0",
                ),
            ),
        ),
        Dataset(
            name="ag-news",
            folder="ag-news",
            description="news items: class, title, description, source; part of the training set",
            files=(
                DataFile(
                    part="train",
                    name="train_subset.csv.xz",
                    address="https://github.com/jatin-12-2002/AG_News_Classification",
                    sha256="abd408edf787817c2fbb129ea3ae50299d08d7b9ea1c1a315bb48bb5cceb186c",
                ),
            ),
        ),
        Dataset(
            name="enwik8-prefix",
            folder="enwik8-prefix",
            description="the first 4,154,399 bytes of enwik8: Wikipedia of 2006, as XML",
            files=(
                DataFile(
                    part="text",
                    name="enwik8_first_4154399.xz",
                    address="https://github.com/Mentors4EDU/Break-CS",
                    sha256="863457c34a5891ee9d9bc81961f25177653d5b9c44e39871eebb024deb76804f",
                ),
            ),
        ),
    ]
}


def open_dataset(name: str, folder: str | Path) -> dict[str, Path]:
    """The path of each part of a data set, its checksum proved.

    Args:
        name: one of `DATASETS`.
        folder: the data folder, which has a folder for each data set.

    Raises:
        UsageError: no such data set.
        DataError: files that are missing, and where to get them, or that differ from the original.
    """
    if name not in DATASETS:
        raise UsageError(f"There is no data set `{name}`.", fix=nearest(name, DATASETS))
    dataset = DATASETS[name]
    place = Path(folder) / dataset.folder
    missing = [file for file in dataset.files if not (place / file.name).is_file()]
    if missing:
        raise DataError(
            f"The data set {name} is not in {folder}: {len(missing)} of {len(dataset.files)} files are missing.",
            where="\n".join(f"{place / file.name}, from {file.address}" for file in missing),
            fix=f"Get them from there, or give the data folder that has `{dataset.folder}` in it (--data DIR).",
        )
    _check_sums(dataset, place)
    return {file.part: place / file.name for file in dataset.files}


def _check_sums(dataset: Dataset, place: Path) -> None:
    found = {file: _sha256(place / file.name) for file in dataset.files}
    damaged = [file for file in dataset.files if found[file] != file.sha256]
    if damaged:
        raise DataError(
            f"The data set {dataset.name} is damaged: {', '.join(file.name for file in damaged)}.",
            where="\n".join(
                f"{place / file.name}: expected sha256 {file.sha256}, found {found[file]}" for file in damaged
            ),
            fix="Get it again from " + " ".join(file.address for file in damaged),
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_sentiment_words(folder: str | Path) -> tuple[Table, Table]:
    """The words to train on and the words to test on, labelled `1` or `-1`.

    Args:
        folder: the data folder, which has `sentiment-words` in it.

    Raises:
        DataError: as `open_dataset`.
    """
    paths = open_dataset("sentiment-words", folder)
    train, test = (read_table(paths[part], text=1, label=2, separator=",") for part in ("train", "test"))
    return train, test


def vader_words() -> Table:
    """The words that people rated for the package vaderSentiment, as `positive` or `negative`.

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
    """Line, entry and mean rating, from the installed package, which is not imported."""
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
            wrong.append(f"line {number}: {len(fields)} fields, where 4 are expected")
    if wrong:
        raise DataError(
            "The word list of the package vaderSentiment is not as expected.",
            where="\n".join(listed(wrong)),
            fix='Install the version that elman is tested with: pip install "elman[demo]".',
        )
