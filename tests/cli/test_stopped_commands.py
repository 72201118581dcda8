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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize(
    ("task", "data", "options", "reached"),
    [("classify", "words", WORDS, "epoch 2/4"), ("language", "book", BOOK, "minibatches   13-")],
)
def test_a_stopped_run_goes_on_to_the_same_bits(
    elman, request, tmp_path: Path, number: signal.Signals, task: str, data: str, options: str, reached: str
):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"

    def train(out: Path) -> list[str]:
        text = str(request.getfixturevalue(data))
        return ["train", task, text, "--out", str(out), *SMALL.split(), *options.split()]

    assert elman(*train(whole)).code == 0
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
    assert (stopped / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
