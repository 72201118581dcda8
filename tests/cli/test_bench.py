"""`elman bench`: which cases there are, what a line says, and how it ends. Never how fast anything is."""

import json

import pytest

from elman.bench import run as bench_run
from elman.bench.cases import LISTED, find_cases
from elman.bench.language_case import parse_language

FIELDS = [
    "case",
    "cell",
    "batch",
    "steps",
    "input_size",
    "hidden_size",
    "ragged",
    "mode",
    "threads",
    "elman_ms",
    "peers",
    "gflops",
    "fraction_of_peak",
    "compile_ms",
]
RAGGED = "gru-b3-t5-i3-h4-ragged-forward+backward"
STREAMING = "lstm-b1-t1-i3-h4-streaming"
TRAINING = ("wiki-chars-gru-b3-t5-i4-h6-a7", "wiki-chars-own-gru-b3-t5-i4-h6-a7")
WRITING = "language-generate-i4-h6-a7"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch):
    """The machine is looked at for a moment only, and the environment is left as it was."""
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    monkeypatch.setattr("elman.bench.limits._best_seconds", lambda run, seconds: (run(), 0.001)[1])
    monkeypatch.setattr("elman.bench.arrays.has_jax", lambda: False)


def test_the_cases_are_listed_one_a_line(elman):
    done = elman("bench", "--list")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == list(LISTED)
    assert elman("bench", "--list", "--json").json == {"cases": list(LISTED)}
    assert elman("bench", "lstm-*-streaming", "--list").out.count("\n") == 3


def test_a_line_of_json_a_case_with_the_fields_of_the_case(elman, quick):
    done = elman("bench", RAGGED, STREAMING, "--json", "--repeat", 1, "--threads", 1)
    assert done.code == 0
    first, second = map(json.loads, done.out.splitlines())
    assert list(first) == list(second) == FIELDS
    assert first["case"] == RAGGED
    assert (first["cell"], first["batch"], first["steps"]) == ("gru", 3, 5)
    assert (first["input_size"], first["hidden_size"], first["threads"]) == (3, 4, 1)
    assert (first["ragged"], first["mode"]) == (True, "forward+backward")
    assert set(first["peers"]) == {"hand-written", "torch.nn", "torch.nn packed", "elman same steps"}
    assert (second["ragged"], second["mode"]) == (False, "streaming")
    assert set(second["peers"]) == {"hand-written", "torch.nn", "torch.nn cell", "numpy", "weights/bandwidth"}
    for record in (first, second):
        figures = [record["elman_ms"], record["gflops"], record["fraction_of_peak"], record["compile_ms"]]
        assert all(figure > 0 for figure in [*figures, *record["peers"].values()])


def test_the_figures_of_a_line_follow_from_each_other(elman, quick):
    record = elman("bench", RAGGED, "--json", "--repeat", 2, "--threads", 1).json
    (case,) = find_cases([RAGGED])
    steps = sum(case.lengths)
    operations = 3 * 2 * steps * (3 + 4) * 4 * 3
    assert record["gflops"] == pytest.approx(operations / record["elman_ms"] / 1e6)


def test_a_table_for_each_kind_of_work(elman, quick):
    done = elman("bench", "lstm-b2-t3-i3-h4-forward", RAGGED, STREAMING, "--repeat", 1)
    assert done.code == 0
    lines = done.out.splitlines()
    assert "one core:" in lines[0]
    titles = [line for line in lines if line.startswith(("sequences", "ragged", "streaming"))]
    assert len(titles) == 3
    headers = [line.split() for line in lines if line.startswith("case ")]
    assert [header[:2] for header in headers] == [["case", "elman"]] * 3
    assert lines[-1].startswith("Times are medians")
    assert "[3/3]" in done.err


def test_an_unknown_case_is_wrong_usage_and_the_nearest_is_named(elman):
    done = elman("bench", "lstm-b16-t40-i64-h64-foward", "--json")
    assert done.code == 2
    assert "`lstm-b16-t40-i64-h64-forward`" in done.json["fix"]
    assert elman("bench", "--threads", 0, "--list").code == 2
    assert elman("bench", "--repeat", 0, "--list").code == 2


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_an_interrupted_run_shows_what_is_done(elman, quick, monkeypatch: pytest.MonkeyPatch, words: list[str]):
    measured = bench_run.run_case

    def stop_at_the_second(case, *args, **options):
        if case.name == STREAMING:
            raise KeyboardInterrupt
        return measured(case, *args, **options)

    monkeypatch.setattr(bench_run, "run_case", stop_at_the_second)
    done = elman("bench", RAGGED, STREAMING, "--repeat", 1, *words)
    assert done.code == 130
    assert RAGGED in done.out
    rows = [line for line in done.out.splitlines() if line.startswith((STREAMING, f'{{"case": "{STREAMING}'))]
    assert not rows
    assert "Stopped" in done.err


def test_stopped_before_the_first_there_is_nothing_to_show(elman, quick, monkeypatch: pytest.MonkeyPatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(bench_run, "run_case", stop)
    done = elman("bench", RAGGED)
    assert (done.code, done.out) == (130, "")


def test_a_machine_without_kernels_is_measured_without_its_limits(elman, quick, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bench_run, "_has_kernels", lambda: False)
    words = ("bench", "lstm-b2-t3-i3-h4-forward", STREAMING, "--repeat", 1)
    assert "not measured" in elman(*words).out
    record = elman(*words, "--json").json
    assert record["fraction_of_peak"] is None
    assert "weights/bandwidth" not in record["peers"]


def test_a_line_of_json_has_the_fields_of_every_case_and_the_pace(elman, quick):
    names = (*TRAINING, WRITING)
    done = elman("bench", *names, "--json", "--repeat", 1, "--threads", 1)
    assert done.code == 0
    for name, line in zip(names, done.out.splitlines(), strict=True):
        record = json.loads(line)
        case = parse_language(name)
        assert list(record) == [*FIELDS, "characters_per_second"]
        assert record["case"] == name
        assert (record["cell"], record["mode"], record["ragged"]) == (case.cell, case.mode, False)
        indexed = {"torch hand-written, indexed"} if case.mode == "training" else set()
        assert set(record["peers"]) == {"torch.nn.GRU", "torch hand-written"} | indexed
        assert record["characters_per_second"] == pytest.approx(1000 * case.characters / record["elman_ms"])
        assert min(record["gflops"], record["fraction_of_peak"], record["compile_ms"], *record["peers"].values()) > 0


def test_a_table_for_training_and_one_for_writing(elman, quick):
    done = elman("bench", TRAINING[0], WRITING, "--repeat", 1)
    assert [line for line in done.out.splitlines() if line.startswith("language models")] == [
        "language models, a batch of training",
        "language models, a character of writing",
    ]
    assert "characters/s" in done.err
