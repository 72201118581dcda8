"""Scaling against scikit-learn and NumPy; it is inverted exactly, and leaves missing values out."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.preprocessing import RobustScaler, StandardScaler

from elman.data.ragged.ragged import Ragged
from elman.nn import Scaling
from elman.nn.scaling import EPSILON, Scale, constant_note
from elman.settings.series import SCALINGS
from tests.examples import draws

NAN = float("nan")
every_kind = pytest.mark.parametrize("kind", SCALINGS)


def series(lengths: list[int], seed: int = 0, *, level: float = 100.0) -> Ragged:
    """Three channels of different levels and widths."""
    steps = np.random.default_rng(seed).normal(size=(sum(lengths), 3)) * [1, 10, 0.01] + [level, 0, -level]
    return Ragged(torch.from_numpy(steps), lengths)


def fitted(kind: str, batch: Ragged) -> Scaling:
    scaling = Scaling(kind, batch.data.shape[1])
    scaling.fit(batch)
    if scaling.log_factor is not None and scaling.offset is not None:
        torch.manual_seed(0)
        torch.nn.init.normal_(scaling.log_factor)
        torch.nn.init.normal_(scaling.offset)
    return scaling


@every_kind
@draws(20)
@given(lengths=st.lists(st.integers(0, 6), min_size=1, max_size=5), level=st.sampled_from([0.0, 1.0, 1e6]))
def test_the_inverse_gives_the_data_again(kind: str, lengths: list[int], level: float):
    scaling, batch = fitted(kind, series([5, 9])), series(lengths, 1, level=level)
    scaled, scale = scaling(batch)
    again = scaling.invert(scaled, scale)
    assert isinstance(again, Ragged)
    torch.testing.assert_close(again.data, batch.data, rtol=1e-12, atol=1e-9)


@every_kind
def test_a_tensor_is_inverted_as_ragged_steps_are(kind: str):
    scaling, batch = fitted(kind, series([5, 9])), series([4, 4], 1)
    scaled, scale = scaling(batch)
    dense = scaling.invert(scaled.data.view(2, 4, 3), scale)
    assert isinstance(dense, torch.Tensor)
    torch.testing.assert_close(dense.reshape(8, 3), batch.data)
    some = scaling.invert(scaled.data.view(2, 4, 3)[..., [2, 0]], scale.channels([2, 0]))
    torch.testing.assert_close(some, batch.data.view(2, 4, 3)[..., [2, 0]])
    one = scaling.invert(scaled.last(), scale)
    torch.testing.assert_close(one, batch.last())


@pytest.mark.parametrize(("kind", "theirs"), [("standard", StandardScaler()), ("robust", RobustScaler())])
def test_statistics_of_training_steps_are_scikit_learns(kind: str, theirs):
    train, other = series([50, 1, 30]), series([3, 4], 1)
    scaled, _ = fitted(kind, train)(other)
    np.testing.assert_allclose(scaled.data, theirs.fit(train.data.numpy()).transform(other.data.numpy()), rtol=1e-10)


def test_each_sequence_is_scaled_by_its_own_mean_and_variance():
    train, batch = series([50]), series([30, 7], 1)
    scaled, _ = fitted("series", train)(batch)
    for own, wanted in zip(scaled.to_list(), batch.to_list(), strict=True):
        values = wanted.numpy()
        width = np.sqrt(values.var(0) + EPSILON * train.data.numpy().var(0))
        np.testing.assert_allclose(own, (values - values.mean(0)) / width, rtol=1e-9)


def test_the_mean_of_a_sequence_is_subtracted():
    train, batch = series([50]), series([3, 2], 1)
    scaled, _ = fitted("mean", train)(batch)
    for own, wanted in zip(scaled.to_list(), batch.to_list(), strict=True):
        distance = wanted - wanted.mean(0)
        np.testing.assert_allclose(own, (distance / train.data.std(0, correction=0)).numpy(), rtol=1e-9)


def test_the_last_value_is_subtracted():
    train, batch = series([50]), series([3, 2], 1)
    scaled, _ = fitted("last", train)(batch)
    for own, wanted in zip(scaled.to_list(), batch.to_list(), strict=True):
        np.testing.assert_allclose(own, ((wanted - wanted[-1]) / train.data.std(0, correction=0)).numpy(), rtol=1e-9)
        assert not own[-1].any()


def test_reversible_normalisation_is_the_formula_of_the_paper():
    scaling = fitted("reversible", series([50]))
    plain, _ = fitted("series", series([50]))(series([6, 3], 1))
    scaled, _ = scaling(series([6, 3], 1))
    assert scaling.log_factor is not None
    assert scaling.offset is not None
    wanted = plain.data * scaling.log_factor.detach().double().exp() + scaling.offset.detach().double()
    torch.testing.assert_close(scaled.data.detach(), wanted)


@every_kind
def test_missing_values_stay_missing_and_change_no_statistic(kind: str):
    whole = series([9, 4])
    lengths, holes = [10, 4], torch.full((1, 3), NAN, dtype=torch.float64)
    with_hole = Ragged(torch.cat([whole.data[:3], holes, whole.data[3:]]), lengths)
    one, other = fitted(kind, whole), fitted(kind, with_hole)
    torch.testing.assert_close(one.middle, other.middle)
    torch.testing.assert_close(one.spread, other.spread)
    scaled, scale = other(with_hole)
    assert scaled.data[3].isnan().all()
    kept = [row for row in range(14) if row != 3]
    torch.testing.assert_close(scaled.data[kept], one(whole)[0].data)
    assert scale.shift.isfinite().all()


def test_the_last_known_value_counts():
    batch = Ragged(torch.tensor([[1.0], [3.0], [NAN], [NAN]]), [3, 1])
    assert Scaling("last", 1)(batch)[1].shift.tolist() == [[3.0], [0.0]]


@every_kind
def test_constant_channels_are_named_and_stay_finite(kind: str):
    steps = torch.tensor([[0.1, 1.0, NAN], [0.1, 2.0, NAN], [0.1, 4.0, NAN]], dtype=torch.float64)
    scaling = Scaling(kind, 3)
    constant = scaling.fit(Ragged(steps, [3]))
    assert constant == [0, 2]
    assert constant_note(constant, ["flag", "load", "gap"]) == [
        "The channels `flag`, `gap` have one value each in all training steps."
    ]
    scaled, _ = scaling(Ragged(steps, [2, 1]))
    assert scaled.data[:, :2].isfinite().all()
    if kind != "none":
        assert scaled.data[:, 0].abs().max() < 1e-12


def test_no_constant_channel_gives_no_note():
    assert constant_note([]) == []
    assert constant_note([1]) == ["The channel 2 has one value in all training steps."]


def test_most_values_of_one_kind_do_not_divide_by_zero():
    steps = torch.zeros(9, 1, dtype=torch.float64)
    steps[0] = 3.0
    scaling = Scaling("robust", 1)
    assert scaling.fit(Ragged(steps, [9])) == []
    assert scaling.spread.item() == pytest.approx(steps.std(correction=0).item())


def test_large_levels_lose_nothing():
    """The statistics are those of float64: float32 has no decimals at 1e8."""
    batch = Ragged(torch.tensor([[1e8], [1e8 + 0.25], [1e8 + 0.5]], dtype=torch.float64), [3])
    scaled, scale = fitted("standard", batch)(batch)
    assert scaled.data[:, 0].tolist() == pytest.approx([-(1.5**0.5), 0.0, 1.5**0.5])
    assert isinstance(scale, Scale)


def test_the_scale_is_saved_with_the_weights():
    one, other = fitted("robust", series([9])), Scaling("robust", 3)
    other.load_state_dict(one.state_dict())
    torch.testing.assert_close(other(series([4], 1))[0].data, one(series([4], 1))[0].data)
