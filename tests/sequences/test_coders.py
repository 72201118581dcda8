"""Texts to token ids and back: nothing depends on how the text was cut into pieces."""

import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elman.errors import DataError, UsageError
from elman.sequences.coders import CoderSettings, coder_from_json, learn_coder
from elman.sequences.corpus import open_corpus
from elman.sequences.vocabulary import Vocabulary
from elman.settings import check_settings

TEXT = "The cat, which isn't here, sat. ΟΔΟΣ ΟΔΟΣ\nThe dog costs 3.50!\n\n  Two  blanks — naïve 𝄞.\n" * 20
KINDS = [
    {"tokens": "characters"},
    {"tokens": "characters", "lower_case": True},
    {"tokens": "bytes"},
    {"tokens": "words"},
    {"tokens": "words", "split": "blanks", "lower_case": True},
    {"tokens": "subwords", "max_tokens": 330},
]
CODERS = [learn_coder(open_corpus(TEXT), CoderSettings(**kind)) for kind in KINDS]
every_coder = pytest.mark.parametrize("coder", CODERS, ids=[" ".join(map(str, kind.values())) for kind in KINDS])
PIECES = st.lists(st.text(alphabet="abΣΟ𝄞é \n.,3'", max_size=6), max_size=8)


@every_coder
@settings(max_examples=40)
@given(pieces=PIECES)
def test_pieces_give_what_the_whole_text_gives(coder, pieces):
    whole = coder.encode("".join(pieces))
    cut = list(coder.cut(pieces))
    assert "".join(cut) == "".join(pieces)
    ids = np.concatenate([np.array([], whole.dtype), *(coder.encode(piece) for piece in cut)])
    assert ids.dtype == whole.dtype
    assert ids.tolist() == whole.tolist()


@every_coder
def test_the_text_comes_back(coder):
    text = TEXT.lower() if coder.settings.lower_case else TEXT
    again = coder.decode(coder.encode(text).tolist())
    if coder.settings.tokens == "words":
        assert again.count("\n") == text.count("\n")
        assert "".join(again.split()) == "".join(text.split())
    else:
        assert again == text


@every_coder
def test_it_is_the_same_after_json(coder):
    again = coder_from_json(coder.to_json())
    assert again.settings == coder.settings
    assert again.vocabulary == coder.vocabulary
    assert again.encode(TEXT).tolist() == coder.encode(TEXT).tolist()


def test_what_training_never_saw_is_unknown_or_refused_by_name():
    ids = CODERS[0].encode("cat ж")
    assert (ids == CODERS[0].vocabulary.specials["unknown"]).tolist() == [False] * 4 + [True]
    strict = learn_coder(open_corpus(TEXT), CoderSettings(unknown="refuse"))
    with pytest.raises(DataError, match="unknown") as caught:
        strict.encode("cat ж")
    assert "'ж' (U+0436)" in str(caught.value)
    assert CODERS[-1].decode(CODERS[-1].encode("cat ж").tolist()) == "cat ж"


def test_the_vocabulary_is_that_of_the_whole_text():
    assert CODERS[0].vocabulary == Vocabulary.build([TEXT])
    rare = learn_coder(open_corpus(TEXT + "ж"), CoderSettings(min_count=2)).vocabulary
    assert rare.tokens == Vocabulary.build([TEXT]).tokens
    few = learn_coder(open_corpus(TEXT), CoderSettings(tokens="words", split="blanks", max_tokens=3)).vocabulary
    words = Counter(word for line in TEXT.split("\n") for word in [*line.split(), "\n"])
    words["\n"] -= 1
    assert list(few.tokens) == sorted(words, key=lambda word: (-words[word], word))[:3]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind["tokens"] != "bytes"])
def test_a_text_without_tokens_is_refused(kind):
    with pytest.raises(DataError, match=r"The text has no .* to learn from"):
        learn_coder(open_corpus(""), CoderSettings(**kind))


@pytest.mark.parametrize("tokens", ["characters", "words"])
def test_a_vocabulary_of_one_is_refused(tokens):
    with pytest.raises(DataError, match="one entry only, 'a'"):
        learn_coder(open_corpus("aaaa" if tokens == "characters" else "a a a"), CoderSettings(tokens=tokens))


def test_subwords_without_sentencepiece_say_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="not installed") as caught:
        learn_coder(open_corpus(TEXT), CoderSettings(tokens="subwords"))
    assert "elman[subwords]" in str(caught.value)


@pytest.mark.parametrize(
    "values",
    [
        {"alphabet": "abc", "tokens": "words"},
        {"alphabet": "abc", "min_count": 2},
        {"split": "blanks"},
        {"tokens": "bytes", "lower_case": True},
        {"tokens": "subwords", "min_count": 2},
    ],
)
def test_settings_that_do_not_go_together_are_refused(values):
    with pytest.raises(UsageError, match=next(iter(values))):
        check_settings(CoderSettings, values)
