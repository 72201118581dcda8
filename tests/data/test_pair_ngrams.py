"""Features of two texts, against a plain computation."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from elman.data.text.ngrams import NgramRows, Ngrams
from elman.data.text.pair_ngrams import CROSSED, DIRECTED, OVERLAPS, SCALE, PairNgrams
from tests.examples import draws

TEXTS = st.text("ab c", max_size=6)


def dense(rows: NgramRows, size: int) -> torch.Tensor:
    found = torch.zeros(rows.ids.batch_size, size)
    found[rows.ids.sequence_index(), rows.ids.data] = rows.values
    return found


@draws(30)
@given(pairs=st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=4), symmetric=st.booleans())
def test_features_are_those_of_a_plain_computation(pairs: list[tuple[str, str]], symmetric: bool):
    grams = Ngrams("words")
    grams.learn(["a b c", "ab ba", "abc cab"])
    first, second = (grams.encode(list(texts)) for texts in zip(*pairs, strict=True))
    features = PairNgrams(grams, symmetric=symmetric)
    found = dense(features.rows(first, second), len(features))
    a, b = dense(first, len(grams)), dense(second, len(grams))
    parts = [torch.minimum(a, b)]
    parts += [(a - b).abs()] if symmetric else [(a - b).abs(), DIRECTED * (a - b)]
    torch.testing.assert_close(found[:, : len(parts) * len(grams)], torch.cat(parts, 1))
    overlaps = found[:, len(parts) * len(grams) :].unflatten(1, (2, OVERLAPS)) / SCALE
    for kind, part in enumerate((slice(grams.kinds[0]), slice(grams.kinds[0], None))):
        torch.testing.assert_close(overlaps[:, kind, 0], (a[:, part] * b[:, part]).sum(1))
        union = torch.maximum(a[:, part], b[:, part]).sum(1).clamp(min=1e-9)
        torch.testing.assert_close(overlaps[:, kind, 1], torch.minimum(a[:, part], b[:, part]).sum(1) / union)


def test_symmetric_features_do_not_depend_on_the_order():
    grams = Ngrams("words")
    first, second = ["a cat", "", "the dog ran"], ["the cat sat", "a dog", ""]
    rows = grams.learn(first), grams.encode(second)
    same = [PairNgrams(grams, symmetric=True).rows(*each) for each in (rows, rows[::-1])]
    assert torch.equal(same[0].ids.data, same[1].ids.data)
    torch.testing.assert_close(same[0].values, same[1].values)
    other = [PairNgrams(grams, symmetric=False).rows(*each) for each in (rows, rows[::-1])]
    assert not torch.allclose(other[0].values, other[1].values)


def test_cosines_are_one_for_equal_texts_and_zero_for_empty_ones():
    grams = Ngrams("words")
    rows = grams.learn(["abc", "xyz", "abc"])
    found = PairNgrams(grams, symmetric=True).cosines(rows, grams.encode(["abc", "abc", ""]))
    torch.testing.assert_close(found, torch.tensor([1.0, 0.0, 0.0]))


def test_words_that_one_text_has_alone_are_crossed():
    first, second = ["a man runs", "a dog"], ["a woman runs", "a dog"]
    both = Ngrams("words")
    both.learn([*first, *second])
    rows = both.encode(first), both.encode(second)
    features = PairNgrams(both, symmetric=False)
    before = len(features)
    [cross] = features.learn(*rows)
    assert [both.names[number] for number in divmod(cross, len(both))] == ["man", "woman"]
    assert len(features) == before + 1
    found = dense(features.rows(*rows), len(features))[:, -1]
    torch.testing.assert_close(found, torch.tensor([CROSSED, 0.0]))
    backwards = dense(features.rows(*rows[::-1]), len(features))[:, -1]
    assert not backwards.any()
    alike = PairNgrams(both, symmetric=True)
    alike.learn(*rows)
    assert dense(alike.rows(*rows[::-1]), len(alike))[0, -1] == CROSSED
