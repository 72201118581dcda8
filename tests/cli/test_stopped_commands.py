"""Training from the command line, stopped in the middle, goes on with the command that it names."""

import json
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SMALL = "--hidden-size 8 --dropout 0.2 --threads 1"
WORDS = "--batch-size 4 --epochs 4 --report-every 5 --checkpoint-seconds 0"
BOOK = "--embedding-size 4 --num-layers 2 --streams 4 --window 10 --epochs 3 --report-every 1 --checkpoint-batches 2"


@pytest.fixture(scope="module")
def whole_runs() -> dict[str, bytes]:
    """Hold the weights of each task's run that is not stopped, which is made once."""
    return {}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize(
    ("task", "data", "options", "reached"),
    [("classify", "words", WORDS, "epoch 2/4"), ("language", "book", BOOK, "minibatches   13-")],
)
def test_a_stopped_run_goes_on_to_the_same_bits(
    elman, whole_runs, request, tmp_path: Path, number: signal.Signals, task: str, data: str, options: str, reached: str
):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"

    def train(out: Path) -> list[str]:
        text = str(request.getfixturevalue(data))
        return ["train", task, text, "--out", str(out), *SMALL.split(), *options.split()]

    if task not in whole_runs:
        assert elman(*train(whole)).code == 0
        whole_runs[task] = (whole / "model.safetensors").read_bytes()
    process = subprocess.Popen(
        [sys.executable, "-m", "elman", *train(stopped), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that runs its jobs in the background has them ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stderr
    for line in process.stderr:
        if reached in line:
            process.send_signal(number)
            break
    out, err = process.communicate()
    assert not (stopped / "model.safetensors").exists()
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert "Traceback" not in err
        resume = json.loads(out)["fix"].removeprefix("Continue with: ")
    else:
        unfinished = elman("summary", stopped)
        assert unfinished.code == 1
        resume = unfinished.err.splitlines()[-1].removeprefix("Continue it: ")
    assert elman(*train(stopped)).code == 2
    assert elman(*shlex.split(resume)[1:]).code == 0
    assert (stopped / "model.safetensors").read_bytes() == whole_runs[task]


def test_training_goes_on_when_nobody_reads_its_progress(tmp_path: Path, book: Path):
    out = tmp_path / "model"
    process = subprocess.Popen(
        [sys.executable, "-m", "elman", "train", "language", book, "--out", out, *SMALL.split(), *BOOK.split()],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout
    assert process.stderr
    process.stderr.readline()
    process.stderr.close()
    assert b"bits per character" in process.stdout.read()
    process.stdout.close()
    assert process.wait() == 0
    assert (out / "model.safetensors").exists()


@pytest.mark.parametrize("mistake", ["--cell nocell", "--validation empty.txt", "--cell-options candidate_dropout=2"])
def test_a_run_to_be_started_over_stays_until_the_next_one_has_begun(
    elman, book: Path, tmp_path: Path, monkeypatch, mistake: str
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.txt").write_text("")
    command = ["train", "language", book, "--out", "run", *SMALL.split(), *BOOK.split()]
    assert elman(*command).code == 0
    before = {name: (tmp_path / "run" / name).read_bytes() for name in ("checkpoint.safetensors", "run.json")}
    failed = elman(*command, "--overwrite", *mistake.split())
    assert failed.code in (1, 2)
    assert before == {name: (tmp_path / "run" / name).read_bytes() for name in before}
    assert not list((tmp_path / "run").glob("*.before"))
    assert elman(*command, "--overwrite", "--seed", 1).code == 0
    assert before["checkpoint.safetensors"] != (tmp_path / "run" / "checkpoint.safetensors").read_bytes()
    assert "--seed" in (tmp_path / "run" / "run.json").read_text()
    assert not list((tmp_path / "run").glob("*.before"))


def test_a_run_that_was_killed_while_it_started_another_over_gives_that_back(elman, book: Path, tmp_path: Path):
    command = ["train", "language", book, "--out", tmp_path / "run", *SMALL.split(), *BOOK.split()]
    assert elman(*command).code == 0
    checkpoint = tmp_path / "run" / "checkpoint.safetensors"
    content = checkpoint.read_bytes()
    # As it is after a kill between the two.
    checkpoint.rename(f"{checkpoint}.before")
    assert elman(*command).code == 2
    assert checkpoint.read_bytes() == content


def test_a_folder_of_others_is_left_as_it_is(elman, book: Path, tmp_path: Path):
    (tmp_path / "project").mkdir()
    for name in ("notes.txt", "run.lock"):
        (tmp_path / "project" / name).write_text("mine")
    for more in ([], ["--overwrite"], ["--resume"]):
        assert elman("train", "language", book, "--out", tmp_path / "project", *more).code == 2
    assert {path.name: path.read_text() for path in (tmp_path / "project").iterdir()} == {
        "notes.txt": "mine", "run.lock": "mine"
    }  # fmt: skip
