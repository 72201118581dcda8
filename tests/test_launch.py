"""The variables of a launcher: which are refused, and whether there are several processes."""

import pytest

from elman.cli.app import run
from elman.errors import UsageError
from elman.launch import check_launch, find_free_port, is_one_of_several

GOOD = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500", "LOCAL_RANK": "1"}


def launched(monkeypatch: pytest.MonkeyPatch, **changes: str) -> None:
    for name, value in {**GOOD, **changes}.items():
        monkeypatch.setenv(name, value)


def test_good_variables(monkeypatch: pytest.MonkeyPatch):
    launched(monkeypatch)
    check_launch()
    assert is_one_of_several()
    launched(monkeypatch, WORLD_SIZE="1", RANK="0")
    check_launch()
    assert not is_one_of_several()
    monkeypatch.delenv("MASTER_PORT")
    # Other programs use the name too.
    monkeypatch.setenv("WORLD_SIZE", "many")
    check_launch()
    assert not is_one_of_several()


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("RANK", "2", "a number from 0 to 1 (WORLD_SIZE=2), got '2'"),
        ("RANK", "-1", "a number from 0 to 1 (WORLD_SIZE=2), got '-1'"),
        ("RANK", "first", "a number from 0 to 1 (WORLD_SIZE=2), got 'first'"),
        ("RANK", "", "a number from 0 to 1 (WORLD_SIZE=2), got ''"),
        ("WORLD_SIZE", "0", "the number of processes, got '0'"),
        ("WORLD_SIZE", "two", "the number of processes, got 'two'"),
        ("MASTER_PORT", "70000", "a port from 1 to 65535, got '70000'"),
        ("LOCAL_RANK", "x", "the number of this process on its machine, got 'x'"),
    ],
)
def test_wrong_variables(
    name: str, value: str, expected: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    launched(monkeypatch, **{name: value})
    with pytest.raises(UsageError, match="torchrun"):
        check_launch()
    assert run(["train", "classify", "missing.csv", "--out", "no"]) == 2
    assert f"Expected the environment variable {name} to be {expected}." in capsys.readouterr().err


def test_a_free_port_is_free():
    assert 0 < find_free_port() < 2**16
