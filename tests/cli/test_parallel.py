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
    assert done.json["judged_on"].startswith("validation")
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
