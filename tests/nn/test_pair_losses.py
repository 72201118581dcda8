"""Losses of pairs and triplets against torch's own and against their formulas."""

import pytest
import torch
from torch import nn

from elman.nn.pair_losses import (
    contrastive_loss,
    cosine_loss,
    distances,
    distribution_loss,
    scale_distribution,
    triplet_loss,
)


@pytest.fixture
def rows() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(7, 4, generator=generator, dtype=torch.float64, requires_grad=True) for _ in range(3)]


ALIKE = torch.tensor([True, False, True, True, False, False, True])


@pytest.mark.parametrize("margin", [0.0, 0.3])
def test_the_cosine_loss_is_torchs(rows: list[torch.Tensor], margin: float):
    expected = nn.CosineEmbeddingLoss(margin=margin)(rows[0], rows[1], ALIKE.double() * 2 - 1)
    torch.testing.assert_close(cosine_loss(rows[0], rows[1], ALIKE, margin), expected, rtol=1e-9, atol=0)


@pytest.mark.parametrize("margin", [0.2, 2.0])
def test_the_triplet_loss_is_torchs(rows: list[torch.Tensor], margin: float):
    expected = nn.TripletMarginLoss(margin=margin, eps=0)(rows[0], rows[1], rows[2])
    torch.testing.assert_close(triplet_loss(rows[0], rows[1], rows[2], margin), expected, rtol=1e-9, atol=0)


def test_the_contrastive_loss_is_that_of_its_equation(rows: list[torch.Tensor]):
    margin, total = 2.5, 0.0
    for one, two, alike in zip(rows[0].tolist(), rows[1].tolist(), ALIKE.tolist(), strict=True):
        distance = sum((a - b) ** 2 for a, b in zip(one, two, strict=True)) ** 0.5
        total += distance**2 / 2 if alike else max(0.0, margin - distance) ** 2 / 2
    assert contrastive_loss(rows[0], rows[1], ALIKE, margin).item() == pytest.approx(total / 7, rel=1e-9)


def test_gradients_are_those_of_differences(rows: list[torch.Tensor]):
    one, two, three = rows
    assert torch.autograd.gradcheck(lambda a, b: contrastive_loss(a, b, ALIKE, 2.5), (one, two))
    assert torch.autograd.gradcheck(lambda a, b: cosine_loss(a, b, ALIKE, 0.1), (one, two))
    assert torch.autograd.gradcheck(lambda a, b, c: triplet_loss(a, b, c, 1.0), (one, two, three))
    numbers = torch.tensor([1.0, 1.5, 2.2, 3.0, 2.9, 1.1, 2.0], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda a: distribution_loss(a, numbers, 1, 4), (one,))


def test_equal_rows_have_a_gradient():
    row = torch.ones(1, 3, requires_grad=True)
    distances(row, torch.ones(1, 3)).sum().backward()
    assert row.grad is not None
    assert row.grad.isfinite().all()


def test_a_number_is_the_mean_of_its_distribution():
    numbers = torch.linspace(1, 5, 41, dtype=torch.float64)
    found = scale_distribution(numbers, 1, 5)
    torch.testing.assert_close(found.sum(1), torch.ones(41, dtype=torch.float64))
    torch.testing.assert_close(found @ torch.arange(1.0, 6, dtype=torch.float64), numbers)


def test_the_loss_of_the_true_distribution_is_zero():
    numbers = torch.tensor([1.25, 4.0, 2.5])
    logits = scale_distribution(numbers, 1, 5).clamp(min=1e-20).log()
    assert distribution_loss(logits, numbers, 1, 5).item() == pytest.approx(0, abs=1e-6)
    assert distribution_loss(torch.zeros(3, 5), numbers, 1, 5).item() > 0.5
