"""Alignment against a plain loop, its gradient, and the tokens that occur in both sequences."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from elman.data.ragged.ragged import Ragged
from elman.errors import ShapeError
from elman.nn.alignment import Alignment, occurs_in_other
from tests.examples import draws

SIZES = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=5)


def drawn(lengths: list[int], seed: int) -> Ragged:
    generator = torch.Generator().manual_seed(seed)
    return Ragged(torch.randn(sum(lengths), 3, generator=generator, dtype=torch.float64), lengths)


def by_loops(one: torch.Tensor, two: torch.Tensor) -> torch.Tensor:
    """Equation 12 of Chen et al., a step and a number at a time."""
    found = torch.zeros_like(one)
    for i in range(len(one)):
        scores = [float(one[i] @ two[j]) for j in range(len(two))]
        total = sum(torch.tensor(scores, dtype=torch.float64).exp().tolist())
        for j, score in enumerate(scores):
            found[i] += torch.tensor(score, dtype=torch.float64).exp() / total * two[j]
    return found


@draws(20)
@given(sizes=SIZES, seed=st.integers(0, 99))
def test_alignment_is_that_of_plain_loops(sizes: list[tuple[int, int]], seed: int):
    first, second = drawn([a for a, _ in sizes], seed), drawn([b for _, b in sizes], seed + 100)
    found = Alignment()(first, second)
    for one, two, ahead, back in zip(
        first.to_list(), second.to_list(), *(each.to_list() for each in found), strict=True
    ):
        torch.testing.assert_close(ahead, by_loops(one, two), rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(back, by_loops(two, one), rtol=1e-12, atol=1e-12)


def test_its_gradient_is_that_of_differences():
    first, second = drawn([2, 0, 3, 1], 0), drawn([1, 2, 0, 3], 1)

    def outputs(one: torch.Tensor, two: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(each.data for each in Alignment()(first.replace(one), second.replace(two)))

    inputs = (first.data.requires_grad_(), second.data.requires_grad_())
    assert torch.autograd.gradcheck(outputs, inputs)


def test_large_scores_do_not_overflow():
    first, second = drawn([2, 1], 0).map(lambda data: 1e3 * data), drawn([3, 0], 1).map(lambda data: 1e3 * data)
    assert all(each.data.isfinite().all() for each in Alignment()(first, second))


@pytest.mark.parametrize("lengths", [[2], [1, 1, 1]])
def test_batches_of_other_sizes_are_refused(lengths: list[int]):
    with pytest.raises(ShapeError, match="two batches of the same size"):
        Alignment()(drawn([1, 2], 0), drawn(lengths, 0))


@draws(20)
@given(sizes=SIZES, seed=st.integers(0, 99))
def test_tokens_that_occur_in_both(sizes: list[tuple[int, int]], seed: int):
    generator = torch.Generator().manual_seed(seed)
    batches = [
        Ragged(torch.randint(0, 5, (sum(lengths),), generator=generator), lengths)
        for lengths in map(list, zip(*sizes, strict=True))
    ]
    found = occurs_in_other(*batches, unused=1)
    lists = [[each.tolist() for each in batch.to_list()] for batch in batches]
    for own, other, marks in ((0, 1, found[0]), (1, 0, found[1])):
        expected = [token in lists[other][row] and token > 0 for row, each in enumerate(lists[own]) for token in each]
        assert marks.tolist() == expected
