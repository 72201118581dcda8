"""Ridge regression from sums, against scikit-learn and against itself."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from elman.errors import DataError, ShapeError, UsageError
from elman.nn.factored_ridge import Factor
from elman.nn.ridge import RecursiveLeastSquares, Solution, Sums, cross_validate, joined
from elman.nn.ridge_sums import BAND

RIDGES = [1e-6, 1e-2, 1.0, 100.0]


def data(rows: int = 200, mean: float = 0.0, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    random = np.random.default_rng(seed)
    x = random.standard_normal((rows, 5)) @ random.standard_normal((5, 5)) + mean
    y = x @ random.standard_normal((5, 2)) + 0.1 * random.standard_normal((rows, 2)) + 3.0
    return torch.from_numpy(x), torch.from_numpy(y)


def sums(x: torch.Tensor, y: torch.Tensor, block: int = 37) -> Sums:
    found = Sums.empty(x.shape[1], y.shape[1])
    for start in range(0, len(x), block):
        found.add(x[start : start + block], y[start : start + block])
    return found


@pytest.mark.parametrize("mean", [0.0, 1e6])
@pytest.mark.parametrize("block", [1, 37, 1000])
def test_the_solutions_are_those_of_scikit_learn(mean, block):
    x, y = data(mean=mean)
    # At a mean of 1e6 the data themselves have lost some digits, for scikit-learn too.
    tolerance = 1e-9 if mean == 0.0 else 1e-7
    for found in sums(x, y, block).solve(RIDGES):
        peer = Ridge(alpha=found.ridge, solver="svd").fit((x - mean).numpy(), y.numpy())
        np.testing.assert_allclose(found.weight.T, peer.coef_, rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(x @ found.weight + found.bias, peer.predict((x - mean).numpy()), rtol=1e-6)


def test_true_weights_are_found_far_from_zero():
    random = np.random.default_rng(1)
    x = torch.from_numpy(random.standard_normal((1000, 3)) + 1e6)
    (found,) = sums(x, x.sum(1, keepdim=True)).solve([1e-9])
    torch.testing.assert_close(found.weight, torch.ones(3, 1, dtype=torch.float64), rtol=0, atol=1e-8)


def test_parts_joined_are_the_whole():
    x, y = data()
    whole, parts = sums(x, y), joined([sums(x[:50], y[:50]), sums(x[50:], y[50:]), Sums.empty(5, 2)])
    for name, tensor in whole.tensors().items():
        torch.testing.assert_close(parts.tensors()[name], tensor)


def test_the_squared_error_is_that_of_the_rows():
    x, y = data(mean=100.0)
    (found,) = sums(*data(mean=99.0, seed=4)).solve([1.0])
    expected = (y - x @ found.weight - found.bias).square().sum()
    torch.testing.assert_close(sums(x, y).squared_error(found), expected)


def test_the_ridge_of_the_least_cross_validated_error_is_chosen():
    random = np.random.default_rng(2)
    x = torch.from_numpy(random.standard_normal((40, 30)))
    y = x[:, :1] + torch.from_numpy(random.standard_normal((40, 1)))
    folds = [(x[k::4], y[k::4]) for k in range(4)]
    errors = []
    for ridge in RIDGES:
        error = 0.0
        for k, (left_x, left_y) in enumerate(folds):
            others = [fold for index, fold in enumerate(folds) if index != k]
            peer = Ridge(alpha=ridge).fit(*(np.concatenate([fold[part] for fold in others]) for part in (0, 1)))
            error += ((left_y.numpy() - peer.predict(left_x.numpy()).reshape(-1, 1)) ** 2).sum()
        errors.append(error)
    found = cross_validate([sums(*fold) for fold in folds], RIDGES)
    assert found.ridge == RIDGES[int(np.argmin(errors))] != RIDGES[0]
    peer = Ridge(alpha=found.ridge).fit(x.numpy(), y.numpy())
    np.testing.assert_allclose(found.weight[:, 0], peer.coef_.ravel(), rtol=1e-8)


def test_constant_and_equal_features_have_finite_weights_without_a_ridge():
    x, y = data()
    x = torch.cat([x, torch.ones(len(x), 1), x[:, :1]], 1)
    (found,) = sums(x, y).solve([0.0])
    assert found.weight.isfinite().all()
    assert found.weight[5].abs().max() < 1e-9
    expected = np.linalg.lstsq(np.column_stack([x, np.ones(len(x))]), y.numpy(), rcond=None)[0]
    np.testing.assert_allclose(x @ found.weight + found.bias, np.column_stack([x, np.ones(len(x))]) @ expected)


def test_more_features_than_rows():
    x, y = data(rows=3)
    (found,) = sums(x, y).solve([1e-3])
    peer = Ridge(alpha=1e-3, solver="svd").fit(x.numpy(), y.numpy())
    np.testing.assert_allclose(found.weight.T, peer.coef_, rtol=1e-6)


def test_recursive_least_squares_is_ridge_after_any_rows():
    x, y = data()
    learner = RecursiveLeastSquares(5, 2, ridge=0.3)
    for row in range(60):
        before = y[row] - x[row] @ learner.weight - learner.bias
        torch.testing.assert_close(learner.update(x[row], y[row]), before)
        if row in (0, 3, 59):
            (found,) = sums(x[: row + 1], y[: row + 1]).solve([0.3], penalised_bias=True)
            torch.testing.assert_close(learner.weight, found.weight, rtol=1e-6, atol=1e-9)
            torch.testing.assert_close(learner.bias, found.bias, rtol=1e-6, atol=1e-9)


def test_forgetting_follows_a_change():
    x, y = data()
    learner = RecursiveLeastSquares(5, 2, ridge=1e-3, forgetting=0.95)
    for row in range(100):
        learner.update(x[row], -y[row])
    for row in range(100, 200):
        learner.update(x[row], y[row])
    (recent,) = sums(x[100:], y[100:]).solve([1e-9])
    assert (learner.weight - recent.weight).norm() < 0.1 * recent.weight.norm()


def test_what_is_wrong_is_refused():
    with pytest.raises(DataError, match="no rows"):
        next(Sums.empty(2, 1).solve([1.0]))
    with pytest.raises(UsageError, match="at least one ridge"):
        cross_validate([sums(*data())], [])
    with pytest.raises(ShapeError, match=r"got \(3, 2\) and \(2, 2\)"):
        Sums.empty(2, 2).add(torch.zeros(3, 2), torch.zeros(2, 2))
    with pytest.raises(UsageError, match="ridge above 0"):
        RecursiveLeastSquares(2, 1, ridge=0.0)


def test_weighted_rows_are_those_of_scikit_learn_and_count_as_often():
    x, y = data(rows=60, mean=3.0)
    weights = torch.arange(60) % 4 + 1
    found = Sums.empty(5, 2)
    for start in range(0, 60, 17):
        found.add(x[start : start + 17], y[start : start + 17], weights[start : start + 17])
    repeated = sums(x.repeat_interleave(weights, 0), y.repeat_interleave(weights, 0))
    for name, tensor in repeated.tensors().items():
        torch.testing.assert_close(found.tensors()[name], tensor)
    (solution,) = found.solve([0.7])
    peer = Ridge(alpha=0.7, solver="svd").fit(x.numpy(), y.numpy(), sample_weight=weights.numpy())
    np.testing.assert_allclose(solution.weight.T, peer.coef_, rtol=1e-9)
    expected = (weights[:, None] * (y - x @ solution.weight - solution.bias).square()).sum()
    torch.testing.assert_close(found.squared_error(solution), expected)
    wide = np.column_stack([x, np.ones(60)]) ** 2
    assert float(found.mean_square) == pytest.approx(float((weights[:, None].numpy() * wide).sum()) / 6)


@pytest.mark.parametrize("features", [1, BAND - 1, BAND, BAND + 1, 2 * BAND + 3])
def test_products_of_any_width_are_symmetric_and_weighed(features):
    torch.manual_seed(0)
    block, weights = torch.randn(9, features, dtype=torch.float64), torch.rand(9, dtype=torch.float64) + 0.1
    targets = torch.randn(9, 2, dtype=torch.float64)
    sums = Sums.empty(features, 2)
    sums.add(block, targets, weights)
    both = torch.cat([block, targets], 1)
    centred = both - weights @ both / weights.sum()
    torch.testing.assert_close(sums.products, (centred[:, :features] * weights[:, None]).T @ centred)
    torch.testing.assert_close(sums.products[:, :features], sums.products[:, :features].T)


def test_a_single_ridge_has_the_solution_it_has_among_others():
    torch.manual_seed(0)
    features, targets = torch.randn(50, 6, dtype=torch.float64), torch.randn(50, 2, dtype=torch.float64)
    sums = Sums.empty(6, 2)
    sums.add(features, targets)
    for ridge in (0.0, 1e-20, 1e-3, 10.0):
        (alone,), (among, _) = sums.solve([ridge]), sums.solve([ridge, 1.0])
        torch.testing.assert_close(alone.weight, among.weight)
        torch.testing.assert_close(alone.bias, among.bias)


def test_a_single_ridge_is_solved_for_where_features_are_equal():
    features = torch.randn(20, 1, dtype=torch.float64).repeat(1, 4)
    sums = Sums.empty(4, 1)
    sums.add(features, features[:, :1])
    (alone,), (among, _) = sums.solve([1e-3]), sums.solve([1e-3, 1.0])
    torch.testing.assert_close(alone.weight, among.weight)


def few_sequences_of_many_features(seed):
    random = np.random.default_rng(seed)
    middles = random.standard_normal((3, 60))
    labels = np.arange(30 * 12) % 3
    features = 0.4 * middles[labels] + random.standard_normal((len(labels), 60))
    return torch.from_numpy(features), torch.nn.functional.one_hot(torch.from_numpy(labels)).double(), labels


@pytest.mark.parametrize("kind", [Sums, Factor])
def test_ridges_of_labels_are_compared_without_the_size_of_the_outputs(kind):
    """On 18 rows the least squared error belongs to outputs near their mean, whose order is poor."""
    rights = []
    ridges = [10.0**power for power in range(-4, 5)]
    for seed in range(6):
        features, targets, labels = few_sequences_of_many_features(seed)
        parts = [kind.empty(60, 3) for _ in range(5)]
        for number, part in enumerate(parts):
            part.add(features[:18][number::5], targets[:18][number::5])
        found = [cross_validate(parts, ridges, scale_free=free) for free in (False, True)]
        rights.append([np.mean((features[18:] @ w + b).argmax(1).numpy() == labels[18:]) for w, b, _ in found])
    usual, scale_free = np.mean(rights, 0)
    assert scale_free > usual + 0.02


@pytest.mark.parametrize("kind", [Sums, Factor])
def test_agreement_is_that_of_the_rows(kind):
    random = torch.Generator().manual_seed(1)
    features, targets = (torch.randn(20, size, generator=random, dtype=torch.float64) + 3 for size in (4, 2))
    rows = kind.empty(4, 2)
    rows.add(features, targets)
    solution = Solution(
        torch.randn(4, 2, generator=random, dtype=torch.float64), torch.tensor([0.5, -1.0]).double(), 1.0
    )
    centre = torch.tensor([1.0, 2.0], dtype=torch.float64)
    found = rows.agreement(solution, centre)
    outputs = features @ solution.weight + solution.bias - centre
    torch.testing.assert_close(rows.target_mean, targets.mean(0))
    torch.testing.assert_close(found.both, (outputs * (targets - centre)).sum())
    torch.testing.assert_close(found.outputs, outputs.square().sum())
