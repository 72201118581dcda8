"""Ridge regression from a triangular factor against explicit solutions and against scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from elman.errors import DataError, ShapeError
from elman.nn.factored_ridge import Factor
from elman.nn.ridge import Sums, cross_validate

DRAW = torch.Generator().manual_seed(0)
FEATURES = torch.randn(90, 6, dtype=torch.float64, generator=DRAW)
TARGETS = FEATURES[:, :2] @ torch.ones(2, 3, dtype=torch.float64) + torch.randn(
    90, 3, dtype=torch.float64, generator=DRAW
)


def factor_of(features, targets, size=20):
    found = Factor.empty(features.shape[1], targets.shape[1])
    for first in range(0, len(features), size):
        found.add(features[first : first + size], targets[first : first + size])
    return found


@pytest.mark.parametrize("mean", [0.0, 1e6])
def test_solutions_are_those_of_scikit_learn(mean):
    for solution in factor_of(FEATURES + mean, TARGETS).solve([1e-3, 5.0]):
        peer = Ridge(alpha=solution.ridge, solver="svd").fit(FEATURES + mean, TARGETS)
        np.testing.assert_allclose(solution.weight.T, peer.coef_, rtol=1e-6, atol=1e-8)
        found = (FEATURES + mean) @ solution.weight + solution.bias
        np.testing.assert_allclose(found, peer.predict(FEATURES + mean), rtol=1e-6, atol=1e-7)


def test_nearly_dependent_features_keep_their_weights_where_products_lose_them():
    features = torch.cat([FEATURES, FEATURES[:, :1] + 1e-9 * FEATURES.roll(1, 0)[:, :1]], 1)
    targets = 1e9 * (features[:, 6:] - features[:, :1])
    errors = []
    for kind in (Factor, Sums):
        rows = kind.empty(7, 1)
        rows.add(features, targets)
        (solution,) = rows.solve([0.0])
        errors.append((features @ solution.weight + solution.bias - targets).abs().max())
    assert errors[0] < 1e-4 < 0.1 < errors[1]


def test_cross_validation_chooses_as_with_sums():
    parts = [[kind.empty(6, 3) for _ in range(3)] for kind in (Factor, Sums)]
    for of_kind in parts:
        for number, part in enumerate(of_kind):
            part.add(FEATURES[number::3], TARGETS[number::3])
    found = [cross_validate(of_kind, [1e-6, 1.0, 1e3]) for of_kind in parts]
    assert found[0].ridge == found[1].ridge
    torch.testing.assert_close(found[0].weight, found[1].weight)
    torch.testing.assert_close(parts[0][0].squared_error(found[0]), parts[1][0].squared_error(found[0]))


def test_no_rows_and_other_shapes_are_refused():
    with pytest.raises(DataError, match="no rows"):
        list(Factor.empty(2, 1).solve([1.0]))
    with pytest.raises(ShapeError, match=r"features \(rows, 2\)"):
        Factor.empty(2, 1).add(FEATURES, TARGETS)
