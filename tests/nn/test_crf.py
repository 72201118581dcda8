"""The CRF against the enumeration of all sequences of tags, in float64."""

from itertools import pairwise, product

import pytest
import torch

from elman import Ragged
from elman.errors import DataError, ShapeError
from elman.nn.crf import CRF, mean_crf

TAGS = 3
LENGTHS = [3, 0, 1, 4, 2, 4]
CONSTRAINTS = {
    "free": {},
    "constrained": {
        "transitions": torch.tensor([[True, True, False], [True, False, True], [False, True, True]]),
        "starts": torch.tensor([True, True, False]),
        "ends": torch.tensor([False, True, True]),
    },
}
each = pytest.mark.parametrize("constraints", CONSTRAINTS.values(), ids=CONSTRAINTS)


def drawn(constraints: dict, lengths: list[int] = LENGTHS, seed: int = 0) -> tuple[CRF, Ragged]:
    generator = torch.Generator().manual_seed(seed)
    crf = CRF(TAGS, **constraints).double()
    with torch.no_grad():
        for weight in crf.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator, dtype=torch.float64))
    return crf, Ragged(torch.randn(sum(lengths), TAGS, generator=generator, dtype=torch.float64), lengths)


def paths(crf: CRF, scores: torch.Tensor) -> list[tuple[torch.Tensor, list[int]]]:
    """Every allowed sequence of tags with its score, by the definition."""
    found = []
    for path in product(range(TAGS), repeat=len(scores)):
        pairs = list(pairwise(path))
        if path and not (crf.may_start[path[0]] and crf.may_end[path[-1]]):
            continue
        if not all(crf.may_follow[pair] for pair in pairs):
            continue
        value = sum((scores[step, tag] for step, tag in enumerate(path)), torch.zeros((), dtype=torch.float64))
        value = value + sum(crf.transitions[pair] for pair in pairs)
        if path:
            value = value + crf.start[path[0]] + crf.end[path[-1]]
        found.append((value, list(path)))
    return found


def partition_of(crf: CRF, scores: torch.Tensor) -> torch.Tensor:
    return torch.stack([value for value, _ in paths(crf, scores)]).logsumexp(0)


@each
def test_the_score_of_every_sequence_of_tags_is_that_of_its_definition(constraints: dict):
    crf, scores = drawn(constraints)
    for row in scores:
        for value, path in paths(crf, row):
            found = crf.score(Ragged(row, [len(row)]), Ragged(torch.tensor(path, dtype=torch.int64), [len(row)]))
            torch.testing.assert_close(found[0], value)


@each
def test_the_partition_and_its_gradient_are_those_of_the_sum(constraints: dict):
    crf, scores = drawn(constraints)
    scores.data.requires_grad_()
    inputs = [scores.data, *crf.parameters()]
    weights = torch.arange(1.0, len(LENGTHS) + 1, dtype=torch.float64)
    found = crf.partition(scores)
    wanted = torch.stack([partition_of(crf, row) for row in scores])
    torch.testing.assert_close(found, wanted)
    pairs = (torch.autograd.grad((each * weights).sum(), inputs) for each in (found, wanted))
    for one, other in zip(*pairs, strict=True):
        torch.testing.assert_close(one, other)


@each
def test_the_loss_has_the_gradient_of_central_differences(constraints: dict):
    crf, scores = drawn(constraints)
    tags = Ragged(torch.tensor([tag for row in scores for tag in paths(crf, row)[-1][1]]), LENGTHS)

    def loss(data: torch.Tensor, *weights: torch.Tensor) -> torch.Tensor:
        names = dict(zip(dict(crf.named_parameters()), weights, strict=True))
        return torch.func.functional_call(crf, names, (scores.replace(data), tags))

    inputs = [scores.data, *(weight.detach() for weight in crf.parameters())]
    assert torch.autograd.gradcheck(loss, [each.clone().requires_grad_() for each in inputs])
    assert (loss(*inputs) >= 0).all()
    assert loss(*inputs)[LENGTHS.index(0)] == 0


@each
def test_the_best_sequence_of_tags_is_the_best_of_all(constraints: dict):
    for seed in range(5):
        crf, scores = drawn(constraints, seed=seed)
        found = crf.decode(scores)
        assert found.lengths.tolist() == LENGTHS
        for tags, row in zip(found, scores, strict=True):
            assert tags.tolist() == max(paths(crf, row), key=lambda each: each[0])[1]


