"""Attention of one sequence to another against its formulas."""

import math

import pytest
import torch

from elman import Ragged
from elman.errors import ShapeError, UsageError
from elman.nn.cross_attention import KINDS, CrossAttention
from elman.nn.masked_softmax import masked_softmax

QUERIES, MEMORY = [3, 0, 1, 2], [2, 4, 0, 1]


def made(kind: str, **how) -> tuple[CrossAttention, Ragged, Ragged]:
    torch.manual_seed(0)
    size = 3 if kind == "dot" else 5
    attention = CrossAttention(3, size, kind=kind, **how).double()
    queries = Ragged(torch.randn(sum(QUERIES), 3, dtype=torch.float64), QUERIES)
    memory = Ragged(torch.randn(sum(MEMORY), size, dtype=torch.float64), MEMORY)
    return attention, queries, memory


def score(attention: CrossAttention, query: torch.Tensor, step: torch.Tensor, covered: float = 0.0) -> torch.Tensor:
    key = step if attention.keys is None else attention.keys(step)
    coverage = 0.0 if attention.coverage is None else attention.coverage * covered
    if attention.query is None or attention.score is None:
        return query @ key + coverage
    return attention.score(torch.tanh(attention.query(query) + key + coverage))


@pytest.mark.parametrize("kind", KINDS)
def test_contexts_are_the_means_that_the_formula_gives(kind):
    attention, queries, memory = made(kind)
    found = attention(queries, attention.read(memory))
    row = 0
    for own, steps in zip(queries.to_list(), memory.to_list(), strict=True):
        for query in own:
            if len(steps):
                shares = torch.stack([score(attention, query, step).squeeze() for step in steps]).softmax(0)
                torch.testing.assert_close(found.contexts[row], shares @ steps)
                torch.testing.assert_close(found.weights[row, : len(steps)], shares)
            else:
                assert not found.contexts[row].any()
            assert not found.weights[row, len(steps) :].any()
            row += 1
    assert row == queries.total


@pytest.mark.parametrize("kind", ["general", "additive"])
def test_coverage_is_in_the_score(kind):
    attention, queries, memory = made(kind, coverage=True)
    covered = torch.rand(queries.total, max(MEMORY), dtype=torch.float64)
    found = attention(queries, attention.read(memory), covered)
    query, steps = queries.data[0], memory.to_list()[0]
    scores = [score(attention, query, step, covered[0, at]).squeeze() for at, step in enumerate(steps)]
    torch.testing.assert_close(found.weights[0, :2], torch.stack(scores).softmax(0))


def test_weights_sum_to_one_over_the_true_length_only():
    attention, queries, memory = made("general")
    weights = attention(queries, attention.read(memory)).weights
    lengths = torch.tensor(MEMORY)[queries.sequence_index()]
    sums = weights.sum(1)
    torch.testing.assert_close(sums, (lengths > 0).double())
    beyond = torch.arange(weights.shape[1]) >= lengths[:, None]
    assert not weights[beyond].any()


def test_selected_memories_are_cut_to_their_longest():
    attention, queries, memory = made("general")
    read = attention.read(memory)
    part = read.select(torch.tensor([0, 3]))
    assert part.values.shape[1] == 2
    alone = attention(queries.select([0, 3]), part)
    whole = attention(queries, read)
    rows = [*range(3), *range(4, 6)]
    torch.testing.assert_close(alone.contexts, whole.contexts[rows])


def test_masked_softmax_is_softmax_where_valid():
    scores = torch.tensor([[1.0, 2.0, 1000.0], [0.0, 0.0, 0.0]])
    valid = torch.tensor([[True, True, False], [False, False, False]])
    found = masked_softmax(scores, valid)
    assert found[0, 1].item() == pytest.approx(1 / (1 + math.exp(-1)))
    assert found[0, 2] == 0
    assert not found[1].any()


def test_refusals():
    with pytest.raises(UsageError, match="dot products"):
        CrossAttention(3, 5, kind="dot")
    with pytest.raises(UsageError, match="kind"):
        CrossAttention(3, 5, kind="multiplicative")
    attention, queries, memory = made("general")
    read = attention.read(memory)
    with pytest.raises(ShapeError, match="3 features, got 5"):
        attention(Ragged(torch.zeros(1, 5), [1]), read)
    with pytest.raises(ShapeError, match="4 sequences"):
        attention(queries.select([0]), read)
