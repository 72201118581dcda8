"""Searches meet the demands on their targets: lengths, prefixes, banned and required tokens, repeated n-grams."""

import numpy as np
import pytest
import torch

from elman.errors import UsageError
from elman.generation.beam import DecodingSettings, beam_search, greedy
from elman.generation.demands import Demands, ban_repeated, demands_of
from elman.generation.required import Required
from tests.generation.decoders import END, START, TableDecoder, every_target, greedy_target, repeats, score_of

MAXIMUM = 5
OPTIONS = DecodingSettings(max_length=MAXIMUM, max_length_factor=0, beam=1)
KINDS = {
    "minimum": ({"minimum": [3]}, lambda h, t: t != END or len(h) >= 3),
    "prefix": ({"prefixes": [(3, 2)]}, lambda h, t: len(h) >= 2 or t == (3, 2)[len(h)]),
    "banned": ({"banned": [2, 0]}, lambda h, t: t not in (2, 0)),
    "bigram": ({"no_repeat_ngram": 2}, lambda h, t: t == END or not repeats(h, t, 2)),
    "unigram": ({"no_repeat_ngram": 1, "minimum": [4]}, lambda h, t: not repeats(h, t, 1) if t != END else len(h) >= 4),
    "prefix over all others": (
        {"prefixes": [(2, 2)], "banned": [2], "no_repeat_ngram": 1},
        lambda h, t: t == 2 if len(h) < 2 else t == END or (t != 2 and not repeats(h[2:], t, 1)),
    ),
}


def demanded(sources: int, **given) -> Demands:
    wide = {name: value * sources if name in ("minimum", "prefixes") else value for name, value in given.items()}
    return Demands(**{"minimum": [0] * sources, "maximum": [MAXIMUM] * sources, **wide})


def run(decoder, demands, **values):
    options = OPTIONS.model_copy(update=values)
    lengths = decoder.lengths
    return beam_search(decoder, decoder.start(), lengths, start=START, end=END, settings=options, demands=demands)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_a_wide_beam_finds_the_best_of_the_allowed_targets(kind: str, alpha: float):
    given, allowed = KINDS[kind]
    decoder = TableDecoder(11, 4, 4)
    found = run(decoder, demanded(4, **given), beam=300, length_penalty=alpha)
    for source in range(4):
        everything = list(every_target(decoder, source, MAXIMUM, allowed))
        scores = [score_of(decoder, source, *each, alpha, 0) for each in everything]
        assert found[source][0].score == pytest.approx(max(scores), rel=1e-5)
        assert (tuple(found[source][0].tokens), found[source][0].finished) == everything[int(np.argmax(scores))][:2]


@pytest.mark.parametrize("kind", KINDS)
def test_a_beam_of_one_is_greedy_among_the_allowed_tokens(kind: str):
    given, allowed = KINDS[kind]
    decoder, demands = TableDecoder(12, 8, 4), demanded(8, **given)
    narrow = run(decoder, demands)
    alone = greedy(decoder, decoder.start(), decoder.lengths, start=START, end=END, settings=OPTIONS, demands=demands)
    assert alone == [each[0] for each in narrow]
    for source in range(8):
        tokens, finished, _ = greedy_target(decoder, source, MAXIMUM, allowed)
        assert (tuple(alone[source].tokens), alone[source].finished) == (tokens, finished)


REQUIRED = [
    [(2,)],
    [(3, 2)],
    [(2, 2), (3,)],
    [(2, 3), (3, 2)],  # both in 2 3 2
    [(0,), (2,), (3,)],
    [(3, 3, 2)],
    [(2, 0, 2, 3)],
]


def occurs(phrase, tokens):
    return any(tuple(tokens[i : i + len(phrase)]) == phrase for i in range(len(tokens)))


@pytest.mark.parametrize("phrases", REQUIRED, ids=str)
def test_a_wide_beam_finds_the_best_target_with_the_required_phrases(phrases: list):
    decoder = TableDecoder(21, 3, 4)
    # The second source has no demand, the third another one.
    required = [phrases, [], [(3,)]]
    demands = Demands([0] * 3, [MAXIMUM] * 3, required=required)
    found = run(decoder, demands, beam=300, length_penalty=0.5)
    for source, wanted in enumerate(required):
        scores = {
            tokens: score_of(decoder, source, tokens, finished, total, 0.5, 0)
            for tokens, finished, total in every_target(decoder, source, MAXIMUM)
            if all(occurs(phrase, tokens) for phrase in wanted)
        }
        assert found[source][0].score == pytest.approx(max(scores.values()), rel=1e-5)
        assert scores[tuple(found[source][0].tokens)] == max(scores.values())


