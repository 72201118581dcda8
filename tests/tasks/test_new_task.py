"""A task that is not in elman: sixty lines and one entry give it every command."""

import inspect
import json
from pathlib import Path

import pytest

from elman.models import model_for, open_model
from elman.tasks import TASKS, find_task
from elman.tasks.tag import Tag
from tests.tasks.measure import Measure

SMALL = ("--hidden-size", 6, "--epochs", 3, "--batch-size", 8, "--seed", 1)
FILE = Path(__file__).with_name("measure.py")


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(TASKS, "measure", Measure)
    path = tmp_path / "sizes.csv"
    path.write_text("text,size\n" + "".join(f"{'ab' * (n % 5)}{n:02d},{n % 5 / 4}\n" for n in range(40)))
    return path


def test_it_is_no_longer_than_sixty_lines():
    code = [line for line in FILE.read_text().splitlines() if line.strip()]
    assert len(code) <= 60


def test_it_has_a_command_with_its_columns_and_settings(elman, data: Path):
    assert "measure" in elman("train", "--help").out
    shown = elman("train", "measure", "--help").out
    for flag in ("--text COL", "--size COL", "--hidden-size N", "--label-smoothing"):
        assert (flag in shown) == (flag != "--label-smoothing")
    assert "Train a ruler (a number for each text)" in shown
    assert "--size COL" in elman("evaluate", "--help").out


def test_it_trains_resumes_reports_evaluates_and_predicts(elman, data: Path, tmp_path: Path):
    columns = ("--text", "text", "--size", "size")
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    done = elman("train", "measure", data, *columns, "--out", whole, *SMALL, "--json")
    assert done.code == 0, done.err
    assert (done.json["epochs"], done.json["evaluated_on"]) == (3, "validation data")
    first = elman("train", "measure", data, *columns, "--out", parts, *SMALL[:2], "--epochs", 1, *SMALL[4:], "--json")
    assert first.code == 0, first.err
    more = elman("train", "measure", data, *columns, "--out", parts, *SMALL, "--resume", "--json")
    assert more.code == 0, more.err
    for name in ("model.safetensors", "vocabulary.json"):
        assert (parts / name).read_bytes() == (whole / name).read_bytes()
    assert more.json["loss"] == done.json["loss"]
    report = (whole / "report.html").read_text()
    for said in ("Mean square error.", "a number for each text", "hidden_size", "<svg"):
        assert said in report
    lines = elman("evaluate", whole, data, *columns)
    assert lines.code == 0, lines.err
    assert lines.out.startswith("loss")
    answers = [line.split("\t") for line in elman("predict", whole, data).out.splitlines()]
    assert len(answers) == 40
    assert all(0 <= float(answer) <= 2 for _, answer in answers)
    opened = open_model(whole)
    assert [answer.value for answer in opened.answers(["abab01"])] == [
        json.loads(line.split("\t")[1]) for line in elman("predict", whole, "--text", "abab01").out.splitlines()
    ]


def test_its_flags_are_refused_for_models_of_other_tasks(elman, data: Path, tmp_path: Path):
    assert elman("train", "classify", data, "--label", "size", "--out", tmp_path / "m", *SMALL).code == 0
    done = elman("evaluate", tmp_path / "m", data, "--size", "size")
    assert done.code == 2
    assert "--size: only for a ruler" in done.err


def test_the_guide_shows_the_file_of_a_task_whole():
    guide = Path(__file__).parents[2] / "CONTRIBUTING.md"
    assert f"```python\n{Path(inspect.getfile(Tag)).read_text()}```" in guide.read_text()


def test_every_task_has_a_model():
    for name in TASKS:
        assert model_for(name).task is find_task(name)
