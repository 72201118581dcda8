"""Distributions of forecasts: densities, quantiles, draws, and the scores of probabilistic forecasts."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, distributions
from torch.nn import functional

SMALLEST_SCALE = 1e-4
# A Student distribution has a variance from 2 degrees of freedom; a larger limit keeps the tails' CRPS finite.
LEAST_FREEDOM = 2.1
MOST_FREEDOM = 1e4
_NEWTON_STEPS = 60
_FRACTION_TERMS = 300
_NODES = 96


class Distribution(ABC):
    """A distribution of each element of a tensor.

    Attributes:
        parameters: numbers that a network gives for each element.
    """

    parameters: ClassVar[int]

    @property
    @abstractmethod
    def mean(self) -> Tensor:
        """Its mean."""

    @abstractmethod
    def log_prob(self, values: Tensor) -> Tensor:
        """Return the log density of values."""

    @abstractmethod
    def cdf(self, values: Tensor) -> Tensor:
        """Return the probability of a value that is not larger."""

    @abstractmethod
    def quantiles(self, levels: Sequence[float]) -> Tensor:
        """Return the quantiles of these levels on a last axis, which do not cross."""

    @abstractmethod
    def crps(self, values: Tensor) -> Tensor:
        """Return the continuous ranked probability score of values, `∫ (F(x) - 1{y ≤ x})² dx`."""

    @abstractmethod
    def draw(self, uniform: Tensor) -> Tensor:
        """Return a value for each pair of uniform numbers `(…, 2)`, the same for the same pair.

        They are above 0 and below 1.

        The leading axes of the pairs and those of the distribution are broadcast.
        """


@dataclass(frozen=True)
class Gaussian(Distribution):
    """The Gaussian distribution.

    Source:
        CRPS: T. Gneiting, A. Raftery, Strictly Proper Scoring Rules, Prediction, and Estimation, 2007, section 4.2.
    """

    parameters = 2
    loc: Tensor
    scale: Tensor

    @property
    def mean(self) -> Tensor:
        """Its mean."""
        return self.loc

    def log_prob(self, values: Tensor) -> Tensor:
        """Return the log density of values."""
        return distributions.Normal(self.loc, self.scale, validate_args=False).log_prob(values)

    def cdf(self, values: Tensor) -> Tensor:
        """Return the probability of a value that is not larger."""
        return distributions.Normal(self.loc, self.scale, validate_args=False).cdf(values)

    def quantiles(self, levels: Sequence[float]) -> Tensor:
        """Return the quantiles of these levels, on a last axis."""
        each = torch.special.ndtri(self.loc.new_tensor(levels))
        return self.loc.unsqueeze(-1) + self.scale.unsqueeze(-1) * each

    def crps(self, values: Tensor) -> Tensor:
        """Return the continuous ranked probability score of values."""
        z = (values - self.loc) / self.scale
        density = torch.exp(-z * z / 2) / math.sqrt(2 * math.pi)
        return self.scale * (z * (2 * torch.special.ndtr(z) - 1) + 2 * density - 1 / math.sqrt(math.pi))

    def draw(self, uniform: Tensor) -> Tensor:
        """Return a value for each pair of uniform numbers, by the method of Box and Muller."""
        radius = torch.sqrt(-2 * torch.log(uniform[..., 0]))
        return self.loc + self.scale * radius * torch.cos(2 * math.pi * uniform[..., 1])


@dataclass(frozen=True)
class Student(Distribution):
    """Student's t distribution with a location and a scale, whose tails are heavier than the Gaussian's.

    Source:
        CRPS: A. Jordan, F. Krüger, S. Lerch, Evaluating Probabilistic Forecasts with scoringRules, 2019, appendix A.2.
        Draws: R. Bailey, Polar Generation of Random Variates with the t-Distribution, 1994.
    """

    parameters = 3
    loc: Tensor
    scale: Tensor
    freedom: Tensor

    @property
    def mean(self) -> Tensor:
        """Its mean."""
        return self.loc

    def log_prob(self, values: Tensor) -> Tensor:
        """Return the log density of values."""
        return distributions.StudentT(self.freedom, self.loc, self.scale, validate_args=False).log_prob(values)

    def cdf(self, values: Tensor) -> Tensor:
        """Return the probability of a value that is not larger."""
        return _student_cdf((values - self.loc) / self.scale, self.freedom)

    def quantiles(self, levels: Sequence[float]) -> Tensor:
        """Return the quantiles of these levels on a last axis, by Newton's method."""
        freedom = self.freedom.double().unsqueeze(-1)
        level = torch.tensor(levels, dtype=torch.float64, device=freedom.device).expand(*self.loc.shape, len(levels))
        upper = torch.maximum(level, 1 - level)
        freedom = freedom.expand_as(upper)
        # The tails are heavier than the Gaussian's, so that its quantile is too small; from there the steps only grow.
        z = torch.special.ndtri(upper)
        for _ in range(_NEWTON_STEPS):
            density = distributions.StudentT(freedom, validate_args=False).log_prob(z).exp()
            step = (upper - _student_cdf(z, freedom)) / density
            z = z + step
            if bool((step.abs() <= 1e-12 * (1 + z)).all()):
                break
        z = torch.where(level < 0.5, -z, z)
        return self.loc.unsqueeze(-1) + self.scale.unsqueeze(-1) * z.to(self.loc.dtype)

    def crps(self, values: Tensor) -> Tensor:
        """Return the continuous ranked probability score of values."""
        freedom = self.freedom.double()
        z = ((values - self.loc) / self.scale).double()
        density = distributions.StudentT(freedom, validate_args=False).log_prob(z).exp()
        beta = _log_beta(torch.full_like(freedom, 0.5), freedom - 0.5) - 2 * _log_beta(
            torch.full_like(freedom, 0.5), freedom / 2
        )
        constant = 2 * freedom.sqrt() / (freedom - 1) * beta.exp()
        tails = z * (2 * _student_cdf(z, freedom) - 1) + 2 * density * (freedom + z * z) / (freedom - 1)
        return self.scale * (tails - constant).to(self.scale.dtype)

    def draw(self, uniform: Tensor) -> Tensor:
        """Return a value for each pair of uniform numbers, by Bailey's method."""
        radius = torch.sqrt(self.freedom * torch.expm1(-2 / self.freedom * torch.log(uniform[..., 0])))
        return self.loc + self.scale * radius * torch.cos(2 * math.pi * uniform[..., 1])


