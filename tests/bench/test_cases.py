"""The names of cases, and what each stands for."""

import pytest

from elman.bench.cases import CASES, GATES, LISTED, find_cases, parse
from elman.errors import UsageError


@pytest.mark.parametrize("name", CASES)
def test_a_name_says_the_whole_case(name: str):
    assert parse(name) == CASES[name]
    assert CASES[name].name == name


def test_every_cell_meets_every_mode_and_ragged_batches():
    for cell in GATES:
        mine = [case for case in CASES.values() if case.cell == cell]
        assert {case.mode for case in mine} == {"forward", "forward+backward", "streaming"}
        assert {case.steps for case in mine if case.ragged} == {100, 400, 1344, 2000}
        assert {case.hidden_size for case in mine if case.mode == "streaming"} == {128, 512, 1024}


def test_lengths_are_drawn_from_one_to_the_longest_and_always_the_same():
    (case,) = find_cases(["lstm-b500-t9-i3-h4-ragged-forward"])
    assert set(case.lengths) == set(range(1, 10))
    assert parse(case.name).lengths == case.lengths
    assert parse("lstm-b3-t9-i3-h4-forward").lengths == [9, 9, 9]


@pytest.mark.parametrize(
    ("name", "operations"),
    [
        ("gru-b2-t5-i3-h4-forward", 2 * 10 * (3 + 4) * 4 * 3),
        ("gru-b2-t5-i3-h4-forward+backward", 3 * 2 * 10 * (3 + 4) * 4 * 3),
        ("lstm-b1-t1-i3-h4-streaming", 2 * ((3 + 4) * 4 * 4 + (4 + 4) * 4 * 4)),
    ],
)
def test_useful_operations(name: str, operations: int):
    assert parse(name).operations == operations


@pytest.mark.parametrize(
    "name",
    [
        "",
        "gru",
        "gru-b0-t5-i3-h4-forward",
        "gru-b2-t5-i3-h4",
        "rnn-b2-t5-i3-h4-forward",
        "gru-b2-t5-i3-h4-streaming",
        "gru-b1-t1-i3-h4-ragged-streaming",
        "gru-b2-t5-i3-h4-forward ",
    ],
)
def test_what_is_no_name(name: str):
    assert parse(name) is None


def test_cases_are_found_by_name_by_pattern_and_all_without_any():
    assert [case.name for case in find_cases(["lstm-b4-t7-i3-h5-forward"])] == ["lstm-b4-t7-i3-h5-forward"]
    streaming = find_cases(["gru-*streaming", "gru-b1-t1-i128-h128-streaming"])
    assert len(streaming) == 3
    assert [case.name for case in find_cases([])] == list(LISTED)


def test_every_wrong_name_is_told_with_the_nearest_right_one():
    with pytest.raises(UsageError) as caught:
        find_cases(["lstm-b16-t40-i64-h64-forwards", "nothing-*"])
    assert "`lstm-b16-t40-i64-h64-forwards` and none `nothing-*`" in caught.value.problem
    assert "`lstm-b16-t40-i64-h64-forward`" in caught.value.fix
    assert "--list" in caught.value.fix