@pytest.mark.parametrize("beam", [1, 2, 5])
def test_a_narrow_beam_meets_the_required_phrases_too(beam: int):
    decoder = TableDecoder(22, 20, 30)
    demands = Demands([0] * 20, [12] * 20, required=[[(7, 8), (25,)]] * 20)
    for [best] in run(decoder, demands, beam=beam):
        assert occurs((7, 8), best.tokens)
        assert occurs((25,), best.tokens)


def test_phrases_that_do_not_fit_are_given_up_and_not_hidden():
    """Banning repeats makes the phrase impossible; the target is the best without it."""
    decoder = TableDecoder(23, 1, 4)
    demands = Demands([0], [4], required=[[(2, 2)]], no_repeat_ngram=1)
    [[best]] = run(decoder, demands, beam=3)
    assert not occurs((2, 2), best.tokens)
    assert not best.finished


def test_progress_with_phrases_follows_the_definition():
    generator = np.random.default_rng(0)
    phrases = [[(1, 2, 1, 2, 3), (2, 1), (1, 1)], [(3,)]]
    required = Required(phrases)
    assert required.full.tolist() == [9, 1]
    assert required.banks == 10
    for _ in range(30):
        tokens = generator.integers(1, 4, (2, 9))
        progress = torch.zeros((2, 3), dtype=torch.int64)
        sources = torch.arange(2)
        for step in range(9):
            progress = required.advance(progress, sources, torch.tensor(tokens[:, step : step + 1]))[:, 0]
            expected = [[by_definition(phrase, tokens[s, : step + 1]) for phrase in phrases[s]] for s in range(2)]
            assert [progress[s, : len(phrases[s])].tolist() for s in range(2)] == expected
            banks = [bank_by_definition(phrases[s], expected[s]) for s in range(2)]
            assert required.bank(progress, sources).tolist() == banks


def by_definition(phrase, tokens):
    if occurs(phrase, tokens.tolist()):
        return len(phrase)
    ends = [n for n in range(len(phrase) + 1) if n == 0 or tuple(tokens[-n:]) == phrase[:n]]
    return max(ends)


def bank_by_definition(phrases, progress):
    pairs = list(zip(phrases, progress, strict=True))
    done = sum(len(phrase) for phrase, each in pairs if each == len(phrase))
    return done + max((each for phrase, each in pairs if each < len(phrase)), default=0)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_repeated_ngrams_are_banned_and_nothing_else(size: int):
    history = torch.tensor([[1, 2, 1, 2, 1], [3, 3, 3, 0, 3], [0, 1, 2, 3, 4]])
    logits = torch.zeros(3, 6)
    ban_repeated(logits, history, size)
    for row in range(3):
        expected = [repeats_last(history[row].tolist(), token, size) for token in range(6)]
        assert logits[row].isinf().tolist() == expected


def repeats_last(history, token, size):
    whole = [*history, token]
    grams = [tuple(whole[i : i + size]) for i in range(len(whole) - size + 1)]
    return grams[-1] in grams[:-1]


def test_lengths_come_from_the_settings():
    options = DecodingSettings(max_length=20, max_length_factor=1.5, max_length_extra=2, min_length=4)
    demands = demands_of(options, [0, 3, 40], required=[[(2,), (2,)], [], []])
    assert (demands.minimum, demands.maximum) == ([4] * 3, [5, 6, 20])
    assert demands.required[0] == [(2,)]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"banned": [END]}, "end mark .* is banned"),
        ({"minimum": [5]}, "minimum length below the maximum of 5 tokens"),
        ({"prefixes": [(2,) * 6]}, "prefix has 6 tokens and the target at most 5"),
        ({"prefixes": [(2, END)]}, "has the end mark"),
        ({"prefixes": [(2,), (3,)]}, "Expected prefixes for 1 sources, got 2"),
        ({"required": [[(2, 3), (3, 2, 2)]]}, "required words have 5 tokens"),
        ({"required": [[()]]}, "is empty"),
        ({"required": [[(2, 3)]], "banned": [3]}, "Token 3 is both required and banned"),
    ],
)
def test_demands_that_no_target_meets_are_refused(given: dict, message: str):
    decoder, demands = TableDecoder(0, 1, 4), Demands(**{"minimum": [0], "maximum": [MAXIMUM], **given})
    with pytest.raises(UsageError, match=message):
        run(decoder, demands)
    with pytest.raises(UsageError, match=message):
        greedy(decoder, decoder.start(), [0], start=START, end=END, demands=demands)
    assert decoder.rows_stepped == 0


def test_greedy_search_refuses_required_phrases():
    decoder, demands = TableDecoder(0, 1, 4), Demands([0], [5], required=[[(2,)]])
    with pytest.raises(UsageError, match="need beam search"):
        greedy(decoder, decoder.start(), [0], start=START, end=END, demands=demands)
