"""The n-gram model against its formula written out with dictionaries, and as a distribution."""

import json
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from experiments.ngram import FALLBACK, KneserNey, main

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
SMALL = "abracadabra, a bar; a cab, a crab: abracadabra. barbara had a drab cab and a bad card."
PLAIN = "".join("the cat sat on the mat and the dog ran to the cat "[(i * i) % 51] for i in range(3000))
OTHER = "a bad crab had a cab! zebra"


class Direct:
    """The same model, one gram at a time, from Chen and Goodman's formulas."""

    def __init__(self, text: list[int], symbols: int, order: int):
        self.symbols, self.order = symbols, order
        padded = [symbols] * order + text
        self.counts: dict[int, Counter] = {order: Counter()}
        for place in range(order, len(padded)):
            self.counts[order][tuple(padded[place - order + 1 : place + 1])] += 1
        for length in range(order - 1, 0, -1):
            before: dict[tuple, set] = defaultdict(set)
            for gram in self.counts[length + 1]:
                before[gram[1:]].add(gram[0])
            self.counts[length] = Counter({gram: len(seen) for gram, seen in before.items()})

    def discount(self, length: int, count: int) -> float:
        n = Counter(self.counts[length].values())
        if not all(n[number] for number in (1, 2, 3, 4)):
            return (0.0, *FALLBACK)[min(count, 3)]
        y = n[1] / (n[1] + 2 * n[2])
        found = (0.0, 1 - 2 * y * n[2] / n[1], 2 - 3 * y * n[3] / n[2], 3 - 4 * y * n[4] / n[3])[min(count, 3)]
        return min(max(found, 0.0), min(count, 3))

    def probability(self, context: tuple, symbol: int) -> float:
        if len(context) == self.order:
            context = context[1:]
        length = len(context) + 1
        shorter = self.probability(context[1:], symbol) if context else 1 / self.symbols
        following = {gram: count for gram, count in self.counts[length].items() if gram[:-1] == context}
        total = sum(following.values())
        if not total:
            return shorter
        count = following.get((*context, symbol), 0)
        kept_back = sum(self.discount(length, each) for each in following.values()) / total
        return (count - self.discount(length, count)) / total + kept_back * shorter


def ids(text: str, alphabet: list[str]) -> np.ndarray:
    return np.array([alphabet.index(character) for character in text])


@pytest.mark.parametrize(("text", "order"), [(SMALL, 1), (SMALL, 2), (SMALL, 5), (PLAIN, 3), (PLAIN, 5), ("a", 3)])
def test_every_probability_is_that_of_the_formula(text: str, order: int):
    alphabet = sorted(set(text + OTHER + "?"))
    model = KneserNey(ids(text, alphabet), len(alphabet), order)
    direct = Direct(ids(text, alphabet).tolist(), len(alphabet), order)
    for judged in (OTHER, text[:60]):
        symbols = ids(judged, alphabet)
        padded = (len(alphabet),) * order + tuple(symbols.tolist())
        expected = [
            direct.probability(padded[place + 1 : place + order], int(symbol)) for place, symbol in enumerate(symbols)
        ]
        np.testing.assert_allclose(model.probabilities(symbols), expected, rtol=1e-12)
        assert model.bits(symbols) == pytest.approx(-np.log2(expected).sum())


def test_the_estimated_discounts_are_used_where_a_text_is_large_enough():
    alphabet = sorted(set(PLAIN))
    levels = KneserNey(ids(PLAIN, alphabet), len(alphabet), 5).levels
    assert any(tuple(level.discounts[1:]) != FALLBACK for level in levels)


@pytest.mark.parametrize("text", [SMALL, PLAIN])
@pytest.mark.parametrize("context", ["", "a", "abra", "the c", "zzzzz", "?"])
def test_the_probabilities_of_all_symbols_sum_to_one(text: str, context: str):
    alphabet = sorted(set(text + context + "?!"))
    model = KneserNey(ids(text, alphabet), len(alphabet))
    following = [model.probabilities(ids(context + symbol, alphabet))[-1] for symbol in alphabet]
    assert sum(following) == pytest.approx(1.0, abs=1e-12)
    assert min(following) > 0


def test_a_longer_memory_tells_more_of_a_text_that_needs_it():
    text = np.tile([0, 0, 1, 1, 0, 1, 0], 300)
    costs = [KneserNey(text, 2, order).bits(text) for order in (1, 2, 3, 4, 5)]
    assert costs == sorted(costs, reverse=True)
    assert costs[-1] < 0.05 * costs[0]


@pytest.mark.skipif(not (DATA / "tiny-shakespeare").is_dir(), reason=f"needs tiny-shakespeare in {DATA}")
def test_the_command_prints_bits_per_character_and_per_byte(capsys: pytest.CaptureFixture[str]):
    main(["tiny-shakespeare", "--data", str(DATA), "--order", "3"])
    found = json.loads(capsys.readouterr().out)
    assert (found["characters"], found["bytes"], found["characters_model"]["alphabet"]) == (111_539, 111_539, 65)
    # All of it is ASCII: a character is a byte.
    assert found["characters_model"] == found["bytes_model"]
    assert 2.5 < found["characters_model"]["bits_per_byte"] < 3.2
