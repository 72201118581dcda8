"""Known data sets: found, proved by checksum, and refused when missing or changed."""

import dataclasses
import gzip
import hashlib
import importlib.util
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from elman.data.known.catalogue import DATASETS
from elman.data.known.datasets import open_dataset, read_sentiment_words, vader_words
from elman.errors import DataError, UsageError

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
needs_words = pytest.mark.skipif(
    not (DATA / "sentiment-words").is_dir(),
    reason=f"needs the data set sentiment-words in {DATA}, from {DATASETS['sentiment-words'].files[0].address}",
)


@needs_words
def test_sentiment_words():
    train, test = read_sentiment_words(DATA)
    assert Counter(train.labels) == {1: 1792, -1: 4272}
    assert Counter(test.labels) == {1: 214, -1: 511}
    # One word is in both, once with each label.
    assert set(train.texts) & set(test.texts) == {"enviously"}
    assert (train.texts[1], train.labels[1], train.lines[1]) == ("stupendously", 1, 2)


@needs_words
def test_open_dataset_gives_the_path_of_each_part():
    folder = DATA / "sentiment-words"
    expected = {"train": folder / "sentiment-train.txt", "test": folder / "sentiment-test.txt"}
    assert open_dataset("sentiment-words", str(DATA)) == expected


def test_an_unknown_name_is_refused_with_the_nearest(tmp_path):
    with pytest.raises(UsageError, match="Did you mean `sentiment-words`"):
        open_dataset("sentiment-word", tmp_path)


def test_missing_files_are_named_with_where_to_get_them(tmp_path):
    with pytest.raises(DataError, match="2 of 2 files are missing") as caught:
        open_dataset("sentiment-words", tmp_path)
    for file in DATASETS["sentiment-words"].files:
        assert f"{tmp_path / 'sentiment-words' / file.name}, from {file.address}" in caught.value.where
    assert f"elman data get sentiment-words --data {tmp_path}" in caught.value.fix


def test_what_cannot_be_downloaded_is_replaced_by_what_can(tmp_path):
    with pytest.raises(DataError, match="1 of 1 files") as caught:
        open_dataset("wikitext-2", tmp_path, "train")
    assert "elman data get wikitext-2-v1" in caught.value.fix


def test_a_part_is_asked_for_by_name(small_dataset):
    (small_dataset / "sentiment-words" / "sentiment-train.txt").unlink()
    assert set(open_dataset("sentiment-words", small_dataset, "test")) == {"test"}
    with pytest.raises(UsageError, match="no part `tests`"):
        open_dataset("sentiment-words", small_dataset, "tests")


@pytest.mark.skipif(not DATA.is_dir(), reason=f"needs the data sets in {DATA}")
@pytest.mark.parametrize("name", [path.name for path in sorted(DATA.glob("*/"))] if DATA.is_dir() else [])
def test_every_data_set_here_has_the_checksums_that_elman_knows(name):
    assert set(open_dataset(name, DATA)) == {file.part for file in DATASETS[name].files}


def test_a_packed_file_is_proved_by_what_it_holds(small_dataset):
    place = small_dataset / "sentiment-words"
    content = (place / "sentiment-test.txt").read_bytes()
    (place / "sentiment-test.txt").unlink()
    for level in (1, 9):
        (place / "sentiment-test.txt.gz").write_bytes(gzip.compress(content, level))
        assert open_dataset("sentiment-words", small_dataset)["test"].name == "sentiment-test.txt.gz"
    (place / "sentiment-test.txt.gz").write_bytes(gzip.compress(content)[:-3])
    with pytest.raises(DataError, match=r"is damaged: sentiment-test\.txt\.gz"):
        open_dataset("sentiment-words", small_dataset)


@pytest.fixture
def small_dataset(tmp_path, monkeypatch):
    """A data set of two small files that are as they should be, and its data folder."""
    contents = {"sentiment-train.txt": b"good,1\nbad,-1", "sentiment-test.txt": b"fine,1\n"}
    (tmp_path / "sentiment-words").mkdir()
    for name, content in contents.items():
        (tmp_path / "sentiment-words" / name).write_bytes(content)
    known = DATASETS["sentiment-words"]
    files = tuple(
        dataclasses.replace(file, sha256=hashlib.sha256(contents[file.name]).hexdigest()) for file in known.files
    )
    monkeypatch.setitem(DATASETS, known.name, dataclasses.replace(known, files=files))
    return tmp_path


def test_files_that_are_as_they_should_be_are_read(small_dataset):
    train, test = read_sentiment_words(small_dataset)
    assert (train.texts, train.labels) == (["good", "bad"], [1, -1])
    assert (test.texts, test.labels) == (["fine"], [1])


def test_a_damaged_file_is_named_with_both_checksums(small_dataset):
    damaged = small_dataset / "sentiment-words" / "sentiment-test.txt"
    damaged.write_bytes(b"fine,-1\n")
    with pytest.raises(DataError, match=r"is damaged: sentiment-test\.txt") as caught:
        open_dataset("sentiment-words", small_dataset)
    expected = DATASETS["sentiment-words"].files[1].sha256
    found = hashlib.sha256(b"fine,-1\n").hexdigest()
    assert caught.value.where == f"{damaged}: expected sha256 {expected}, got {found}"
    assert f"Download it again: elman data get sentiment-words --data {small_dataset}" in caught.value.fix


def test_one_missing_file_of_two(small_dataset):
    (small_dataset / "sentiment-words" / "sentiment-train.txt").unlink()
    with pytest.raises(DataError, match="1 of 2 files are missing"):
        open_dataset("sentiment-words", small_dataset)


needs_vader = pytest.mark.skipif(
    importlib.util.find_spec("vaderSentiment") is None, reason='needs the extra: pip install "elman[demo]"'
)


@needs_vader
def test_the_words_of_the_demo():
    table = vader_words()
    assert Counter(table.labels) == {"positive": 3196, "negative": 4031}
    labels = dict(zip(table.texts, table.labels, strict=True))
    assert (labels["superb"], labels["awful"]) == ("positive", "negative")
    assert all(set(word) <= set("abcdefghijklmnopqrstuvwxyz-") for word in table.texts)
    twice = sorted(word for word, count in Counter(table.texts).items() if count == 2)
    assert table.notes == [f"10 words are listed twice: {', '.join(twice)}"]


@needs_vader
def test_the_words_of_the_demo_are_read_without_importing_their_package_or_torch():
    code = (
        "import sys; from elman.data.known.datasets import vader_words; vader_words(); "
        "print(sorted({'vaderSentiment', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"elman\[demo\]"):
        vader_words()


def test_a_foreign_word_list_is_refused(tmp_path, monkeypatch):
    package = tmp_path / "vaderSentiment"
    package.mkdir()
    (package / "__init__.py").write_text("", encoding="utf-8")
    (package / "vader_lexicon.txt").write_text("good\t1.9\t0.5\t[2]\nbad -2.5\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DataError, match="line 2: expected 4 fields, got 1"):
        vader_words()
