"""`predict --engine ray`: a local cluster, and one message for what it cannot do."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from elman.cli.app import run
from elman.errors import UsageError
from tests.search.words import write_words

pytest.importorskip("ray", reason="clusters need ray: pip install 'elman[ray]'")
import pyarrow
from pyarrow import parquet

from elman.cluster.files import write_files


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    data = write_words(folder / "words.csv", 80)
    line = ("train", "classify", data, "--out", folder / "model", "--hidden-size", 8, "--epochs", 12)
    assert run([*map(str, line), "--learning-rate", "0.02", "--batch-size", "8", "--baseline", "off"]) == 0
    return folder / "model"


@pytest.mark.slow
def test_a_local_cluster(model: Path, tmp_path: Path):
    script = Path(__file__).with_name("on_a_cluster.py")
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])}
    command = [sys.executable, script, model, tmp_path]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_no_cluster_at_the_address(model: Path, capfd: pytest.CaptureFixture[str]):
    data = write_words(model.parent / "more.csv", 10)
    capfd.readouterr()
    assert run(["predict", str(model), str(data), "--engine", "ray", "--address", "127.0.0.1:1"]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert "There is no Ray cluster at 127.0.0.1:1." in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (("words.csv", "--engine", "spark"), "Expected local or ray for --engine, got 'spark'."),
        (("words.csv", "--workers", "2"), "--workers: only with --engine ray."),
        (("words.csv", "--engine", "ray", "--workers", "0"), "Expected at least 1 for --workers, got 0."),
        (("words.csv", "--out", "x.csv"), "--out: only with --engine ray."),
        (("words.csv", "--engine", "ray", "--shard", "1/2"), "--shard: not with --engine ray."),
        (("-", "--engine", "ray"), "A cluster does not read standard input."),
        (("missing.csv", "--engine", "ray"), "There is no file missing.csv."),
        (("--text", "ab", "--engine", "ray"), "--engine: only for DATA."),
    ],
)
def test_flags_that_make_no_sense(flags: tuple[str, ...], reason: str, model: Path, capsys: pytest.CaptureFixture[str]):
    capsys.readouterr()
    assert run(["predict", str(model), *flags]) != 0
    out, err = capsys.readouterr()
    assert out == ""
    assert reason in err


def test_json_needs_a_file(model: Path, capsys: pytest.CaptureFixture[str]):
    assert run(["predict", str(model), "words.csv", "--engine", "ray", "--json"]) == 2
    assert "--json: with --engine ray only with --out." in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_file_is_written_in_order(kind: str, tmp_path: Path):
    tables = [pyarrow.table({"text": ["a,\n", "é"], "prediction": [n, n + 1]}) for n in (0, 2)]
    path = tmp_path / f"out.{kind}"
    write_files(Given(tables), path, ".txt")
    expected = [{"text": text, "prediction": n} for n, text in enumerate(["a,\n", "é"] * 2)]
    if kind == "parquet":
        assert parquet.read_table(path).to_pylist() == expected
    elif kind == "jsonl":
        assert [json.loads(line) for line in path.read_text().splitlines()] == expected
    else:
        with path.open(newline="") as file:
            assert [{**row, "prediction": int(row["prediction"])} for row in csv.DictReader(file)] == expected
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_an_output_that_cannot_be(tmp_path: Path):
    for name, reason in (("out.xlsx", "has an unknown ending"), (".", "already exists")):
        with pytest.raises(UsageError, match=reason):
            write_files(Given([]), tmp_path / name, ".txt")


class Given:
    """What is written of a dataset."""

    def __init__(self, tables):
        self._tables = tables

    def iter_batches(self, **_):
        return iter(self._tables)


@pytest.mark.parametrize("command", ["predict", "search"])
def test_ray_is_not_installed(
    command: str, model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "ray", None)
    data = str(model.parent / "words.csv")
    words = ["predict", str(model), data] if command == "predict" else ["search", "classify", data, "--trials", "1"]
    capsys.readouterr()
    assert run([*words, "--engine", "ray"]) == 2
    assert 'pip install "elman[ray]"' in capsys.readouterr().err


def test_a_folder_of_several_kinds(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for name in ("a.txt", "b.csv"):
        (tmp_path / name).write_text("ab\n")
    assert run(["predict", str(model), str(tmp_path), "--engine", "ray"]) == 1
    assert "has files of several kinds: .csv, .txt." in capsys.readouterr().err
