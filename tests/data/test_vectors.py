"""Files of pretrained vectors: every form is read alike, and broken lines are named."""

import gzip
import lzma
from pathlib import Path

import numpy as np
import pytest

from elman.data.text.vectors import read_form, read_vectors
from elman.errors import DataError

ROWS = {
    "the": [0.25, -1.5, 3.0],
    "New York": [1.0, 2.0, -0.5],
    ". . .": [0.5, 0.5, 0.5],
    "café": [-2.0, 0.0, 1e-3],
    "7": [1.5, 2.5, 3.5],
}


def text_of(rows: dict[str, list[float]], *, header: bool, end: str = "") -> bytes:
    lines = [f"{len(rows)} 3"] * header + [f"{word} {' '.join(map(str, row))}{end}" for word, row in rows.items()]
    return ("\n".join(lines) + "\n").encode()


def binary_of(rows: dict[str, list[float]], *, line_ends: bool = True) -> bytes:
    words = [f"{word} ".encode() + np.array(row, "<f4").tobytes() + b"\n" * line_ends for word, row in rows.items()]
    return f"{len(rows)} 3\n".encode() + b"".join(words)


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


WITHOUT_BLANKS = {word.replace(" ", "_"): row for word, row in ROWS.items()}
FORMS = {
    "GloVe": (text_of(ROWS, header=False), ROWS),
    "word2vec": (text_of(ROWS, header=True), ROWS),
    "fastText": (text_of(ROWS, header=True, end=" "), ROWS),
    "tabs": (text_of(WITHOUT_BLANKS, header=False).replace(b" ", b"\t"), WITHOUT_BLANKS),
    "binary": (binary_of(WITHOUT_BLANKS), WITHOUT_BLANKS),
    "binary without line ends": (binary_of(WITHOUT_BLANKS, line_ends=False), WITHOUT_BLANKS),
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_gives_the_same_vectors(name, tmp_path):
    content, rows = FORMS[name]
    found = read_vectors(written(tmp_path / "vectors.txt", content), list(rows))
    assert list(found.rows) == list(rows)
    for word, row in rows.items():
        assert found.rows[word] == pytest.approx(row)
        assert found.rows[word].dtype == np.float32


@pytest.mark.parametrize(("ending", "pack"), [(".gz", gzip.compress), (".xz", lzma.compress)])
@pytest.mark.parametrize("name", ["GloVe", "binary"])
def test_packed_files_are_read_as_they_are(name, ending, pack, tmp_path):
    content, rows = FORMS[name]
    found = read_vectors(written(tmp_path / f"vectors{ending}", pack(content)), list(rows))
    assert found.rows["the"] == pytest.approx(ROWS["the"])
    with pytest.raises(DataError, match="cut short or damaged"):
        read_vectors(written(tmp_path / f"cut{ending}", pack(content)[:-12]), list(rows))


def test_only_the_words_that_are_asked_for_are_kept(tmp_path):
    path = written(tmp_path / "vectors.txt", text_of(ROWS, header=False))
    found = read_vectors(path, ["café", "absent"])
    assert list(found.rows) == ["café"]
    assert found.find("absent") is None
    more = read_vectors(path, ["café"], more=2, is_token=lambda word: " " not in word)
    assert more.added == ["the", "7"]
    assert list(more.rows) == ["the", "café", "7"]


def test_a_word_has_its_own_vector_before_that_of_its_lower_case_form(tmp_path):
    rows = {"apple": [1.0, 1.0, 1.0], "Apple": [2.0, 2.0, 2.0], "pear": [3.0, 3.0, 3.0]}
    found = read_vectors(written(tmp_path / "v.txt", text_of(rows, header=False)), ["Apple", "PEAR", "Plum"])
    values = {word: None if found.find(word) is None else found.find(word)[0] for word in ("Apple", "PEAR", "Plum")}  # pyright: ignore
    assert values == {"Apple": 2.0, "PEAR": 3.0, "Plum": None}


@pytest.mark.parametrize("make", [text_of, binary_of])
def test_of_equal_words_the_first_is_kept_and_the_others_counted(make, tmp_path):
    content = text_of({"a": [1.0, 1.0, 1.0], "b": [0.5, 0.5, 0.5]}, header=False) + b"a 2.0 2.0 2.0\na 3.0 3.0 3.0\n"
    if make is binary_of:
        content = binary_of({"a": [1.0, 1.0, 1.0], "b": [0.5, 0.5, 0.5]}).replace(b"2 3", b"3 3", 1)
        content += b"a " + np.array([2, 2, 2], "<f4").tobytes() + b"\n"
    found = read_vectors(written(tmp_path / "v.txt", content), ["a"])
    assert found.rows["a"].tolist() == [1.0, 1.0, 1.0]
    assert found.duplicates == (2 if make is text_of else 1)


BROKEN = {
    "too few numbers": (b"the 1.0 2.0 3.0\ncat 1.0 2.0\nsat 1.0 2.0 3.0\n", "line 2", "got 3 fields"),
    "too many numbers": (b"the 1.0 2.0 3.0\ncat 1.0 2.0 3.0\nsat 1.0 2.0 3.0 4.0\n", "line 3", "got 5 fields"),
    "not a number": (b"the 1.0 2.0 3.0\ncat 1.0 x 3.0\n", "line 2", "'x' for the word 'cat'"),
    "not finite": (b"the 1.0 2.0 3.0\ncat 1.0 nan 3.0\n", "line 2", "not finite"),
    "infinite in float32": (b"the 1.0 2.0 3.0\ncat 1.0 1e300 3.0\n", "line 2", "not finite"),
    "not UTF-8": (b"the 1.0 2.0 3.0\nc\xe9 1.0 2.0 3.0\ncat 1.0 2.0 3.0\n", "line 2", "byte 0xe9"),
    "fewer words than announced": (b"3 3\nthe 1.0 2.0 3.0\ncat 1.0 2.0 3.0\n", "line 3", "expected 3 words"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_lines_are_named(name, tmp_path):
    content, line, problem = BROKEN[name]
    path = written(tmp_path / "broken.txt", content)
    with pytest.raises(DataError) as caught:
        read_vectors(path, ["the", "cat", "sat"])
    assert str(path) in caught.value.problem
    assert caught.value.where is not None
    assert caught.value.where.startswith(line)
    assert problem in caught.value.where


def test_all_broken_lines_are_named_at_once(tmp_path):
    path = written(tmp_path / "broken.txt", b"the 1.0 2.0\ncat 1.0\nsat 2.0 1.0\nmat x 1.0\n")
    with pytest.raises(DataError, match="2 mistakes") as caught:
        read_vectors(path, ["mat"])
    assert [line.partition(":")[0] for line in (caught.value.where or "").splitlines()] == ["line 2", "line 4"]


@pytest.mark.parametrize("cut", [1, 5, 14])
def test_a_binary_file_that_is_cut_short_is_refused(cut, tmp_path):
    path = written(tmp_path / "v.bin", binary_of(WITHOUT_BLANKS, line_ends=False)[:-cut])
    with pytest.raises(DataError, match="cut short") as caught:
        read_vectors(path, ["the"])
    assert "word 5 of 5" in (caught.value.where or "")


def test_numbers_of_a_binary_file_that_are_not_finite_are_named(tmp_path):
    path = written(tmp_path / "v.bin", binary_of({"the": [1.0, 2.0, 3.0], "cat": [1.0, float("inf"), 0.0]}))
    with pytest.raises(DataError) as caught:
        read_vectors(path, ["cat"])
    assert "word 2" in (caught.value.where or "")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"PK\x03\x04 an archive", "is an archive"),
        (b"\xba\x16\x4f\x2f and a model", "a model of fastText"),
        (b"one\ntwo\nthree\n", "not a file of word vectors"),
        (b"", "not a file of word vectors"),
        (b"0 3\n\n", "announces 0 words"),
    ],
)
def test_other_files_are_refused(content, problem, tmp_path):
    with pytest.raises(DataError, match=problem):
        read_form(written(tmp_path / "other.txt", content))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match="There is no file"):
        read_form(tmp_path / "absent.txt")


@pytest.mark.parametrize(
    ("content", "form"),
    [
        (b"5 3\na 1.0 2.0 3.0\n", (3, 5, False)),
        (b"5 3\n6 4\n", (1, None, False)),
        (b"1 1\na 2\n", (1, 1, False)),
        (b", 0.1 0.2\n", (2, None, False)),
    ],
)
def test_a_first_line_of_counts_is_not_read_as_a_vector(content, form, tmp_path):
    assert tuple(read_form(written(tmp_path / "v.txt", content))) == form
