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
    with pytest.raises(DataError, match=r"(?s)infinite.*sequence 1, step 2"):
        encoder(tokens="values").encode([[1.0, float("inf")]])


def test_settings_are_given_by_name_or_whole():
    assert SequenceEncoder(tokens="words", max_tokens=5).settings == EncoderSettings(tokens="words", max_tokens=5)
    with pytest.raises(UsageError, match="given twice"):
        SequenceEncoder(EncoderSettings(), tokens="words")
    with pytest.raises(UsageError, match="max_token"):
        SequenceEncoder(max_token=5)


TEXT = "Don't stop: it's 3.50, \u201cfriend\u201d\tof mine!"
SPLITS = {
    "punctuation": ["Don't", "stop", ":", "it's", "3.50", ",", "\u201c", "friend", "\u201d", "of", "mine", "!"],
    "blanks": ["Don't", "stop:", "it's", "3.50,", "\u201cfriend\u201d", "of", "mine!"],
    "strip": ["Dont", "stop", "its", "350", "\u201cfriend\u201d", "of", "mine"],
}


@pytest.mark.parametrize("split", SPLITS)
def test_words_end_where_the_settings_say(split):
    found = encoder(tokens="words", split=split).adapt([TEXT]).vocabulary
    assert set(found.tokens) == set(SPLITS[split])
    assert found.decode(encoder(tokens="words", split=split).adapt([TEXT]).encode([TEXT]).data) == SPLITS[split]
    lower = encoder(tokens="words", split=split, lower_case=True).adapt([TEXT]).vocabulary
    assert set(lower.tokens) == {word.lower() for word in SPLITS[split]}


def test_strip_removes_what_keras_removes():
    """The marks of `TextVectorization(standardize="lower_and_strip_punctuation")`, typed out from its source."""
    marks = r"""!"#$%&()*+,-./:;<=>?@[\]^_`{|}~'"""
    assert len(set(marks)) == 32
    assert encoder(tokens="words", split="strip").adapt([f"a{marks}b {marks} c"]).vocabulary.tokens == ("ab", "c")


def test_only_words_are_split():
    with pytest.raises(UsageError, match="only words are split"):
        encoder(split="blanks")


def test_the_vocabulary_of_the_first_rows():
    texts = ["b a", "b", "c c c"]
    reader = encoder(tokens="words", vocabulary_rows=2)
    assert reader.adapt_and_encode(texts).to_list()[2].tolist() == [0, 0, 0]
    assert reader.vocabulary.tokens == ("b", "a")
    assert encoder(tokens="words", vocabulary_rows=2).adapt(texts).vocabulary == reader.vocabulary
    ngrams = encoder(ngrams=2, vocabulary_rows=1).adapt(["ab", "cd"]).vocabulary
    assert set(ngrams.tokens) == {"a", "b", "ab"}


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"tokens": "words"},
        {"tokens": "words", "marks": True, "max_tokens": 5},
        {"tokens": "words", "min_count": 2, "unknown": "refuse", "alphabet": None},
        {"tokens": "bytes"},
        {"ngrams": 2, "marks": True},
        {"alphabet": "abc"},
    ],
)
def test_learning_and_encoding_at_once_is_the_same_as_one_after_the_other(settings):
    texts = ["the cat the", "", "cat cat the the"]
    at_once, reader = encoder(**settings), encoder(**settings).adapt(texts)
    batch, other = at_once.adapt_and_encode(texts), reader.encode(texts)
    assert at_once.vocabulary == reader.vocabulary
    assert torch.equal(batch.data, other.data)
    assert torch.equal(batch.lengths, other.lengths)


def test_tokens_that_max_tokens_leaves_out_are_refused_on_request():
    with pytest.raises(DataError, match="never saw") as caught:
        encoder(tokens="words", max_tokens=2, unknown="refuse").adapt_and_encode(["a a", "a b"])
    assert "text 2: 'b'" in str(caught.value)


def test_subwords_give_the_text_back_and_no_token_is_unknown():
    pytest.importorskip("sentencepiece")
    texts = ["the cat sat on the mat"] * 20 + ["the dog sat on the log"] * 20
    reader = encoder(tokens="subwords", max_tokens=290, marks=True)
    batch = reader.adapt_and_encode(texts)
    begin, end = reader.vocabulary.specials["begin"], reader.vocabulary.specials["end"]
    rows = batch.to_list()
    assert all((row[0], row[-1]) == (begin, end) for row in rows)
    assert reader.subwords.decode((rows[0][1:-1] - 2).tolist()) == texts[0]
    assert len(rows[0]) < len(texts[0])
    unseen = reader.encode(["the \u017elog"])
    assert unseen.data.min() > reader.vocabulary.specials["unknown"]
    assert reader.subwords.decode((unseen.data[1:-1] - 2).tolist()) == "the \u017elog"
    again = SequenceEncoder(reader.settings, reader.vocabulary, reader.subwords)
    assert torch.equal(again.encode(texts).data, batch.data)
    with pytest.raises(UsageError, match="learned, not counted"):
        encoder(tokens="subwords", min_count=2)