@dataclass(frozen=True)
class NegativeBinomial(Distribution):
    """The negative binomial distribution of counts, with the variance `mean + dispersion · mean²`.

    Source:
        CRPS: A. Jordan, F. Krüger, S. Lerch, Evaluating Probabilistic Forecasts with scoringRules, 2019, appendix A.1.
    """

    parameters = 2
    average: Tensor
    dispersion: Tensor

    @property
    def mean(self) -> Tensor:
        """Its mean."""
        return self.average

    def log_prob(self, values: Tensor) -> Tensor:
        """Return the log probability of counts."""
        count = 1 / self.dispersion
        logits = torch.log(self.dispersion * self.average)
        return distributions.NegativeBinomial(count, logits=logits, validate_args=False).log_prob(values)

    def cdf(self, values: Tensor) -> Tensor:
        """Return the probability of a count that is not larger."""
        dispersion = self.dispersion.double()
        success = 1 / (1 + dispersion * self.average.double())
        return _counts_until(values.double(), 1 / dispersion, success).to(self.average.dtype)

    def quantiles(self, levels: Sequence[float]) -> Tensor:
        """Return the smallest counts whose probability reaches these levels, on a last axis."""
        wide = NegativeBinomial(self.average.double().unsqueeze(-1), self.dispersion.double().unsqueeze(-1))
        level = torch.tensor(levels, dtype=torch.float64, device=self.average.device)
        return wide._inverse(level.expand(*self.average.shape, len(levels))).to(self.average.dtype)

    def _inverse(self, level: Tensor) -> Tensor:
        low, high = torch.full_like(level, -1.0), torch.ones_like(level)
        while bool((more := self.cdf(high) < level).any()):
            high = torch.where(more, 2 * high, high)
        while bool((high - low > 1).any()):
            middle = ((low + high) / 2).floor()
            below = self.cdf(middle) < level
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        return high

    def crps(self, values: Tensor) -> Tensor:
        """Return the continuous ranked probability score of counts."""
        mean, dispersion = self.average.double(), self.dispersion.double()
        values = values.double()
        count, success = 1 / dispersion, 1 / (1 + dispersion * mean)
        own = 2 * _counts_until(values, count, success) - 1
        next_one = 2 * _counts_until(values - 1, count + 1, success) - 1
        z = 4 * (1 - success) / success.square()
        spread = mean / success * _hypergeometric(count + 1, z)
        return (values * own - mean * next_one - spread).to(self.average.dtype)

    def draw(self, uniform: Tensor) -> Tensor:
        """Return a count for each pair of uniform numbers, of which the first decides."""
        level = uniform[..., 0].double() + torch.zeros_like(self.average, dtype=torch.float64)
        wide = NegativeBinomial(self.average.double().expand_as(level), self.dispersion.double().expand_as(level))
        return wide._inverse(level).to(self.average.dtype)


