"""Losses of numbers against torch, scikit-learn and the definition of a quantile."""

import numpy as np
import pytest
import torch
from sklearn.metrics import mean_pinball_loss
from torch import nn

from elman.errors import ShapeError, UsageError
from elman.nn.regression import number_loss, without_crossing

OUTPUTS, TARGETS = torch.randn(5, 3, dtype=torch.float64), torch.randn(5, 3, dtype=torch.float64)


@pytest.mark.parametrize(
    ("kind", "theirs"), [("squared", nn.MSELoss()), ("absolute", nn.L1Loss()), ("huber", nn.HuberLoss(delta=0.7))]
)
def test_losses_are_torchs(kind, theirs):
    torch.testing.assert_close(number_loss(kind, OUTPUTS, TARGETS, delta=0.7), theirs(OUTPUTS, TARGETS))


def test_the_loss_of_quantiles_is_scikit_learns():
    quantiles = (0.1, 0.5, 0.95)
    wanted = np.mean([mean_pinball_loss(TARGETS[:, 0], OUTPUTS[:, n], alpha=q) for n, q in enumerate(quantiles)])
    assert number_loss("quantile", OUTPUTS, TARGETS[:, 0], quantiles).item() == pytest.approx(wanted)


def test_the_best_constant_is_the_quantile():
    targets = torch.arange(101.0)
    losses = [number_loss("quantile", torch.full((101, 1), each), targets, (0.9,)).item() for each in range(101)]
    assert int(np.argmin(losses)) == 90


def test_ordered_quantiles_do_not_cross_and_cost_no_more():
    ordered = without_crossing(OUTPUTS)
    assert (ordered.diff(dim=-1) >= 0).all()
    quantiles = (0.1, 0.5, 0.9)
    before, after = (number_loss("quantile", each, TARGETS[:, 0], quantiles) for each in (OUTPUTS, ordered))
    assert after <= before


@pytest.mark.parametrize(
    ("kind", "outputs", "quantiles", "error"),
    [
        ("square", (5, 3), (), UsageError),
        ("quantile", (5, 3), (), UsageError),
        ("squared", (5, 3), (0.5,), UsageError),
        ("squared", (5,), (), ShapeError),
        ("quantile", (5, 3), (0.5,), ShapeError),
    ],
)
def test_what_does_not_fit_is_refused(kind, outputs, quantiles, error):
    with pytest.raises(error):
        number_loss(kind, torch.zeros(outputs), TARGETS, quantiles)
