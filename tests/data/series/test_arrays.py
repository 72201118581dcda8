"""Missing values: an error that names each, a mask, or values carried forward, never a silent zero."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from elman.data.ragged.ragged import Ragged
from elman.data.series.arrays import carried, series_batch
from elman.errors import DataError, ShapeError
from elman.nn import NumberInput
from tests.examples import draws

NAN = float("nan")


def test_a_missing_value_is_named_with_three_repairs():
    with pytest.raises(DataError, match=r"(?s)one value that is missing.*sequence 2, step 2, channel 1") as refused:
        series_batch([[[1.0, 2.0]], [[1.0, 2.0], [None, 3.0]]])
    for repair in ("Fill them in", "--missing mask", "--missing carry"):
        assert repair in str(refused.value)


def test_many_missing_values_are_counted():
    with pytest.raises(DataError, match=r"(?s)9 values that are missing.*sequence 1, step 5\n.*and 4 more"):
        series_batch([[NAN] * 9])


def test_a_mask_keeps_them_apart_from_zeros():
    batch = series_batch([[0.0, NAN, 2.0], [NAN]], "mask")
    shown = NumberInput(1, "none", mask=True)(batch).data
    assert shown.tolist() == [[0, 1], [0, 0], [2, 1], [0, 0]]


def test_zero_after_the_scaling_is_the_middle():
    batch = series_batch([[10.0, NAN, 30.0]], "mask")
    layer = NumberInput(1, "standard", mask=True)
    layer.fit(batch)
    assert layer(batch).data.tolist() == [[-1, 1], [0, 0], [1, 1]]


def test_values_are_carried_forward_and_the_first_back():
    batch = series_batch([[[NAN, 1.0], [2.0, NAN], [NAN, NAN], [3.0, 4.0]]], "carry")
    assert batch.data.tolist() == [[2, 1], [2, 1], [2, 1], [3, 4]]


@draws(50)
@given(st.lists(st.sampled_from([NAN, 1.0, 2.0]), max_size=8))
def test_carrying_is_a_loop_over_the_steps(values: list[float]):
    known = [value for value in values if value == value]
    if not known:
        return
    last, wanted = known[0], []
    for value in values:
        last = value if value == value else last
        wanted.append(last)
    assert carried(np.array(values)[:, None])[:, 0].tolist() == wanted


def test_a_channel_without_a_known_value_is_not_carried():
    with pytest.raises(DataError, match=r"(?s)without a known value.*sequence 1, step 1, channel 2"):
        series_batch([[[1.0, NAN], [2.0, NAN]]], "carry")


@pytest.mark.parametrize("missing", ["error", "mask", "carry"])
def test_infinite_and_too_large_values_are_refused(missing):
    with pytest.raises(DataError, match=r"(?s)infinite.*sequence 1, step 2"):
        series_batch([[1.0, float("inf")]], missing)
    with pytest.raises(DataError, match=r"(?s)too large for float32.*sequence 1, step 1"):
        series_batch([[1e39]], missing)


def test_other_channels_than_in_training_are_refused():
    with pytest.raises(ShapeError, match=r"(?s)Expected 2 channels.*got 3.*sequence 2"):
        series_batch([[[1.0, 2.0]], [[1.0, 2.0, 3.0]]], channels=2)
    with pytest.raises(ShapeError, match=r"(?s)sequence 2"):
        series_batch([[[1.0, 2.0]], [[1.0]]])


@pytest.mark.parametrize("wrong", [["a"], "text", [["1", "2"]], [[1.0, "2"]], [[[1.0], [2.0, 3.0]]]])
def test_what_is_not_numbers_is_refused(wrong):
    with pytest.raises((DataError, ShapeError), match="sequence 1"):
        series_batch(wrong)


def test_empty_series_and_one_step():
    batch = series_batch([[], [1.0], np.zeros((0, 1)), torch.tensor([2.0, 3.0])])
    assert batch.lengths.tolist() == [0, 1, 0, 2]
    assert batch.data.dtype == torch.float64
    assert series_batch([]).batch_size == 0
    assert isinstance(batch, Ragged)


def test_float64_keeps_its_digits():
    assert series_batch([[1e8 + 0.25]]).data.item() == 1e8 + 0.25
