"""Sentences with a label for each word, from every kind of file, and mistakes in them by line."""

import json
import lzma
from pathlib import Path

import pytest

from elman.data.tables.tagged import fill_tags, read_sentences
from elman.errors import DataError, UsageError

WORDS, TAGS = [["The", "dog", "ate"], ["Everybody", "read"]], [["DET", "NN", "V"], ["NN", "V"]]
CONLLU = """# sent_id = 1
1-2	Thedog	_	_	_	_	_	_	_	_
1	The	the	DET	DT	_	2	det	_	_
2	dog	dog	NN	N1	_	3	nsubj	_	_
2.1	x	x	x	x	_	_	_	_	_
3	ate	eat	V	VB	_	0	root	_	_

# sent_id = 2
1	Everybody	everybody	NN	N2	_	2	nsubj	_	_
2	read	read	V	VB	_	0	root	_	_
"""


def write(tmp_path: Path, name: str, content: str) -> Path:
    (tmp_path / name).write_text(content)
    return tmp_path / name


def test_two_columns(tmp_path: Path):
    pairs = [zip(*pair, strict=True) for pair in zip(WORDS, TAGS, strict=True)]
    rows = "\n".join("".join(f"{word}\t{tag}\n" for word, tag in pair) for pair in pairs)
    found = read_sentences(write(tmp_path, "a.txt", rows + "\n\n"))
    assert (found.words, found.tags, found.lines) == (WORDS, TAGS, [1, 5])


@pytest.mark.parametrize("column", [None, "upos", "4"])
def test_conllu(tmp_path: Path, column: str | None):
    found = read_sentences(write(tmp_path, "a.conllu", CONLLU), column)
    assert (found.words, found.tags, found.lines) == (WORDS, TAGS, [2, 9])


def test_another_column_of_conllu(tmp_path: Path):
    found = read_sentences(write(tmp_path, "a.conllu", CONLLU), "xpos")
    assert found.tags == [["DT", "N1", "VB"], ["N2", "VB"]]
    with pytest.raises(UsageError, match="no column `ups`") as caught:
        read_sentences(tmp_path / "a.conllu", "ups")
    assert "upos" in str(caught.value.fix)


def test_objects_with_lists(tmp_path: Path):
    rows = [json.dumps({"words": w, "tags": t}) for w, t in zip(WORDS, TAGS, strict=True)]
    found = read_sentences(write(tmp_path, "a.jsonl", "\n".join(rows)))
    assert (found.words, found.tags, found.lines) == (WORDS, TAGS, [1, 2])


def test_sentences_without_tags(tmp_path: Path):
    found = read_sentences(write(tmp_path, "a.txt", "The dog ate\nEverybody read\n"))
    assert (found.words, found.tags) == (WORDS, None)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.tsv", "The\tDET\ndog\n", "line 2"),
        ("a.jsonl", '{"words": ["a"], "tags": ["x"]}\n{"words": "a b"}\n', "line 2"),
        ("a.jsonl", '{"words": ["a"]}\n{"words": ["a"], "tags": ["x"]}\n', "line 1"),
        ("a.jsonl", "{\n", "line 1"),
        ("a.conllu", "1\tThe\n", "line 1"),
    ],
)
def test_wrong_rows_are_named(tmp_path: Path, name: str, content: str, said: str):
    path = write(tmp_path, name, content)
    with pytest.raises(DataError) as caught:
        read_sentences(path)
    assert said in str(caught.value)


def sentence(*ids: str) -> str:
    return "".join(f"{each}\tw\tl\tT\tx\t_\t_\t_\t_\t_\n" for each in ids)


@pytest.mark.parametrize(
    "ids", [["1-2", "1", "2"], ["0.1", "1", "1.1", "1.2", "2-4", "2", "3", "4"], ["1", "2", "2.1"]]
)
def test_correct_ids_are_read(tmp_path: Path, ids: list[str]):
    found = read_sentences(write(tmp_path, "a.conllu", sentence(*ids)))
    assert found.words == [["w"] * sum(each.isdecimal() for each in ids)]


