"""Several files on the command line: parallel texts, and texts that follow one another."""

from pathlib import Path

import pytest

SMALL = ("--tokens", "words", "--hidden-size", 8, "--embedding", 8, "--epochs", 1, "--batch-size", 8)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Sources and targets of training, then those of validation."""
    lines = {
        "train.en": ["a dog runs", "two cats sleep", "a cat runs", "two dogs sleep"] * 6,
        "train.de": ["ein Hund läuft", "zwei Katzen schlafen", "eine Katze läuft", "zwei Hunde schlafen"] * 6,
        "val.en": ["a dog runs", "two cats sleep"],
        "val.de": ["ein Hund läuft", "zwei Katzen schlafen"],
    }
    for name, each in lines.items():
        (tmp_path / name).write_text("\n".join(each) + "\n")
    return [tmp_path / name for name in lines]


def test_a_translator_is_trained_and_evaluated_on_two_files(elman, files: list[Path], tmp_path: Path):
    sources, targets, held_sources, held_targets = files
    held = ("--validation", held_sources, "--validation", held_targets)
    done = elman("train", "translate", sources, targets, *held, "--out", tmp_path / "m", *SMALL, "--json")
    assert done.code == 0, done.err
    assert done.json["evaluated_on"].startswith("validation")
    scores = elman("evaluate", tmp_path / "m", held_sources, held_targets, "--json")
    assert scores.code == 0, scores.err
    assert scores.json["data"] == [str(held_sources), str(held_targets)]
    assert scores.json["loss"] == pytest.approx(done.json["loss"], rel=1e-6)
    predicted = elman("predict", tmp_path / "m", held_sources)
    assert predicted.code == 0, predicted.err
    assert len(predicted.out.splitlines()) == 2


def test_files_that_do_not_fit_together_are_refused(elman, files: list[Path], tmp_path: Path):
    held_targets = files[3]
    done = elman("train", "translate", files[0], held_targets, "--out", tmp_path / "m", *SMALL)
    assert done.code == 1
    assert "24 lines and" in done.err
    assert "line 3: " in done.err
    assert not (tmp_path / "m").exists()


def test_a_language_model_is_compared_and_evaluated_on_several_files(elman, files: list[Path], tmp_path: Path):
    small = ("--hidden-size", 8, "--streams", 2, "--window", 10, "--epochs", 1)
    held = ("--validation", files[2], "--validation", files[0])
    done = elman("train", "language", *files[:2], *held, "--out", tmp_path / "m", *small, "--json")
    assert done.code == 0, done.err
    scores = elman("evaluate", tmp_path / "m", files[2], files[0], "--json")
    assert scores.json["loss"] == pytest.approx(done.json["loss"], rel=1e-6)


def test_other_tasks_are_evaluated_on_one_file(elman, model: Path, words: Path):
    done = elman("evaluate", model, words, words)
    assert done.code == 2
    assert "Expected one file to evaluate a" in done.err


def test_tokenised_references_are_noted_and_the_next_command_has_both_files(elman, files: list[Path], tmp_path: Path):
    files[1].write_text("".join(f"{line} .\n" for line in files[1].read_text().splitlines()))
    trained = elman("train", "translate", *files[:2], "--out", tmp_path / "m", *SMALL)
    assert f"elman evaluate {tmp_path / 'm'} {files[0]} {files[1]}" in trained.out
    done = elman("evaluate", tmp_path / "m", *files[:2], "--mistakes")
    assert "24 of 24 references look tokenised" in done.err
    assert "  reference ein Hund läuft ." in done.out.splitlines()
    assert "reference" not in elman("evaluate", tmp_path / "m", *files[:2]).out
    refused = elman("predict", tmp_path / "m", files[0], "--probabilities")
    assert refused.code == 2
    assert "--probabilities: not for a translator" in refused.err


def test_a_table_with_odd_names_is_predicted_by_its_column(elman, files: list[Path], tmp_path: Path):
    elman("train", "translate", *files[:2], "--out", tmp_path / "m", *SMALL)
    table = tmp_path / "odd.csv"
    table.write_text("My text,id,other\na dog runs,1,x\n")
    refused = elman("predict", tmp_path / "m", table)
    assert "Give --column COL" in refused.err
    assert elman("predict", tmp_path / "m", table, "--column", "My text").code == 0


@pytest.mark.parametrize("attention", ["general", "none"])
def test_a_summary_of_a_translator_has_each_layer_once(elman, files: list[Path], tmp_path: Path, attention: str):
    elman("train", "translate", *files[:2], "--out", tmp_path / "m", *SMALL, "--attention", attention)
    done = elman("summary", tmp_path / "m", "--json")
    assert done.code == 0, done.err
    names = [row["name"] for row in done.json["layers"]]
    assert len(names) == len(set(names))
    assert {"encoder.body", "decoder.lower", "decoder.upper"} <= set(names)
