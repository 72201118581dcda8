"""`demo`, `recipe` and `doctor`."""

import shlex
from pathlib import Path
from types import SimpleNamespace

import pytest

from elman.cli import demo as demo_command
from elman.cli import engines
from elman.cli.doctor import examine
from elman.folders import CHECKPOINT


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch):
    """The demo with a network so small that it takes a second."""
    monkeypatch.setattr(demo_command, "SETTINGS", {"hidden_size": 4, "epochs": 1, "batch_size": 256})


def test_the_demo_trains_shows_and_says_how_to_go_on(elman, quick, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    done = elman("demo")
    assert done.code == 0
    assert "majority rate" in done.out
    assert "A linear model of two to five characters reaches" in done.out
    assert "test data" in done.out
    commands = [line.split() for line in done.out.splitlines() if line.startswith("  elman ")]
    assert [command[1] for command in commands] == ["predict", "evaluate", "summary"]
    for command in commands:
        assert elman(*command[1:]).code == 0


def test_the_demo_can_be_repeated_and_gives_the_same(elman, quick, tmp_path: Path):
    first = elman("demo", "--out", tmp_path / "d", "--json")
    again = elman("demo", "--out", tmp_path / "d", "--json")
    assert (first.code, again.code) == (0, 0)
    times = {"seconds": 0, "tokens_per_second": 0}
    results = [{**done.json, **times, "baseline": {**done.json["baseline"], "seconds": 0}} for done in (first, again)]
    assert results[0] == results[1]
    assert first.json["count"] > 700
    assert len(first.json["predictions"]) == 8


def test_the_demo_overwrites_nothing_but_its_own(elman, quick, model: Path, tmp_path: Path):
    before = (model / "model.safetensors").read_bytes()
    done = elman("demo", "--out", model)
    assert done.code == 2
    assert "demo did not make" in done.err
    assert (model / "model.safetensors").read_bytes() == before
    (tmp_path / "letter.txt").write_text("dear")
    assert elman("demo", "--out", tmp_path).code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_the_demo_without_its_words_says_what_to_install(elman, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    done = elman("demo", "--out", tmp_path / "d")
    assert done.code == 1
    assert "elman[demo]" in done.err
    assert not (tmp_path / "d").exists()


def test_the_words_of_the_demo_do_not_leak_into_its_test():
    from elman.data.known.datasets import vader_words
    from elman.data.tables.split import split_rows

    words = vader_words()
    kept, test = split_rows(words.texts, words.labels, demo_command.TEST_FRACTION, 0)
    rest = [words.texts[row] for row in kept], [words.labels[row] for row in kept]
    learn, held = split_rows(*rest, demo_command.VALIDATION_FRACTION, 0)
    tested = {words.texts[row] for row in test}
    assert not {rest[0][row] for row in learn} & tested
    assert not {rest[0][row] for row in held} & tested
    assert len(learn) + len(held) + len(test) == len(words)


class Asked(SimpleNamespace):
    """A recipe that notes what it is asked, and answers at once."""

    name = "quick"
    summary = "LSTM(3)"
    task = "classify"
    data = ("words",)
    any_data, threads = False, 1
    reported = {"accuracy": 0.828, "parameters": 201_902}  # noqa: RUF012

    def run(self, data: Path, **options):
        self.asked = {"data": data, **options}
        return {
            "recipe": "quick",
            "parameters": 201_902,
            "accuracy": 0.8441,
            "reported": self.reported,
            "majority": 0.7048,
            "seconds": 61.4,
        }


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> Asked:
    asked = Asked()
    monkeypatch.setattr("elman.recipes.RECIPES", {"quick": asked})
    return asked


def test_recipes_are_listed(elman, recipe: Asked):
    assert "quick   words  LSTM(3)" in elman("recipe", "list").out
    assert elman("recipe", "list", "--json").json["recipes"][0]["reported"]["accuracy"] == 0.828


def test_the_textbook_recipes_are_there(elman):
    names = [each["recipe"] for each in elman("recipe", "list", "--json").json["recipes"]]
    assert {"word-sentiment-dense", "word-sentiment-rnn", "word-sentiment-lstm"} <= set(names)


def test_a_recipe_shows_measured_beside_reported(elman, recipe: Asked):
    done = elman("recipe", "run", "quick", "--data", "somewhere", "--seed", 3)
    assert done.code == 0
    lines = [line.split() for line in done.out.splitlines()]
    assert ["accuracy", "84.4%", "82.8%"] in lines
    assert ["parameters", "201,902", "201,902"] in lines
    assert ["majority", "rate", "70.5%"] in lines
    assert recipe.asked["seed"] == 3
    assert "epochs" not in recipe.asked


def test_a_recipe_without_data_needs_no_folder_and_the_others_do(elman, recipe: Asked):
    done = elman("recipe", "run", "quick")
    assert done.code == 2
    assert "reads words, and there is no --data" in done.err
    recipe.data = ()
    assert elman("recipe", "run", "quick").code == 0


def test_a_recipe_as_json(elman, recipe: Asked):
    assert elman("recipe", "run", "quick", "--data", "somewhere", "--json").json["accuracy"] == 0.8441


def test_several_seeds_of_a_recipe_are_shown_beside_what_was_reported_of_one(elman, tmp_path: Path):
    done = elman("recipe", "run", "tag-toy", "--data", tmp_path, "--seeds", 2, "--epochs", 1, "--out", tmp_path / "m")
    assert done.code == 0, done.err
    lines = [line.split() for line in done.out.splitlines()]
    assert next(line[-1] for line in lines if line[:2] == ["accuracy", "mean"]) == "100.0%"
    assert [line[1] for line in lines if line[0] == "accuracy"] == ["mean", "deviation", "min", "max", "each"]
    words = ("--seeds", 3, "--epochs", 1, "--out", tmp_path / "m", "--resume", "--json")
    again = elman("recipe", "run", "tag-toy", "--data", tmp_path, *words)
    assert again.json["seeds"] == [0, 1, 2]


def test_a_recipe_that_is_not_there(elman, recipe: Asked):
    done = elman("recipe", "run", "quik", "--data", "somewhere")
    assert done.code == 2
    assert "Did you mean `quick`?" in done.err


def test_a_recipe_without_its_data_says_where_to_get_it(elman, tmp_path: Path):
    done = elman("recipe", "run", "word-sentiment-lstm", "--data", tmp_path, "--json")
    assert done.code == 1
    assert "sentiment-train.txt" in done.json["where"]


def test_a_recipe_does_not_write_into_a_folder_of_somebody_else(elman, recipe: Asked, tmp_path: Path):
    (tmp_path / "letter.txt").write_text("dear")
    assert elman("recipe", "run", "quick", "--data", "d", "--out", tmp_path).code == 2
    assert not hasattr(recipe, "asked")


@pytest.mark.parametrize("has_checkpoint", [True, False])
def test_a_recipe_stopped_outside_the_trainer_says_what_is_kept(
    elman, recipe: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_checkpoint: bool
):
    out = tmp_path / "my run"

    def stop(data: Path, **options) -> None:
        if has_checkpoint:
            (out / CHECKPOINT).write_text("the run")
        raise KeyboardInterrupt

    monkeypatch.setattr(recipe, "run", stop)
    words = ("recipe", "run", "quick", "--data", "d")
    done = elman(*words, "--out", out, "--json")
    assert done.code == 130
    if has_checkpoint:
        assert done.json["where"] == str(out)
        assert done.json["fix"] == f"Continue with: elman recipe run quick --data d --out '{out}' --json --resume"
    else:
        again = done.json["fix"].removeprefix("Start again with: ")
        assert elman(*shlex.split(again)[1:]).code == 130
    assert "nothing was being saved" in elman(*words).err


def test_the_doctor_looks_at_everything(elman):
    done = elman("doctor", "--json")
    assert done.code == 0
    assert done.json["well"] is True
    parts = {finding["part"] for finding in done.json["findings"]}
    assert {"python", "torch", "numpy", "elman", "cores", "threads", "CPU features", "GPU", "extra demo"} <= parts
    assert elman("doctor").out.count("\n") == len(done.json["findings"])


def test_the_doctor_tries_what_is_installed(monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("optuna")
    assert {finding.part: finding.found for finding in examine()}["a journal of trials"] == "works"
    monkeypatch.setattr("elman.cli.doctor._try_journal", lambda: open("/no/such/folder/journal.log"))  # noqa: PTH123, SIM115
    found = {finding.part: finding for finding in examine()}["a journal of trials"]
    assert found.well is None
    assert "No such file" in found.found


def test_the_doctor_says_what_to_install(monkeypatch: pytest.MonkeyPatch, elman):
    monkeypatch.setattr("elman.cli.doctor._version", lambda name: None if name in ("numpy", "vaderSentiment") else "1")
    findings = {finding.part: finding for finding in examine()}
    assert findings["numpy"].well is False
    assert findings["numpy"].fix == "pip install numpy"
    assert findings["extra demo"].well is None
    assert findings["extra demo"].fix == 'pip install "elman[demo]"'
    done = elman("doctor")
    assert done.code == 1
    assert "MISSING" in done.out


def test_the_doctor_survives_a_torch_that_is_broken(monkeypatch: pytest.MonkeyPatch):
    def broken(name: str):
        raise ImportError("libtorch.so: cannot open shared object file")

    monkeypatch.setattr("elman.cli.doctor.importlib.import_module", broken)
    findings = {finding.part: finding for finding in examine()}
    assert findings["torch runs"].well is False
    assert "libtorch.so" in findings["torch runs"].found


def test_the_engines_are_tried(monkeypatch: pytest.MonkeyPatch):
    asked: list[str] = []
    monkeypatch.setattr(engines, "_two", lambda: None)
    monkeypatch.setattr(engines, "_run", lambda code: asked.append(code) or "ImportError: broken")
    for is_there, ray in ((False, ("without ray", None)), (True, ("ImportError: broken", False))):
        known = {"ray": object() if is_there else None}
        monkeypatch.setattr(engines, "find_spec", lambda package, known=known: known.get(package, object()))
        found = {each.part: (each.found, each.works) for each in engines.try_engines()}
        assert found == {"two processes": ("an all-reduce over gloo works", True), "Ray": ray}
    assert len(asked) == 1


def test_two_processes_add_their_numbers():
    assert engines._two() is None


def test_other_commands_are_refused_in_several_processes(elman, monkeypatch: pytest.MonkeyPatch):
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("elman.cli.failures.speaks", lambda: True)
    done = elman("doctor")
    assert done.code == 2
    assert "`elman doctor` runs in one process, and torchrun started several." in done.err
