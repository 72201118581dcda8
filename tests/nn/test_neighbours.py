"""The linear model of neighbouring words: its features against a dictionary, its fit against torch's gradients."""

from collections import Counter
from itertools import chain

import pytest
import torch
from torch.nn import functional

from elman.data.ragged.ragged import Ragged
from elman.data.text import neighbours
from elman.data.text.neighbours import PATTERNS, find_neighbours, learn_neighbours
from elman.data.text.spelling import SpelledWords, features_of, learn_features, spell
from elman.nn import neighbours as module
from elman.nn.neighbours import FACTORS, NeighbourModel

SENTENCES = [["the", "Dog", "saw", "the", "cat"], [], ["a", "cat"], ["the", "old", "dog", "saw", "a", "Dog"], ["cat"]]
COLUMNS = [each.split("=")[0] for each in features_of("word")]
NAMES = {"w": "lower", "s": "shape", "r": "runs"} | {
    f"{short}{n}": f"{long}{n}" for short, long in (("p", "prefix"), ("e", "suffix")) for n in range(1, 6)
}


def encoded(sentences: list[list[str]]) -> SpelledWords:
    words = sorted({word for sentence in SENTENCES for word in sentence})
    ids = [words.index(word) + 1 if word in words else 0 for sentence in sentences for word in sentence]
    features = learn_features(Counter(word for sentence in SENTENCES for word in sentence))
    lengths = [len(sentence) for sentence in sentences]
    return spell(sentences, Ragged(torch.tensor(ids, dtype=torch.int64), lengths), None, features)


def spelled_out(words: SpelledWords) -> list[list[tuple]]:
    """Return for each word the values that each pattern reads, by a plain loop."""
    found, first = [], 0
    for length in words.lengths.tolist():
        rows = [
            {NAMES[column]: value for column, value in zip(COLUMNS, words.features[form].tolist(), strict=True)}
            | {"word": int(words.ids.data[first + step])}
            for step, form in enumerate(words.forms[first : first + length].tolist())
        ]
        first += length
        found += [
            [tuple(value_of(part, rows, step) for part in each.split()) for each in PATTERNS] for step in range(length)
        ]
    return found


def value_of(part: str, rows: list[dict[str, int]], step: int) -> int | None:
    sign = max(part.find("+"), part.find("-"))
    name, distance = (part, 0) if sign < 0 else (part[:sign], int(part[sign:]))
    return rows[step + distance][name] if 0 <= step + distance < len(rows) else None


def test_the_features_are_those_that_a_dictionary_finds():
    words = encoded(SENTENCES)
    each = [list(enumerate(row)) for row in spelled_out(words)]
    counts = Counter(feature for row in each for feature in row)
    known = learn_neighbours(words)
    assert len(known) == sum(count >= 2 for count in counts.values())
    found = find_neighbours(words, known)
    pairs = zip(chain(*each), found.flatten().tolist(), strict=True)
    rows = dict(pairs)
    assert [row > 0 for row in rows.values()] == [counts[feature] >= 2 for feature in rows]
    # Different features have different rows.
    assert len(set(rows.values()) - {0}) == len(known)
    assert [[rows[feature] for feature in names] for names in each] == found.tolist()


def test_features_of_other_sentences_are_found_or_unknown():
    known = learn_neighbours(encoded(SENTENCES))
    row = dict(zip(PATTERNS, find_neighbours(encoded([["zebra", "cat"]]), known)[1].tolist(), strict=True))
    assert row["lower"]
    assert row["lower+1"]
    assert not row["lower-1 lower"]
    empty = encoded([[], []])
    assert find_neighbours(empty, known).shape == (0, len(PATTERNS))
    assert learn_neighbours(empty).tolist() == []
    assert not find_neighbours(encoded(SENTENCES), learn_neighbours(empty)).any()


def test_hashes_are_exact_in_json():
    assert learn_neighbours(encoded(SENTENCES)).max() < 2**53
    assert neighbours.REACH == 2


def test_a_step_is_that_of_adagrad_with_one_rate_for_each_feature(monkeypatch: pytest.MonkeyPatch):
    for name, value in {"PASSES": 1, "DROPOUT": 0.0}.items():
        monkeypatch.setattr(module, name, value)
    words = encoded(SENTENCES)
    model, targets = NeighbourModel(learn_neighbours(words), 3), torch.arange(14) % 3
    model.fit(words, targets)
    weight = torch.zeros_like(model.weight, requires_grad=True)
    scores = weight[find_neighbours(words, model.known)].sum(1)
    (gradient,) = torch.autograd.grad(functional.cross_entropy(scores, targets, reduction="sum"), weight)
    expected = -module.LEARNING_RATE * gradient / (gradient.square().mean(1, keepdim=True) + 1e-8).sqrt()
    # Gradients that cancel one another are rounding errors.
    clear = gradient.abs().amax(1) > 1e-3
    clear[0] = False
    assert clear.sum() > 20
    assert torch.allclose(model.weight[clear], expected[clear], atol=1e-6)
    assert not model.weight[0].any()


def test_tags_that_depend_on_neighbours_are_learned(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "WORDS_AT_ONCE", 2)
    words = encoded(SENTENCES)
    # Whether the next word is a cat.
    targets = torch.tensor([0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0])
    one, other, third = (NeighbourModel(learn_neighbours(words), 2) for _ in range(3))
    for model, seed in ((one, 3), (other, 3), (third, 4)):
        model.fit(words, targets, seed=seed)
    assert torch.equal(one(words).argmax(1), targets)
    assert torch.equal(one.weight, other.weight)
    assert not torch.equal(one.weight, third.weight)


def test_some_sentences_are_fitted_where_they_are_many(monkeypatch: pytest.MonkeyPatch):
    words = encoded(SENTENCES)
    monkeypatch.setattr(module, "LARGEST", 7)
    chosen, targets = module._some(words, torch.arange(14), torch.Generator().manual_seed(0))
    assert 0 < len(targets) <= 7
    assert chosen.ids.data.tolist() == words.ids.data[targets].tolist()


def test_the_factors_are_those_that_held_out_words_prefer():
    words = encoded(SENTENCES)
    model, targets = NeighbourModel(learn_neighbours(words), 2), torch.arange(14) % 2
    scores = torch.randn(14, 2, generator=torch.Generator().manual_seed(0))
    assert torch.equal(model.add(scores, words), scores)
    model.combine(lambda a, b: a * 0)
    assert model.factors.tolist() == pytest.approx(FACTORS)
    right = functional.one_hot(targets, 2).double()
    model.combine(lambda a, b: 1e3 * functional.cross_entropy(a * right + b * (1 - right), targets))
    assert model.factors[0] > 1
    assert model.factors[1] == 0
