"""Beam search finds what brute force finds, is greedy search at width 1, and never gets worse when wider."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from elman.errors import ModelError, UsageError
from elman.generation.beam import DecodingSettings, Step, beam_search, greedy
from elman.generation.demands import demands_of
from elman.generation.picks import likeliest_tokens
from elman.settings import check_settings
from tests.generation.decoders import END, START, TableDecoder, every_target, greedy_target, score_of

PENALTIES = [(0.0, 0.0), (1.0, 0.0), (0.6, 0.0), (0.0, 0.5), (1.0, 0.3)]
WIDE = 300


def search(decoder, sources=None, *, keep_attention=False, demands=None, **values):
    settings_ = check_settings(DecodingSettings, {"max_length_factor": 0, "max_length_extra": 100, **values})
    which = range(len(decoder.table)) if sources is None else sources
    lengths = [decoder.lengths[source] for source in which]
    return beam_search(
        decoder,
        decoder.start(which),
        lengths,
        start=START,
        end=END,
        settings=settings_,
        demands=demands,
        keep_attention=keep_attention,
    )


def names(values):
    return dict(zip(("length_penalty", "coverage_penalty"), values, strict=True))


@pytest.mark.parametrize("penalties", PENALTIES, ids=str)
@pytest.mark.parametrize("seed", range(6))
def test_a_wide_beam_finds_the_best_targets(seed: int, penalties: tuple[float, float]):
    decoder = TableDecoder(seed, 2, 4, [3, 2])
    found = search(decoder, beam=WIDE, n_best=6, max_length=4, **names(penalties))
    for source in range(2):
        scores = {
            (*tokens, finished): score_of(decoder, source, tokens, finished, total, *penalties)
            for tokens, finished, total in every_target(decoder, source, 4)
        }
        best = sorted(scores.values(), reverse=True)[:6]
        np.testing.assert_allclose([each.score for each in found[source]], best, rtol=1e-5)
        mine = [scores[(*each.tokens, each.finished)] for each in found[source]]
        np.testing.assert_allclose(mine, best, rtol=1e-5)


@pytest.mark.parametrize("penalties", PENALTIES, ids=str)
@pytest.mark.parametrize("ties", [False, True])
def test_a_beam_of_one_is_greedy(ties: bool, penalties: tuple[float, float]):
    decoder = TableDecoder(5, 12, 4, 2, ties=ties)
    narrow = search(decoder, beam=1, max_length=6, keep_attention=True, **names(penalties))
    options = DecodingSettings(max_length=6, max_length_factor=0, **names(penalties))
    alone = greedy(
        decoder, decoder.start(), decoder.lengths, start=START, end=END, settings=options, keep_attention=True
    )
    for source in range(12):
        tokens, finished, total = greedy_target(decoder, source, 6)
        for found in (narrow[source][0], alone[source]):
            assert (tuple(found.tokens), found.finished) == (tokens, finished)
            assert found.log_probability == pytest.approx(total, rel=1e-5)
            assert found.score == pytest.approx(
                score_of(decoder, source, tokens, finished, total, *penalties), rel=1e-5
            )
        np.testing.assert_array_equal(narrow[source][0].attention, alone[source].attention)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10_000),
    vocabulary=st.integers(3, 6),
    beams=st.lists(st.integers(1, 12), min_size=2, max_size=4).map(sorted),
    maximum=st.integers(1, 9),
    penalties=st.sampled_from(PENALTIES),
    ties=st.booleans(),
    n_best=st.integers(1, 3),
    required=st.sampled_from([(), ((2,),), ((2, 2), (0,))]),
)
def test_a_wider_beam_never_scores_less(seed, vocabulary, beams, maximum, penalties, ties, n_best, required):
    decoder = TableDecoder(seed, 2, vocabulary, 2, ties=ties)
    maximum = max(maximum, 5) if required else maximum
    options = DecodingSettings(max_length=maximum, max_length_factor=0)
    demands = demands_of(options, decoder.lengths, required=[required] * 2) if required else None
    found = [
        search(decoder, beam=beam, n_best=n_best, max_length=maximum, demands=demands, **names(penalties))
        for beam in beams
        if beam >= n_best
    ]
    for narrow, wide in itertools.pairwise(found):
        for source in range(2):
            # Those with the required phrases are before those without.
            assert keys(wide[source][: len(narrow[source])], required) >= keys(narrow[source], required)
            assert len(wide[source]) >= len(narrow[source])


def keys(found, required):
    return [(all(occurs(phrase, each.tokens) for phrase in required), each.score) for each in found]


def occurs(phrase, tokens):
    return any(tuple(tokens[i : i + len(phrase)]) == tuple(phrase) for i in range(len(tokens)))


def ordinary(decoder, beam, maximum):
    """The best log probability that ordinary beam search finds, as textbooks write it."""
    living, ended = [((), 0.0)], []
    for _ in range(maximum):
        children = [
            ((*tokens, token), total + each)
            for tokens, total in living
            for token, each in enumerate(decoder.log_probabilities(0, tokens))
        ]
        ranked = sorted(children, key=lambda child: -child[1])
        living = [child for child in ranked if child[0][-1] != END][:beam]
        ended += [total for tokens, total in ranked if tokens[-1] == END and total > living[-1][1]]
        if beam == 1 and ended:
            return ended[0]
    return max([*ended, *(total for _, total in living)])


@pytest.mark.parametrize("seed", range(20))
def test_beams_that_are_not_nested_are_ordinary_beam_search(seed: int):
    decoder = TableDecoder(seed, 1, 5)
    for beam in (1, 2, 3):
        [[found]] = search(decoder, beam=beam, max_length=6, length_penalty=0, nested=False)
        assert found.score == pytest.approx(ordinary(decoder, beam, 6), rel=1e-5)


def test_ordinary_beam_search_gets_worse_at_times():
    """So that the law of wider beams would fail without nesting."""

    def gets_worse(decoder):
        narrow, wide = (search(decoder, beam=beam, max_length=6, length_penalty=0, nested=False) for beam in (1, 2))
        return wide[0][0].score < narrow[0][0].score - 1e-6

    assert any(gets_worse(TableDecoder(seed, 1, 5)) for seed in range(300))


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10_000),
    lengths=st.lists(st.integers(0, 5), min_size=1, max_size=6),
    penalties=st.sampled_from(PENALTIES),
    beam=st.integers(1, 6),
)
def test_batch_mates_and_padding_change_nothing(seed, lengths, penalties, beam):
    decoder = TableDecoder(seed, len(lengths), 5, lengths) if max(lengths) else TableDecoder(seed, len(lengths), 5)
    if decoder.attention is None and penalties[1]:
        return
    values = {"beam": beam, "max_length_factor": 1.5, "max_length_extra": 3, **names(penalties)}
    together = search(decoder, keep_attention=True, **values)
    for source in range(len(lengths)):
        [alone] = search(decoder, [source], keep_attention=True, **values)
        for one, other in zip(together[source], alone, strict=True):
            assert one._replace(attention=None) == other._replace(attention=None)
            np.testing.assert_array_equal(one.attention, other.attention)


def test_hypotheses_are_sorted_and_distinct_and_have_their_attention():
    decoder = TableDecoder(3, 4, 6, [4, 2, 1, 3])
    found = search(decoder, beam=8, n_best=8, max_length=7, coverage_penalty=0.2, keep_attention=True)
    for source, hypotheses in enumerate(found):
        assert len(hypotheses) == 8
        assert [each.score for each in hypotheses] == sorted((each.score for each in hypotheses), reverse=True)
        assert len({(*each.tokens, each.finished) for each in hypotheses}) == 8
        for each in hypotheses:
            assert END not in each.tokens
            expected = decoder.attention_of(source, each.tokens)[: len(each.tokens) + each.finished]
            np.testing.assert_allclose(each.attention, np.array(expected)[:, : decoder.lengths[source]], rtol=1e-6)
            np.testing.assert_allclose(each.attention.sum(1), 1, rtol=1e-6)


def test_the_coverage_penalty_prefers_the_target_that_reads_the_whole_source():
    decoder = TableDecoder(0, 1, 4, 2)
    decoder.table[:] = torch.tensor([-9.0, 2.0, 2.1, 2.0])  # 2 is a little more probable than 3
    decoder.table[:, :, START, END] = -9
    decoder.table[:, START, 2:] = torch.tensor([-9.0, 9, -9, -9])
    decoder.attention = torch.tensor([[[1.0, 0], [1, 0], [1, 0], [0, 1]]])
    [plain] = search(decoder, beam=4, max_length=3)
    [covered] = search(decoder, beam=4, max_length=3, coverage_penalty=1)
    assert (plain[0].tokens, covered[0].tokens) == ([2], [3])


def test_a_search_ends_when_nothing_can_beat_the_best():
    decoder = TableDecoder(0, 3, 5)
    decoder.table[..., END] = 20.0
    found = search(decoder, beam=4, max_length=50, length_penalty=1)
    assert [each[0].tokens for each in found] == [[], [], []]
    # 20 less of log probability is never made good: 20 / lp(50) is still above 1e-6.
    assert decoder.rows_stepped == 3


def test_a_search_goes_on_while_a_longer_target_can_win():
    """Under a length penalty the first target that ends is not the best one here."""
    decoder = TableDecoder(0, 1, 3)
    decoder.table[:] = torch.tensor([-20.0, -20, 4])
    decoder.table[:, START, START] = torch.tensor([-20.0, 0.2, 0])
    [plain] = search(decoder, beam=2, max_length=20, length_penalty=0)
    [longer] = search(decoder, beam=2, max_length=20, length_penalty=1)
    assert plain[0].tokens == []
    assert longer[0].tokens == [2] * 20


def test_a_target_at_its_maximum_is_unfinished():
    decoder = TableDecoder(1, 1, 4)
    decoder.table[..., END] = -30.0
    [found] = search(decoder, beam=3, n_best=3, max_length=5)
    assert all(not each.finished and len(each.tokens) == 5 for each in found)


def test_no_source_is_a_search_without_a_step():
    decoder = TableDecoder(0, 1, 4)
    assert search(decoder, []) == []
    assert greedy(decoder, [], [], start=START, end=END) == []
    assert decoder.rows_stepped == 0


def test_equal_scores_give_lower_tokens_and_finished_targets_first():
    scores = torch.tensor([[1.0, 3, 3, 3, 2], [0, 0, 0, 0, 0]])
    assert likeliest_tokens(scores, 2)[1].tolist() == [[1, 2], [0, 1]]
    decoder = TableDecoder(0, 1, 4)
    decoder.table[:] = 0
    [found] = search(decoder, beam=4, n_best=4, max_length=1)
    assert [(each.tokens, each.finished) for each in found] == [([], True), ([0], False), ([2], False), ([3], False)]


def test_scores_that_are_not_finite_are_refused():
    decoder = TableDecoder(0, 1, 4)
    decoder.table[..., 2] = float("nan")
    with pytest.raises(ModelError, match="not finite"):
        search(decoder)
    with pytest.raises(ModelError, match="not finite"):
        greedy(decoder, decoder.start(), [0], start=START, end=END)


def test_a_coverage_penalty_needs_attention():
    with pytest.raises(UsageError, match="no attention"):
        search(TableDecoder(0, 1, 4), coverage_penalty=0.2)


def test_logits_of_inference_mode_are_read():
    class Inference(TableDecoder):
        def step(self, tokens, state):
            with torch.inference_mode():
                found = super().step(tokens, state)
                return Step(found.logits * 1, found.state, found.attention)

    assert search(Inference(2, 2, 4), beam=3) == search(TableDecoder(2, 2, 4), beam=3)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"beam": 2, "n_best": 3}, "n_best, beam: expected n_best of at most beam = 2, got 3"),
        ({"min_length": 5, "max_length": 5}, "min_length, max_length: expected min_length below max_length = 5"),
        ({"length_penalty": -1}, "length_penalty"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(values: dict, message: str):
    with pytest.raises(UsageError, match=message):
        check_settings(DecodingSettings, values)
