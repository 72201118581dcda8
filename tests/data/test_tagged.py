"""Sentences with a label for each word, from every kind of file, and mistakes in them by line."""

import json
from pathlib import Path

import pytest

from elman.data.tables.tagged import read_sentences
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
