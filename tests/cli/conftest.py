"""A command line run inside the test, a small labelled file, and a small trained model."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from elman.cli.app import run

Elman = Callable[..., "Result"]


class Result(NamedTuple):
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict:
        """The object on the last line of standard output."""
        return json.loads(self.out.splitlines()[-1])


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def elman(capsys: pytest.CaptureFixture[str]) -> Elman:
    def call(*words: object) -> Result:
        capsys.readouterr()
        code = run([str(word) for word in words])
        return Result(code, *capsys.readouterr())

    return call


def write_words(path: Path, count: int = 60) -> Path:
    """Words of two kinds that a small network tells apart: of a and b, or of c and d."""
    draw = random.Random(0)
    rows = ["text,label"]
    for number in range(count):
        kind, letters = ("vowel", "ab") if number % 2 else ("stop", "cd")
        rows.append("".join(draw.choice(letters) for _ in range(1 + number % 7)) + f",{kind}")
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.fixture
def words(tmp_path: Path) -> Path:
    return write_words(tmp_path / "words.csv")


@pytest.fixture
def book(tmp_path: Path) -> Path:
    path = tmp_path / "book.txt"
    path.write_text("the cat sat on the mat; <b>the dog</b> sat on the log\n" * 20)
    return path


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    data = write_words(folder / "words.csv")
    words = ("train", "classify", data, "--out", folder / "model", "--hidden-size", 8, "--epochs", 12)
    code = run([*map(str, words), "--learning-rate", "0.02", "--batch-size", "8"])
    assert code == 0
    return folder / "model"
