"""From texts and numbers to batches."""

import numpy as np
import pytest
import torch

from elman.data.text.encoder import BEGIN, END, EncoderSettings, SequenceEncoder
from elman.errors import DataError, UsageError
from elman.settings import check_settings


def encoder(**settings) -> SequenceEncoder:
    return SequenceEncoder(check_settings(EncoderSettings, settings))


def test_characters_words_and_bytes():
    assert encoder().adapt(["ba", "b"]).encode(["ab", ""]).lengths.tolist() == [2, 0]
    assert encoder(tokens="words", lower_case=True).adapt(["A dog", "a cat"]).vocabulary.tokens == ("a", "cat", "dog")
    assert encoder(tokens="bytes").adapt(["é"]).encode(["é"]).total == 2


def test_an_alphabet_reads_other_characters_as_unknown():
    reader = encoder(alphabet="abc").adapt(["xyz"])
    assert reader.encode(["a?c"]).data.tolist() == [1, 0, 3]
    assert reader.vocabulary.tokens == ("a", "b", "c")


def test_marks_stand_around_every_sequence():
    assert encoder(marks=True).adapt(["ab"]).encode(["ab", ""]).lengths.tolist() == [4, 2]


def test_rare_tokens_become_unknown_and_then_unknown_ones_are_allowed():
    reader = encoder(min_count=2).adapt(["aab"])
    assert reader.encode(["bz"]).data.tolist() == [0, 0]
    with pytest.raises(DataError, match="never saw"):
        reader.encode(["z"], unknown="refuse")


def test_ngrams_that_end_at_each_step():
    reader = encoder(ngrams=3, marks=True).adapt(["ab"])
    batch = reader.encode(["ab", "b"])
    assert batch.data.shape == (7, 3)
    named = lambda ids: ["" if number == 0 else reader.vocabulary.decode([number])[0] for number in ids]  # noqa: E731
    assert [named(row) for row in batch.data.tolist()[:4]] == [
        [BEGIN, "", ""],
        ["a", f"{BEGIN}a", ""],
        ["b", "ab", f"{BEGIN}ab"],
        [END, f"b{END}", f"ab{END}"],
    ]
    assert named(batch.data.tolist()[5]) == ["b", "", ""]


@pytest.mark.parametrize("settings", [{"ngrams": 2, "tokens": "words"}, {"ngrams": 2, "alphabet": "ab"}])
def test_ngrams_are_of_characters(settings):
    with pytest.raises(UsageError, match="ngrams"):
        encoder(**settings)


def test_numbers_of_one_feature_or_several():
    batch = encoder(tokens="values").encode([np.zeros(3), np.ones(2)])
    assert (batch.data.shape, batch.data.dtype) == ((5, 1), torch.float32)
    assert encoder(tokens="values").encode([np.zeros((3, 4))]).data.shape == (3, 4)
    with pytest.raises(DataError, match="not finite"):
        encoder(tokens="values").encode([[1.0, float("inf")]])
