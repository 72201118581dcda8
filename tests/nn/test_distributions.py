"""Distributions of forecasts against scipy, closed forms and numeric integrals."""

import numpy as np
import pytest
import torch
from torch import Tensor

from elman.nn.distributions import (
    Gaussian,
    NegativeBinomial,
    Student,
    conformal_margin,
    gaussian,
    incomplete_beta,
    negative_binomial,
    quantile_crps,
    sample_crps,
    student,
)

stats = pytest.importorskip("scipy.stats")
special = pytest.importorskip("scipy.special")
LEVELS = (0.01, 0.1, 0.5, 0.8, 0.99)


def doubles(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


CONTINUOUS = [
    (Gaussian(doubles(1.5), doubles(2.0)), stats.norm(1.5, 2.0)),
    (Student(doubles(-1.0), doubles(0.5), doubles(2.2)), stats.t(2.2, -1.0, 0.5)),
    (Student(doubles(3.0), doubles(2.0), doubles(7.5)), stats.t(7.5, 3.0, 2.0)),
    (Student(doubles(0.0), doubles(1.0), doubles(900.0)), stats.t(900.0)),
]
COUNTS = [
    (NegativeBinomial(doubles(mean), doubles(dispersion)), stats.nbinom(1 / dispersion, 1 / (1 + dispersion * mean)))
    for mean, dispersion in ((5.0, 0.5), (0.2, 0.01), (300.0, 0.1), (2000.0, 2.0))
]


@pytest.mark.parametrize(("own", "reference"), CONTINUOUS)
def test_continuous_distributions_are_those_of_scipy(own, reference):
    values = np.array([-4.0, -0.3, 1.0, 2.5, 30.0])
    for value in values:
        assert float(own.log_prob(doubles(value))) == pytest.approx(reference.logpdf(value), rel=1e-6)
        assert float(own.cdf(doubles(value))) == pytest.approx(reference.cdf(value), rel=1e-6, abs=1e-12)
    np.testing.assert_allclose(own.quantiles(LEVELS)[0].numpy(), reference.ppf(LEVELS), rtol=1e-6)
    # The integral of (F(x) - 1{y <= x})².
    x = np.linspace(reference.ppf(1e-9) - 50, reference.ppf(1 - 1e-9) + 50, 2_000_001) if own.scale < 1 else None
    x = np.linspace(-400, 400, 2_000_001) if x is None else x
    for value in (-2.0, 0.0, 4.0):
        integral = np.trapezoid((reference.cdf(x) - (x >= value)) ** 2, x)
        assert float(own.crps(doubles(value))) == pytest.approx(integral, rel=2e-3)


@pytest.mark.parametrize(("own", "reference"), COUNTS)
def test_counts_are_those_of_scipy(own, reference):
    counts = np.arange(0, 200)
    np.testing.assert_allclose(own.log_prob(doubles(*counts)).numpy(), reference.logpmf(counts), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(own.cdf(doubles(*counts)).numpy(), reference.cdf(counts), rtol=1e-6)
    assert own.quantiles(LEVELS)[0].tolist() == reference.ppf(LEVELS).tolist()
    every = np.arange(0, int(reference.ppf(1 - 1e-12)) + 100)
    for value in (0.0, 3.0, 250.0):
        exact = ((reference.cdf(every) - (every >= value)) ** 2).sum() + max(0.0, value - every[-1] - 1)
        assert float(own.crps(doubles(value))) == pytest.approx(exact, rel=1e-5)


@pytest.mark.parametrize(("own", "reference"), [*CONTINUOUS[:3], *COUNTS[:3]])
def test_draws_have_the_distribution(own, reference):
    generator = torch.Generator().manual_seed(5)
    drawn = own.draw(torch.rand(20000, 2, generator=generator, dtype=torch.float64).clamp(1e-9, 1 - 1e-9))
    for level in (0.1, 0.5, 0.9):
        share = float((drawn <= float(reference.ppf(level))).double().mean())
        assert share == pytest.approx(float(reference.cdf(reference.ppf(level))), abs=0.012)


def test_the_incomplete_beta_function_is_that_of_scipy():
    generator = np.random.default_rng(0)
    a, b = generator.uniform(0.05, 40, (2, 400))
    x = generator.uniform(0, 1, 400)
    found = incomplete_beta(*(torch.from_numpy(each) for each in (a, b, x))).numpy()
    np.testing.assert_allclose(found, special.betainc(a, b, x), rtol=1e-9, atol=1e-14)
    assert incomplete_beta(doubles(2.0, 2.0), doubles(3.0, 3.0), doubles(0.0, 1.0)).tolist() == [0.0, 1.0]


def test_the_score_of_samples_and_of_quantiles_tends_to_that_of_the_distribution():
    own = Gaussian(doubles(0.0), doubles(1.0))
    uniform = torch.rand(1, 40000, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    samples = own.draw(uniform)
    assert float(sample_crps(samples, doubles(0.7))) == pytest.approx(float(own.crps(doubles(0.7))), abs=0.01)
    levels = [(step + 0.5) / 500 for step in range(500)]
    found = quantile_crps(own.quantiles(levels), doubles(0.7), levels)
    assert float(found) == pytest.approx(float(own.crps(doubles(0.7))), abs=1e-3)
    # By its definition, over all pairs of different samples.
    few = samples[:, :7]
    pairs = (few[0, :, None] - few[0]).abs().sum() / (7 * 6)
    assert float(sample_crps(few, doubles(0.7))) == pytest.approx(float((few - 0.7).abs().mean() - pairs / 2))


def test_outputs_of_a_network_always_make_a_distribution():
    raw = torch.tensor([[-80.0, -80.0, -80.0], [80.0, 80.0, 80.0]])
    for own in (gaussian(raw[:, :2]), student(raw), negative_binomial(raw[:, :2], torch.tensor([1.0, 30.0]))):
        assert torch.isfinite(own.log_prob(torch.tensor([2.0, 3.0]))).all()
        assert torch.isfinite(own.crps(torch.tensor([2.0, 3.0]))).all()


def test_gradients_are_those_of_the_density():
    raw = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    values = torch.tensor([0.0, 1.0, 2.0, 5.0], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda each: student(each).log_prob(values), raw)
    assert torch.autograd.gradcheck(lambda each: gaussian(each[:, :2]).crps(values), raw)
    sizes = torch.full((4,), 3.0, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda each: negative_binomial(each[:, :2], sizes).log_prob(values), raw)


def test_the_margin_covers_new_scores():
    generator = np.random.default_rng(2)
    inside = []
    for _ in range(2000):
        scores = torch.from_numpy(generator.normal(size=21))
        inside.append(float(scores[20]) <= float(conformal_margin(scores[:20], 0.8)))
    # ceil(21 · 0.8) / 21 of new scores, exactly.
    assert np.mean(inside) == pytest.approx(17 / 21, abs=0.025)
