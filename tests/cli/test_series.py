"""Series from files to saved models to answers, on the command line."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest

SMALL = ("--hidden-size", 4, "--epochs", 2, "--batch-size", 8, "--seed", 1)


def lines(kind: str, *, missing: bool = False) -> list[str]:
    rows = []
    for n in range(30):
        steps = [f"{math.sin(t * (1 + n % 2)):.3f}" for t in range(4 + n % 3)]
        if missing and n % 4 == 0:
            steps[1] = "?"
        rows.append(f"{','.join(steps)}:{n % 2 if kind == 'class' else n / 10}")
    return rows


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    path = tmp_path / "waves.ts"
    path.write_text("\n".join(["@timestamps false", "@classLabel true 0 1", "@data", *lines("class"), ""]))
    return path


@pytest.fixture
def numbers(tmp_path: Path) -> Path:
    path = tmp_path / "numbers.ts"
    path.write_text("\n".join(["@timestamps false", "@targetLabel true", "@data", *lines("number"), ""]))
    return path


def test_classify_trains_evaluates_and_predicts(elman, classes: Path, tmp_path: Path):
    out = tmp_path / "model"
    done = elman("train", "classify", classes, "--out", out, *SMALL, "--json")
    assert done.code == 0, done.err
    assert "each line is a series" in done.err
    evaluated = elman("evaluate", out, classes, "--json")
    assert evaluated.json["count"] == 30
    answers = elman("predict", out, classes, "--json").json["predictions"]
    assert [len(json.loads(each["text"])) for each in answers[:3]] == [4, 5, 6]
    assert {each["label"] for each in answers} <= {0, 1}
    assert "standard" in json.loads((out / "config.json").read_text())["settings"]["scaling"]


def test_regress_trains_evaluates_and_predicts(elman, numbers: Path, tmp_path: Path):
    out = tmp_path / "model"
    done = elman(
        "train", "regress", numbers, "--out", out, "--loss", "quantile", "--baseline", "ridge", *SMALL, "--json"
    )
    assert done.code == 0, done.err
    assert done.json["baseline"]["name"] == "ridge"
    assert {"rmse", "mae", "r2", "pearson"} <= set(done.json)
    report = (out / "report.html").read_text()
    assert report.count("<svg") >= 3
    for said in ("Predictions and residuals", "mean baseline", "ridge baseline"):
        assert said in report
    assert elman("evaluate", out, numbers, "--json").json["count"] == 30
    shown = elman("predict", out, numbers)
    assert len(shown.out.splitlines()) == 30
    fields = shown.out.splitlines()[0].split("\t")
    assert [field.partition("=")[0] for field in fields[2:]] == ["q0.1", "q0.5", "q0.9"]
    low, middle, high = (float(field.partition("=")[2]) for field in fields[2:])
    assert low <= middle <= high
    assert float(fields[1]) == middle


def test_numbers_of_texts(elman, tmp_path: Path):
    path = tmp_path / "words.csv"
    path.write_text("word,score\n" + "".join(f"{'ab' * (n % 5)}{n:02d},{n % 5 / 4}\n" for n in range(40)))
    out = tmp_path / "model"
    done = elman("train", "regress", path, "--text", "word", "--target", "score", "--out", out, *SMALL)
    assert done.code == 0, done.err
    assert "RMSE" in done.out
    assert len(elman("predict", out, "--text", "abab").out.split("\t")) == 2
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("word,score\nab,0.5\nba,good\nbb,inf\n")
    refused = elman("train", "regress", wrong, "--text", "word", "--target", "score", "--out", tmp_path / "other")
    assert refused.code == 1
    assert "line 3, column `score`: expected a number, got 'good'" in refused.err
    assert "line 4, column `score`: expected a finite number, got inf" in refused.err


@pytest.mark.parametrize(("task", "word"), [("regress", "target"), ("classify", "label")])
def test_notes_and_repairs_call_the_answers_what_the_flag_calls_them(elman, tmp_path: Path, task: str, word: str):
    path = tmp_path / "texts.csv"
    path.write_text("".join(f"word {n},{n % 2}\n" for n in range(20)))
    done = elman("train", task, path, "--no-header", "--out", tmp_path / "model", *SMALL)
    assert done.code == 0, done.err
    assert f"column 1 is the text, column 2 the {word}" in done.err
    path.write_text("".join(f"word {n},other,third,{n % 2}\n" for n in range(20)))
    done = elman("train", task, path, "--no-header", "--out", tmp_path / "other", *SMALL)
    assert f"which are the text and the {word}" in done.err
    assert f"--text 2 --{word} 1" in done.err
    lines = tmp_path / "texts.jsonl"
    lines.write_text("".join(json.dumps({"text": f"word {n}", "label": n % 2}) + "\n" for n in range(20)))
    done = elman("train", task, lines, "--out", tmp_path / "third", *SMALL)
    assert f"the {word}s are read from field `label`" in done.err


@pytest.mark.parametrize(("task", "flag"), [("regress", "--target"), ("classify", "--label")])
def test_series_without_a_clear_target_name_the_flag_of_the_task(elman, tmp_path: Path, task: str, flag: str):
    path = tmp_path / "series.csv"
    path.write_text("a,b,c,d\n" + "".join(f"{n},{n + 1},{n % 3},{n % 2}\n" for n in range(20)))
    done = elman("train", task, path, "--out", tmp_path / "model", *SMALL)
    assert "not clear which column is the target" in done.err
    assert f"with {flag}." in done.err


def test_missing_values_are_refused_masked_or_carried(elman, tmp_path: Path):
    path = tmp_path / "gaps.ts"
    rows = lines("class", missing=True)
    path.write_text("\n".join(["@timestamps false", "@classLabel true 0 1", "@data", *rows, ""]))
    refused = elman("train", "classify", path, "--out", tmp_path / "none", *SMALL)
    assert refused.code == 1
    assert f"{path}, line 4, channel 1, step 2" in refused.err
    assert "--missing mask" in refused.err
    for missing in ("mask", "carry"):
        out = tmp_path / missing
        done = elman("train", "classify", path, "--missing", missing, "--out", out, *SMALL)
        assert done.code == 0, done.err
        assert elman("predict", out, path).code == 0


def test_a_constant_channel_is_named(elman, tmp_path: Path):
    path = tmp_path / "long.csv"
    rows = [f"s{n},{t},{math.sin(t + n):.3f},5,{n % 2}" for n in range(12) for t in range(5)]
    path.write_text("\n".join(["id,t,wave,flag,label", *rows, ""]))
    out = tmp_path / "model"
    done = elman("train", "classify", path, "--series", "id", "--time", "t", "--out", out, *SMALL)
    assert done.code == 0, done.err
    assert "The channel `flag` has one value in all training steps" in done.err
    new = tmp_path / "new.csv"
    new.write_text("id,t,wave,flag\na,1,0.5,5\na,0,0.25,5\n")
    assert len(elman("predict", out, new).out.splitlines()) == 1
    fewer = tmp_path / "fewer.jsonl"
    fewer.write_text('{"text": [1, 2, 3]}\n')
    refused = elman("predict", out, fewer)
    assert refused.code == 1
    assert "Expected 2 channels" in refused.err
    assert f"{fewer}, line 1" in refused.err


def test_segments_and_views(elman, classes: Path, tmp_path: Path):
    out = tmp_path / "model"
    views = ("--segment", 2, "--views", "values,difference", "--scaling", "series")
    done = elman("train", "classify", classes, "--out", out, *views, *SMALL)
    assert done.code == 0, done.err
    assert elman("predict", out, classes).code == 0


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_number_for_each_step_trains_evaluates_and_predicts(elman, tmp_path: Path, form: str):
    path, out, long = tmp_path / f"steps.{form}", tmp_path / "model", ("--series", "id", "--time", "t")
    waves = [[math.sin(t * (1 + n % 3)) for t in range(4 + n % 3)] for n in range(30)]
    if form == "csv":
        rows = [f"s{n},{t},{x},{2 * x + 1}" for n, wave in enumerate(waves) for t, x in enumerate(wave)]
        path.write_text("\n".join(["id,t,x,target", *rows, ""]))
    else:
        rows = [json.dumps({"text": wave, "target": [2 * x + 1 for x in wave]}) for wave in waves]
        path.write_text("\n".join([*rows, ""]))
    reading = long if form == "csv" else ()
    done = elman("train", "regress", path, *reading, "--out", out, "--warmup-steps", 1, *SMALL, "--json")
    assert done.code == 0, done.err
    assert done.json["baseline"]["name"] == "mean"
    assert "Ridge regression is left out" in done.err
    evaluated = elman("evaluate", out, path, "--json").json
    assert evaluated["count"] == sum(map(len, waves)) - 30
    true = [2 * x + 1 for wave in waves for x in wave[1:]]
    deviation = math.sqrt(sum((x - sum(true) / len(true)) ** 2 for x in true) / len(true))
    # Its mean is that of the rows that were not held out.
    assert evaluated["baseline"]["rmse"] == pytest.approx(deviation, rel=0.01)
    answers = elman("predict", out, path, "--json").json["predictions"]
    assert [len(each["target"]) for each in answers] == [len(wave) for wave in waves]


@pytest.mark.parametrize("loss", ["squared", "quantile"])
def test_numbers_are_shown_with_six_digits_and_in_json_with_all(elman, numbers: Path, tmp_path: Path, loss: str):
    out = tmp_path / "model"
    assert elman("train", "regress", numbers, "--out", out, "--loss", loss, *SMALL).code == 0
    shown = [line.split("\t")[1:] for line in elman("predict", out, numbers).out.splitlines()]
    exact = elman("predict", out, numbers, "--json").json["predictions"]
    for fields, each in zip(shown, exact, strict=True):
        every = [each["target"], *each.get("quantiles", {}).values()]
        assert [float(field.rpartition("=")[2]) for field in fields] == [float(f"{value:.6g}") for value in every]
        assert len(repr(each["target"])) > 10


def table_of_steps(path: Path, target: Callable[[float], float | str], count: int = 12) -> Path:
    waves = [[math.sin(t * (1 + n % 3)) for t in range(5)] for n in range(count)]
    rows = [f"s{n},{t},{x},{target(x)}" for n, wave in enumerate(waves) for t, x in enumerate(wave)]
    path.write_text("\n".join(["id,t,x,target", *rows, ""]))
    return path


def test_targets_of_steps_that_do_not_vary_are_read_as_in_training(elman, tmp_path: Path):
    steps, out = table_of_steps(tmp_path / "steps.csv", lambda x: 2 * x + 1), tmp_path / "model"
    long = ("--series", "id", "--time", "t")
    assert elman("train", "regress", steps, *long, "--out", out, *SMALL).code == 0
    constant = table_of_steps(tmp_path / "constant.csv", lambda x: 3, count=4)
    done = elman("evaluate", out, constant, "--json")
    assert done.code == 0, done.err
    assert done.json["count"] == 4 * 5
    # Validation data are read as the training data are.
    done = elman("train", "regress", steps, *long, "--validation", constant, "--out", tmp_path / "m", *SMALL, "--json")
    assert done.code == 0, done.err
    assert done.json["count"] == 4 * 5


def test_targets_of_series_that_vary_are_refused_by_a_model_of_one_number_each(elman, tmp_path: Path):
    # 3 and 3.0 are one number.
    constant, out = table_of_steps(tmp_path / "constant.csv", lambda x: "3" if x > 0 else "3.0"), tmp_path / "model"
    assert elman("train", "regress", constant, "--series", "id", "--time", "t", "--out", out, *SMALL).code == 0
    done = elman("evaluate", out, table_of_steps(tmp_path / "steps.csv", lambda x: 1 if x > 0 else 0))
    assert done.code == 1
    assert "line 3, column `target`: the target of series `s0` is '1', and '0' before" in done.err
    assert "as in training" in done.err


def test_text_for_a_model_of_numbers_is_refused_with_the_files_that_it_reads(elman, numbers: Path, tmp_path: Path):
    out = tmp_path / "model"
    assert elman("train", "regress", numbers, "--out", out, *SMALL).code == 0
    refused = elman("predict", out, "--text", "abc")
    assert refused.code != 0
    assert "Series: .ts, .arff, CSV or TSV with a series or a step a row, or JSONL" in refused.err


@pytest.mark.parametrize("command", ["predict", "evaluate"])
@pytest.mark.parametrize(
    ("name", "content", "where"),
    [
        ("texts.jsonl", '{"text": "good film", "target": 1}\n', "line 1: 'good film'"),
        ("texts.csv", "text,target\ngood film,1\n", "line 1: text,target"),
        ("sales.csv", "shop,day,a,b\nx,monday,1,2\ny,tuesday,2,3\n", "line 1: shop,day,a,b"),
    ],
)
def test_texts_in_files_for_a_model_of_numbers_are_refused_with_file_line_and_repair(
    elman, numbers: Path, tmp_path: Path, command: str, name: str, content: str, where: str
):
    out, path = tmp_path / "model", tmp_path / name
    assert elman("train", "regress", numbers, "--out", out, *SMALL).code == 0
    path.write_text(content)
    refused = elman(command, out, path)
    assert refused.code == 1
    assert "series of numbers" in refused.err
    assert name in refused.err
    assert where in refused.err
    assert "Vocabulary" not in refused.err
    assert "Give " in refused.err.splitlines()[-1]


def test_lines_of_text_for_a_model_of_numbers_are_refused(elman, numbers: Path, tmp_path: Path):
    out, path = tmp_path / "model", tmp_path / "texts.txt"
    assert elman("train", "regress", numbers, "--out", out, *SMALL).code == 0
    path.write_text("good film\nbad film\n")
    refused = elman("predict", out, path)
    assert "Expected a series of numbers" in refused.err
    assert "texts.txt, line 1: 'good film'" in refused.err
    assert ".arff" in refused.err


@pytest.mark.parametrize("task", ["classify", "regress"])
@pytest.mark.parametrize("flag", ["--views", "--scaling", "--segment", "--missing"])
def test_settings_of_numbers_are_refused_for_texts(elman, tmp_path: Path, task: str, flag: str):
    given = {"--views": "log", "--scaling": "last", "--segment": 2, "--missing": "mask"}[flag]
    path = tmp_path / "texts.csv"
    path.write_text("text,target\n" + "".join(f"word {n},{n % 2}\n" for n in range(20)))
    refused = elman("train", task, path, "--out", tmp_path / "model", flag, given, *SMALL)
    assert refused.code != 0
    assert f"({flag})" in refused.err
    assert "Leave these settings out" in refused.err
