"""The commands that are printed after training work as they are, whatever the file was like."""

import gzip
import io
import json
import shlex
import sys
from pathlib import Path

import pytest

from elman.models import SequenceClassifier

SMALL = ("--hidden-size", 4, "--epochs", 1, "--embedding", 4)
ROWS = [("abab", "pos"), ("cdcd", "neg"), ("aab", "pos"), ("dcc", "neg")] * 5


def lines(separator: str, *rows: tuple) -> str:
    return "".join(separator.join(map(str, row)) + "\n" for row in rows)


def flipped(rows):
    return [(label, number, text) for number, (text, label) in enumerate(rows)]


WAVES = [json.dumps({"text": [n % 2, 0.5], "label": n % 2}) + "\n" for n in range(20)]
FILES: dict[str, tuple[str, str | bytes, tuple]] = {
    "other names": ("a.csv", lines(",", ("review", "sentiment"), *ROWS), ()),
    "columns by name": (
        "a.csv", lines(",", ("mood", "n", "review"), *flipped(ROWS)), ("--text", "review", "--label", "mood"),
    ),
    "columns by number": ("a.tsv", lines("\t", *flipped(ROWS)), ("--text", 3, "--label", 1, "--no-header")),
    "tabs in text": ("a b.txt", lines("\t", *ROWS), ()),
    "tab": ("a.tab", lines("\t", *ROWS), ()),
    "commas in text": ("a.txt", lines(",", *ROWS), ()),
    "semicolons": ("a.csv", lines(";", ("text", "label"), *ROWS), ("--separator", ";")),
    "sep line": ("a.csv", "sep=;\n" + lines(";", ("text", "label"), *ROWS), ()),
    "no quotes": ("a.tsv", lines("\t", *((f'"{text}', label) for text, label in ROWS)), ("--quote", "none")),
    "cp1252": ("a.csv", lines(",", ("text", "l"), ("\xe9", "pos"), *ROWS).encode("cp1252"), ("--encoding", "cp1252")),
    "utf-16": ("a.csv", lines(",", ("text", "label"), *ROWS).encode("utf-16"), ("--encoding", "utf-16")),
    "integers": ("a.csv", lines(",", ("text", "label"), *((t, int(k == "pos")) for t, k in ROWS)), ()),
    "ndjson": (
        "a.ndjson",
        "".join(json.dumps({"r": {"b": t}, "k": k}) + "\n" for t, k in ROWS),
        ("--text", "r.b", "--label", "k"),
    ),
    "json lines": ("a.json", "".join(json.dumps({"sentence": t, "label": k == "pos"}) + "\n" for t, k in ROWS), ()),
    "numbers": ("a.jsonl", "".join(WAVES), ()),
    "fasttext": ("a.txt", "".join(f"__label__{label} {text}\n" for text, label in ROWS), ()),
    "compressed": ("a.tsv.gz", gzip.compress(lines("\t", *ROWS).encode()), ()),
}  # fmt: skip


@pytest.mark.parametrize("kind", FILES)
def test_the_printed_commands_and_those_of_the_card_work(elman, tmp_path: Path, kind: str):
    name, content, flags = FILES[kind]
    data = tmp_path / name
    data.write_bytes(content.encode() if isinstance(content, str) else content)
    done = elman("train", "classify", data, "--out", tmp_path / "my model", *SMALL, *flags)
    assert done.code == 0, done.err
    card = (tmp_path / "my model" / "README.md").read_text()
    commands = [line.strip() for line in done.out.splitlines() if line.startswith("  elman ")]
    assert len(commands) == 3
    for line in commands[:2]:
        assert line in card
    for line in commands:
        again = elman(*shlex.split(line)[1:])
        assert again.code == 0, again.err
    count = len(content.splitlines()) if kind == "numbers" else None
    predicted = elman("predict", tmp_path / "my model", data, "--json").json["predictions"]
    evaluated = elman("evaluate", tmp_path / "my model", data, "--json").json
    assert len(predicted) == evaluated["count"] == (count or len(predicted))
    assert evaluated["labels"] == SequenceClassifier.load(tmp_path / "my model").classes_.tolist()


def test_a_folder_of_texts(elman, tmp_path: Path):
    for number, (text, label) in enumerate(ROWS):
        (tmp_path / "data" / label).mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / label / f"{number}.txt").write_text(text + "\n")
    assert elman("train", "classify", tmp_path / "data", "--out", tmp_path / "m", *SMALL).code == 0
    assert elman("evaluate", tmp_path / "m", tmp_path / "data", "--json").json["count"] == 20
    assert len(elman("predict", tmp_path / "m", tmp_path / "data").out.splitlines()) == 20


