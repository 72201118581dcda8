"""The temperature against LBFGS and against a known answer; the calibration error against its formula."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss
from torch.nn import functional

from elman.tasks.calibration import BINS, DEVIATION, LIMITS, CalibratedScores, Reliability, bin_names, fit_temperature
from elman.tasks.task import Batch, Read
from tests.examples import draws


def drawn(rows: int, labels: int, scale: float, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Targets drawn from softmax(logits), and the logits times a scale."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(rows, labels, generator=generator)
    return scale * logits, torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]


def objective(inverse: torch.Tensor, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    prior = (inverse - 1).square() / (2 * DEVIATION**2)
    return functional.cross_entropy(inverse * logits.double(), targets, reduction="sum") + prior


@pytest.mark.parametrize("scale", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("labels", [2, 5])
def test_the_temperature_is_that_by_which_logits_were_scaled(scale: float, labels: int):
    assert fit_temperature(*drawn(20_000, labels, scale, 1)) == pytest.approx(scale, rel=0.05)


@draws(25)
@given(st.integers(1, 60), st.integers(2, 4), st.floats(0.1, 30), st.integers(0, 99))
def test_it_is_the_minimum_that_lbfgs_finds(rows: int, labels: int, scale: float, seed: int):
    logits, targets = drawn(rows, labels, scale, seed)
    inverse = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS([inverse], max_iter=200, line_search_fn="strong_wolfe", tolerance_grad=1e-10)

    def closure():
        search.zero_grad()
        loss = objective(inverse, logits, targets)
        loss.backward()
        return loss

    search.step(closure)
    expected = 1 / min(max(float(inverse.detach()), LIMITS[0]), LIMITS[1])
    assert fit_temperature(logits, targets) == pytest.approx(expected, rel=1e-4)


def test_few_answers_that_are_all_right_do_not_make_a_model_sure():
    logits = torch.tensor([[2.0, 0.0]] * 6)
    sure = (logits / fit_temperature(logits, torch.zeros(6, dtype=torch.int64))).softmax(1)[0, 0]
    assert logits.softmax(1)[0, 0] < sure < 0.95


def test_there_is_no_temperature_without_finite_logits():
    assert fit_temperature(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64)) == 1.0
    assert fit_temperature(torch.tensor([[1.0, float("nan")]]), torch.tensor([0])) == 1.0
    assert fit_temperature(torch.tensor([[1e30, 0.0]] * 9), torch.zeros(9, dtype=torch.int64)) == pytest.approx(
        1, abs=0.9
    )


def test_the_error_is_its_formula():
    random = np.random.default_rng(0)
    probabilities = np.concatenate([random.uniform(0.3, 1, 500), [0.0, 1.0, 0.2, 2 / 15]])
    right = random.uniform(size=len(probabilities)) < probabilities**2
    reliability = Reliability()
    for part in (slice(0, 1), slice(1, 300), slice(300, None)):
        reliability.update(torch.from_numpy(probabilities[part]), torch.from_numpy(right[part]))
    expected, counts = 0.0, []
    for number in range(BINS):
        inside = (probabilities > number / BINS) & (probabilities <= (number + 1) / BINS)
        if number == 0:
            inside |= probabilities == 0
        counts.append(int(inside.sum()))
        if inside.any():
            share = inside.sum() / len(probabilities)
            expected += share * abs(right[inside].mean() - probabilities[inside].mean())
    assert reliability.error() == pytest.approx(expected, rel=1e-12)
    assert [count for count, _, _ in reliability.bins()] == counts
    assert Reliability().error() == 0.0
    assert len(bin_names()) == BINS


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_scores_are_those_of_the_calibrated_probabilities(temperature: float):
    logits, targets = drawn(200, 3, 2.0, 5)
    scores = CalibratedScores(list("abc"), "label", temperature)
    for part in (slice(0, 50), slice(50, 200)):
        scores.update(Batch({"label": targets[part]}, 1, 1), Read(torch.tensor(0.0), 1, logits[part]))
    found = scores.compute()
    calibrated = (logits.double() / temperature).softmax(1)
    assert found["loss"] == pytest.approx(log_loss(targets, calibrated, labels=range(3)), rel=1e-5)
    assert found["accuracy"] == pytest.approx(float((logits.argmax(1) == targets).double().mean()))
    for name, probabilities in (("calibration_error", calibrated), ("calibration_error_before", logits.softmax(1))):
        expected = Reliability()
        expected.update(probabilities.amax(1), logits.argmax(1) == targets)
        assert found[name] == pytest.approx(expected.error(), rel=1e-6)
    assert sum(count for count, _, _ in found["reliability"]) == 200
