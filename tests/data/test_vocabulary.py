"""Tokens to numbers and back, and the vocabularies that are refused."""

import copy
import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from elman.data.ragged.ragged import Ragged
from elman.data.text import vocabulary as module
from elman.data.text.vocabulary import Vocabulary
from elman.errors import DataError, ModelError, UsageError

token_lists = st.lists(st.lists(st.text(min_size=1, max_size=3), max_size=6), max_size=6)
options = st.fixed_dictionaries({name: st.booleans() for name in ("padding", "begin", "end")})


@given(token_lists, options, st.sampled_from(["allow", "refuse"]), st.booleans())
def test_what_it_was_built_from_is_decoded_again(lists, options, unknown, marks):
    vocabulary = Vocabulary.build(lists, unknown=unknown, **options)
    for tokens in lists:
        numbers = vocabulary.encode(tokens, marks=marks)
        assert len(numbers) == len(tokens) + (marks and options["begin"]) + (marks and options["end"])
        assert all(0 <= number < len(vocabulary) for number in numbers)
        assert vocabulary.decode(numbers) == tokens
        assert vocabulary.decode(torch.tensor(numbers, dtype=torch.int64)) == tokens
    assert vocabulary.unknown_tokens(token for tokens in lists for token in tokens) == []


@given(token_lists, options, st.sampled_from(["allow", "refuse"]))
def test_json_round_trip(lists, options, unknown):
    vocabulary = Vocabulary.build(lists, unknown=unknown, **options)
    again = Vocabulary.from_json(json.loads(json.dumps(vocabulary.to_json())))
    assert again == vocabulary
    assert again.specials == vocabulary.specials


@given(token_lists, st.randoms())
def test_build_does_not_depend_on_the_order_of_the_texts(lists, random):
    shuffled = copy.copy(lists)
    random.shuffle(shuffled)
    assert Vocabulary.build(shuffled) == Vocabulary.build(lists)


def test_build_takes_the_most_frequent_first_and_ties_alphabetically():
    lists = [["b", "a", "c"], ["c", "d", "d"], ["d"]]
    assert Vocabulary.build(lists).tokens == ("d", "c", "a", "b")
    assert Vocabulary.build(lists, max_tokens=4).tokens == ("d", "c", "a")
    assert Vocabulary.build(lists, min_count=2).tokens == ("d", "c")
    assert Vocabulary.build(lists, min_count=2, max_tokens=2).tokens == ("d",)
    assert Vocabulary.build([]).tokens == ()


@pytest.mark.parametrize("limit", [{"max_tokens": 0}, {"min_count": 0}, {"max_tokens": -1}])
def test_build_refuses_limits_below_one(limit):
    with pytest.raises(UsageError, match="expected 1 or more"):
        Vocabulary.build([["a"]], **limit)


def test_max_tokens_count_the_special_entries():
    marks = {"padding": True, "begin": True, "end": True}
    assert len(Vocabulary.build(["abcdef"], max_tokens=5, **marks)) == 5
    assert Vocabulary.build(["abcdef"], max_tokens=3, unknown="refuse").tokens == ("a", "b", "c")
    with pytest.raises(UsageError, match="expected more than 4") as caught:
        Vocabulary.build(["abcdef"], max_tokens=4, **marks)
    assert "max_tokens=5" in str(caught.value)


def test_special_entries_come_first_and_only_when_asked():
    every = Vocabulary("ab", padding=True, begin=True, end=True)
    assert every.specials == {"padding": 0, "unknown": 1, "begin": 2, "end": 3}
    assert every.encode("ab") == [4, 5]
    assert every.encode("ab", marks=True) == [2, 4, 5, 3]
    assert len(every) == 6
    bare = Vocabulary("ab", unknown="refuse")
    assert (bare.specials, len(bare), bare.encode("ab", marks=True)) == ({}, 2, [0, 1])


def test_decode_leaves_marks_and_padding_out_and_shows_unknown():
    vocabulary = Vocabulary("ab", padding=True, begin=True, end=True)
    assert vocabulary.decode([2, 4, 1, 5, 3, 0, 0]) == ["a", "<unknown>", "b"]


def test_a_text_that_spells_a_mark_does_not_reach_it():
    vocabulary = Vocabulary(["word"], begin=True, end=True, padding=True)
    unknown = vocabulary.specials["unknown"]
    assert vocabulary.encode(["<end>", "end", "<unknown>", "padding"]) == [unknown] * 4


