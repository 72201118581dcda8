"""`elman train`: what it makes and what it refuses."""

import json
import re
from pathlib import Path

import pytest

from elman.cli.flags import flags_of, spelling
from elman.folders import RunFolder
from elman.models import ClassifierSettings, model_for
from elman.models.saved import read_model
from elman.tasks import TASKS, find_task

SMALL = ("--hidden-size", 8, "--epochs", 2, "--batch-size", 8)


def test_a_run_makes_a_model_a_report_and_says_how_to_go_on(elman, words: Path, tmp_path: Path):
    out = tmp_path / "my model"
    done = elman("train", "classify", words, "--out", out, *SMALL)
    assert done.code == 0
    names = {path.name for path in out.iterdir()}
    assert {"config.json", "model.safetensors", "vocabulary.json", "README.md", "report.html", "log.jsonl"} <= names
    assert "majority rate" in done.out
    assert f"elman predict '{out}'" in done.out
    assert str(out / "report.html") in done.out
    assert "epoch 2/2" in done.err


def test_the_json_of_a_run(elman, words: Path, tmp_path: Path):
    done = elman("train", "classify", words, "--out", tmp_path / "m", *SMALL, "--json")
    assert done.out.count("\n") == 1
    assert done.json["epochs"] == 2
    assert done.json["count"] == 6
    assert done.json["evaluated_on"] == "validation data"
    assert 0 <= done.json["accuracy"] <= 1
    assert done.json["parameters"] == sum(
        tensor.numel()
        for name, tensor in read_model(tmp_path / "m").tensors.items()
        if name not in ("wide.factors", "wide.fitted", "wide.ratios")
    )


def test_the_report_and_the_card_say_how_to_repeat_the_run(elman, words: Path, tmp_path: Path):
    out = tmp_path / "m"
    elman("train", "classify", words, "--out", out, *SMALL, "--seed", 5)
    for name in ("report.html", "README.md"):
        assert f"elman train classify {words}" in (out / name).read_text()
    assert "| seed | 5 |" in (out / "README.md").read_text()


def test_only_settings_that_were_given_reach_the_model(elman, words: Path, tmp_path: Path):
    given = ["--dense", "6,5", "--embedding", "one-hot", "--cell", "simple_rnn", "--cell-options", "activation=relu"]
    given += ["--pooling", "last,mean", "--no-bidirectional", "--no-restore-best", "--betas", "0.8,0.99"]
    assert elman("train", "classify", words, "--out", tmp_path / "m", *SMALL, *given).code == 0
    settings = read_model(tmp_path / "m").config["settings"]
    expected = ClassifierSettings(
        hidden_size=8, epochs=2, batch_size=8, dense=(6, 5), embedding="one-hot", cell="simple_rnn",
        cell_options={"activation": "relu"}, pooling=("last", "mean"), bidirectional=False, restore_best=False,
        betas=(0.8, 0.99), validation_fraction=0.1,
        # These follow from the data.
        patience=6,
        tokens="characters", lower_case=False, input_dropout=0.2, token_dropout=0.0, rare_dropout=0.0,
    )  # fmt: skip
    assert settings == expected.model_dump(mode="json", exclude={"device"})


@pytest.mark.parametrize("task", TASKS)
def test_there_is_a_flag_for_each_setting_and_its_help_shows_the_default(elman, task: str):
    settings = find_task(task).settings_class
    shown = re.sub(r"\s+", " ", elman("train", task, "--help").out)
    for name, field in settings.model_fields.items():
        default = field.get_default(call_default_factory=True)
        flag = f"--{'no-' * (default is True)}{name.replace('_', '-')}"
        line = shown.partition(f" {flag} ")[2].partition(" --")[0]
        assert line, flag
        if default not in (None, {}, (), True, False):
            words = ",".join(map(str, default)) if isinstance(default, tuple) else str(default).removesuffix(".0")
            assert f"[{words}]" in line or name == "validation_fraction", flag


