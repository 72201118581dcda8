"""Pieces put together are the text; prompts with unknown tokens are told so."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman.errors import DataError
from elman.generation.places import fingerprint
from elman.generation.writing import MEMORY, Writer, read_prompt
from elman.sequences.text import Tokenizer, TokenKind
from elman.sequences.vocabulary import Vocabulary
from tests.generation.networks import KINDS

texts = st.sampled_from(sorted(KINDS)).flatmap(
    lambda kind: st.tuples(
        st.just(kind), st.lists(st.integers(0, len(KINDS[kind].tokens) - 1), max_size=12), st.integers(0, 12)
    )
)


def cut(tokens: list[int], at: int) -> list[int]:
    """The last tokens before a place."""
    return ([-1] * MEMORY + tokens[:at])[-MEMORY:]


@given(texts)
def test_pieces_are_the_text_also_when_another_writer_goes_on(case: tuple[TokenKind, list[int], int]):
    kind, places, at = case
    vocabulary, tokenizer = KINDS[kind], Tokenizer(kind)
    tokens = [place + len(vocabulary.specials) for place in places]
    first, second = Writer(tokenizer, vocabulary), Writer(tokenizer, vocabulary)
    second.go_on(cut(tokens, at))
    written = "".join([first.write(token) for token in tokens[:at]] + [second.write(token) for token in tokens[at:]])
    expected = tokenizer.join(vocabulary.decode(tokens))
    # What the text ends with may be the begin of a character, which is held back.
    assert expected in (written, written + "\N{REPLACEMENT CHARACTER}")


def test_a_character_comes_when_all_its_bytes_are_there():
    vocabulary = Vocabulary(["f0", "9f", "98", "80", "61"], unknown="refuse")
    writer = Writer(Tokenizer("bytes"), vocabulary)
    assert [writer.write(token) for token in range(5)] == ["", "", "", "😀", "a"]
    assert [writer.write(token) for token in (0, 1, 4)] == ["", "", "\N{REPLACEMENT CHARACTER}a"]


def test_special_entries_write_nothing_but_the_unknown_word():
    vocabulary = Vocabulary(["so"], unknown="allow", begin=True, end=True)
    writer = Writer(Tokenizer("words"), vocabulary)
    assert [writer.write(token) for token in (1, 3, 0, 2, 3)] == ["", "so", " <unknown>", "", " so"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_prompt_becomes_its_tokens(kind: TokenKind):
    text = {"characters": "a bad\ncafe", "bytes": "aé€😀", "words": "so it goes, then."}[kind]
    vocabulary = KINDS[kind]
    assert vocabulary.decode(read_prompt(text, Tokenizer(kind), vocabulary)) == Tokenizer(kind).split(text)
    assert read_prompt("", Tokenizer(kind), vocabulary) == []


def test_unknown_tokens_of_a_prompt_are_named_with_the_repair():
    letters = Tokenizer("characters")
    with pytest.raises(DataError) as error:
        read_prompt("cabxéx", letters, Vocabulary("abc"))
    assert "'x', 'é'" in error.value.problem
    assert error.value.where == "'x', token 4 of 6\n'é', token 5 of 6"
    assert "--unknown allow" in error.value.fix
    assert read_prompt("cabxéx", letters, Vocabulary("abc"), unknown="allow") == [3, 1, 2, 0, 0, 0]
    for unknown in ("refuse", "allow"):
        with pytest.raises(DataError, match="knows these: a b c") as error:
            read_prompt("x", letters, Vocabulary("abc", unknown="refuse"), unknown=unknown)
        assert "--unknown" not in error.value.fix


def test_vocabularies_are_told_apart():
    found = [Vocabulary("ab"), Vocabulary("ba"), Vocabulary("ab", unknown="refuse"), Vocabulary("ab", end=True)]
    assert len({fingerprint(vocabulary) for vocabulary in found}) == 4
    assert fingerprint(Vocabulary("ab")) == fingerprint(Vocabulary(["a", "b"]))
