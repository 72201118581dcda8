"""Tokens are drawn from the distribution they should be, and only by chance where chance is asked for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import chisquare

from elman.errors import ModelError, ShapeError, UsageError
from elman.generation.generator import GenerationSettings
from elman.generation.sampling import Sampler, SamplingSettings, likeliest
from elman.settings import check_settings

SCORES = np.array([[0.3, 2.0, -1.0, 1.9, 0.3, -4.0, 1.0, 0.0]], np.float32)
DRAWS = 20_000


def by_definition(scores: np.ndarray, temperature=1.0, top_k=None, top_p=None) -> np.ndarray:
    """The distribution as Holtzman et al. (2020, equations 2 to 4) and Fan et al. (2018) write it, token by token."""
    p = np.exp(scores.astype(np.float64) / temperature)
    p = p / p.sum()
    best_first = sorted(range(len(p)), key=lambda token: (-p[token], token))
    if top_k is not None:
        p = np.array([p[token] if token in best_first[:top_k] else 0.0 for token in range(len(p))])
        p = p / p.sum()
    if top_p is not None:
        size = next((n for n in range(1, len(p) + 1) if sum(p[t] for t in best_first[:n]) >= top_p), len(p))
        p = np.array([p[token] if token in best_first[:size] else 0.0 for token in range(len(p))])
        p = p / p.sum()
    return p


CUTS = [
    {},
    {"temperature": 0.5},
    {"temperature": 3.0},
    {"top_k": 3},
    {"top_k": 100},
    {"top_p": 0.8},
    {"top_p": 1.0},
    {"temperature": 1.7, "top_k": 5, "top_p": 0.75},
]


@pytest.mark.parametrize("cut", CUTS, ids=str)
def test_the_frequencies_match_the_distribution(cut: dict):
    sampler = Sampler(SamplingSettings(seed=5, **cut))
    counts = np.bincount([int(sampler.draw(SCORES)[0]) for _ in range(DRAWS)], minlength=SCORES.shape[1])
    expected = by_definition(SCORES[0], **cut)
    assert (counts[expected == 0] == 0).all()
    assert chisquare(counts[expected > 0], DRAWS * expected[expected > 0]).pvalue > 1e-3


def test_the_test_of_frequencies_tells_temperatures_apart():
    sampler = Sampler(SamplingSettings(temperature=1.1))
    counts = np.bincount([int(sampler.draw(SCORES)[0]) for _ in range(DRAWS)], minlength=SCORES.shape[1])
    assert chisquare(counts, DRAWS * by_definition(SCORES[0])).pvalue < 1e-6


@given(
    arrays(np.float64, st.integers(1, 9), elements=st.sampled_from([0.0, 0.5, 1.0, 2.0, 3.0])),
    st.one_of(st.none(), st.integers(1, 12)),
    st.one_of(st.none(), st.floats(0.01, 1.0)),
)
def test_what_is_kept_is_what_the_definition_keeps(scores: np.ndarray, top_k: int | None, top_p: float | None):
    expected = np.flatnonzero(by_definition(scores, 1.0, top_k, top_p))
    weights = np.exp(scores)
    kept = likeliest(weights, top_k, top_p)
    # Equal sums may be reached with one rounding or another.
    if len(kept) != len(expected):
        shares = weights[likeliest(weights, top_k)] / weights[likeliest(weights, top_k)].sum()
        reached = np.sort(shares)[::-1].cumsum()[min(len(kept), len(expected)) - 1]
        assert reached == pytest.approx(top_p, abs=1e-12)
    else:
        assert kept.tolist() == expected.tolist()


@pytest.mark.parametrize("seed", range(3))
def test_temperature_0_takes_the_most_probable(seed: int):
    sampler = Sampler(SamplingSettings(temperature=0, seed=seed), 2)
    scores = np.array([[0.0, 3.0, 3.0, 1.0], [5.0, 1.0, 2.0, 5.0]])
    assert sampler.draw(scores).tolist() == [1, 0]


@pytest.mark.parametrize("temperature", [1e-300, 1e-9, 1e-6])
def test_temperatures_near_0_are_no_wilder_than_0(temperature: float):
    sampler = Sampler(SamplingSettings(temperature=temperature), first=1)
    assert {int(sampler.draw(SCORES * 1e4)[0]) for _ in range(50)} == {1}


def test_higher_temperatures_are_wilder():
    def distinct(temperature: float) -> int:
        sampler = Sampler(SamplingSettings(temperature=temperature))
        return len(set(np.concatenate([sampler.draw(SCORES) for _ in range(200)]).tolist()))

    assert distinct(0) < distinct(0.3) < distinct(5)


def test_the_probability_is_that_of_the_whole_network():
    for cut in ({"temperature": 0}, {"temperature": 2.5, "top_k": 4}):
        sampler = Sampler(SamplingSettings(**cut), first=1)
        token = int(sampler.draw(SCORES)[0])
        assert sampler.log_probabilities()[0] == pytest.approx(np.log(by_definition(SCORES[0])[token]))


def test_tokens_below_the_first_are_never_drawn():
    scores = np.array([[50.0, 50.0, 0.0, 0.5]])
    for settings in (SamplingSettings(), SamplingSettings(temperature=0), SamplingSettings(top_k=3, temperature=0.7)):
        sampler = Sampler(settings, first=2)
        assert {int(sampler.draw(scores)[0]) for _ in range(40)} <= {2, 3}


def rows(sampler: Sampler, turns: int) -> np.ndarray:
    scores = np.repeat(SCORES, len(sampler.drawn), 0)
    return np.stack([sampler.draw(scores) for _ in range(turns)])


def test_each_text_has_numbers_of_its_own_whatever_their_count():
    few, many = rows(Sampler(SamplingSettings(seed=9), 2), 60), rows(Sampler(SamplingSettings(seed=9), 7), 60)
    assert (few == many[:, :2]).all()
    assert len({tuple(column) for column in many.T}) == 7
    assert (rows(Sampler(SamplingSettings(seed=10), 2), 60) != few).any()


def test_drawing_goes_on_from_any_place():
    whole = rows(Sampler(SamplingSettings(), 3), 40)
    later = Sampler(SamplingSettings(), 3)
    later.drawn = [25, 25, 25]
    assert (rows(later, 15) == whole[25:]).all()
    assert later.drawn.tolist() == [40] * 3
    later.drawn = np.array([0, 25, 0])
    assert (rows(later, 15)[:, 1] == whole[25:, 1]).all()
    with pytest.raises(ShapeError, match="texts"):
        later.drawn = [1, 2]
    with pytest.raises(ShapeError, match="texts"):
        later.drawn = [1, 2, -1]


def test_last_bits_of_the_scores_change_nothing():
    draw = np.random.default_rng(0)
    one, other = Sampler(SamplingSettings(temperature=1.3)), Sampler(SamplingSettings(temperature=1.3))
    for _ in range(2_000):
        scores = draw.standard_normal((1, 50)).astype(np.float32) * 2
        assert one.draw(scores) == other.draw(scores * np.float32(1 + 3e-7))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_that_are_no_numbers_are_refused(bad: float):
    with pytest.raises(ModelError, match="not finite"):
        Sampler(SamplingSettings()).draw(np.array([[1.0, bad]]))


def test_a_token_may_be_impossible():
    sampler = Sampler(SamplingSettings())
    assert {int(sampler.draw(np.array([[1.0, -np.inf, 1.0]]))[0]) for _ in range(30)} == {0, 2}


WRONG = {
    "temperature": [-0.1, float("nan"), float("inf"), "hot"],
    "top_k": [0, -1, 1.5],
    "top_p": [0, -0.5, 1.1, float("nan")],
    "seed": [-1, 0.5],
    "length": [-1, 0.5],
    "samples": [0, -2],
    "stop": ["", "a" * 65],
    "unknown": ["refused"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in WRONG for value in WRONG[name]])
def test_a_wrong_setting_is_named(name: str, value: object):
    with pytest.raises(UsageError, match=rf"\n  {name}: .* got"):
        check_settings(GenerationSettings, {name: value})


def test_all_wrong_settings_are_named_at_once():
    with pytest.raises(UsageError, match="3 settings") as error:
        check_settings(GenerationSettings, {"temprature": 1, "top_k": 0, "top_p": 2})
    assert "Did you mean `temperature`?" in str(error.value)
