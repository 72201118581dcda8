"""Folders of runs: one run at a time."""

import subprocess
import sys
from pathlib import Path

import pytest

from elman.errors import UsageError
from elman.folders import LOCK, LOG, RunFolder, alone_in

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
    assert RunFolder(tmp_path).state == "empty"
    with alone_in(tmp_path), alone_in(tmp_path):
        assert RunFolder(tmp_path).state == "empty"
    assert not (tmp_path / LOCK).exists()


def test_what_is_no_folder_is_not_locked(tmp_path: Path):
    with alone_in(None), alone_in(tmp_path / "missing"):
        pass
    assert not (tmp_path / "missing").exists()


def test_a_folder_of_others_is_refused_and_left_as_it_was(tmp_path: Path):
    (tmp_path / LOCK).write_text("mine")
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(UsageError, match="files that elman did not write"), alone_in(tmp_path):
        pytest.fail("it was locked")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["letter.txt", LOCK]
    assert (tmp_path / LOCK).read_text() == "mine"


@pytest.mark.parametrize("name", [LOCK, "training-tokens.bin", ".checkpoint.safetensors.0a1b.tmp", LOG])
def test_what_a_run_leaves_before_its_first_checkpoint_is_not_foreign(tmp_path: Path, name: str):
    (tmp_path / name).write_text("")
    assert RunFolder(tmp_path).state == "empty"


def test_a_log_of_others_is_foreign(tmp_path: Path):
    (tmp_path / LOG).write_text('{"time": 3}\n')
    assert RunFolder(tmp_path).state == "foreign"