def gaussian(raw: Tensor) -> Gaussian:
    """Return the distribution of a network's outputs `(…, 2)`."""
    return Gaussian(raw[..., 0], _positive(raw[..., 1]))


def student(raw: Tensor) -> Student:
    """Return the distribution of a network's outputs `(…, 3)`."""
    freedom = LEAST_FREEDOM + functional.softplus(raw[..., 2])
    return Student(raw[..., 0], _positive(raw[..., 1]), freedom.clamp(max=MOST_FREEDOM))


def negative_binomial(raw: Tensor, size: Tensor) -> NegativeBinomial:
    """Return the distribution of a network's outputs `(…, 2)`.

    Args:
        raw: of the network.
        size: of the counts, above 0: the mean of the window and one; broadcast to the leading axes.

    Source:
        D. Salinas et al., DeepAR: Probabilistic Forecasting with Autoregressive Recurrent Networks, 2020, sections 3.1
        and 3.3: the mean is multiplied by the size, and the dispersion divided by its root.
    """
    return NegativeBinomial(size * _positive(raw[..., 0]), _positive(raw[..., 1]) / size.sqrt())


def pinball(quantiles: Tensor, values: Tensor, levels: Sequence[float]) -> Tensor:
    """Return the quantile loss `max(τ e, (τ - 1) e)` of each, with `e = y - q`.

    Args:
        quantiles: `(…, levels)`.
        values: `(…)`.
        levels: τ of each.
    """
    error = values.unsqueeze(-1) - quantiles
    level = quantiles.new_tensor(levels)
    return torch.maximum(level * error, (level - 1) * error)


def quantile_crps(quantiles: Tensor, values: Tensor, levels: Sequence[float]) -> Tensor:
    """Return the score of quantiles, twice their mean quantile loss.

    With many evenly spaced levels it tends to the CRPS.
    """
    return 2 * pinball(quantiles, values, levels).mean(-1)


def sample_crps(samples: Tensor, values: Tensor) -> Tensor:
    """Return the CRPS of sample paths, `E|X - y| - E|X - X'| / 2`, without bias.

    Args:
        samples: `(…, samples)`, at least two.
        values: `(…)`.

    Source:
        T. Gneiting, A. Raftery, 2007, equation 21; the pairs are counted by ranks, and a sample is not paired with
        itself (C. Ferro, Fair scores for ensemble forecasts, 2014).
    """
    count = samples.shape[-1]
    ordered = samples.sort(-1).values
    rank = torch.arange(1, count + 1, device=samples.device, dtype=samples.dtype)
    spread = ((2 * rank - count - 1) * ordered).sum(-1) / (count * (count - 1))
    return (samples - values.unsqueeze(-1)).abs().mean(-1) - spread


