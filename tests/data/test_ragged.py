"""What a Ragged is made of, and what is computed on it sequence by sequence."""

import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from elman.data.ragged.ragged import Ragged
from elman.errors import ShapeError

batches = st.lists(st.integers(0, 5), max_size=6).map(
    lambda lengths: Ragged(torch.randn(sum(lengths), 3, dtype=torch.float64), lengths)
)
MIXED = [2, 0, 3, 1]


@pytest.fixture
def batch():
    return Ragged(torch.randn(6, 3, dtype=torch.float64), MIXED)


def test_sizes(batch):
    assert (batch.batch_size, len(batch), batch.total, batch.longest) == (4, 4, 6, 3)
    assert batch.feature_shape == (3,)
    assert batch.lengths.dtype == batch.offsets.dtype == torch.int64
    assert batch.offsets.tolist() == [0, 2, 2, 5, 6]
    assert repr(batch) == "Ragged(4 sequences, 6 steps, longest 3, feature (3,), float64)"


def test_an_empty_batch_is_legal():
    empty = Ragged(torch.zeros(0, 3), [])
    assert (len(empty), empty.total, empty.longest, empty.to_list(), list(empty)) == (0, 0, 0, [], [])
    assert empty.to_padded().shape == (0, 0, 3)
    assert empty.mask().shape == (0, 0)
    for result in (empty.first(), empty.last(), empty.sum(), empty.mean(), empty.max()):
        assert result.shape == (0, 3)
    assert len(empty.reverse()) == len(empty.select([])) == len(Ragged.concatenate([empty, empty])) == 0


@pytest.mark.parametrize("lengths", [[2, 1], (2, 1), np.array([2, 1]), torch.tensor([2, 1], dtype=torch.int32)])
def test_lengths_of_any_integer_kind(lengths):
    assert Ragged(torch.zeros(3), lengths).lengths.tolist() == [2, 1]


def test_lengths_are_copied():
    lengths = torch.tensor([2, 1])
    batch = Ragged(torch.zeros(3), lengths)
    lengths[0] = 5
    assert batch.lengths.tolist() == [2, 1]


@pytest.mark.parametrize(
    ("data", "lengths", "reason"),
    [
        (torch.zeros(3), [2, 2], r"of 4 steps, the sum of the lengths, got shape \(3,\)"),
        (torch.zeros(3), [], "of 0 steps"),
        (torch.tensor(1.0), [1], r"shape \(\)"),
        ([1.0, 2.0], [2], "as a torch tensor, got list"),
        (torch.zeros(3), [4, -1], "sequence 1: -1"),
        (torch.zeros(3), [1.0, 2.0], "got float64"),
        (torch.zeros(3), [True, True], "got bool"),
        (torch.zeros(3), [[3]], r"shape of \(1, 1\)"),
        (torch.zeros(3), 3, r"shape of \(\)"),
        (torch.zeros(3), ["3"], "not a list of integers"),
        (torch.zeros(3), [[1], [1, 1]], "not a list of integers"),
        (torch.zeros(3), None, "not a list of integers"),
    ],
)
def test_data_and_lengths_that_do_not_fit_are_refused(data, lengths, reason):
    with pytest.raises(ShapeError, match=reason) as caught:
        Ragged(data, lengths)
    assert caught.value.fix


def test_it_is_immutable(batch):
    for name in ("data", "lengths", "offsets", "new"):
        with pytest.raises(AttributeError):
            setattr(batch, name, batch.data)


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda batch: pickle.loads(pickle.dumps(batch))])
def test_it_can_be_copied_and_sent_to_a_worker(batch, again):
    other = again(batch)
    assert torch.equal(other.data, batch.data)
    assert torch.equal(other.lengths, batch.lengths)


def test_sequences_by_index(batch):
    assert torch.equal(batch[2], batch.data[2:5])
    assert torch.equal(batch[-1], batch.data[5:])
    assert batch[np.int64(1)].shape == (0, 3)
    for index in (4, -5):
        with pytest.raises(IndexError, match="of a batch of 4"):
            batch[index]


def test_iteration_gives_each_sequence(batch):
    assert [len(sequence) for sequence in batch] == MIXED
    assert torch.equal(torch.cat(list(batch)), batch.data)


@given(batches)
def test_index_of_each_step(batch):
    pairs = [(s, t) for s, length in enumerate(batch.lengths.tolist()) for t in range(length)]
    assert list(zip(batch.sequence_index().tolist(), batch.step_index().tolist(), strict=True)) == pairs


