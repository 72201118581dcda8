"""`predict`, `evaluate` and `summary`: answers as asked, and a reason for each refusal."""

import io
import json
import shutil
import sys
from pathlib import Path

import pytest


def stdin_is(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


def rows(out: str) -> list[list[str]]:
    return [line.split("\t") for line in out.splitlines()]


def test_texts_on_the_command_line(elman, model: Path):
    done = elman("predict", model, "--text", "abab", "--text", "dcd")
    assert done.code == 0
    assert [row[:2] for row in rows(done.out)] == [["abab", "vowel"], ["dcd", "stop"]]
    assert all(0.5 <= float(row[2]) <= 1 for row in rows(done.out))


def test_a_file_and_standard_input_give_the_same(elman, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    texts = [("ab" if number % 3 else "dc") * (1 + number % 4) for number in range(700)]
    file = tmp_path / "texts.txt"
    file.write_text("\n".join(texts) + "\n")
    from_file = elman("predict", model, file)
    assert [row[0] for row in rows(from_file.out)] == texts
    stdin_is(monkeypatch, file.read_bytes())
    assert elman("predict", model, "-").out == from_file.out


def test_an_empty_line_is_an_empty_text(elman, model: Path, monkeypatch: pytest.MonkeyPatch):
    stdin_is(monkeypatch, b"ab\n\ncd\n")
    assert [row[0] for row in rows(elman("predict", model, "-").out)] == ["ab", "", "cd"]


def test_no_input_gives_no_output(elman, model: Path, monkeypatch: pytest.MonkeyPatch):
    stdin_is(monkeypatch, b"")
    done = elman("predict", model, "-")
    assert (done.code, done.out) == (0, "")


def test_all_probabilities(elman, model: Path):
    row = rows(elman("predict", model, "--text", "ab", "--probabilities").out)[0]
    shares = dict(each.split("=") for each in row[2:])
    assert shares.keys() == {"stop", "vowel"}
    assert sum(map(float, shares.values())) == pytest.approx(1, abs=2e-4)


def test_predictions_as_json(elman, model: Path):
    done = elman("predict", model, "--text", "ab", "--text", "cd", "--probabilities", "--json")
    assert done.out.count("\n") == 1
    first = done.json["predictions"][0]
    assert (first["text"], first["label"]) == ("ab", "vowel")
    assert first["probability"] == first["probabilities"]["vowel"] == max(first["probabilities"].values())


def test_a_column_of_a_table(elman, model: Path, tmp_path: Path):
    data = tmp_path / "texts.csv"
    data.write_text("number,word\n1,abab\n2,cd\n")
    assert [row[0] for row in rows(elman("predict", model, data, "--column", "word").out)] == ["abab", "cd"]
    data.with_suffix(".txt").write_text("ab\n")
    assert "no column named `word`" in elman("predict", model, data.with_suffix(".txt"), "--column", "word").err


def test_what_would_break_the_lines_is_escaped(elman, model: Path):
    done = elman("predict", model, "--text", "a\tb\nc\\d", "--unknown", "allow")
    assert rows(done.out)[0][0] == "a\\tb\\nc\\\\d"


def test_unknown_letters_are_refused_with_their_line(
    elman, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    lines = ["ab"] * 300 + ["abé"]
    stdin_is(monkeypatch, "\n".join(lines).encode())
    done = elman("predict", model, "-", "--json", "--unknown", "refuse")
    assert done.code == 1
    assert "standard input, line 301: 'é' in abé" in done.json["where"]


def test_unknown_letters_are_counted_in_one_line(elman, model: Path):
    done = elman("predict", model, "--text", "abé", "--text", "ab")
    assert done.code == 0
    said = "elman: note: 1 of 5 characters (20%) are not in the vocabulary and are read as unknown"
    assert done.err == f"{said} (--unknown refuse names them).\n"


def test_bytes_on_standard_input_are_refused_with_their_line(elman, model: Path, monkeypatch: pytest.MonkeyPatch):
    stdin_is(monkeypatch, b"ab\ncaf\xe9\n")
    done = elman("predict", model, "-")
    assert done.code == 1
    assert "line 2, byte 4" in done.err
    stdin_is(monkeypatch, b"\xef\xbb\xbfab\n")
    assert elman("predict", model, "-").out.startswith("ab\t")


@pytest.mark.parametrize("more", [[], ["texts.txt", "--text", "ab"]])
def test_either_data_or_texts(elman, model: Path, more: list[str]):
    done = elman("predict", model, *more)
    assert done.code == 2
    assert "--text" in done.err


@pytest.mark.parametrize("content", [b"", bytes(range(256))])
def test_rubbish_as_texts(elman, model: Path, tmp_path: Path, content: bytes):
    (tmp_path / "texts.txt").write_bytes(content)
    done = elman("predict", model, tmp_path / "texts.txt")
    assert done.code == 1
    assert "texts.txt" in done.err
    assert "defect" not in done.err


def test_an_evaluation_shows_scores_and_confusions(elman, model: Path):
    data = model.parent / "words.csv"
    done = elman("evaluate", model, data)
    assert done.code == 0
    for part in ("accuracy", "linear baseline", "majority rate      50.0%", "macro F1", "truth \\ answer  stop  vowel"):
        assert part in done.out
    found = elman("evaluate", model, data, "--json").json
    assert found["count"] == 60
    assert sum(map(sum, found["confusion"])) == 60
    assert found["accuracy"] == sum(found["confusion"][n][n] for n in range(2)) / 60


def test_a_model_is_evaluated_on_a_file_read_as_its_training_file_was(elman, tmp_path: Path):
    data = tmp_path / "reviews.csv"
    rows = "".join(
        f"{number},{'ab' if number % 2 else 'cd'}{'abc'[number % 3] * number},{'x' if number % 2 else 'y'}\n"
        for number in range(20)
    )
    data.write_text(f"number,review,sentiment\n{rows}")
    columns = ("--text", "review", "--label", "sentiment")
    small = ("--hidden-size", 4, "--epochs", 1)
    assert elman("train", "classify", data, *columns, "--out", tmp_path / "m", *small).code == 0
    done = elman("evaluate", tmp_path / "m", data, "--json")
    assert (done.code, done.json["count"]) == (0, 20)
    assert elman("evaluate", tmp_path / "m", data, "--text", "1", "--label", "3", "--no-header").code == 1


def test_many_labels_are_shown_by_what_is_mixed_up():
    from elman.report.parts import Confusion

    labels = [f"label{n}" for n in range(40)]
    confusion = [[3 if a == b else 0 for a in range(40)] for b in range(40)]
    confusion[2][9] = 4
    assert list(Confusion(labels, confusion).lines()) == ["times  truth   answer", "    4  label2  label9"]


def test_an_unknown_label_names_its_line_and_the_known_ones(elman, model: Path, tmp_path: Path):
    data = tmp_path / "test.csv"
    data.write_text("text,label\nab,vowel\ncd,stopp\n")
    done = elman("evaluate", model, data, "--json")
    assert done.code == 1
    assert done.json["where"] == f"{data}, line 3, column `label`: 'stopp'"
    assert "'stop', 'vowel'" in done.json["fix"]


def test_texts_without_labels_cannot_be_evaluated(elman, model: Path, tmp_path: Path):
    data = tmp_path / "test.csv"
    data.write_text("text\nab\ncd\n")
    done = elman("evaluate", model, data)
    assert done.code == 1
    assert "--label" in done.err


def test_unknown_letters_in_an_evaluation_name_their_line(elman, model: Path, tmp_path: Path):
    data = tmp_path / "test.csv"
    data.write_text("text,label\nab,vowel\ncdé,stop\n")
    assert "line 3: 'é'" in elman("evaluate", model, data, "--unknown", "refuse").err
    done = elman("evaluate", model, data, "--json")
    assert "1 of 5 characters (20%)" in done.err
    assert (done.json["unknown"], done.json["tokens"]) == (1, 5)


def test_a_summary_adds_up(elman, model: Path):
    done = elman("summary", model)
    assert done.code == 0
    assert "lstm(8, both ways)" in done.out
    found = elman("summary", model, "--json").json
    assert found["parameters"] == sum(layer["parameters"] for layer in found["layers"])
    assert f"{found['parameters']:,}" in done.out


@pytest.mark.parametrize("words", [["predict", "--text", "ab"], ["evaluate", "data.csv"], ["summary"]])
@pytest.mark.parametrize("kind", ["missing", "file", "foreign", "empty", "cut short", "later"])
def test_what_is_no_model_is_refused_by_every_command(elman, model: Path, tmp_path: Path, words: list[str], kind: str):
    folder = tmp_path / "model"
    if kind in ("cut short", "later"):
        shutil.copytree(model, folder)
    elif kind == "file":
        folder.write_text("text,label\n")
    elif kind != "missing":
        folder.mkdir()
    if kind == "foreign":
        (folder / "config.json").write_text("{}")
    if kind == "cut short":
        (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:100])
    if kind == "later":
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "format_version": 99}))
    done = elman(words[0], folder, *words[1:], "--json")
    assert done.code == 1
    assert done.json["error"]
    assert done.json["fix"]
    assert "model" in done.json["where"]
    assert "Traceback" not in done.err
