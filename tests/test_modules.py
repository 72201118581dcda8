"""Modules that are run by `python -m`: one message, no traceback."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["elman.bench.memory", "no-such-case"], "no case `no-such-case`"),
        (["elman.bench.ngram", "enwik9", "--data", "."], "enwik9"),
        (["elman.recipes.torch_language", "wiki-chars", "--data", "."], "no recipe `wiki-chars`"),
    ],
)
def test_a_mistake_ends_with_one_message(command: list[str], message: str):
    ended = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: ")
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr
