"""Texts to token ids and back: nothing depends on how the text was cut into pieces."""

import sys
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman.data.text import coders as module
from elman.data.text import corpus, subwords
from elman.data.text.coders import CoderSettings, coder_from_json, cut_after, learn_coder
from elman.data.text.corpus import open_corpus
from elman.data.text.vocabulary import Vocabulary
from elman.errors import DataError, UsageError
from elman.settings import check_settings
from tests.examples import draws

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
@draws(40)
@given(pieces=PIECES)
def test_pieces_give_what_the_whole_text_gives(coder, pieces):
    whole = coder.encode("".join(pieces))
    cut = list(coder.cut(pieces))
    assert "".join(cut) == "".join(pieces)
    ids = np.concatenate([np.array([], whole.dtype), *(coder.encode(piece) for piece in cut)])
    assert ids.dtype == whole.dtype
    assert ids.tolist() == whole.tolist()


@every_coder
def test_a_text_without_line_ends_or_blanks_is_cut_all_the_same(coder, monkeypatch):
    monkeypatch.setattr(module, "LONGEST_PIECE", 10)
    for text in ("one line of words, of no end " * 9, "nothingatwhichtocutit" * 9):
        pieces = [text[start : start + 4] for start in range(0, len(text), 4)]
        cut = list(coder.cut(pieces))
        assert "".join(cut) == text
        assert max(map(len, cut)) <= 14
        if " " in text:
            ids = np.concatenate([coder.encode(piece) for piece in cut])
            assert ids.tolist() == coder.encode(text).tolist()


def test_a_long_line_is_cut_before_a_blank_if_it_has_one(monkeypatch):
    monkeypatch.setattr(module, "LONGEST_PIECE", 10)
    assert list(cut_after("\n".__eq__, ["one two th", "ree four"])) == ["one two", " three", " four"]
    assert list(cut_after("\n".__eq__, [" onetwothree", "four\nfive"])) == [" onetwothree", "four\n", "five"]


def test_subwords_are_learned_from_so_many_characters_also_of_one_line(monkeypatch):
    text = "The cat sat here and the dog sat there. " * 50
    monkeypatch.setattr(corpus, "PIECE_BYTES", 50)
    monkeypatch.setattr(module, "LONGEST_PIECE", 50)
    looked_at = []

    def train(sentence_iterator, **_):
        looked_at[:] = sentence_iterator
        raise RuntimeError("no more is needed")

    library = SimpleNamespace(SentencePieceTrainer=SimpleNamespace(train=train))
    monkeypatch.setattr(subwords, "_sentencepiece", lambda: library)
    for most in (500, len(text)):
        monkeypatch.setattr(subwords, "CHARACTERS_TO_LEARN_FROM", most)
        with pytest.raises(DataError, match="cannot learn"):
            learn_coder(open_corpus(text), CoderSettings(tokens="subwords"))
        assert most - 50 < len("".join(looked_at)) <= most
    assert "".join(looked_at) == text


@every_coder
def test_half_of_a_surrogate_pair_has_no_bytes(coder):
    if coder.settings.tokens in ("characters", "words"):
        assert coder.vocabulary.specials["unknown"] in coder.encode("cat \udcff")
        return
    with pytest.raises(DataError, match="half of a surrogate pair") as caught:
        coder.encode("cat \udcff")
    assert caught.value.where == "character 5"


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
    assert caught.value.where == "character 5: 'ж' (U+0436)"
    assert CODERS[-1].decode(CODERS[-1].encode("cat ж").tolist()) == "cat ж"


def test_the_vocabulary_is_that_of_the_whole_text():
    assert CODERS[0].vocabulary == Vocabulary.build([TEXT])
    rare = learn_coder(open_corpus(TEXT + "ж"), CoderSettings(min_count=2)).vocabulary
    assert rare.tokens == Vocabulary.build([TEXT]).tokens
    few = learn_coder(open_corpus(TEXT), CoderSettings(tokens="words", split="blanks", max_tokens=4)).vocabulary
    words = Counter(word for line in TEXT.split("\n") for word in [*line.split(), "\n"])
    words["\n"] -= 1
    assert list(few.tokens) == sorted(words, key=lambda word: (-words[word], word))[:3]


@pytest.mark.parametrize("kind", KINDS)
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


def test_too_few_subwords_are_told_with_their_least_number():
    text = open_corpus("the cat sat\n" * 40)
    with pytest.raises(DataError, match="cannot learn 20 subwords") as error:
        learn_coder(text, CoderSettings(tokens="subwords", max_tokens=20))
    assert error.value.where is None
    least = int(error.value.fix.split("of ")[1].split()[0])
    assert len(learn_coder(text, CoderSettings(tokens="subwords", max_tokens=least)).vocabulary) == least
    with pytest.raises(DataError, match=f"of {least} or more"):
        learn_coder(text, CoderSettings(tokens="subwords", max_tokens=least - 1))
