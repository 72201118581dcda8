"""Modules that are run by `python -m`: one message, no traceback."""

import subprocess
import sys
from pathlib import Path

import pytest
from experiments import run_module

from elman.training import TrainingInterrupted


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["experiments.memory", "no-such-case"], "no case `no-such-case`"),
        (["experiments.ngram", "enwik9", "--data", "."], "enwik9"),
        (["experiments.torch_language", "wiki-chars", "--data", "."], "no recipe `wiki-chars`"),
        (["experiments.contextual_tags", "--data", ".", "--models", "models", "--epochs", "0"], "epochs"),
        (["experiments.contextual_tags", "--data", ".", "--models", "models"], "ag-news"),
        (["experiments.unseen_texts", "--data", "."], "ud-english-ewt"),
    ],
)
def test_a_mistake_ends_with_one_message(command: list[str], message: str):
    ended = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: ")
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("stop", "message"),
    [(KeyboardInterrupt(), "interrupted\n"), (TrainingInterrupted(2, 3, Path("run")), "resume it from run.\n")],
)
def test_an_interrupt_ends_with_what_became_of_the_work(capsys, stop: KeyboardInterrupt, message: str):
    def main() -> None:
        raise stop

    with pytest.raises(SystemExit) as ended:
        run_module(main)
    assert ended.value.code == 130
    assert capsys.readouterr().err.endswith(message)
