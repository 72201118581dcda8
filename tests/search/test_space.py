"""Spaces: every task has one, and those of files are checked against the fields."""

from pathlib import Path
from typing import ClassVar

import pytest

from elman.errors import DataError, UsageError
from elman.settings.space import (
    Choices,
    Form,
    Range,
    changed,
    described,
    drawn_of,
    numbers_of,
    read_space,
    space_of,
    values_from,
    with_values,
)
from elman.settings.training import TrainingSettings
from elman.tasks import TASKS, find_task
from elman.tasks.classify import ClassifierSettings


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("how", [{}, {"num_layers": 2}])
def test_every_task_has_a_space_of_settings_that_are_valid_and_go_together(name: str, how: dict):
    settings = find_task(name).settings_class(**how)
    space = space_of(settings)
    assert {"learning_rate", "hidden_size"} <= space.keys()
    assert space["learning_rate"].log
    for end in (0, -1):
        changed(settings, {key: domain.ends[end] for key, domain in space.items()})


def test_another_task_has_the_space_of_the_training():
    class Own(TrainingSettings):
        """Settings of a task that elman does not know."""

        size: int = 3
        space: ClassVar = {"size": Range(1, 9)}

    assert space_of(Own()).keys() == {"learning_rate", "batch_size", "size"}
    assert space_of(TrainingSettings(tokens_per_batch=100)).keys() == {"learning_rate"}


def test_a_reservoir_has_its_own():
    space = space_of(find_task("regress").settings_class(cell="reservoir"))
    assert space.keys() == {
        "hidden_size",
        *(f"cell_options.{name}" for name in ("recurrent", "leak", "input_scaling", "bias_scaling")),
    }
    assert {"cell_options.recurrent.spectral_radius", "cell_options.recurrent.density"} <= drawn_of(space).keys()
    assert all(domain.log for domain in drawn_of(space).values())
    trained = space_of(find_task("regress").settings_class(cell="reservoir", fitter="gradient"))
    assert {"learning_rate", "cell_options.leak"} <= trained.keys()


def test_values_of_domains():
    assert Range(1, 9).value(3.0) == 3
    assert Range(1e-4, 1.0, log=True).value(0.0123456) == 0.0123
    assert Range(0.1, 1.0, form="sparse({}, 0.1)").value(0.5) == "sparse(0.5, 0.1)"
    assert Choices(((1, 2), ())).value(0) == (1, 2)
    settings = with_values({"cell_options": {"a": 1}}, {"cell_options.b": 2, "x": 3})
    assert settings == {"cell_options": {"a": 1, "b": 2}, "x": 3}


def test_texts_with_several_drawn_values():
    start = Form("sparse({radius}, {density})", {"radius": Range(0.1, 1.5), "density": Choices((0.1, 0.5))})
    assert start.ends == ("sparse(0.1, 0.1)", "sparse(1.5, 0.5)")
    space = {"start": start, "leak": Range(0.1, 1.0)}
    assert drawn_of(space).keys() == {"start.radius", "start.density", "leak"}
    drawn = {"start.radius": 0.7, "start.density": 1, "leak": 0.5}
    assert values_from(space, drawn) == {"start": "sparse(0.7, 0.5)", "leak": 0.5}
    assert values_from(space, {"start.radius": 0.7, "leak": 0.5}) == {"leak": 0.5}
    assert numbers_of("sparse(0.7, 0.5)", start.text) == [0.7, 0.5]
    assert numbers_of("ring(0.7)", start.text) == numbers_of(None, start.text) == []


TOML = """
learning_rate = {low = 0.001, high = 0.1, log = true}
hidden_size = {low = 8, high = 64, step = 8}
dense = [[16], []]
cell = ["lstm", "gru"]
[cell_options.leak]
low = 0.1
high = 1.0
[cell_options.recurrent]
form = "sparse({radius}, {density})"
radius = {low = 0.1, high = 1.5, log = true}
density = [0.05, 0.1]
"""


def test_a_file(tmp_path: Path):
    path = tmp_path / "space.toml"
    path.write_text(TOML)
    space = read_space(path, ClassifierSettings)
    assert space["dense"] == Choices(((16,), ()))
    assert space["cell_options.leak"] == Range(0.1, 1.0)
    assert space["hidden_size"].whole
    parts = {"radius": Range(0.1, 1.5, log=True), "density": Choices((0.05, 0.1))}
    assert space["cell_options.recurrent"] == Form("sparse({radius}, {density})", parts)
    assert described(space)["cell_options.recurrent"]["density"] == [0.05, 0.1]
    json = tmp_path / "space.json"
    json.write_text('{"dropout": {"low": 0, "high": 0.5}, "cell_options.leak": [0.1, 0.5]}')
    again = read_space(json, ClassifierSettings)
    assert described(again)["cell_options.leak"] == [0.1, 0.5]
    assert not again["dropout"].whole


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("learning_rate = {low = 0.0, high = 1.0}", "learning_rate: expected a value greater than 0, got 0.0."),
        ("learning_rate = {low = 0.0, high = 1.0, log = true}", "learning_rate: expected low > 0 on a logarithmic"),
        ("dropout = {low = 0.1, high = 1.5}", "dropout: expected a value less than 1, got 1.5."),
        ("dropout = {low = 0.5, high = 0.1}", "dropout: expected low < high, got 0.5 and 0.1."),
        ("dropout = {low = 0.1}", "dropout: high: Field required."),
        ("dropout = {low = 0.1, high = 0.2, lag = 1}", "dropout: lag: Extra inputs are not permitted."),
        ("hidden_size = {low = 1.5, high = 3.5}", "hidden_size: expected an integer, got a number with"),
        ("hidden_sise = [1, 2]", "Did you mean `hidden_size`?"),
        ("cell = []", "cell: expected a range or a list of values, got []."),
        ('cell_options.a = {form = "f({b})", c = [1]}', "cell_options.a: expected a range or a list for each name in"),
        (
            'cell_options.a = {form = "f({b})", b = 1}',
            "cell_options.a: b: expected a range or a list of values, got 1.",
        ),
        ("cell = 3", "cell: expected a range or a list of values, got 3."),
        ('optimizer = ["adam", "adan"]', "got 'adan'."),
        ("", "has no settings"),
    ],
)
def test_what_is_wrong_in_a_file(written: str, reason: str, tmp_path: Path):
    path = tmp_path / "space.toml"
    path.write_text(written)
    with pytest.raises(UsageError) as found:
        read_space(path, ClassifierSettings)
    assert reason in str(found.value)


def test_a_file_that_cannot_be_read(tmp_path: Path):
    (tmp_path / "space.toml").write_text("learning_rate = ")
    for name in ("space.toml", "missing.toml"):
        with pytest.raises(DataError, match="cannot be read"):
            read_space(tmp_path / name, ClassifierSettings)