@pytest.mark.parametrize(
    ("ids", "line", "said"),
    [
        (["1", "2-2", "2"], 2, "expected 2, a range such as 2-3, or an empty node such as 1.1; got '2-2'"),
        (["3-1", "1"], 1, "got '3-1'"),
        (["2-3", "1", "2"], 1, "got '2-3'"),
        (["1", "3"], 2, "got '3'"),
        (["1", "1"], 2, "got '1'"),
        (["1", "2.1", "2"], 2, "got '2.1'"),
        (["1", "_"], 2, "got '_'"),
        (["1", "²"], 2, "got '²'"),
    ],
)
def test_wrong_ids_are_named_with_line_and_column(tmp_path: Path, ids: list[str], line: int, said: str):
    path = write(tmp_path, "a.conllu", sentence(*ids))
    with pytest.raises(DataError) as caught:
        read_sentences(path)
    assert str(path) in str(caught.value)
    assert f"line {line}, column `id`: " in str(caught.value)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.conllu", "1\tThe\tthe\tDET\n", "line 1, column 5: expected 10 fields, got 4"),
        ("a.conllu", sentence("1").strip() + "\tx\n", "line 1, column 11: expected 10 fields, got 11"),
        ("a.tsv", "a\tX\n\nb\n", "line 3, column 2: expected 2 fields, got 1"),
        ("a.tsv", "a\tX\nb\t\n", "line 2, column 2: expected a word and its tag, got an empty field"),
        (
            "a.jsonl",
            '{"words": ["a", "b"], "tags": ["x"]}\n',
            "line 1, column `tags`: expected a tag for each of 2 words",
        ),
        ("a.jsonl", '{"words": ["a"], "tags": "x"}\n', "line 1, column `tags`: expected a list of tags"),
    ],
)
def test_mistakes_have_a_line_and_a_column(tmp_path: Path, name: str, content: str, said: str):
    with pytest.raises(DataError) as caught:
        read_sentences(write(tmp_path, name, content))
    assert said in str(caught.value)


def test_a_number_sign_is_a_word_of_two_columns(tmp_path: Path):
    found = read_sentences(write(tmp_path, "a.tsv", "#\tSYM\n1\tNUM\n"))
    assert (found.words, found.tags) == ([["#", "1"]], [["SYM", "NUM"]])


def test_tags_are_written_into_the_column_and_all_else_stays(tmp_path: Path):
    content = CONLLU.replace("Everybody", " Everybody ").replace("\n2\tread", "\r\n2\tréad")
    path = tmp_path / "a.conllu"
    path.write_bytes(b"\xef\xbb\xbf" + content.encode())
    filled = fill_tags(path, [["A", "B", "C"], ["D", "E"]])
    wanted = content.replace("the\tDET\tDT", "the\tA\tDT").replace("dog\tNN", "dog\tB").replace("eat\tV", "eat\tC")
    wanted = wanted.replace("everybody\tNN", "everybody\tD").replace("read\tV\t", "read\tE\t")
    assert filled == b"\xef\xbb\xbf" + wanted.encode()
    assert fill_tags(path, read_sentences(path).tags or []) == path.read_bytes()
    with lzma.open(tmp_path / "a.conllu.xz", "wb") as packed:
        packed.write(path.read_bytes())
    assert fill_tags(tmp_path / "a.conllu.xz", [["A", "B", "C"], ["D", "E"]]) == filled


def test_other_columns_encodings_and_files_are_filled_or_refused(tmp_path: Path):
    path = tmp_path / "a.tsv"
    path.write_bytes("é\tX\tY\n\nb\tX\tY".encode("cp1252"))
    assert fill_tags(path, [["1"], ["2"]], encoding="cp1252") == "é\tX\t1\n\nb\tX\t2".encode("cp1252")
    assert fill_tags(path, [["1"], ["2"]], "2", encoding="cp1252") == "é\t1\tY\n\nb\t2\tY".encode("cp1252")
    write(tmp_path, "a.jsonl", '{"words": ["a"]}\n')
    write(tmp_path, "a.txt", "a b\n")
    for name in ("a.jsonl", "a.txt", "-"):
        with pytest.raises(UsageError):
            fill_tags("-" if name == "-" else tmp_path / name, [])
