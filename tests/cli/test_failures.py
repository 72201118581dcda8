"""Every failure is one message and one exit code, and with --json one object too."""

import errno
import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from elman.cli import app as command_line
from elman.cli.failures import RunStopped
from elman.errors import DataError
from elman.tasks import TASKS


def fails_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def raise_it() -> list:
        raise error

    monkeypatch.setattr("elman.cli.doctor.examine", raise_it)


def test_a_named_mistake(elman, monkeypatch: pytest.MonkeyPatch):
    fails_with(monkeypatch, DataError("The row is too long.", where="a.csv, line 3", fix="Cut it."))
    done = elman("doctor", "--json")
    assert done.code == 1
    assert done.err == "elman: error: The row is too long.\n  a.csv, line 3\nCut it.\n"
    assert done.json == {"error": "The row is too long.", "where": "a.csv, line 3", "fix": "Cut it."}


def test_a_defect_is_one_message(elman, monkeypatch: pytest.MonkeyPatch):
    fails_with(monkeypatch, ZeroDivisionError("a gate divided"))
    done = elman("doctor")
    assert done.code == 1
    assert "A defect in elman: ZeroDivisionError: a gate divided" in done.err
    assert "Traceback" not in done.err
    assert done.out == ""


def test_a_defect_shows_its_traceback_if_asked(elman, monkeypatch: pytest.MonkeyPatch):
    fails_with(monkeypatch, ZeroDivisionError())
    assert "Traceback" in elman("--debug", "doctor").err
    monkeypatch.setenv("ELMAN_DEBUG", "1")
    assert "Traceback" in elman("doctor").err


def test_a_file_that_the_system_refuses(elman, monkeypatch: pytest.MonkeyPatch):
    fails_with(monkeypatch, PermissionError(13, "Permission denied", "secret.csv"))
    done = elman("doctor")
    assert done.code == 1
    assert "Permission denied" in done.err
    assert "secret.csv" in done.err
    assert "defect" not in done.err


def no_memory() -> BaseException:
    try:
        torch.empty(2**60, dtype=torch.uint8)
    except RuntimeError as error:
        return error
    pytest.fail("there was room")


def test_memory_that_cannot_be_had(elman, monkeypatch: pytest.MonkeyPatch):
    for error in (MemoryError(), no_memory(), torch.OutOfMemoryError("CUDA out of memory.")):
        fails_with(monkeypatch, error)
        done = elman("doctor")
        assert done.code == 1
        assert "The memory is full" in done.err
        assert "--streams" in done.err


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("place", [(), ("big.bin",)])
def test_a_full_disk(elman, monkeypatch: pytest.MonkeyPatch, number: int, place: tuple[str, ...]):
    fails_with(monkeypatch, OSError(number, os.strerror(number), *place))
    done = elman("doctor", "--json")
    assert done.code == 1
    assert done.json["error"] == f"The disk is full: {os.strerror(number)}."
    assert done.json["where"] == (place[0] if place else None)
    assert "defect" not in done.err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
@pytest.mark.parametrize("words", [["--help"], ["data", "list", "--json"], ["summary", "no such model", "--json"]])
def test_standard_output_without_room(words: list[str]):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, "-m", "elman", *words], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("elman: error: ")
    assert done.stderr.count("error") == 1
    assert ("There is no such model folder" in done.stderr) == (words[0] == "summary")
    assert ("The disk is full" in done.stderr) == (words[0] != "summary")


def test_a_full_memory(elman, monkeypatch: pytest.MonkeyPatch):
    fails_with(monkeypatch, MemoryError())
    assert "memory is full" in elman("doctor").err


def test_ctrl_c_without_a_run(elman, monkeypatch: pytest.MonkeyPatch):
    fails_with(monkeypatch, KeyboardInterrupt())
    done = elman("doctor", "--json")
    assert done.code == 130
    assert "elman doctor" in done.err
    assert "elman doctor" in done.json["fix"]


def test_ctrl_c_in_a_run_gives_the_command_that_continues(elman, monkeypatch: pytest.MonkeyPatch):
    fails_with(monkeypatch, RunStopped(Path("my model")))
    done = elman("doctor", "--json")
    assert done.code == 130
    assert done.json["where"] == "my model"
    assert done.json["fix"] == "Continue with: elman doctor --json --resume"


