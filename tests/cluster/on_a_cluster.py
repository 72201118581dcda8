"""Predictions on a local cluster, compared with those of this process; run by `test_ray.py`.

Run by itself, so that the warnings of Ray are not those of the tests.
"""

import contextlib
import csv
import io
import os
import signal
import sys
from pathlib import Path

import pyarrow
from pyarrow import parquet

import elman
from elman.cli.app import run
from elman.cluster.connect import connected
from tests.small_tasks import CASES, ROWS, prepared


def printed(*words: object) -> str:
    """What a command prints."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = run([str(word) for word in words])
    assert code == 0, words
    return out.getvalue()


def lines_of_a_file_and_of_a_folder(model: Path, folder: Path) -> None:
    """The same lines as without a cluster, blank ones among them."""
    texts = "".join("ab"[: n % 3] + "dc" * (n % 5) + "\n" for n in range(5000)) + "\n\n"
    (folder / "texts.txt").write_text(texts)
    plain = printed("predict", model, folder / "texts.txt")
    assert plain.count("\n") == 5002
    assert printed("predict", model, folder / "texts.txt", "--engine", "ray") == plain
    parts = folder / "parts"
    parts.mkdir()
    for number in range(3):
        (parts / f"{number}.csv").write_text("id,text\n" + f'{number},"{"ab" * number}\ncd"\n' * 300)
    plain = "".join(printed("predict", model, each, "--column", "text") for each in sorted(parts.iterdir()))
    out = folder / "answers"
    printed("predict", model, parts, "--engine", "ray", "--column", "text", "--out", out)
    written = []
    for each in sorted(out.iterdir()):
        with each.open(newline="") as file:
            written += csv.DictReader(file)
    assert [row["text"].replace("\n", "\\n") for row in written] == [line.split("\t")[0] for line in plain.splitlines()]
    assert [row["prediction"] for row in written] == [line.split("\t")[1] for line in plain.splitlines()]


def rows_of_parquet(model: Path, folder: Path) -> None:
    """The rows of Parquet files keep their columns and their order."""
    source = folder / "rows.parquet"
    texts = ["ab" * (1 + n % 3) if n % 2 else "dc" for n in range(1000)]
    parquet.write_table(pyarrow.table({"id": range(1000), "text": texts}), source, row_group_size=100)
    printed("predict", model, source, "--engine", "ray", "--out", folder / "out.parquet")
    found = parquet.read_table(folder / "out.parquet").to_pydict()
    assert found["id"] == list(range(1000))
    assert found["prediction"] == ["vowel" if n % 2 else "stop" for n in range(1000)]
    assert all(0.5 <= each <= 1 for each in found["probability"])


def rows_of_each_task(folder: Path) -> None:
    """The lines of pairs, sentences, series and forecasts; one actor reads each, since it takes seconds to start."""
    for name in ("pairs", "sentences", "series", "forecasts"):
        case = CASES[name]
        (own := folder / name).mkdir()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            model, data = prepared(name, own)
        plain = printed("predict", model, data, *case.options)
        assert printed("predict", model, data, *case.options, "--engine", "ray", "--workers", 1) == plain, name
    out = folder / "series.csv"
    words = folder / "series" / "model", folder / "series" / "asked.csv", "--engine", "ray", "--workers", 1
    printed("predict", *words, "--out", out)
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["position", "prediction", "probability"]
    assert rows[-1]["position"].endswith(f"line {ROWS}")


def mistakes(model: Path, folder: Path) -> None:
    """A mistake in a task is one message, with its line."""
    rows = ['{"text": "ab"}'] * 300
    source = folder / "objects"
    source.mkdir()
    (source / "1.jsonl").write_text("\n".join(rows))
    rows[250] = '{"text": 3}'
    # Only the first file is looked at before the tasks run.
    (source / "2.jsonl").write_text("\n".join(rows))
    err = io.StringIO()
    with contextlib.redirect_stderr(err), contextlib.redirect_stdout(io.StringIO()):
        assert run(["predict", str(model), str(source), "--engine", "ray"]) == 1, err.getvalue()
    assert "line 251" in err.getvalue()
    assert "Traceback" not in err.getvalue()


def a_killed_actor_loses_nothing(model: Path, ray) -> None:
    """The rows of an actor that is killed are answered by another one."""
    dataset = ray.data.from_items(
        [{"id": n, "text": "ab" if n % 2 else "dc"} for n in range(4000)], override_num_blocks=8
    )
    found, killed = [], []
    answered = elman.predict_dataset(model, dataset, columns=["text"], workers=1)
    for row in answered.iter_rows():
        found.append(row)
        if len(found) == 300 and not killed:
            killed = _workers()
            for process in killed:
                os.kill(process, signal.SIGKILL)
    assert killed
    assert [row["id"] for row in found] == list(range(4000))
    assert all(row["prediction"] == ("vowel" if row["id"] % 2 else "stop") for row in found)


def _workers() -> list[int]:
    """The processes of the actors of this cluster, which have the environment of this process."""
    mark, found = f"ELMAN_TEST_CLUSTER={os.getpid()}".encode(), []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if b"ray::MapWorker" in (folder / "cmdline").read_bytes() and mark in (folder / "environ").read_bytes():
                found.append(int(folder.name))
    return found


if __name__ == "__main__":
    os.environ["ELMAN_TEST_CLUSTER"] = str(os.getpid())
    with connected(workers=2) as cluster:
        lines_of_a_file_and_of_a_folder(Path(sys.argv[1]), Path(sys.argv[2]))
        rows_of_parquet(Path(sys.argv[1]), Path(sys.argv[2]))
        rows_of_each_task(Path(sys.argv[2]))
        mistakes(Path(sys.argv[1]), Path(sys.argv[2]))
        a_killed_actor_loses_nothing(Path(sys.argv[1]), cluster)