@each
@pytest.mark.parametrize("n", [1, 3, 500])
def test_the_n_best_are_the_first_of_all_in_order(constraints: dict, n: int):
    crf, scores = drawn(constraints)
    for found, row in zip(crf.n_best(scores, n), scores, strict=True):
        wanted = sorted(paths(crf, row), key=lambda each: -each[0].item())[:n]
        assert [path for path, _ in found] == [path for _, path in wanted]
        assert [value for _, value in found] == pytest.approx([value.item() for value, _ in wanted])


@each
def test_the_marginals_are_those_of_the_enumeration_and_sum_to_one(constraints: dict):
    crf, scores = drawn(constraints)
    found = crf.marginals(scores)
    torch.testing.assert_close(found.data.sum(1), torch.ones(sum(LENGTHS), dtype=torch.float64))
    for marginals, row in zip(found, scores, strict=True):
        wanted = torch.zeros_like(marginals)
        for value, path in paths(crf, row):
            for step, tag in enumerate(path):
                wanted[step, tag] += (value - partition_of(crf, row)).exp().detach()
        torch.testing.assert_close(marginals, wanted)


@each
def test_a_sequence_does_not_depend_on_its_batch(constraints: dict):
    crf, scores = drawn(constraints)
    tags = crf.decode(scores)
    for number, row in enumerate(scores):
        alone = Ragged(row, [len(row)])
        assert torch.equal(crf.decode(alone).data, tags[number])
        torch.testing.assert_close(crf(alone, crf.decode(alone))[0], crf(scores, tags)[number], rtol=1e-14, atol=1e-14)
        torch.testing.assert_close(crf.marginals(alone).data, crf.marginals(scores)[number], rtol=1e-14, atol=1e-14)
        assert crf.n_best(alone, 4)[0] == crf.n_best(scores, 4)[number]


def test_constraints_hold_against_any_scores():
    crf, scores = drawn(CONSTRAINTS["constrained"], [50, 3, 7])
    scores = scores.replace(scores.data * 1e6)
    for row in crf.decode(scores):
        assert crf.may_start[row[0]]
        assert crf.may_end[row[-1]]
        assert crf.may_follow[row[:-1], row[1:]].all()
    refused = Ragged(torch.tensor([0, 2]), [2])
    assert crf(Ragged(scores.data[:2], [2]), refused).isinf().all()
    assert not crf.marginals(scores).data.isnan().any()


def test_sequences_without_an_allowed_path_are_refused():
    crf = CRF(2, starts=torch.tensor([True, False]), ends=torch.tensor([False, True]))
    scores = Ragged(torch.zeros(3, 2), [2, 1])
    for ask in (crf.decode, crf.marginals):
        with pytest.raises(DataError, match="No sequence of tags is allowed") as caught:
            ask(scores)
        assert "sequence 2" in str(caught.value)
    assert [len(each) for each in crf.n_best(scores, 5)] == [1, 0]


def test_a_batch_of_empty_sequences_is_legal():
    crf, scores = drawn({}, [0, 0])
    assert crf.partition(scores).tolist() == [0, 0]
    assert crf.decode(scores).lengths.tolist() == [0, 0]
    assert crf.marginals(scores).total == 0
    assert crf.n_best(scores, 2) == [[([], 0.0)]] * 2
    assert drawn({}, [])[0].decode(drawn({}, [])[1]).batch_size == 0


def test_wrong_shapes_are_refused():
    with pytest.raises(ShapeError, match="scores of 3 tags"):
        CRF(3).decode(Ragged(torch.zeros(2, 4), [2]))
    with pytest.raises(ShapeError, match="starts"):
        CRF(3, starts=torch.ones(2, dtype=torch.bool))
    with pytest.raises(ShapeError, match="tags for 2 steps"):
        CRF(3).score(Ragged(torch.zeros(2, 3), [2]), Ragged(torch.zeros(1, dtype=torch.int64), [1]))


@each
def test_the_mean_of_several_gives_the_mean_of_their_scores(constraints: dict):
    found = [drawn(constraints, seed=seed) for seed in range(3)]
    lengths = found[0][1].lengths
    tags = Ragged(torch.arange(int(lengths.sum())) % TAGS, lengths)
    mean = found[0][1].replace(torch.stack([scores.data for _, scores in found]).mean(0))
    crf = mean_crf([crf for crf, _ in found])
    expected = torch.stack([crf.score(scores, tags) for crf, scores in found]).mean(0)
    assert torch.allclose(crf.score(mean, tags), expected)
    assert torch.equal(crf.may_follow, found[0][0].may_follow)
