import math

import pytest

from elman.training import TrainingSettings
from elman.training.schedules import learning_rate_factor


def factors(steps, total=100, **settings) -> list[float]:
    return [learning_rate_factor(step, total, TrainingSettings(**settings)) for step in steps]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"schedule": "constant"}, {0: 1.0, 50: 1.0, 99: 1.0}),
        ({"schedule": "linear"}, {0: 1.0, 25: 0.75, 50: 0.5, 100: 0.0}),
        ({"schedule": "linear", "final_fraction": 0.2}, {0: 1.0, 50: 0.6, 100: 0.2}),
        ({"schedule": "cosine"}, {0: 1.0, 25: (1 + math.sqrt(0.5)) / 2, 50: 0.5, 100: 0.0}),
        ({"schedule": "cosine", "final_fraction": 0.1}, {0: 1.0, 50: 0.55, 100: 0.1}),
        ({"schedule": "one-cycle"}, {0: 0.1, 45: 1.0, 90: 0.1, 95: 0.0505, 100: 0.001}),
        ({"schedule": "constant", "warmup_fraction": 0.1}, {0: 0.1, 4: 0.5, 9: 1.0, 10: 1.0, 99: 1.0}),
        ({"schedule": "linear", "warmup_fraction": 0.2}, {0: 0.05, 19: 1.0, 20: 1.0, 60: 0.5, 100: 0.0}),
    ],
)
def test_factors_at_known_steps(settings, expected):
    assert factors(expected, **settings) == pytest.approx(list(expected.values()), abs=1e-12)


@pytest.mark.parametrize("batches", [1, 3, 7, 49, 1000])
def test_the_step_schedule_falls_exactly_where_an_epoch_begins(batches):
    settings = {"schedule": "step", "epochs": 30, "step_epochs": 10, "step_factor": 0.5}
    total = 30 * batches
    steps = [0, 10 * batches - 1, 10 * batches, 20 * batches - 1, 20 * batches, total - 1]
    assert factors(steps, total, **settings) == [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine", "step", "one-cycle"])
@pytest.mark.parametrize("total", [1, 2, 5, 100])
def test_no_step_of_a_run_has_a_rate_of_zero_or_above_one(schedule, total):
    settings = {"schedule": schedule, "step_epochs": 3 if schedule == "step" else None}
    assert all(0 < factor <= 1 for factor in factors(range(total), total, **settings))


def test_a_warm_up_longer_than_the_run_still_rises():
    assert factors(range(2), 2, warmup_fraction=0.9) == [0.5, 1.0]