@pytest.mark.parametrize("task", TASKS)
def test_every_setting_is_described_and_its_flag_has_one_line_of_help(task: str):
    for flag in flags_of(find_task(task).settings_class):
        # Brackets have the default.
        line = flag.help.partition(" [")[0]
        assert len(line) <= 65, flag.name
        assert line.endswith("."), flag.name
        assert spelling(flag).islower()


@pytest.mark.parametrize("task", TASKS)
def test_help_in_python_lists_every_setting_with_its_description(task: str):
    kind = model_for(task)
    for name, field in find_task(task).settings_class.model_fields.items():
        assert f"{name}: {field.description}" in str(kind.__doc__)


@pytest.mark.parametrize(("typed", "zoneout"), [("0.1", 0.1), ("c=0.5,h=0.05", {"c": 0.5, "h": 0.05})])
def test_zoneout_is_one_number_or_one_a_state(elman, words: Path, tmp_path: Path, typed: str, zoneout: object):
    out = tmp_path / "m"
    assert elman("train", "classify", words, "--out", out, *SMALL, "--zoneout", typed).code == 0
    assert read_model(out).config["settings"]["zoneout"] == zoneout
    assert elman("predict", out, "--text", "abab").code == 0


def test_zoneout_of_a_state_that_is_not_there_is_refused(elman, words: Path, tmp_path: Path):
    done = elman("train", "classify", words, "--out", tmp_path / "m", *SMALL, "--zoneout", "k=0.5")
    assert done.code == 2
    assert "no state `k`" in done.err


def test_a_cell_from_a_file(elman, words: Path, tmp_path: Path):
    cells = tmp_path / "my_cells.py"
    cells.write_text(
        "from elman import affine, cell, tanh\n\n@cell\ndef leaky(x, h):\n"
        "    return 0.5 * h + 0.5 * tanh(affine('candidate', x, h))\n"
    )
    assert elman("train", "classify", words, "--out", tmp_path / "m", *SMALL, "--cell", f"{cells}:leaky").code == 0
    cells.unlink()
    assert elman("predict", tmp_path / "m", "--text", "abab").code == 0


def test_numbers_are_recognised(elman, tmp_path: Path):
    rows = [{"text": [[n % 2, 0.5], [n % 2, n / 20]], "label": "ab"[n % 2]} for n in range(20)]
    data = tmp_path / "numbers.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert elman("train", "classify", data, "--out", tmp_path / "m", *SMALL).code == 0
    answers = [line.split("\t") for line in elman("predict", tmp_path / "m", data).out.splitlines()]
    assert [json.loads(answer[0]) for answer in answers] == [row["text"] for row in rows]
    assert {answer[1] for answer in answers} <= {"a", "b"}


def test_without_validation_the_scores_say_that_they_are_on_training_data(elman, words: Path, tmp_path: Path):
    done = elman("train", "classify", words, "--out", tmp_path / "m", *SMALL, "--validation-fraction", 0, "--json")
    assert done.json["evaluated_on"] == "training data"
    assert done.json["count"] == 60


def test_a_validation_file(elman, words: Path, tmp_path: Path):
    other = tmp_path / "other.csv"
    other.write_text("text,label\nabé,vowel\ncd,stop\n")
    done = elman("train", "classify", words, "--validation", other, "--out", tmp_path / "m", *SMALL, "--json")
    assert done.code == 0
    assert done.json["count"] == 2


RUBBISH = {
    "empty": (b"", "is empty"),
    "blank": (b"\n\n\n", "is empty"),
    "binary": (bytes(range(256)) * 8, "offset"),
    "latin-1": ("text,label\ncaf\xe9,a\n".encode("latin-1"), "line 2"),
    "header only": (b"text,label\n", "no rows"),
    "too many fields": (b"text,label\nab,a\ncd,b,c\n", "line 3"),
    "an open quote": (b'text,label\n"ab,a\ncd,b\n', "line 2"),
    "no label": (b"text,label\nab,\ncd,b\n", "line 2"),
    "one label": (b"text,label\nab,a\ncd,a\nef,a\ngh,a\nij,a\n", "only one label"),
    "another separator": (b"word;kind\nab;a\n", "--separator ';'"),
    "no columns of these names": (b"word\nab\n", "no labels"),
}


