"""TF-IDF features of texts, against scikit-learn's."""

import json

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer

from elman.data.text import ngrams
from elman.data.text.ngrams import Ngrams
from elman.data.text.tokens import Tokenizer

TEXTS = ["A good film, a good plot", "the plot is bad", "", "Bad, bad film!", "naïve — 3.5 stars", "a"]
NEW = ["an unseen plot", "good good good", "", "?!"]


def matrix(rows, width: int) -> np.ndarray:
    lengths = rows.lengths.numpy()
    row = np.repeat(np.arange(len(lengths)), lengths)
    return sparse.coo_array((rows.values.numpy(), (row, rows.ids.data.numpy())), (len(lengths), width)).toarray()


def peers(unit: str) -> list[TfidfVectorizer]:
    how = {"sublinear_tf": True}
    if unit == "texts":
        return [TfidfVectorizer(analyzer=lambda text: parts(f" {text.lower()} ", 1, 6), **how)]
    split = Tokenizer("words", lower_case=True).split
    pairs = TfidfVectorizer(ngram_range=(1, 2), tokenizer=split, token_pattern=None, **how)
    inside = TfidfVectorizer(analyzer=lambda text: [p for w in split(text) for p in parts(f" {w} ", 2, 5)], **how)
    return [pairs, inside]


def parts(text: str, shortest: int, longest: int) -> list[str]:
    return [text[at : at + n] for n in range(shortest, longest + 1) for at in range(len(text) - n + 1)]


@pytest.mark.parametrize("unit", ["words", "texts"])
@pytest.mark.parametrize("chunk", [2, 100])
def test_features_are_those_of_scikit_learn(unit, chunk, monkeypatch):
    monkeypatch.setattr(ngrams, "CHUNK", chunk)
    grams = Ngrams(unit)
    learned = matrix(grams.learn(TEXTS), len(grams))
    encoded = matrix(grams.encode(NEW), len(grams))
    first = 0
    for peer in peers(unit):
        expected, unseen = peer.fit_transform(TEXTS).toarray(), peer.transform(NEW).toarray()
        names = grams.names[first : first + expected.shape[1]]
        order = [peer.vocabulary_[name] for name in names]
        assert sorted(order) == list(range(expected.shape[1]))
        assert np.allclose(learned[:, first : first + len(names)], expected[:, order], atol=1e-6)
        assert np.allclose(encoded[:, first : first + len(names)], unseen[:, order], atol=1e-6)
        first += len(names)
    assert first == len(grams)


def test_features_survive_json_and_a_selection(monkeypatch):
    grams = Ngrams("words")
    rows = grams.learn(TEXTS)
    again = Ngrams.from_json(json.loads(json.dumps(grams.to_json())))
    assert again.names == grams.names
    assert torch.equal(again.encode(TEXTS).values, rows.values)
    chosen = rows.select([3, 2, 0])
    assert torch.equal(chosen.lengths, rows.lengths[[3, 2, 0]])
    assert np.array_equal(matrix(chosen, len(grams)), matrix(rows, len(grams))[[3, 2, 0]])
    with pytest.raises(ValueError, match="n-grams of 'lines'"):
        Ngrams.from_json({**grams.to_json(), "unit": "lines"})


def test_rare_features_of_many_texts_are_left_out_and_the_rest_are_bounded(monkeypatch):
    monkeypatch.setattr(ngrams, "MANY_TEXTS", 3)
    grams = Ngrams("words")
    grams.learn(["a b", "a c", "a d"])
    assert grams.names == ["a", " a", " a ", "a "]
    monkeypatch.setattr(ngrams, "MANY_TEXTS", 10)
    monkeypatch.setattr(ngrams, "LARGEST", 2)
    grams.learn(["b a", "b a", "b"])
    assert grams.names == ["b", "a", " b", " b "]


def test_there_may_be_no_features():
    grams = Ngrams("words")
    assert grams.learn(["", ""]).lengths.tolist() == [0, 0]
    assert grams.encode(["word"]).lengths.tolist() == [0]
    assert grams.encode([]).lengths.tolist() == []
