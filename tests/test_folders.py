"""Folders of runs: one run at a time."""

import subprocess
import sys
from pathlib import Path

import pytest

from elman.errors import UsageError
from elman.folders import LOCK, alone_in, folder_state

HOLDER = """
import sys
from elman.folders import alone_in
with alone_in(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path: Path):
    """Another process that has the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_folder_belongs_to_one_process_at_a_time(other: subprocess.Popen, tmp_path: Path):
    with pytest.raises(UsageError, match="Another run") as caught, alone_in(tmp_path):
        pytest.fail("two have it")
    assert caught.value.where == str(tmp_path)
    other.communicate()
    with alone_in(tmp_path):
        pass


def test_a_killed_process_leaves_the_folder_free(other: subprocess.Popen, tmp_path: Path):
    other.kill()
    other.wait()
    assert folder_state(tmp_path) == "empty"
    with alone_in(tmp_path), alone_in(tmp_path):
        assert folder_state(tmp_path) == "empty"
    assert not (tmp_path / LOCK).exists()


def test_what_is_no_folder_is_not_locked(tmp_path: Path):
    with alone_in(None), alone_in(tmp_path / "missing"):
        pass
    assert not (tmp_path / "missing").exists()
