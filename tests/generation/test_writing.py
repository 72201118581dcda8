"""Pieces put together are the text; prompts with unknown tokens are told so."""

import re
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman.data.text.coders import CharacterCoder, Coder, CoderSettings, WordCoder, learn_coder
from elman.data.text.corpus import open_corpus
from elman.data.text.vocabulary import Vocabulary
from elman.errors import DataError
from elman.generation.position import fingerprint
from elman.generation.writing import LONGEST_STOP, MEMORY, Writer, never_drawn, read_prompt
from tests.generation.networks import CODERS

UNREADABLE = "\N{REPLACEMENT CHARACTER}"
TEXT = "so it goes, then.\nso é it 😀 \n\ngoes.  then so it goes again and again, then it goes and goes so\n"


@cache
def coders() -> dict[str, Coder]:
    subwords = CoderSettings(tokens="subwords", max_tokens=290)
    return {**CODERS, "subwords": learn_coder(open_corpus(TEXT * 20), subwords)}


texts = st.sampled_from(["bytes", "characters", "subwords", "words"]).flatmap(
    lambda kind: st.tuples(
        st.just(kind),
        st.lists(st.sampled_from(range(never_drawn(coders()[kind]), len(coders()[kind].vocabulary))), max_size=12),
        st.integers(0, 12),
    )
)


def written(coder: Coder, tokens: list[int], at: int) -> str:
    """The text by one writer up to a place and by another from there."""
    first, second = Writer(coder), Writer(coder)
    second.go_on(([-1] * MEMORY + tokens[:at])[-MEMORY:])
    return "".join([first.write(token) for token in tokens[:at]] + [second.write(token) for token in tokens[at:]])


@given(texts)
def test_pieces_are_the_text_also_when_another_writer_goes_on(case: tuple[str, list[int], int]):
    kind, tokens, at = case
    coder = coders()[kind]
    expected, found = coder.decode(tokens), written(coder, tokens, at)
    if kind == "subwords":  # sentencepiece has marks of its own count for what is no UTF-8
        expected, found = (re.sub(f"{UNREADABLE}+", UNREADABLE, each) for each in (expected, found))
        assert expected.rstrip(UNREADABLE) == found.rstrip(UNREADABLE)
    else:  # what the text ends with may be the begin of a character, which is held back
        assert expected in (found, found + UNREADABLE)


@given(
    st.sampled_from(["bytes", "characters", "subwords", "words"]).flatmap(
        lambda kind: st.tuples(
            st.just(kind), st.lists(st.sampled_from(range(len(coders()[kind].vocabulary))), min_size=1, max_size=9)
        )
    )
)
def test_what_is_remembered_tells_the_end_of_a_text_of_any_length(case: tuple[str, list[int]]):
    kind, few = case
    tokens = (few * (2 * MEMORY))[: 2 * MEMORY + len(few)]
    ends = [Writer(coders()[kind]).go_on(each)[1 - LONGEST_STOP :] for each in (tokens, tokens[-MEMORY:])]
    assert ends[0] == ends[1]
    assert len(ends[0]) == LONGEST_STOP - 1


def test_the_longest_stop_is_remembered_when_each_character_takes_four_tokens_and_the_last_is_open():
    tokens = [*("😀" * 100).encode(), *"😀".encode()[:3]]
    assert Writer(CODERS["bytes"]).go_on(tokens[-MEMORY:])[1 - LONGEST_STOP :] == "😀" * (LONGEST_STOP - 1)


@pytest.mark.parametrize("kind", ["characters", "bytes", "words", "subwords"])
def test_a_text_is_written_as_it_was_read(kind: str):
    text = {"words": "so it goes, then.\nso".replace(",", " ,").replace(".", " ."), "characters": "a bad\ncafe"}.get(
        kind, TEXT
    )
    coder = coders()[kind]
    tokens = read_prompt(text, coder)
    for at in range(0, len(tokens), 5):
        assert written(coder, tokens, at) == text


@pytest.mark.parametrize("kind", ["characters", "words", "bytes", "subwords"])
def test_an_empty_prompt_has_no_tokens(kind: str):
    assert read_prompt("", coders()[kind]) == []


def test_a_character_comes_when_all_its_bytes_are_there():
    writer = Writer(CODERS["bytes"])
    assert [writer.write(byte) for byte in "😀a".encode()] == ["", "", "", "😀", "a"]
    assert [writer.write(token) for token in (0xF0, 0x9F, 0x61)] == ["", "", UNREADABLE + "a"]


def characters(tokens: str, **options) -> Coder:
    return CharacterCoder(CoderSettings(tokens="characters"), Vocabulary(tokens, **options))


def test_the_unknown_token_is_written_as_such():
    writer = Writer(WordCoder(CoderSettings(tokens="words"), Vocabulary(["so"])))
    assert [writer.write(token) for token in (1, 0, 1)] == ["so", " <unknown>", " so"]
    assert Writer(characters("ab")).write(0) == UNREADABLE


def test_what_is_no_text_is_never_drawn():
    assert [never_drawn(coders()[kind]) for kind in ("characters", "bytes", "words", "subwords")] == [0, 0, 1, 1]


def test_unknown_tokens_of_a_prompt_are_named_with_the_repair():
    with pytest.raises(DataError) as error:
        read_prompt("cabxéx", characters("abc"))
    assert "'x', 'é'" in error.value.problem
    assert error.value.where == "'x', token 4 of 6\n'é', token 5 of 6"
    assert "--unknown allow" in error.value.fix
    assert read_prompt("cabxéx", characters("abc"), unknown="allow") == [3, 1, 2, 0, 0, 0]
    for unknown in ("refuse", "allow"):
        with pytest.raises(DataError, match="knows these: 'a' 'b' 'c'") as error:
            read_prompt("x", characters("abc", unknown="refuse"), unknown=unknown)
        assert "--unknown" not in error.value.fix
    with pytest.raises(DataError, match="The prompt is a NoneType"):
        read_prompt(None, characters("abc"))  # type: ignore[arg-type]
    with pytest.raises(DataError, match="words that the model has not learned: 'goat'"):
        read_prompt("so goat", CODERS["words"])


@pytest.mark.parametrize("kind", ["characters", "bytes", "words", "subwords"])
@pytest.mark.parametrize("unknown", ["refuse", "allow"])
def test_half_of_a_surrogate_pair_is_no_prompt(kind: str, unknown: str):
    with pytest.raises(DataError, match="The prompt cannot be written as UTF-8"):
        read_prompt("so \udcff", coders()[kind], unknown=unknown)


def test_vocabularies_are_told_apart():
    found = [Vocabulary("ab"), Vocabulary("ba"), Vocabulary("ab", unknown="refuse"), Vocabulary("ab", end=True)]
    assert len({fingerprint(vocabulary) for vocabulary in found}) == 4
    assert fingerprint(Vocabulary("ab")) == fingerprint(Vocabulary(["a", "b"]))