@given(batches, st.data())
def test_select_takes_sequences_in_any_order(batch, draw):
    size = len(batch)
    indices = draw.draw(st.lists(st.integers(-size, size - 1), max_size=8)) if size else []
    chosen = batch.select(indices)
    assert len(chosen) == len(indices)
    for index, sequence in zip(indices, chosen, strict=True):
        assert torch.equal(sequence, batch[index])


@pytest.mark.parametrize("indices", [[4], [0, -5]])
def test_select_refuses_an_index_beyond_the_batch(batch, indices):
    with pytest.raises(ShapeError, match="into a batch of 4 sequences"):
        batch.select(indices)


@pytest.mark.parametrize("indices", [[True, False, True, True], [0.0], torch.tensor(1)])
def test_select_refuses_what_is_no_index(batch, indices):
    with pytest.raises(ShapeError, match="indices to be integers"):
        batch.select(indices)


@given(batches)
def test_reverse_turns_each_sequence_by_its_own_length(batch):
    for backwards, forwards in zip(batch.reverse(), batch, strict=True):
        assert torch.equal(backwards, forwards.flip(0))
    assert torch.equal(batch.reverse().reverse().data, batch.data)


@given(batches, batches)
def test_concatenate(one, other):
    both = Ragged.concatenate([one, other])
    assert torch.equal(both.select(range(len(one))).data, one.data)
    assert torch.equal(both.select(range(len(one), len(both))).data, other.data)


def test_concatenate_refuses_features_that_differ(batch):
    with pytest.raises(ShapeError, match=r"\[\(2,\), \(3,\)\]"):
        Ragged.concatenate([batch, Ragged(torch.zeros(1, 2), [1])])
    with pytest.raises(ShapeError, match="no batch"):
        Ragged.concatenate([])


def test_replace_and_map(batch):
    layer = torch.nn.Linear(3, 5, dtype=torch.float64)
    mapped = batch.map(layer)
    assert mapped.order is batch.order
    assert torch.equal(mapped.data, layer(batch.data))
    with pytest.raises(ShapeError, match="of 6 steps"):
        batch.replace(torch.zeros(5, 3))
    with pytest.raises(ShapeError, match="got str"):
        batch.map(lambda data: "no tensor")


def test_to_and_detach(batch):
    half = batch.to(torch.float16)
    assert half.data.dtype == torch.float16
    assert half.order is batch.order
    tracked = batch.replace(batch.data.clone().requires_grad_())
    assert tracked.data.requires_grad
    assert not tracked.detach().data.requires_grad


# One row for each reduction: its name, and the same for one sequence by itself.
REDUCTIONS = {
    "first": lambda sequence: sequence[0],
    "last": lambda sequence: sequence[-1],
    "sum": lambda sequence: sequence.sum(0),
    "mean": lambda sequence: sequence.mean(0),
    "max": lambda sequence: sequence.amax(0),
}


@pytest.mark.parametrize("name", REDUCTIONS)
@given(batch=batches)
def test_reductions_are_those_of_each_sequence_and_zero_for_an_empty_one(name, batch):
    results = getattr(batch, name)()
    assert results.shape == (len(batch), 3)
    for sequence, result in zip(batch, results, strict=True):
        expected = REDUCTIONS[name](sequence) if len(sequence) else torch.zeros(3, dtype=torch.float64)
        torch.testing.assert_close(result, expected)


