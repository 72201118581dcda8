import pytest
from pydantic import ValidationError

from elman.errors import UsageError
from elman.settings import Settings, check_settings
from elman.training import TrainingSettings


def message(**values) -> str:
    with pytest.raises(UsageError) as caught:
        check_settings(TrainingSettings, values)
    return str(caught.value)


def test_every_mistake_is_named_at_once_with_what_was_expected_and_what_it_got():
    said = message(optimizer="adamm", epochs=0, learning_rat=0.1, learning_rate=-1.0, tokens_per_batch=9, batch_size=9)
    first, *lines, fix = said.splitlines()
    assert first == "5 settings of TrainingSettings are wrong."
    assert sorted(line.strip() for line in lines) == [
        "batch_size, tokens_per_batch: give exactly one of the two; the other is None.",
        "epochs: expected a value greater than 0, got 0.",
        lines_with("learning_rat:", lines),
        "learning_rate: expected a value greater than 0, got -1.0.",
        "optimizer: expected one of sgd, rmsprop, adam, adamw, hessian-free; got 'adamm'. Did you mean `adam`?",
    ]
    assert "Did you mean `learning_rate`?" in lines_with("learning_rat:", lines)
    assert fix == "Correct these settings; nothing was done yet."


def lines_with(start: str, lines: list[str]) -> str:
    return next(line.strip() for line in lines if line.strip().startswith(start))


def test_one_mistake_is_spoken_of_in_the_singular():
    assert message(epochs="many").splitlines() == [
        "A setting of TrainingSettings is wrong.",
        "  epochs: expected an integer, got 'many'.",
        "Correct this setting.",
    ]


def test_a_missing_setting_is_named():
    class Layer(Settings):
        hidden_size: int

    with pytest.raises(UsageError, match="hidden_size: is missing"):
        check_settings(Layer, {})


@pytest.mark.parametrize(
    ("values", "fields"),
    [
        ({"batch_size": None}, "batch_size, tokens_per_batch"),
        ({"batch_size": 3, "tokens_per_batch": 4}, "batch_size, tokens_per_batch"),
        ({"schedule": "step"}, "schedule, step_epochs"),
        ({"step_epochs": 3}, "schedule, step_epochs"),
        ({"final_fraction": 0.1}, "schedule, final_fraction"),
        ({"schedule": "one-cycle", "warmup_fraction": 0.1}, "schedule, warmup_fraction"),
        ({"momentum": 0.9}, "optimizer, momentum"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(values, fields):
    assert f"  {fields}: " in message(**values)


def test_a_conflict_with_a_wrong_setting_is_not_made_up():
    said = message(schedule="stepp", step_epochs=3)
    assert "Did you mean `step`?" in said
    assert "step_epochs:" not in said


@pytest.mark.parametrize(
    "values",
    [
        {"learning_rate": float("nan")},
        {"learning_rate": float("inf")},
        {"betas": (0.9, 1.0)},
        {"warmup_fraction": 1.0},
        {"average_decay": 1.0},
        {"clip_norm": 0.0},
        {"patience": 0},
        {"seed": -1},
        {"checkpoint_seconds": -1.0},
        {"report_every": 0},
        {"final_fraction": 1.5, "schedule": "linear"},
    ],
)
def test_numbers_out_of_range_are_refused(values):
    assert "expected " in message(**values)


def test_tokens_per_batch_takes_the_place_of_the_default_batch_size():
    settings = TrainingSettings(tokens_per_batch=100)
    assert (settings.batch_size, settings.tokens_per_batch) == (None, 100)
    assert check_settings(TrainingSettings, settings.model_dump()) == settings


def test_settings_survive_json_and_cannot_be_changed():
    settings = TrainingSettings(optimizer="sgd", momentum=0.9, betas=(0.8, 0.9), clip_norm=1.0)
    assert TrainingSettings.model_validate_json(settings.model_dump_json()) == settings
    with pytest.raises(ValidationError):
        settings.epochs = 3  # pyright: ignore[reportAttributeAccessIssue]
