"""Folders of runs: one run at a time."""

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from elman.errors import UsageError
from elman.folders import CHECKPOINT, LOCK, LOG, RUN, RunFolder, alone_in, removed_if_refused

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


def run_refused(folder: Path, *written: str, error: type[BaseException] = UsageError) -> None:
    """Begin a run that writes files, and end it with an error."""
    with suppress(error), removed_if_refused(folder):
        RunFolder(folder).begin("elman train classify words.csv", resume=False, overwrite=False)
        for name in (LOG, "training-tokens.bin", "training-tokens.json", *written):
            (folder / name).write_text("")
        raise error("refused")


def test_a_refused_run_leaves_nothing(tmp_path: Path):
    run_refused(tmp_path / "models" / "words")
    assert not list(tmp_path.iterdir())
    (tmp_path / "words").mkdir()
    run_refused(tmp_path / "words")
    assert not list((tmp_path / "words").iterdir())


def test_a_refused_run_leaves_what_it_did_not_make(tmp_path: Path):
    kept = {LOG: '{"kind": "epoch"}', "validation-tokens.bin": "old"}
    for name, content in kept.items():
        (tmp_path / name).write_text(content)
    run_refused(tmp_path, "notes.txt")
    assert {path.name for path in tmp_path.iterdir()} == {*kept, "notes.txt"}
    assert (tmp_path / "validation-tokens.bin").read_text() == "old"


def test_a_run_that_saved_a_checkpoint_or_was_interrupted_keeps_its_folder(tmp_path: Path):
    run_refused(tmp_path / "begun", CHECKPOINT, error=RuntimeError)
    run_refused(tmp_path / "interrupted", error=KeyboardInterrupt)
    for name in ("begun", "interrupted"):
        assert (tmp_path / name / RUN).exists()


def test_a_run_that_is_refused_because_of_another_removes_nothing(other: subprocess.Popen, tmp_path: Path):
    with suppress(UsageError), removed_if_refused(tmp_path):
        (tmp_path / RUN).write_text("of the other run")
        RunFolder(tmp_path).begin("elman train classify words.csv", resume=False, overwrite=False)
        pytest.fail("two have the folder")
    assert (tmp_path / RUN).read_text() == "of the other run"
