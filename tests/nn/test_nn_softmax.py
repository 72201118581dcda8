"""Each head against the formula of the full softmax."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from elman.errors import UsageError
from elman.nn import linear_cross_entropy as module
from elman.nn.linear_cross_entropy import linear_cross_entropy
from elman.nn.softmax import AdaptiveSoftmax, SampledSoftmax, Softmax

TOTAL, FEATURES, TOKENS = 37, 5, 11


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


@pytest.fixture(params=[(1, 1, 1), (40, 4, 7), (2**18, 1024, 2048)])
def logits_at_a_time(request, monkeypatch):
    logits, tokens, rows = request.param
    monkeypatch.setattr(module, "LOGITS_AT_A_TIME", logits)
    monkeypatch.setattr(module, "FEWEST_ROWS", 1)
    monkeypatch.setattr(module, "TOKENS_AT_A_TIME", tokens)
    monkeypatch.setattr(module, "MOST_ROWS", rows)


@pytest.mark.usefixtures("logits_at_a_time")
@pytest.mark.parametrize("biased", [True, False])
def test_linear_cross_entropy_is_a_linear_layer_and_its_cross_entropy(biased):
    hidden, weight, bias = draw(TOTAL, FEATURES), draw(TOKENS, FEATURES), draw(TOKENS) if biased else None
    targets = torch.randint(0, TOKENS, (TOTAL,))
    ours = linear_cross_entropy(hidden, weight, bias, targets)
    judge = nn.functional.cross_entropy(nn.functional.linear(hidden, weight, bias), targets)
    torch.testing.assert_close(ours, judge)
    inputs = [value for value in (hidden, weight, bias) if value is not None]
    # Scaled, as where the loss is one of several terms.
    expected = torch.autograd.grad(3.0 * judge, inputs)
    torch.testing.assert_close(torch.autograd.grad(3.0 * ours, inputs), expected)
    with torch.no_grad():
        torch.testing.assert_close(linear_cross_entropy(hidden, weight, bias, targets), judge)


@pytest.mark.usefixtures("logits_at_a_time")
def test_what_is_added_to_other_tokens_than_the_target():
    hidden, weight, bias, targets = draw(TOTAL, FEATURES), draw(TOKENS, FEATURES), draw(TOKENS), torch.arange(TOTAL) % 3
    others = torch.tensor([-math.inf, 0.0, 2.0, *[-0.5] * (TOKENS - 4), -math.inf], dtype=torch.float64)
    ours = linear_cross_entropy(hidden, weight, bias, targets, others=others)
    logits = nn.functional.linear(hidden, weight, bias)
    is_other = nn.functional.one_hot(targets, TOKENS) == 0
    judge = nn.functional.cross_entropy(torch.where(is_other, logits + others, logits), targets)
    torch.testing.assert_close(ours, judge)
    found = torch.autograd.grad(ours, [hidden, weight, bias])
    torch.testing.assert_close(found, torch.autograd.grad(judge, [hidden, weight, bias]))
    assert found[1][-1].eq(0.0).all()


def test_linear_cross_entropy_bears_large_logits(monkeypatch):
    hidden = torch.tensor([[1e4], [-1e4]], requires_grad=True)
    given = hidden, torch.tensor([[1.0], [-1.0]]), None, torch.tensor([0, 0])
    loss = linear_cross_entropy(*given)
    loss.backward()
    assert loss.item() == pytest.approx(1e4)
    monkeypatch.setattr(module, "TOKENS_AT_A_TIME", 1)
    with torch.no_grad():
        assert linear_cross_entropy(*given) == loss
    torch.testing.assert_close(hidden.grad, torch.tensor([[0.0], [-1.0]]))


@pytest.mark.parametrize("size", [FEATURES, 3])
def test_tied_weights_are_the_embedding_with_a_projection_where_sizes_differ(size):
    table = nn.Embedding(TOKENS, size)
    head = Softmax(FEATURES, TOKENS, tied=table.weight)
    assert head.weight is table.weight
    assert (head.project is None) == (size == FEATURES)
    hidden = torch.randn(2, 4, FEATURES)
    rows = hidden if head.project is None else hidden @ head.project.weight.T
    torch.testing.assert_close(head(hidden), rows @ table.weight.T + head.bias)
    targets = torch.randint(0, TOKENS, (8,))
    judge = nn.functional.cross_entropy(head(hidden).flatten(0, 1), targets)
    torch.testing.assert_close(head.loss(hidden.flatten(0, 1), targets), judge)


def test_the_adaptive_softmax_is_its_formula():
    head = AdaptiveSoftmax(16, 40, cutoffs=(10, 20)).double()
    hidden, targets = torch.randn(TOTAL, 16, dtype=torch.float64), torch.randint(0, 40, (TOTAL,))
    logs = head.logits(hidden)
    torch.testing.assert_close(logs.exp().sum(1), torch.ones(TOTAL, dtype=torch.float64))
    for those in (targets, targets % 15, targets % 10):
        torch.testing.assert_close(head.loss(hidden, those), nn.functional.nll_loss(logs, those))
    ours, judge = head.loss(hidden, targets), nn.functional.nll_loss(logs, targets)
    found = [torch.autograd.grad(loss, list(head.parameters()), retain_graph=True) for loss in (ours, judge)]
    torch.testing.assert_close(*found)
    # By hand: a head over 10 tokens and two clusters; a cluster's rows are a quarter of those before.
    x, weights = hidden.numpy(), {name: value.detach().numpy() for name, value in head.softmax.state_dict().items()}
    first = log_softmax(x @ weights["head.weight"].T)
    parts = [first[:, :10]]
    for number in (0, 1):
        small = x @ weights[f"tail.{number}.0.weight"].T
        assert small.shape[1] == (4, 1)[number]
        parts.append(first[:, 10 + number : 11 + number] + log_softmax(small @ weights[f"tail.{number}.1.weight"].T))
    np.testing.assert_allclose(logs.detach().numpy(), np.concatenate(parts, 1), rtol=1e-10)


def test_the_adaptive_softmax_ranks_tokens_by_how_frequent_they_are():
    counts = torch.tensor([3, 9, 0, 9, 1, 5])
    head = AdaptiveSoftmax(16, 6, cutoffs=(2,), counts=counts).double()
    hidden, order = torch.randn(TOTAL, 16, dtype=torch.float64), [1, 3, 5, 0, 4, 2]
    sorted_logs = head.softmax.log_prob(hidden)
    torch.testing.assert_close(head.logits(hidden)[:, order], sorted_logs)
    targets = torch.randint(0, 6, (TOTAL,))
    torch.testing.assert_close(head.loss(hidden, targets), nn.functional.nll_loss(head.logits(hidden), targets))


def log_softmax(logits: np.ndarray) -> np.ndarray:
    return logits - np.log(np.exp(logits).sum(1, keepdims=True))


@pytest.mark.parametrize("cutoffs", [(), (0, 5), (5, 5), (7, 3), (40,)])
def test_wrong_cutoffs_are_refused(cutoffs):
    with pytest.raises(UsageError, match="Expected cutoffs that rise"):
        AdaptiveSoftmax(16, 40, cutoffs=cutoffs)
    with pytest.raises(UsageError, match="Expected at least 16 features for 2 clusters"):
        AdaptiveSoftmax(15, 40)


def sampled(samples: int) -> SampledSoftmax:
    return SampledSoftmax(FEATURES, TOKENS, samples=samples, counts=torch.arange(TOKENS)).double()


def test_the_sampled_sum_is_the_full_one_on_average():
    head, draws = sampled(4), 4_000
    assert (head.chance < 1.0).any()
    hidden, targets = torch.randn(2, FEATURES, dtype=torch.float64), torch.tensor([0, 9])
    full = head.logits(hidden).exp().sum(1)
    own = head.logits(hidden).gather(1, targets.unsqueeze(1)).squeeze(1)
    sums = []
    with torch.no_grad():
        for _ in range(draws):
            losses = torch.stack([head.loss(hidden[row : row + 1], targets[row : row + 1]) for row in range(2)])
            sums.append((losses + own).exp())
    found = torch.stack(sums)
    error = found.std(0) / math.sqrt(draws)
    assert ((found.mean(0) - full).abs() < 5 * error).all()
    # The margin would show a target that is counted twice, or a distribution that is not corrected for.
    assert (5 * error < 0.1 * full).all()


def test_frequent_tokens_are_always_drawn_and_the_others_as_often_as_was_asked_for():
    counts = torch.tensor([10_000.0, 5_000.0, *range(1, 99)])
    chance = SampledSoftmax(FEATURES, 100, samples=20, counts=counts).chance
    assert chance[:2].tolist() == [1.0, 1.0]
    assert chance.sum().item() == pytest.approx(20.0)
    share = (counts[2:] + 1.0) ** 0.75
    torch.testing.assert_close(chance[2:], 18.0 * share / share.sum())


@pytest.mark.parametrize("samples", [TOKENS, 400])
def test_with_as_many_samples_as_tokens_the_sampled_loss_and_its_gradient_are_the_full_ones(samples: int):
    head = sampled(samples)
    hidden, targets = draw(TOTAL, FEATURES), torch.randint(0, TOKENS, (TOTAL,))
    wanted = [hidden, head.weight, head.bias]
    ours = head.loss(hidden, targets)
    judge = nn.functional.cross_entropy(head.logits(hidden), targets)
    torch.testing.assert_close(ours, judge)
    torch.testing.assert_close(torch.autograd.grad(ours, wanted), torch.autograd.grad(judge, wanted))


def test_the_sampled_softmax_is_judged_on_all_tokens():
    head = sampled(2).eval()
    hidden, targets = draw(TOTAL, FEATURES), torch.randint(0, TOKENS, (TOTAL,))
    torch.testing.assert_close(head.loss(hidden, targets), nn.functional.cross_entropy(head.logits(hidden), targets))


@pytest.mark.parametrize("kind", [Softmax, partial(SampledSoftmax, samples=5)])
def test_the_bias_starts_from_how_frequent_the_tokens_are(kind):
    counts = torch.tensor([99, 0, 9, 899])
    head = kind(FEATURES, 4, counts=counts)
    torch.testing.assert_close(head(torch.zeros(1, FEATURES)).softmax(1)[0], (counts + 1) / 1011)
    assert head.bias.sum().item() == pytest.approx(0.0, abs=1e-5)