@pytest.mark.parametrize("kind", RUBBISH)
def test_rubbish_is_refused_and_leaves_nothing_behind(elman, tmp_path: Path, kind: str):
    content, said = RUBBISH[kind]
    data = tmp_path / "data.csv"
    data.write_bytes(content)
    done = elman("train", "classify", data, "--out", tmp_path / "m", *SMALL, "--json")
    assert done.code == 1, done
    assert said in done.err
    assert "Traceback" not in done.err
    assert "defect" not in done.err
    assert done.json.keys() == {"error", "where", "fix"}
    assert RunFolder(tmp_path / "m").state in ("missing", "unfinished")
    data.write_text("text,label\n" + "ab,a\ncd,b\nabb,a\ncdd,b\n" * 5)
    assert elman("train", "classify", data, "--out", tmp_path / "m", *SMALL).code == 0


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--text", "wrod"], "no column named `wrod`"),
        (["--text", "9"], "no column 9"),
        (["--no-header", "--text", "text"], "header"),
    ],
)
def test_columns_that_are_not_there(elman, words: Path, tmp_path: Path, more: list[str], said: str):
    done = elman("train", "classify", words, "--out", tmp_path / "m", *more)
    assert done.code in (1, 2)
    assert said in done.err
    assert not (tmp_path / "m").exists()


def test_a_missing_file_and_a_folder_as_data(elman, tmp_path: Path):
    assert "no file" in elman("train", "classify", tmp_path / "none.csv", "--out", tmp_path / "m").err
    (tmp_path / "empty").mkdir()
    assert "has no texts" in elman("train", "classify", tmp_path / "empty", "--out", tmp_path / "m").err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--cell", "lstn"], "lstm"),
        (["--optimizer", "adan"], "adam"),
        (["--learning-rate", "nan"], "learning_rate"),
        (["--dropout", "1.5"], "dropout"),
        (["--dense", "6,,5"], "--dense"),
        (["--dense", "six"], "dense"),
        (["--cell-options", "relu"], "--cell-options"),
        (["--schedule", "step"], "step_epochs"),
        (["--validation-fraction", "1.5"], "validation_fraction"),
        (["--validation-fraction", "0.1", "--validation", "a.csv"], "--validation"),
        (["--tokens", "sylables"], "characters"),
    ],
)
def test_settings_that_make_no_sense(elman, words: Path, tmp_path: Path, more: list[str], said: str):
    done = elman("train", "classify", words, "--out", tmp_path / "m", *more)
    assert done.code == 2, done
    assert said in done.err


def test_another_task_lists_what_there_is(elman, words: Path, tmp_path: Path):
    done = elman("train", "clasify", words, "--out", tmp_path / "m")
    assert done.code == 2
    assert "`classify`" in done.err


def test_a_folder_of_somebody_else_is_never_touched(elman, words: Path, tmp_path: Path):
    out = tmp_path / "letters"
    out.mkdir()
    (out / "README.md").write_text("dear")
    for more in ([], ["--overwrite"], ["--resume"]):
        done = elman("train", "classify", words, "--out", out, *more)
        assert done.code == 2
        assert "elman did not write" in done.err
    assert [path.name for path in out.iterdir()] == ["README.md"]
    assert elman("train", "classify", words, "--out", words, "--overwrite").code == 2


def test_a_model_is_replaced_only_if_asked(elman, words: Path, tmp_path: Path):
    out = tmp_path / "m"
    command = ("train", "classify", words, "--out", out, *SMALL)
    assert elman(*command).code == 0
    before = (out / "model.safetensors").read_bytes()
    done = elman(*command)
    assert done.code == 2
    assert "--overwrite" in done.err
    assert elman(*command, "--overwrite", "--seed", 1).code == 0
    assert (out / "model.safetensors").read_bytes() != before
    assert elman(*command, "--overwrite", "--resume").code == 2


def test_there_must_be_something_to_resume(elman, words: Path, tmp_path: Path):
    done = elman("train", "classify", words, "--out", tmp_path / "m", *SMALL, "--resume")
    assert done.code == 2
    assert "no run to continue" in done.err
