"""A task with two input columns, which are read from one file."""

import io
import itertools
import sys
from pathlib import Path

import pytest

from elman.data.files import read_source
from elman.data.tables import tables
from elman.models import open_model
from elman.tasks import TASKS
from tests.tasks.relate import Relate

SMALL = ("--hidden-size", 8, "--epochs", 12, "--batch-size", 8, "--learning-rate", 0.03, "--validation-fraction", 0)
COLUMNS = ("--text", "premise", "--other", "claim", "--label", "same")
ROWS = [(one * 2, two * 3, str(one == two).lower()) for one, two in itertools.product("abc", repeat=2)] * 6


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(TASKS, "relate", Relate)
    path = tmp_path / "pairs.csv"
    path.write_text("\n".join(map(",".join, [("premise", "claim", "same"), *ROWS])) + "\n")
    return path


def test_both_columns_are_learned_and_used(elman, data: Path, tmp_path: Path):
    done = elman("train", "relate", data, *COLUMNS, "--out", tmp_path / "m", *SMALL, "--json")
    assert done.code == 0, done.err
    # Neither text alone says whether the two are the same.
    assert done.json["accuracy"] == 1.0
    assert elman("evaluate", tmp_path / "m", data, *COLUMNS, "--json").json["accuracy"] == 1.0
    answers = open_model(tmp_path / "m").answers([("aa", "aaa"), ("aa", "bbb"), ("cc", "ccc")])
    assert [str(answer.value).lower() for answer in answers] == ["true", "false", "true"]


def test_the_file_is_read_once(elman, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    read = []

    def counted(path, encoding=None):
        read.append(path)
        return read_source(path, encoding)

    monkeypatch.setattr(tables, "read_source", counted)
    assert elman("train", "relate", data, *COLUMNS, "--out", tmp_path / "m", *SMALL[:2], "--epochs", 1).code == 0
    assert read == [str(data)]


def test_both_columns_come_from_standard_input(elman, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    lines = [f'{{"premise": "{one}", "claim": "{two}", "same": "{label}"}}' for one, two, label in ROWS]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("\n".join(lines).encode())))
    done = elman("train", "relate", "-", *COLUMNS, "--out", tmp_path / "m", *SMALL, "--json")
    assert done.code == 0, done.err
    assert done.json["accuracy"] == 1.0


def test_a_column_that_is_missing_is_named(elman, data: Path, tmp_path: Path):
    done = elman("train", "relate", data, "--text", "premise", "--label", "same", "--out", tmp_path / "m", *SMALL)
    assert done.code == 1
    assert "no column named `other`" in done.err