@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions_of_a_sequence_alone_have_the_same_bits(name, batch):
    together = getattr(batch, name)()
    for index in range(len(batch)):
        assert torch.equal(getattr(batch.select([index]), name)()[0], together[index])


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")  # by torch's own rules for tangents
def test_reductions_have_right_gradients(name):
    data = torch.randn(6, 2, dtype=torch.float64, requires_grad=True)
    reduced = lambda data: getattr(Ragged(data, MIXED), name)()  # noqa: E731
    assert torch.autograd.gradcheck(reduced, data, check_forward_ad=True, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(lambda data: reduced(data) ** 3, data)


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")  # by torch's own rules for tangents
def test_reductions_under_the_transformations_of_torch(name):
    reduced = lambda data: getattr(Ragged(data, MIXED), name)()  # noqa: E731
    data = torch.randn(3, 6, 2, dtype=torch.float64)
    torch.testing.assert_close(torch.func.vmap(reduced)(data), torch.stack([reduced(each) for each in data]))
    cubes = lambda data: (reduced(data) ** 3).sum()  # noqa: E731
    expected = torch.autograd.functional.hessian(cubes, data[0])
    torch.testing.assert_close(torch.func.hessian(cubes)(data[0]), expected)
    assert expected.ne(0.0).any()


INF, NAN = float("inf"), float("nan")
BOUNDS = [(0, 2), (2, 2), (2, 5), (5, 6)]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize(
    ("steps", "largest", "gradient"),
    [
        ([1.0, 1.0, 0.1, 0.1, 0.1, -3.0], [1.0, 0.0, 0.1, -3.0], [1 / 2, 1 / 2, 1 / 3, 1 / 3, 1 / 3, 1.0]),
        ([1.0, 2.0, NAN, 2.0, NAN, NAN], [2.0, 0.0, NAN, NAN], [0.0, 1.0, 1 / 2, 0.0, 1 / 2, 1.0]),
        ([-INF, -INF, INF, 0.0, INF, -INF], [-INF, 0.0, INF, -INF], [1 / 2, 1 / 2, 1 / 2, 0.0, 1 / 2, 1.0]),
    ],
)
@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")  # by torch's own rules for tangents
def test_equally_large_steps_share_the_gradient_of_the_largest(steps, largest, gradient, dtype):
    data = torch.tensor(steps, dtype=dtype, requires_grad=True)
    found = Ragged(data, MIXED).max()
    torch.testing.assert_close(found, torch.tensor(largest, dtype=dtype), rtol=0.0, atol=0.0, equal_nan=True)
    (slope,) = torch.autograd.grad(found.sum(), data)
    torch.testing.assert_close(slope, torch.tensor(gradient, dtype=dtype))
    tangents = torch.arange(1.0, 7.0, dtype=dtype)
    _, ahead = torch.func.jvp(lambda data: Ragged(data, MIXED).max(), (data.detach(),), (tangents,))
    parts = [(tangents.double() * torch.tensor(gradient).double())[start:end] for start, end in BOUNDS]
    torch.testing.assert_close(ahead, torch.stack([part.sum() for part in parts]).to(dtype))


@pytest.mark.parametrize("slope", [INF, -INF, NAN])
def test_an_endless_slope_reaches_only_the_largest_step(slope):
    data = torch.tensor([[1.0, 4.0], [3.0, 2.0]], requires_grad=True)
    (found,) = torch.autograd.grad(Ragged(data, [2]).max(), data, torch.tensor([[slope, 1.0]]))
    torch.testing.assert_close(found, torch.tensor([[0.0, 1.0], [slope, 0.0]]), equal_nan=True)


def test_the_largest_steps_must_not_change_before_the_backward_pass():
    leaf = torch.randn(6, requires_grad=True)
    data = leaf * 2
    found = Ragged(data, MIXED).max()
    with torch.no_grad():
        data.zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        found.sum().backward()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_thousands_of_equally_large_steps_share_the_gradient(dtype):
    data = torch.full((5_000,), 0.3, dtype=dtype, requires_grad=True)
    found = Ragged(data, [5_000]).max()
    assert found.item() == data[0].item()
    (slope,) = torch.autograd.grad(found.sum(), data)
    torch.testing.assert_close(slope, torch.full_like(slope, 1 / 5_000))


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("feature", [(), (2, 2)])
def test_reductions_of_other_feature_shapes(name, feature):
    data = -torch.arange(1.0, 1 + 6 * int(np.prod(feature))).reshape(6, *feature)
    results = getattr(Ragged(data, MIXED), name)()
    assert torch.equal(results[1], torch.zeros(feature))
    assert torch.equal(results[2], REDUCTIONS[name](data[2:5]))


def test_reductions_of_integers():
    batch = Ragged(torch.tensor([1, 2, -3, 4]), [2, 0, 2])
    assert batch.sum().tolist() == [3, 0, 1]
    assert batch.mean().tolist() == [1.5, 0, 0.5]
    assert batch.max().tolist() == [2, 0, 4]
    assert batch.max().dtype == torch.int64


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")
def test_on_a_gpu_only_the_data_moves():
    batch = Ragged(torch.randn(6, 3), [2, 3, 1]).to("cuda")
    assert batch.data.is_cuda
    assert not batch.lengths.is_cuda
    back = [
        Ragged.from_padded(batch.to_padded(), mask=batch.mask()),
        Ragged.from_packed(batch.to_packed()),
        Ragged.from_nested(batch.to_nested()),
        batch.reverse().reverse(),
        batch.select([0, 1, 2]),
    ]
    for other in back:
        assert torch.equal(other.data, batch.data)
    for name in REDUCTIONS:
        torch.testing.assert_close(getattr(batch, name)().cpu(), getattr(batch.to("cpu"), name)())
    assert batch.sequence_index().is_cuda
    assert batch.step_index().is_cuda
