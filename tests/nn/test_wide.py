"""The linear model beside a network: its fit against scikit-learn's, and the weighing of both."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC
from torch.nn import functional

from elman.data.ragged.ragged import Ragged
from elman.data.text.ngrams import NgramRows, Ngrams
from elman.nn.wide import ALONE, FACTORS, PSEUDOCOUNT, SCALE, STRENGTHS, Fit, Wide

TEXTS = [f"a {('poor', 'fine', 'dull', 'good')[n % 4]} film , number {n % 7} of {n % 3}" for n in range(80)]
TARGETS = torch.tensor([n % 2 if n % 7 else n % 3 for n in range(80)])


@pytest.fixture(scope="module")
def rows() -> tuple[NgramRows, int]:
    grams = Ngrams("words")
    return grams.learn(TEXTS), len(grams)


def dense(found: NgramRows, width: int) -> torch.Tensor:
    matrix = torch.zeros(len(found.lengths), width)
    matrix[found.ids.sequence_index(), found.ids.data] = found.values
    return matrix


@pytest.mark.parametrize("weighted", [False, True])
def test_the_fit_is_the_minimum_that_scikit_learn_finds(rows, weighted):
    found, width = rows
    weights = torch.arange(80) % 3 + 1.0 if weighted else None
    wide = Wide(width, 3)
    assert wide.fit(found, TARGETS, weights, how=Fit(2.0)) == wide.fit_of == Fit(2.0)
    matrix = dense(found, width).double().numpy()
    # The mean of weighted losses: the penalty of scikit-learn is for their sum.
    scale = 1.0 if weights is None else 80 / float(weights.sum())
    peer = LogisticRegression(C=2.0 * scale, max_iter=5000, tol=1e-10)
    peer.fit(matrix, TARGETS.numpy(), None if weights is None else weights.numpy())
    expected = peer.predict_log_proba(matrix)
    assert np.allclose(wide(found).log_softmax(1).numpy(), expected, atol=5e-3)


def test_the_strength_is_the_one_that_predicts_rows_left_out_best(rows):
    found, width = rows
    wide = Wide(width, 3)
    strength = wide.fit(found, TARGETS, seed=1).strength
    assert strength in STRENGTHS["cross_entropy"]
    held = torch.rand(80, generator=torch.Generator().manual_seed(1)) < 0.2
    losses = {}
    for tried in STRENGTHS["cross_entropy"]:
        other = Wide(width, 3)
        other.fit(found.select((~held).nonzero().flatten().tolist()), TARGETS[~held], how=Fit(tried))
        losses[tried] = functional.cross_entropy(other(found)[held], TARGETS[held]).item()
    assert strength == min(losses, key=losses.__getitem__)


@pytest.mark.parametrize("has_ratios", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_fit_of_margins_is_that_of_linear_support_vectors(rows, has_ratios, weighted):
    found, width = rows
    weights = torch.arange(80) % 3 + 1.0 if weighted else torch.ones(80)
    wide = Wide(width, 3, "margin")
    how = Fit(0.5, has_ratios, 3.0)
    assert wide.fit(found, TARGETS, weights, how=how) == wide.fit_of == how
    matrix = dense(found, width).double().numpy()
    if has_ratios:
        own = np.stack([matrix[(label == TARGETS).numpy()].sum(0) for label in range(3)])
        others = own.sum(0) - own + 2 * PSEUDOCOUNT
        own = own + PSEUDOCOUNT
        each = np.log(own / own.sum(1, keepdims=True)) - np.log(others / others.sum(1, keepdims=True))
        matrix = matrix * np.abs(each).max(0)
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    # The mean of weighted losses: the penalty of scikit-learn is for their sum, which the intercept is no part of here.
    peer = LinearSVC(C=0.5 * 80 / float(weights.sum()), intercept_scaling=1e3, tol=1e-8, max_iter=100_000, dual=False)
    peer.fit(matrix, TARGETS.numpy(), weights.numpy())
    assert np.allclose(wide(found).numpy(), 3.0 * peer.decision_function(matrix), atol=2e-2)


def test_what_predicts_rows_left_out_best_is_chosen():
    # A label follows from one word, but for a tenth of the rows; the other words say nothing.
    words = [("red", "blue")[n % 2] for n in range(400)]
    texts = [f"{word} {('a', 'of')[n % 4 // 2]} {n % 11} {n % 13}" for n, word in enumerate(words)]
    grams = Ngrams("words")
    found, targets = grams.learn(texts), torch.tensor([(n % 2) ^ (n % 10 == 3) for n in range(400)]).long()
    wide = Wide(len(grams), 2, "margin")
    how = wide.fit(found, targets, seed=1)
    held = torch.rand(400, generator=torch.Generator().manual_seed(1)) < 0.2
    own = (~held).nonzero().flatten().tolist()

    def loss(tried: Fit) -> float:
        other = Wide(len(grams), 2, "margin")
        other.fit(found.select(own), targets[~held], how=tried)
        return functional.cross_entropy(other(found)[held], targets[held]).item()

    assert how.strength in STRENGTHS["margin"]
    assert loss(how) <= loss(how._replace(has_ratios=not how.has_ratios)) + 1e-6
    assert loss(how) < loss(how._replace(scale=how.scale / 2))
    assert loss(how) < loss(how._replace(scale=how.scale * 2))


def test_few_rows_have_the_usual_scale_of_margins(rows):
    found, width = rows
    wide = Wide(width, 3, "margin")
    how = wide.fit(found.select(range(40)), TARGETS[:40])
    assert how == wide.fit_of == Fit(1.0, has_ratios=False, scale=SCALE)


def test_a_network_alone_is_not_changed(rows):
    found, width = rows
    logits = torch.randn(80, 3)
    wide = Wide(width, 3)
    wide.fit(found, TARGETS, how=Fit(1.0))
    assert tuple(wide.factors.tolist()) == ALONE
    assert torch.equal(wide.add(logits, found), logits)


def test_factors_follow_the_part_that_is_right():
    wide = Wide(1, 2)
    targets = torch.tensor([0, 1] * 100)
    right = functional.one_hot(targets, 2) * 4.0
    noise = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    wide.combine(noise, right, targets)
    assert wide.factors[0] < FACTORS[0]
    assert wide.factors[1] > FACTORS[1]
    wide.combine(right, noise, targets)
    assert wide.factors[0] > 2 * FACTORS[0]
    assert wide.factors[1] < FACTORS[1]
    wide.combine(noise[:0], right[:0], targets[:0])
    assert wide.factors.tolist() == pytest.approx(FACTORS)


def test_texts_without_features_have_the_bias():
    wide = Wide(2, 2)
    wide.bias.copy_(torch.tensor([1.0, -1.0]))
    none = NgramRows(Ragged(torch.zeros(0, dtype=torch.int64), [0, 0]), torch.zeros(0))
    assert wide(none).tolist() == [[1.0, -1.0]] * 2
    wide.fit(none, torch.tensor([0, 1]))
    assert wide.bias[0] == pytest.approx(wide.bias[1].item(), abs=1e-3)
    empty = Wide(0, 2)
    empty.fit(none, torch.tensor([0, 1]))
    assert empty(none).shape == (2, 2)