def conformal_margin(scores: Tensor, level: float) -> Tensor:
    """Return the margin that a new score exceeds with at most the remaining probability.

    Args:
        scores: `(calibration, …)`, how far each value was outside of its interval, negative inside.
        level: of the interval.

    Source:
        Y. Romano, E. Patterson, E. Candès, Conformalized Quantile Regression, 2019, equation 8.

    >>> conformal_margin(torch.arange(1.0, 10.0), 0.8)
    tensor(8.)
    """
    count = len(scores)
    rank = min(count, math.ceil((count + 1) * level))
    return scores.sort(0).values[rank - 1]


def incomplete_beta(a: Tensor, b: Tensor, x: Tensor) -> Tensor:
    """Return the regularised incomplete beta function `I_x(a, b)`, in float64.

    Source:
        Its continued fraction by the method of Lentz: W. Press et al., Numerical Recipes, section 6.4.
    """
    a, b, x = torch.broadcast_tensors(a.double(), b.double(), x.double().clamp(0, 1))
    swapped = x > (a + 1) / (a + b + 2)
    p, q, z = torch.where(swapped, b, a), torch.where(swapped, a, b), torch.where(swapped, 1 - x, x)
    inside = z.clamp(min=1e-300)
    front = torch.exp(p * inside.log() + q * torch.log1p(-z.clamp(max=1 - 1e-16)) - _log_beta(p, q)) / p
    found = torch.where(z > 0, front * _fraction(p, q, z), 0.0)
    return torch.where(swapped, 1 - found, found)


def _fraction(a: Tensor, b: Tensor, x: Tensor) -> Tensor:
    tiny = 1e-300
    c = torch.ones_like(x)
    d = _away(1 - (a + b) * x / (a + 1), tiny).reciprocal()
    total = d
    for m in range(1, _FRACTION_TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d, c = _away(1 + even * d, tiny).reciprocal(), _away(1 + even / c, tiny)
        total = total * d * c
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d, c = _away(1 + odd * d, tiny).reciprocal(), _away(1 + odd / c, tiny)
        step = d * c
        total = total * step
        if m % 8 == 0 and bool(((step - 1).abs() < 1e-14).all()):
            break
    return total


def _away(values: Tensor, least: float) -> Tensor:
    return torch.where(values.abs() < least, least, values)


def _log_beta(a: Tensor, b: Tensor) -> Tensor:
    return torch.lgamma(a) + torch.lgamma(b) - torch.lgamma(a + b)


def _student_cdf(z: Tensor, freedom: Tensor) -> Tensor:
    freedom, z = freedom.double(), z.double()
    tail = incomplete_beta(freedom / 2, torch.full_like(freedom, 0.5), freedom / (freedom + z * z)) / 2
    return torch.where(z > 0, 1 - tail, tail)


def _counts_until(values: Tensor, count: Tensor, success: Tensor) -> Tensor:
    """Return the probability of at most so many failures before a number of successes."""
    count, success, values = torch.broadcast_tensors(count, success, values)
    found = incomplete_beta(count, values.floor().clamp(min=0) + 1, success)
    return torch.where(values < 0, 0.0, found)


def _hypergeometric(a: Tensor, z: Tensor) -> Tensor:
    """Return Gauss's hypergeometric function by Euler's integral.

    `2F1(a, 1/2; 2; -z)` is `4/π ∫ cos²θ (1 + z sin²θ)^-a dθ` over a quarter of a circle.
    """
    # Nodes are dense at 0, where the integrand falls within 1 / sqrt(a z).
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    part = torch.from_numpy((nodes + 1) / 2)
    angle = math.pi / 2 * part**4
    measure = torch.from_numpy(weights / 2) * math.pi / 2 * 4 * part**3
    power = torch.exp(-a.unsqueeze(-1) * torch.log1p(z.unsqueeze(-1) * angle.sin().square()))
    return 4 / math.pi * (measure * angle.cos().square() * power).sum(-1)


def _positive(raw: Tensor) -> Tensor:
    return functional.softplus(raw) + SMALLEST_SCALE
