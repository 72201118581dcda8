"""Baselines, calibrated probabilities and explanations on the command line, and notes on labels."""

import json
import re
from pathlib import Path

import pytest

from elman import open_model
from elman.folders import BASELINES
from elman.models.saved import read_model

SMALL = ("--hidden-size", 4, "--epochs", 1, "--batch-size", 8)
SENTENCE = r"A linear model of two to five characters reaches \d+\.\d% in \d+\.\d s\. The network took \d+\.\d s\.\n"


def test_a_run_ends_with_a_linear_model_beside_the_network(elman, words: Path, tmp_path: Path):
    done = elman("train", "classify", words, "--out", tmp_path / "m", *SMALL)
    assert re.search(SENTENCE, done.out)
    page = (tmp_path / "m" / "report.html").read_text()
    numbers = page.partition("<h2>")[0]
    titles = re.findall(r'<div class="name">([^<]*)</div>', numbers)
    assert titles[:3] == ["accuracy", "linear baseline", "majority rate"]
    assert "A linear model of two to five characters, in " in numbers
    assert (
        "| compared with | A linear model of two to five characters reaches" in (tmp_path / "m/README.md").read_text()
    )


@pytest.mark.parametrize(("given", "name"), [((), "linear"), (("--baseline", "majority"), "majority")])
def test_the_baseline_in_json_is_that_of_the_model_folder(elman, words: Path, tmp_path: Path, given: tuple, name: str):
    done = elman("train", "classify", words, "--out", tmp_path / "m", *SMALL, "--json", *given)
    found = done.json["baseline"]
    assert found.keys() == {"name", "description", "accuracy", "seconds"}
    assert found["name"] == name
    assert 0 <= found["accuracy"] <= 1
    assert 0 <= found["seconds"] < 60
    # The rows of the training file are enough to show that it is scored anew.
    evaluated = elman("evaluate", tmp_path / "m", words, "--json").json["baseline"]
    assert evaluated["name"] == name
    assert evaluated["accuracy"] == (1.0 if name == "linear" else 0.5)
    assert evaluated["accuracy"] == open_model(tmp_path / "m").baseline(*columns(words))[-1].value


def columns(path: Path) -> tuple[list[str], list[str]]:
    rows = [line.split(",") for line in path.read_text().splitlines()[1:]]
    return [row[0] for row in rows], [row[1] for row in rows]


def test_without_a_baseline_there_is_none(elman, words: Path, tmp_path: Path):
    done = elman("train", "classify", words, "--out", tmp_path / "m", *SMALL, "--json", "--baseline", "off")
    assert done.json["baseline"] is None
    assert not (tmp_path / "m" / BASELINES).exists()
    assert elman("evaluate", tmp_path / "m", words, "--json").json["baseline"] is None
    assert "baseline" not in elman("evaluate", tmp_path / "m", words).out
    done = elman("train", "classify", words, "--out", tmp_path / "n", *SMALL, "--baseline", "liner")
    assert (done.code, (tmp_path / "n").exists()) == (2, False)
    assert "Did you mean `linear`?" in done.err


def test_python_has_the_baseline_of_the_command_line(elman, words: Path, tmp_path: Path):
    elman("train", "classify", words, "--out", tmp_path / "m", *SMALL, "--validation-fraction", 0)
    command = read_model(tmp_path / "m")
    model = type(open_model(tmp_path / "m"))(hidden_size=4, epochs=1, batch_size=8).fit(*columns(words))
    model.fit_baselines()
    model.save(tmp_path / "python")
    python = read_model(tmp_path / "python")
    for found in (command, python):
        for each in found.baselines.values():
            each.pop("seconds")
    assert command.baselines == python.baselines
    assert all(python.baseline_tensors[name].equal(value) for name, value in command.baseline_tensors.items())


