"""Targets drawn at random: from the decoder's distribution, and the same in every batch."""

import numpy as np
import pytest
from scipy.stats import chisquare

from elman.generation.beam import DecodingSettings, greedy, sample
from elman.generation.demands import Demands
from tests.generation.decoders import END, START, TableDecoder, every_target


def draw(decoder, sources, **values):
    options = DecodingSettings(max_length_factor=0, max_length=3, **values)
    lengths = [decoder.lengths[source] for source in sources]
    return sample(decoder, decoder.start(sources), lengths, start=START, end=END, settings=options, numbers=sources)


def test_targets_have_the_frequencies_of_their_probabilities():
    decoder, count = TableDecoder(4, 1, 3), 5000
    options = DecodingSettings(max_length_factor=0, max_length=3, seed=1)
    found = sample(decoder, decoder.start([0] * count), [0] * count, start=START, end=END, settings=options)
    targets = {(*tokens, finished): total for tokens, finished, total in every_target(decoder, 0, 3)}
    counts = dict.fromkeys(targets, 0)
    for each in found:
        counts[(*each.tokens, each.finished)] += 1
        assert each.log_probability == pytest.approx(targets[(*each.tokens, each.finished)], rel=1e-5)
    expected = count * np.exp(list(targets.values()))
    often = expected > 5
    observed = [*np.array(list(counts.values()))[often], sum(np.array(list(counts.values()))[~often])]
    assert chisquare(observed, [*expected[often], expected[~often].sum()]).pvalue > 1e-3


def test_a_target_is_the_same_in_every_batch():
    decoder = TableDecoder(6, 9, 6, 2)
    together = draw(decoder, range(9), seed=3)
    assert [draw(decoder, [source], seed=3)[0] for source in range(9)] == together
    assert draw(decoder, [5, 2], seed=3) == [together[5], together[2]]
    assert draw(decoder, range(9), seed=4) != together


def test_temperature_zero_and_top_k_one_are_greedy():
    decoder = TableDecoder(7, 9, 6)
    options = DecodingSettings(max_length_factor=0, max_length=3)
    expected = greedy(decoder, decoder.start(), decoder.lengths, start=START, end=END, settings=options)
    assert draw(decoder, range(9), temperature=0) == draw(decoder, range(9), top_k=1) == expected


def test_banned_tokens_are_never_drawn():
    decoder, demands = TableDecoder(8, 1, 5), Demands([2] * 300, [6] * 300, banned=[0, 3])
    found = sample(decoder, decoder.start([0] * 300), [0] * 300, start=START, end=END, demands=demands)
    assert all(set(each.tokens) <= {2, 4} and len(each.tokens) >= 2 for each in found)
