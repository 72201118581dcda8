"""Every form a Ragged is made from and turned into gives the same sequences back."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

from elman import LSTM
from elman.data.ragged.ragged import Ragged
from elman.errors import DataError, ShapeError, UsageError
from tests.examples import draws

lengths_lists = st.lists(st.integers(0, 6), max_size=6)
full_lengths_lists = st.lists(st.integers(1, 6), min_size=1, max_size=6)
feature_shapes = st.sampled_from([(), (1,), (3,), (2, 2)])
quiet_nested = pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")


def numbered(lengths, feature=(3,)) -> Ragged:
    """A batch in which all values differ."""
    total = sum(lengths)
    size = total * int(np.prod(feature))
    return Ragged(torch.arange(1.0, size + 1).reshape(total, *feature), lengths)


def assert_same(one: Ragged, other: Ragged) -> None:
    assert torch.equal(one.lengths, other.lengths)
    assert torch.equal(one.offsets, other.offsets)
    assert one.data.dtype == other.data.dtype
    assert torch.equal(one.data, other.data)


@given(lengths_lists, feature_shapes)
def test_list_round_trip(lengths, feature):
    batch = numbered(lengths, feature)
    assert [len(part) for part in batch.to_list()] == lengths
    assert_same(Ragged.from_list(batch.to_list(), feature_shape=feature), batch)


@given(lengths_lists, feature_shapes, st.booleans(), st.booleans())
def test_padded_round_trip(lengths, feature, batch_first, by_mask):
    batch = numbered(lengths, feature)
    padded = batch.to_padded(value=-7.0, batch_first=batch_first)
    grid = (len(lengths), batch.longest)
    assert padded.shape == (*(grid if batch_first else grid[::-1]), *feature)
    mask = batch.mask() if batch_first else batch.mask().T
    given_by = {"mask": mask} if by_mask else {"lengths": batch.lengths}
    assert_same(Ragged.from_padded(padded, batch_first=batch_first, **given_by), batch)
    assert (padded[~mask] == -7.0).all()


@given(full_lengths_lists, feature_shapes)
def test_to_padded_is_torchs_pad_sequence(lengths, feature):
    batch = numbered(lengths, feature)
    expected = pad_sequence(batch.to_list(), batch_first=True, padding_value=2.5)
    assert torch.equal(batch.to_padded(2.5), expected)


@given(full_lengths_lists, feature_shapes)
def test_packed_is_torchs_packed(lengths, feature):
    batch = numbered(lengths, feature)
    packed = batch.to_packed()
    expected = pack_padded_sequence(batch.to_padded(), batch.lengths, batch_first=True, enforce_sorted=False)
    assert torch.equal(packed.batch_sizes, expected.batch_sizes)
    padded, unpacked_lengths = pad_packed_sequence(packed, batch_first=True)
    assert unpacked_lengths.tolist() == lengths
    assert torch.equal(padded, batch.to_padded())
    assert_same(Ragged.from_packed(packed), batch)
    assert_same(Ragged.from_packed(expected), batch)


def test_from_packed_that_was_sorted_by_its_maker():
    batch = numbered([4, 2, 2, 1])
    packed = pack_padded_sequence(batch.to_padded(), batch.lengths, batch_first=True)
    assert packed.unsorted_indices is None
    assert_same(Ragged.from_packed(packed), batch)


@draws(30)
@given(lengths_lists, feature_shapes)
def test_nested_round_trip(lengths, feature):
    batch = numbered(lengths, feature)
    nested = batch.to_nested()
    assert [tuple(part.shape) for part in nested.unbind()] == [(length, *feature) for length in lengths]
    assert_same(Ragged.from_nested(nested), batch)


@quiet_nested
@pytest.mark.parametrize("layout", [torch.strided, torch.jagged])
def test_from_nested_of_each_layout(layout):
    batch = numbered([3, 0, 1])
    nested = torch.nested.as_nested_tensor(batch.to_list(), layout=layout)
    assert_same(Ragged.from_nested(nested), batch)


@quiet_nested
def test_from_nested_without_sequences():
    assert len(Ragged.from_nested(torch.nested.nested_tensor([]))) == 0


def test_from_nested_with_holes_between_the_sequences():
    data = torch.arange(8.0)[:, None]
    nested = torch.nested.nested_tensor_from_jagged(data, torch.tensor([0, 3, 3, 8]), torch.tensor([2, 0, 1]))
    batch = Ragged.from_nested(nested)
    assert batch.lengths.tolist() == [2, 0, 1]
    assert batch.data.flatten().tolist() == [0, 1, 3]


@quiet_nested
def test_from_nested_refuses_parts_that_disagree_and_plain_tensors():
    nested = torch.nested.nested_tensor([torch.zeros(3, 4), torch.zeros(3, 5)])
    with pytest.raises(ShapeError, match=r"sequence 1: expected steps of shape \(4,\), got \(5,\)"):
        Ragged.from_nested(nested)
    with pytest.raises(ShapeError, match="a plain one of shape"):
        Ragged.from_nested(torch.zeros(2, 3))


@pytest.mark.parametrize(
    "there_and_back",
    [
        lambda batch: Ragged.from_list(batch.to_list()),
        lambda batch: Ragged.from_padded(batch.to_padded(), batch.lengths),
        lambda batch: Ragged.from_padded(batch.to_padded(batch_first=False), batch.lengths, batch_first=False),
        lambda batch: Ragged.from_packed(batch.to_packed()),
        lambda batch: Ragged.from_nested(batch.to_nested()),
    ],
    ids=["list", "padded", "padded time first", "packed", "nested"],
)
def test_gradients_pass_every_conversion(there_and_back):
    data = torch.randn(7, 2, requires_grad=True)
    weights = torch.randn(7, 2)
    (there_and_back(Ragged(data, [2, 4, 1])).data * weights).sum().backward()
    assert torch.equal(data.grad, weights)


def test_from_list_takes_tensors_arrays_and_nested_lists():
    batch = Ragged.from_list([torch.ones(2, 2), np.full((1, 2), 2.0, dtype=np.float32), [[3.0, 3.0]], []])
    assert batch.lengths.tolist() == [2, 1, 1, 0]
    assert batch.data.tolist() == [[1, 1], [1, 1], [2, 2], [3, 3]]
    assert batch.data.dtype == torch.float32


def test_from_list_of_step_tensors_keeps_their_gradient():
    step = torch.tensor([1.0, 2.0], requires_grad=True)
    Ragged.from_list([[step, step]]).data.sum().backward()
    assert step.grad.tolist() == [2, 2]


@pytest.mark.parametrize(
    ("sequences", "dtype"),
    [
        ([[1, 2], []], torch.int64),
        ([[1.5], []], torch.float32),
        ([[1], [2.5]], torch.float32),
        ([np.array([1.0, 2.0])], torch.float64),
        ([np.array([1, 2], dtype=np.int32), np.zeros(0)], torch.int32),
        ([[True, False]], torch.bool),
        ([torch.zeros(0, 2, dtype=torch.float16)], torch.float16),
        ([], torch.float32),
    ],
)
def test_from_list_infers_the_dtype_from_what_is_not_empty(sequences, dtype):
    assert Ragged.from_list(sequences).data.dtype == dtype


def test_from_list_of_empty_sequences_takes_the_features_from_the_caller():
    batch = Ragged.from_list([[], []], feature_shape=(5,), dtype=torch.float64)
    assert batch.data.shape == (0, 5)
    assert batch.data.dtype == torch.float64
    assert Ragged.from_list([torch.zeros(0, 4), []]).feature_shape == (4,)


def test_from_list_takes_arrays_that_are_read_only_or_run_backwards():
    array = np.arange(4.0)
    array.flags.writeable = False
    assert Ragged.from_list([array, array[::-1]]).data.tolist() == [0, 1, 2, 3, 3, 2, 1, 0]


def test_from_list_names_every_sequence_that_does_not_fit():
    with pytest.raises(ShapeError) as caught:
        Ragged.from_list([torch.zeros(2, 3), torch.zeros(1, 4), 5, [[1.0], [1.0, 2.0]], torch.zeros(2), [None]])
    where = caught.value.where
    assert "sequence 1: expected steps of shape (3,), got (4,)" in where
    assert "sequence 2: expected an array of steps, got a single number" in where
    assert "sequence 3" in where
    assert "sequence 4: expected steps of shape (3,), got ()" in where
    assert "sequence 5: expected an array of numbers" in where
    assert caught.value.fix


def test_from_list_cuts_a_long_list_of_mistakes():
    with pytest.raises(ShapeError, match="… and 7 more"):
        Ragged.from_list([1] * 12)


@pytest.mark.parametrize("sequences", [["word"], [["a", "b"]], [[1], np.array(["a"])]])
def test_from_list_sends_strings_to_the_vocabulary(sequences):
    with pytest.raises(DataError, match="encode_batch"):
        Ragged.from_list(sequences)


@pytest.mark.parametrize("settings_", [{}, {"lengths": [1], "mask": torch.ones(1, 2)}])
def test_from_padded_needs_exactly_one_of_lengths_and_mask(settings_):
    with pytest.raises(UsageError, match="both or neither"):
        Ragged.from_padded(torch.zeros(1, 2), **settings_)


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float16, torch.float32])
@pytest.mark.parametrize("batch_first", [True, False])
def test_a_mask_takes_the_steps_where_it_is_true_in_order(dtype, batch_first):
    mask = torch.tensor([[1, 1, 0, 0], [0, 0, 1, 1], [1, 0, 0, 1], [0, 0, 0, 0], [0, 1, 0, 0]], dtype=dtype)
    padded = torch.arange(40.0).reshape(5, 4, 2)
    expected = Ragged.from_list([row[kept != 0] for row, kept in zip(padded, mask, strict=True)])
    turned = (padded, mask) if batch_first else (padded.transpose(0, 1), mask.T)
    assert_same(Ragged.from_padded(turned[0], mask=turned[1], batch_first=batch_first), expected)
    assert_same(Ragged.from_padded(turned[0], mask=turned[1].tolist(), batch_first=batch_first), expected)
    assert_same(Ragged.from_padded(turned[0], mask=turned[1].numpy(), batch_first=batch_first), expected)


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (2, 0), (2, 3)])
def test_a_mask_may_hold_no_step(batch_first, shape):
    padded = torch.ones(*(shape if batch_first else shape[::-1]), 2)
    batch = Ragged.from_padded(padded, mask=torch.zeros(padded.shape[:2]), batch_first=batch_first)
    assert batch.lengths.tolist() == [0] * shape[0]
    assert batch.data.shape == (0, 2)


def test_gradients_pass_through_a_mask():
    padded = torch.randn(2, 3, 2, requires_grad=True)
    mask = torch.tensor([[False, True, True], [True, False, True]])
    Ragged.from_padded(padded, mask=mask).data.sum().backward()
    assert torch.equal(padded.grad, mask.unsqueeze(-1).expand(2, 3, 2).float())


def test_a_layer_reads_a_masked_batch_as_keras_does():
    """Keras carries the state over a step that its mask leaves out."""
    layer = LSTM(3, 4, bidirectional=True).double()
    padded = torch.randn(4, 6, 3, dtype=torch.float64)
    mask = torch.tensor([[0, 0, 1, 1, 1, 1], [1, 0, 1, 0, 0, 1], [0, 0, 0, 0, 0, 0], [1, 1, 1, 0, 0, 0]])
    steps, last = layer(Ragged.from_padded(padded, mask=mask))
    for backward in (False, True):
        one = LSTM(3, 4).double()
        for name, value in one.weights().items():
            value.data.copy_(layer.weights(backward=backward)[name])
        state, outputs = one.zero_state(4), torch.zeros(4, 6, 4, dtype=torch.float64)
        for time in range(5, -1, -1) if backward else range(6):
            kept = mask[:, time, None] != 0
            output, after = one(padded[:, time, None], state)
            outputs[:, time] = output[:, 0]
            state = {name: torch.where(kept, getattr(after, name), state[name]) for name in state}
        torch.testing.assert_close(last.layer(0, backward=backward).c, state["c"])
        columns = slice(4, 8) if backward else slice(0, 4)
        torch.testing.assert_close(steps.data[:, columns], outputs[mask != 0])


@pytest.mark.parametrize("mask", [torch.ones(2, 2), torch.ones(3), torch.ones(3, 2, 1)])
@pytest.mark.parametrize("batch_first", [True, False])
def test_from_padded_refuses_a_mask_of_another_shape(mask, batch_first):
    with pytest.raises(ShapeError, match="Expected a mask of shape"):
        Ragged.from_padded(torch.zeros(2, 3, 1), mask=mask, batch_first=batch_first)


@pytest.mark.parametrize(
    ("mask", "came"),
    [
        (torch.tensor([[0.0, 0.5]]), "0.5 among"),
        (torch.tensor([[0.0, -math.inf]]), "-inf among"),
        (torch.tensor([[math.nan, 1.0]]), "nan among"),
        (torch.tensor([[1, 2]]), "2 among"),
        (torch.tensor([[1, -1]]), "-1 among"),
        (torch.ones(1, 2, dtype=torch.complex64), "complex64"),
        ("10", "str that is not"),
        ([[True], [True, False]], "list that is not"),
    ],
)
def test_from_padded_refuses_what_is_not_a_mask(mask, came):
    with pytest.raises(ShapeError, match=f"Expected a mask of booleans, or of zeros and ones, got {came}"):
        Ragged.from_padded(torch.zeros(1, 2), mask=mask)


@given(lengths_lists, feature_shapes, st.booleans(), st.booleans())
def test_left_padding_round_trip(lengths, feature, batch_first, by_mask):
    batch = numbered(lengths, feature)
    padded = batch.to_padded(value=-7.0, batch_first=batch_first, side="left")
    rows = padded if batch_first else padded.transpose(0, 1)
    for row, steps in zip(rows, batch, strict=True):
        start = len(row) - len(steps)
        assert torch.equal(row[start:], steps)
        assert (row[:start] == -7.0).all()
    mask = batch.mask("left")
    given_by = {"mask": mask if batch_first else mask.T} if by_mask else {"lengths": batch.lengths, "side": "left"}
    assert_same(Ragged.from_padded(padded, batch_first=batch_first, **given_by), batch)


def test_a_side_of_the_padding_that_does_not_exist_is_refused():
    batch = numbered([1, 2])
    for call in (
        lambda: batch.to_padded(side="Left"),
        lambda: batch.mask("middle"),
        lambda: Ragged.from_padded(torch.zeros(1, 2), [1], side="pre"),
    ):
        with pytest.raises(UsageError, match="Expected the side of the padding, got") as caught:
            call()
        assert "Valid: left, right" in caught.value.fix
    with pytest.raises(UsageError, match="only with lengths"):
        Ragged.from_padded(torch.zeros(1, 2), mask=torch.ones(1, 2), side="left")


def test_from_padded_refuses_lengths_that_do_not_fit():
    with pytest.raises(ShapeError, match="sequence 1: length 4, but there are 3 steps"):
        Ragged.from_padded(torch.zeros(2, 3), [1, 4])
    with pytest.raises(ShapeError, match="3 lengths for 2 sequences"):
        Ragged.from_padded(torch.zeros(2, 3), [1, 1, 1])
    with pytest.raises(ShapeError, match="at least two axes"):
        Ragged.from_padded(torch.zeros(3), [1])


def test_to_packed_refuses_an_empty_sequence_and_says_the_repair():
    with pytest.raises(ShapeError, match="sequence 1 has length 0") as caught:
        numbered([2, 0, 1]).to_packed()
    assert "batch.select(batch.lengths.nonzero().flatten())" in caught.value.fix
    with pytest.raises(ShapeError, match="this batch is empty"):
        numbered([]).to_packed()


def test_the_repair_that_to_packed_offers_works():
    batch = numbered([2, 0, 1])
    packed = batch.select(batch.lengths.nonzero().flatten()).to_packed()
    assert Ragged.from_packed(packed).lengths.tolist() == [2, 1]


def test_integers_are_padded_with_integers_only():
    batch = Ragged(torch.tensor([1, 2, 3]), [1, 2])
    assert batch.to_padded(9).tolist() == [[1, 9], [2, 3]]
    for value in (0.5, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="Expected an integer to pad"):
            batch.to_padded(value)
