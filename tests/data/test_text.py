"""Texts split into tokens and joined again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman.data.text.graphemes import characters, cut_between_characters
from elman.data.text.tokens import Tokenizer
from elman.errors import DataError, UsageError

texts = st.text(st.characters(exclude_categories=["Cs"]))


@pytest.mark.parametrize("kind", ["characters", "bytes"])
@given(text=texts)
def test_characters_and_bytes_join_to_the_text_they_came_from(kind, text):
    tokenizer = Tokenizer(kind)
    assert tokenizer.join(tokenizer.split(text)) == text


@given(texts)
def test_words_lose_nothing_but_white_space(text):
    assert "".join(Tokenizer("words").split(text)) == "".join(text.split())


@given(st.text(alphabet=st.characters(max_codepoint=127)))
def test_words_are_the_same_beside_other_letters(text):
    assert Tokenizer("words").split(text + " ж")[:-1] == Tokenizer("words").split(text)


@given(texts)
def test_words_joined_split_into_the_same_words(text):
    words = Tokenizer("words")
    tokens = words.split(text)
    assert words.split(words.join(tokens)) == tokens


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", []),
        (" \t\n", []),
        ("Hello, world!", ["Hello", ",", "world", "!"]),
        ("don't ‘quote’ dogs'", ["don't", "‘", "quote", "’", "dogs", "'"]),
        ("l’été naïve", ["l’été", "naïve"]),
        ("3.50 1,000 v2.0 e.g. 1.", ["3.50", "1,000", "v2.0", "e", ".", "g", ".", "1", "."]),
        ("snake_case --x", ["snake_case", "-", "-", "x"]),
        ("cafe\u0301 हिन्दी किताब", ["cafe\u0301", "हिन्दी", "किताब"]),
        ("日本。", ["日本", "。"]),
        ("👍 ok…", ["👍", "ok", "…"]),
        ("👩\u200d💻👍🏽 ❤\ufe0f! 1\ufe0f\u20e3", ["👩\u200d💻", "👍🏽", "❤\ufe0f", "!", "1\ufe0f\u20e3"]),
        ("🇩🇪🇫🇷🏴\U000e0067\U000e007f", ["🇩🇪", "🇫🇷", "🏴\U000e0067\U000e007f"]),
        ("می\u200cخواهم، بروم", ["می\u200cخواهم", "،", "بروم"]),
        ("ශ්\u200dරී ලංකා", ["ශ්\u200dරී", "ලංකා"]),
        ("co\u00adope\u2060rate a\u200eb", ["co\u00adope\u2060rate", "a\u200eb"]),
        ("ក\u200bខ", ["ក", "\u200b", "ខ"]),
        ("l\u200d’e\u0301te", ["l\u200d’e\u0301te"]),
    ],
)
def test_words(text, tokens):
    assert Tokenizer("words").split(text) == tokens


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("ne\u0301", ["n", "e\u0301"]),
        ("👩\u200d💻!", ["👩\u200d💻", "!"]),
        ("🇩🇪🇫🇷", ["🇩🇪", "🇫🇷"]),
        ("می\u200cخ", ["م", "ی\u200c", "خ"]),
        ("हिन्दी"[:2], ["हि"]),
        ("ශ්\u200dරී", ["ශ්\u200d", "රී"]),
        ("a\r\nb", ["a", "\r", "\n", "b"]),
        ("각\u1112\u1161", ["각", "\u1112\u1161"]),
    ],
)
def test_characters_are_what_a_reader_takes_for_one(text, tokens):
    assert Tokenizer("characters").split(text) == tokens


@given(st.lists(st.text(alphabet="a \n\u0301\u200d👩💻🇩🇪ก\u0e33한\u1112\u1161", max_size=4), max_size=6))
def test_pieces_are_cut_between_characters(pieces):
    cut = list(cut_between_characters(pieces))
    assert [token for piece in cut for token in characters(piece)] == characters("".join(pieces))


def test_bytes_are_two_hexadecimal_digits():
    assert Tokenizer("bytes").split("aé€") == ["61", "c3", "a9", "e2", "82", "ac"]


def test_bytes_cut_inside_a_character_join_to_the_replacement_character():
    assert Tokenizer("bytes").join(["61", "c3"]) == "a\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize(
    ("kind", "tokens"), [("characters", ["n", "é"]), ("bytes", ["6e", "c3", "a9"]), ("words", ["né"])]
)
def test_lower_case(kind, tokens):
    assert Tokenizer(kind, lower_case=True).split("NÉ") == tokens
    assert Tokenizer(kind).split("NÉ") != tokens


def test_an_unknown_kind_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match="Did you mean `characters`"):
        Tokenizer("character")  # type: ignore[arg-type]


def test_half_a_surrogate_pair_has_no_bytes():
    with pytest.raises(DataError, match="character 3 of"):
        Tokenizer("bytes").split("ab\ud800")


@pytest.mark.parametrize("token", ["g0", "6", "616", "<unknown>", "0x"])
def test_a_token_that_is_no_byte_is_named(token):
    with pytest.raises(DataError, match="token 2 of 3"):
        Tokenizer("bytes").join(["61", token, "62"])