def test_encode_batch_is_ragged_with_empty_texts():
    batch = Vocabulary("abc").encode_batch(["ab", "", "c?"])
    assert isinstance(batch, Ragged)
    assert batch.data.dtype == torch.int64
    assert batch.data.tolist() == [1, 2, 3, 0]
    assert batch.lengths.tolist() == [2, 0, 2]
    assert len(Vocabulary("abc").encode_batch([])) == 0
    marked = Vocabulary("abc", begin=True, end=True).encode_batch(["a", ""], marks=True)
    assert marked.lengths.tolist() == [3, 2]


def test_unknown_tokens_are_named_once_in_order():
    vocabulary = Vocabulary("abc")
    assert vocabulary.unknown_tokens("xaybxz") == ["x", "y", "z"]
    assert "a" in vocabulary
    assert "x" not in vocabulary


def test_refuse_names_token_position_and_text():
    vocabulary = Vocabulary("abc", unknown="refuse")
    with pytest.raises(DataError) as caught:
        vocabulary.encode_batch(["ab", "a?c", "cé"])
    assert caught.value.problem == "2 tokens are not in the vocabulary."
    assert caught.value.where == "'?', token 2 of 'a?c' (text 2)\n'é', token 2 of 'cé' (text 3)"
    assert "unknown" in caught.value.fix
    with pytest.raises(DataError, match="1 token is not"):
        vocabulary.encode("d")


def test_refuse_shows_words_with_blanks_and_cuts_long_texts():
    vocabulary = Vocabulary(["good"], unknown="refuse")
    with pytest.raises(DataError, match="'good film'"):
        vocabulary.encode(["good", "film"])
    with pytest.raises(DataError, match="…") as caught:
        vocabulary.encode(["good"] * 100 + ["film"])
    assert len(caught.value.where) < 120


def test_refuse_shows_each_text_once(monkeypatch):
    shown = []
    monkeypatch.setattr(module, "_shown", lambda tokens: shown.append(tokens) or "'…'")
    with pytest.raises(DataError, match="7 tokens are not"):
        Vocabulary("abc", unknown="refuse").encode_batch(["abc", "a?????", "xx"])
    assert shown == ["a?????", "xx"]


@pytest.mark.parametrize("number", [-1, 4, 10**9])
def test_decode_refuses_numbers_that_no_entry_has(number):
    with pytest.raises(DataError, match="position 2 of 2"):
        Vocabulary("abc").decode([1, number])


@pytest.mark.parametrize(
    ("tokens", "reason"),
    [
        (["a", "b", "a"], "'a' comes 2 times"),
        ("hello", "'l' comes 2 times"),
        (["a", ""], "entry 2 is empty"),
        (["a", 5], "entry 2: 5 is not a string"),
        ([["a"]], "is not a string"),
    ],
)
def test_tokens_must_be_strings_each_once(tokens, reason):
    with pytest.raises(DataError, match=reason):
        Vocabulary(tokens)


def test_an_unknown_policy_is_refused():
    with pytest.raises(UsageError, match="Did you mean `refuse`"):
        Vocabulary("abc", unknown="refused")  # type: ignore[arg-type]


def damaged(**changes) -> dict:
    value = Vocabulary("abc").to_json() | changes
    return {name: field for name, field in value.items() if field is not ...}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "not an object with fields but NoneType"),
        (["a"], "but list"),
        ({}, "`format` is None"),
        (damaged(format="other"), "`format` is 'other'"),
        (damaged(version=2), "version is 2, and this elman reads version 1"),
        (damaged(version=...), "version is None"),
        (damaged(tokens=...), "`tokens` is missing"),
        (damaged(begin=...), "`begin` is missing"),
        (damaged(extra=1), "`extra` is not known"),
        (damaged(tokens="abc"), "`tokens` is 'abc', where a list of strings"),
        (damaged(tokens=["a", "a"]), "'a' comes 2 times"),
        (damaged(tokens=["a", None]), "entry 2: None is not a string"),
        (damaged(tokens=["a", ["b"]]), "is not a string"),
        (damaged(unknown="maybe"), "`unknown` is 'maybe'"),
        (damaged(unknown=["allow"]), "`unknown` is"),
        (damaged(padding=1), "`padding` is '1', where true or false"),
        (damaged(end="true"), "`end` is 'true'"),
    ],
)
def test_from_json_refuses_what_is_damaged_or_foreign_with_the_reason(value, reason):
    with pytest.raises(ModelError, match="not a usable vocabulary") as caught:
        Vocabulary.from_json(value)
    assert reason in caught.value.where
    assert caught.value.fix