def test_a_warning_is_one_line(elman, monkeypatch: pytest.MonkeyPatch):
    import warnings

    def warn() -> list:
        warnings.simplefilter("always")
        warnings.warn("the log is short", stacklevel=1)
        return []

    monkeypatch.setattr("elman.cli.doctor.examine", warn)
    assert "elman: warning: the log is short\n" in elman("doctor", "--json").err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["dmeo"], "demo"),
        (["train"], "TASK"),
        (["train", "classify", "a.csv"], "--out"),
        (["train", "classify", "a.csv", "--out", "m", "--hiden-size", "3"], "--hidden-size"),
        (["train", "classify", "a.csv", "--out", "m", "--hidden-size", "many"], "--hidden-size"),
        (["doctor", "surplus"], "surplus"),
        (["recipe", "run", "word-sentiment-lstm"], "--data"),
        (["predict", "m", "--unknown", "perhaps"], "allow or refuse"),
        (["demo", "--threads", "0"], "--threads"),
    ],
)
def test_wrong_usage(elman, words: list[str], said: str):
    done = elman(*words, "--json")
    assert done.code == 2
    assert done.err.startswith("elman: error: ")
    assert said in done.err
    assert "--help" in done.json["fix"]
    assert "Traceback" not in done.err


def test_no_command_shows_the_help(elman):
    done = elman()
    assert done.code == 0
    assert "Usage: elman" in done.out


def test_a_reader_that_leaves_is_no_error(model: Path):
    # More than a pipe holds, so that the writer meets the closed end.
    command = [sys.executable, "-m", "elman", "predict", str(model), "-", "--threads", "1"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin
    assert process.stdout
    assert process.stderr
    with process.stderr:
        process.stdin.write(b"abab\n" * 300)
        process.stdin.flush()
        process.stdout.readline()
        process.stdout.close()
        with suppress(BrokenPipeError):
            process.stdin.write(b"abab\n" * 20_000)
            process.stdin.flush()
        with suppress(BrokenPipeError):
            process.stdin.close()
        assert process.stderr.read() == b""
    assert process.wait() == 0


def test_the_exit_code_reaches_the_shell(tmp_path: Path):
    command = [sys.executable, "-m", "elman", "summary", str(tmp_path / "none"), "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"] == "There is no such model folder."


def test_every_command_takes_json():
    import typer

    def leaves(command, context):
        if not hasattr(command, "list_commands"):
            return [(command, context)]
        names = command.list_commands(context)
        return [leaf for name in names for leaf in leaves(command.get_command(context, name), context)]

    group = typer.main.get_command(command_line.app)
    found = leaves(group, group.make_context("elman", [], resilient_parsing=True))
    # `train` and `search` have a command for each task.
    assert len(found) == 14 + 2 * len(TASKS)
    for leaf, context in found:
        assert any("--json" in parameter.opts for parameter in leaf.get_params(context)), leaf.name


REFUSED = {
    "one label": (["classify"], "a,1\nb,1\nc,1\n"),
    "one kind of character": (["language", "--streams", "1", "--window", "2"], "a" * 40),
    "too short for its streams": (["language"], "abc" * 20),
    "no such part": (["classify", "--freeze", "tail"], "a,1\nb,2\nc,1\nd,2\n"),
}


def all_of(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("task", "text"), REFUSED.values(), ids=REFUSED)
def test_a_training_that_is_refused_leaves_nothing(elman, task: list[str], text: str, tmp_path: Path):
    data = tmp_path / "data.csv"
    data.write_text(text)
    small = ("--validation-fraction", 0, "--hidden-size", 4, "--epochs", 1)
    done = elman("train", *task, data, "--out", tmp_path / "models" / "m", *small)
    assert done.code != 0
    assert list(tmp_path.iterdir()) == [data]


def test_a_training_that_is_refused_leaves_the_model_that_it_was_to_replace(elman, words: Path, tmp_path: Path):
    out, bad = tmp_path / "m", tmp_path / "bad.csv"
    assert elman("train", "classify", words, "--out", out, "--hidden-size", 4, "--epochs", 1).code == 0
    before = all_of(out)
    bad.write_text("a,1\nb,1\nc,1\n")
    for flag in ("--overwrite", "--resume"):
        assert elman("train", "classify", bad, "--out", out, "--validation-fraction", 0, flag).code == 1
        assert all_of(out) == before


def test_a_recipe_without_its_data_leaves_nothing(elman, tmp_path: Path):
    assert elman("recipe", "run", "shakespeare-chars", "--data", tmp_path, "--out", tmp_path / "m").code == 1
    assert not list(tmp_path.iterdir())
