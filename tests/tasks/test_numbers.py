"""Numbers as targets: their encoder, their scores against scikit-learn and SciPy, and the simple models."""

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import pearsonr
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from elman.data.ragged.ragged import Ragged
from elman.errors import DataError
from elman.tasks.number_baselines import STRENGTHS, MeanNumber, RidgeNumber, fit_ridge, score_numbers
from elman.tasks.numbers import METRICS, Number, NumberScores, numbers_of
from elman.tasks.task import Batch, Read
from tests.examples import draws

TASK: Any = SimpleNamespace(metrics=METRICS)


def test_numbers_are_standardised_and_restored():
    number = Number()
    found = number.learn([1e9 + 1, 1e9 + 2, 1e9 + 6])
    assert found.mean().item() == pytest.approx(0)
    assert found.std(correction=0).item() == pytest.approx(1)
    assert number.restored(found).tolist() == [1e9 + 1, 1e9 + 2, 1e9 + 6]
    other = Number()
    other.load(json.loads(json.dumps(number.to_json())))
    assert other.encode([4.0]).tolist() == number.encode([4.0]).tolist()


def test_numbers_of_every_library_are_numbers():
    values = [1, 2.5, np.float32(3), np.int64(4), torch.tensor(5.0), np.array(6)]
    assert numbers_of(values) == [1, 2.5, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("wrong", "shown"),
    [
        ("3", "the text '3'"),
        ("", "an empty text"),
        (None, "None"),
        (float("nan"), "nan"),
        (np.float64("-inf"), "-inf"),
        (True, "True"),
        (np.True_, "bool"),
        ([1, 2], r"list '\[1, 2\]'"),
        (10**400, "int"),
    ],
)
def test_what_is_not_a_finite_number_is_named(wrong, shown):
    for use in (Number().learn, Number().encode):
        with pytest.raises(DataError, match=rf"(?s)number 2: .*{shown}.*Correct") as refused:
            use([1.0, wrong, 2.0])
        assert "number 1" not in str(refused.value)


def test_equal_targets_are_noted():
    number = Number()
    assert number.learn([3, 3, 3]).tolist() == [0, 0, 0]
    assert number.notes == ["All 3 targets are 3.0000: there is nothing to learn."]
    assert number.restored(torch.zeros(1)).tolist() == [3]


@draws(20)
@given(st.integers(0, 99), st.lists(st.integers(0, 7), min_size=1, max_size=5), st.sampled_from([0.0, 1e8]))
def test_scores_in_parts_are_those_of_all_rows(seed: int, parts: list[int], level: float):
    generator = np.random.default_rng(seed)
    true = generator.normal(size=sum(parts) + 2) + level
    predicted = true + generator.normal(size=len(true))
    scores = NumberScores("y")
    for part in np.split(np.arange(len(true)), np.cumsum(parts)):
        scores.count(torch.from_numpy(predicted[part]), torch.from_numpy(true[part]))
    found = scores.compute()
    assert found["count"] == len(true)
    assert found["mae"] == pytest.approx(mean_absolute_error(true, predicted))
    assert found["rmse"] == pytest.approx(root_mean_squared_error(true, predicted))
    assert found["r2"] == pytest.approx(r2_score(true, predicted), rel=1e-6)
    assert found["pearson"] == pytest.approx(pearsonr(true, predicted).statistic, abs=1e-6)


def test_scores_are_in_the_units_of_the_data():
    number = Number()
    targets = number.learn([10.0, 20.0, 60.0])
    scores = NumberScores("y", number.restored, point=lambda outputs: outputs[:, 0])
    outputs = number.standardised(torch.tensor([11.0, 18.0, 63.0]))[:, None]
    scores.update(Batch({"y": targets}, 3, 3), Read(torch.tensor(0.5), 3, outputs))
    found = scores.compute()
    assert found["mae"] == pytest.approx(2)
    assert found["loss"] == 0.5
    steps = NumberScores("y")
    ragged = Ragged(torch.tensor([1.0, 2.0, 4.0]), [1, 2])
    steps.update(Batch({"y": ragged}, 2, 3), Read(torch.tensor(0.5), 3, torch.tensor([1.0, 2.0, 1.0])))
    assert steps.compute()["mae"] == 1


def test_undefined_scores_are_none():
    found = score_numbers(np.array([1.0, 2.0]), np.array([3.0, 3.0]))
    assert found["r2"] is None
    assert found["pearson"] is None
    assert NumberScores("y").compute() == {"loss": 0, "rmse": 0, "mae": 0, "r2": None, "pearson": None, "count": 0}


def test_the_mean_is_scored_by_the_first_metric():
    mean = MeanNumber("y")
    mean.fit(TASK, {"y": [1.0, 2.0, 6.0]})
    assert mean.score(TASK, {"y": [3.0, 5.0]}) == pytest.approx(np.sqrt(2))
    other = MeanNumber("y")
    other.load(mean.to_json(), {})
    assert other.score(TASK, {"y": [3.0]}) == 0


TEXTS = [f"{'good fine' if n % 3 else 'bad poor'} film number {n % 7} here" for n in range(40)]
WAVES = [np.sin(np.arange(5 + n % 4) * (1 + n % 5)) for n in range(40)]


@pytest.mark.parametrize("sequences", [TEXTS, WAVES], ids=["texts", "numbers"])
def test_ridge_predicts_and_is_saved(sequences):
    target = [float(n % 3) + 0.1 * (n % 7) for n in range(40)]
    ridge = RidgeNumber("x", "y")
    ridge.prepare()
    ridge.fit(TASK, {"x": sequences, "y": target})
    mean = float(np.sqrt(np.var(target)))
    assert ridge.score(TASK, {"x": sequences, "y": target}) < mean
    assert "ridge regression on" in ridge.title
    other = RidgeNumber("x", "y")
    other.load(json.loads(json.dumps(ridge.to_json())), ridge.arrays())
    np.testing.assert_array_equal(other.predict(sequences), ridge.predict(sequences))


def test_ridge_is_scikit_learns_with_the_best_strength():
    generator = np.random.default_rng(0)
    matrix = generator.normal(size=(60, 5))
    target = matrix @ generator.normal(size=5) + generator.normal(size=60)
    weights, offset = fit_ridge(matrix, target)
    models = [Ridge(alpha=each).fit(matrix, target) for each in STRENGTHS]
    assert any(np.allclose(weights, model.coef_) and np.isclose(offset, model.intercept_) for model in models)
    assert fit_ridge(matrix[:1], target[:1])[1] == pytest.approx(target[0])


def test_more_steps_than_positions_and_empty_sequences_are_read():
    ridge = RidgeNumber("x", "y")
    ridge.fit(TASK, {"x": [np.arange(100.0), np.zeros(0), np.ones(1)] * 2, "y": [1.0, 2.0, 3.0] * 2})
    assert np.isfinite(ridge.predict([np.arange(7.0), np.zeros(0)])).all()


def test_numbers_that_are_too_large_for_float32_are_refused():
    with pytest.raises(DataError, match=r"number 2: 1e\+300, too large for float32"):
        Number().learn([1.0, 1e300])


def test_numbers_within_a_tolerance():
    scores = NumberScores("target", tolerance=0.5)
    scores.count(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.5, 2.6, 3.0]))
    scores.count(torch.tensor([0.0]), torch.tensor([9.0]))
    assert scores.compute()["within_tolerance"] == 2 / 4
    assert "within_tolerance" not in NumberScores("target").compute()