def test_without_scikit_learn_a_run_ends_well(elman, words: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("elman.tasks.linear_baseline.importlib.util.find_spec", lambda name: None)
    done = elman("train", "classify", words, "--out", tmp_path / "m", *SMALL, "--json")
    assert done.code == 0
    assert done.json["baseline"]["name"] == "majority"
    assert 'pip install "elman[baseline]"' in done.json["baseline_missing"]
    assert done.err.count('pip install "elman[baseline]"') == 1


def test_a_saved_baseline_needs_no_scikit_learn(elman, model: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("elman.tasks.linear_baseline.importlib.util.find_spec", lambda name: None)
    done = elman("evaluate", model, model.parent / "words.csv", "--json")
    assert done.json["baseline"]["accuracy"] == 1.0


def test_a_tagger_and_a_language_model_have_baselines(elman, book: Path, tmp_path: Path):
    data = tmp_path / "tags.tsv"
    data.write_text("the\tD\ndog\tN\n\nthe\tD\ncat\tN\nran\tV\n\n" * 6)
    small = ("--hidden-size", 4, "--epochs", 1)
    done = elman("train", "tag", data, "--out", tmp_path / "tags", *small, "--json")
    assert (done.json["baseline"]["name"], done.json["baseline"]["accuracy"]) == ("frequent-tag", 1.0)
    assert elman("evaluate", tmp_path / "tags", data, "--json").json["baseline"]["accuracy"] == 1.0
    done = elman("train", "language", book, "--out", tmp_path / "book", *small, "--streams", 2, "--window", 10)
    assert re.search(r"A trigram model of characters reaches 0\.\d+ bits per character in", done.out)
    found = elman("evaluate", tmp_path / "book", book, "--json").json
    assert found["baseline"]["bits_per_character"] < found["bits_per_character"]


def test_evaluate_shows_the_worst_mistakes_with_their_words(elman, words: Path, tmp_path: Path):
    elman("train", "classify", words, "--out", tmp_path / "m", "--hidden-size", 8, "--epochs", 12)
    data = tmp_path / "wrong.csv"
    data.write_text("text,label\nabab,stop\ncdcd,stop\nbaba,stop\n")
    assert "answer vowel" not in elman("evaluate", tmp_path / "m", data).out
    lines = elman("evaluate", tmp_path / "m", data, "--mistakes").out.splitlines()
    assert lines[-6] in ("abab", "baba")
    assert re.fullmatch(r"  answer vowel \(\d+\.\d%\)(: .*)?", lines[-5])
    assert re.fullmatch(r"  truth  stop(: .*)?", lines[-4])


def test_predict_shows_every_probability_and_every_weight(elman, model: Path):
    line = elman("predict", model, "--text", "a\tb", "--probabilities", "--explain").out.rstrip("\n").split("\t")
    assert line[:2] == ["a\\tb", "vowel"]
    assert [each.split("=")[0] for each in line[2:]] == ["stop", "vowel", "a", "\\t", "b"]
    done = elman("predict", model, "--text", "ab", "--explain", "--probabilities", "--json").json["predictions"][0]
    opened = open_model(model)
    assert done["probabilities"] == opened.answers(["ab"])[0].probabilities
    assert [(each["token"], each["weight"]) for each in done["weights"]] == opened.explain_answer("ab")
    assert "weights" not in elman("predict", model, "--text", "ab", "--json").json["predictions"][0]


def test_the_probabilities_of_predict_are_calibrated(elman, words: Path, tmp_path: Path):
    out = tmp_path / "m"
    done = elman("train", "classify", words, "--out", out, "--hidden-size", 8, "--epochs", 12, "--json")
    assert done.json["temperature"] == round(open_model(out).task_.temperature, 4) != 1
    assert {"calibration_error", "calibration_error_before", "reliability"} <= done.json.keys()
    shares = elman("predict", out, "--text", "abcd", "--json").json["predictions"][0]
    config = json.loads((out / "config.json").read_text())
    config["temperature"] = 1.0
    (out / "config.json").write_text(json.dumps(config))
    assert elman("predict", out, "--text", "abcd", "--json").json["predictions"][0] != shares


def write(path: Path, rows: list[tuple[str, str]]) -> Path:
    path.write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in rows))
    return path


def test_one_text_with_two_labels_is_noted_with_its_lines(elman, tmp_path: Path):
    rows = [(f"ab{n}", "xy"[n % 2]) for n in range(30)]
    data = write(tmp_path / "data.csv", [*rows, ("ab3", "x"), ("ab3", "y"), ("ab4", "y"), ("ab4", "y")])
    done = elman("train", "classify", data, "--out", tmp_path / "m", *SMALL)
    assert done.code == 0
    assert "2 texts have several labels (line 5 'y', line 32 'x', …)." in done.err
    write(data, [*rows, ("ab3", "x")])
    assert "1 text has several labels (line 5 'y', line 32 'x')." in elman("evaluate", tmp_path / "m", data).err
    write(data, rows)
    assert "several labels" not in elman("evaluate", tmp_path / "m", data).err


def test_a_validation_part_with_one_label_or_few_rows_is_noted(elman, words: Path, tmp_path: Path):
    other = write(tmp_path / "other.csv", [("abab", "vowel"), ("baba", "vowel")])
    done = elman("train", "classify", words, "--validation", other, "--out", tmp_path / "m", *SMALL)
    said = "all 2 rows have the label 'vowel', so that the scores say nothing about other labels."
    assert said in done.err
    assert said in elman("evaluate", tmp_path / "m", other).err
    rare = write(tmp_path / "rare.csv", [*((f"ab{n}", "vowel") for n in range(29)), ("cd", "stop")])
    done = elman("train", "classify", rare, "--out", tmp_path / "r", *SMALL)
    assert "only 3 rows are held out, so that the scores are rough; all 3 rows have the label 'vowel'" in done.err
    three = write(tmp_path / "three.csv", [("ab", "vowel"), ("cd", "stop"), ("ba", "vowel")])
    done = elman("train", "classify", three, "--out", tmp_path / "t", *SMALL)
    assert done.code == 0
    assert "only 1 row is held out, so that the scores are rough." in done.err
    assert (
        "held out"
        not in elman("train", "classify", write(tmp_path / "many.csv", many()), "--out", tmp_path / "n", *SMALL).err
    )


def many() -> list[tuple[str, str]]:
    return [(f"ab{n}", "xy"[n % 2]) for n in range(100)]


@pytest.mark.parametrize(
    ("header", "flags", "column"),
    [("text,label\n", (), "column `label`"), ("", ("--no-header",), "column 2")],
)
def test_a_label_that_training_never_saw_is_named_with_line_and_column(
    elman, tmp_path: Path, header: str, flags: tuple, column: str
):
    data, other = tmp_path / "data.csv", tmp_path / "other.csv"
    data.write_text(header + "".join(f"{text},{label}\n" for text, label in many()))
    other.write_text(header + "ab,x\ncd,z\n")
    done = elman("train", "classify", data, "--validation", other, "--out", tmp_path / "m", *SMALL, *flags, "--json")
    assert done.code == 1
    assert done.json["where"] == f"{other}, line {3 if header else 2}, {column}: 'z'"
    assert "'x', 'y'" in done.json["fix"]
    assert not (tmp_path / "m").exists()