@pytest.mark.parametrize("kind", ["json", "table", "tabs", "fasttext", "lines"])
def test_standard_input_is_read_as_a_file_is(elman, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str):
    data = tmp_path / "a.csv"
    data.write_text(lines(",", ("review", "sentiment"), *ROWS))
    assert elman("train", "classify", data, "--out", tmp_path / "m", *SMALL).code == 0
    content = {
        "json": "".join(json.dumps({"review": text}) + "\n" for text, _ in ROWS),
        "table": lines(",", ("n", "review"), *((1, text) for text, _ in ROWS)),
        "tabs": lines("\t", *ROWS),
        "fasttext": "".join(f"__label__{label} {text}\n" for text, label in ROWS),
        "lines": "".join(text + "\n" for text, _ in ROWS),
    }[kind]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content.encode())))
    done = elman("predict", tmp_path / "m", "-")
    assert [line.split("\t")[0] for line in done.out.splitlines()] == [text for text, _ in ROWS], done.err


def test_a_wrong_line_of_json_on_standard_input_is_named(elman, model: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"text": "ab"}\n{"txt": "ab"}\n')))
    done = elman("predict", model, "-")
    assert done.code == 1
    assert "standard input" in done.err
    assert "line 2, column `text`" in done.err


def test_the_labels_of_the_model_tell_a_row_from_a_header(elman, model: Path, tmp_path: Path):
    data = tmp_path / "few.csv"
    for header, count in (("", 2), ("Wort,Art\n", 2)):
        data.write_text(f"{header}ab,vowel\ncd,stop\n")
        assert elman("evaluate", model, data, "--json").json["count"] == count
        assert len(elman("predict", model, data).out.splitlines()) == count


def test_mistakes_of_a_validation_file_are_named_there(elman, words: Path, tmp_path: Path):
    other = tmp_path / "other.csv"
    other.write_text("text,label\nab,vowel\ncdé,stop\n")
    train = ("train", "classify", words, "--validation", other, "--out", tmp_path / "m", *SMALL)
    done = elman(*train, "--unknown", "refuse")
    assert done.code == 1
    assert f"{other}, line 3: 'é'" in done.err
    assert "1 of 5 characters" in elman(*train, "--overwrite").err


def test_a_validation_file_of_another_width_is_refused_before_training(elman, tmp_path: Path):
    (tmp_path / "a.jsonl").write_text("".join(WAVES))
    (tmp_path / "b.jsonl").write_text('{"text": [[1, 2]], "label": 1}\n')
    done = elman(
        "train", "classify", tmp_path / "a.jsonl", "--validation", tmp_path / "b.jsonl", "--out", tmp_path / "m"
    )
    assert done.code == 1
    assert "Expected 1 channel, with which the model was trained, got 2" in done.err
    assert "minibatch" not in done.err


def test_labels_are_escaped_where_texts_are(elman, tmp_path: Path):
    data = tmp_path / "a.jsonl"
    data.write_text("".join(json.dumps({"text": t, "label": f"a\t{k}\nb"}) + "\n" for t, k in ROWS))
    assert elman("train", "classify", data, "--out", tmp_path / "m", *SMALL).code == 0
    for more in ((), ("--probabilities",)):
        out = elman("predict", tmp_path / "m", data, *more).out
        assert len(out.splitlines()) == 20
        assert all(r"a\tpos\nb" in line or r"a\tneg\nb" in line for line in out.splitlines())
    assert r"a\tneg\nb" in elman("evaluate", tmp_path / "m", data).out


def test_a_model_from_python_knows_the_integers_of_a_file(elman, tmp_path: Path):
    texts, labels = zip(*ROWS, strict=True)
    model = SequenceClassifier(hidden_size=4, epochs=1).fit(texts, [int(label == "pos") for label in labels])
    model.save(tmp_path / "m")
    (tmp_path / "a.csv").write_text("text,label\nab,1\ncd,0\n")
    assert elman("evaluate", tmp_path / "m", tmp_path / "a.csv", "--json").json["labels"] == [0, 1]
    (tmp_path / "a.jsonl").write_text('{"text": "ab", "label": "1"}\n')
    assert elman("evaluate", tmp_path / "m", tmp_path / "a.jsonl").code == 0


def test_numbers_are_not_given_on_the_command_line(elman, tmp_path: Path):
    (tmp_path / "a.jsonl").write_text("".join(WAVES))
    assert elman("train", "classify", tmp_path / "a.jsonl", "--out", tmp_path / "m", *SMALL[:4]).code == 0
    done = elman("predict", tmp_path / "m", "--text", "1 2")
    assert done.code == 2
    assert "sequences of numbers" in done.err
