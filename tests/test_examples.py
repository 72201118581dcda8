"""The profiles of Hypothesis."""

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import LONG, draws


@pytest.fixture
def profile(request: pytest.FixtureRequest) -> Iterator[None]:
    before = settings.get_current_profile_name()
    settings.load_profile(request.param)
    yield
    settings.load_profile(before)


def drawn() -> list[int]:
    seen: list[int] = []
    draws(3)(given(st.integers())(lambda number: seen.append(number)))()
    return seen


@pytest.mark.parametrize("profile", [LONG], indirect=True)
@pytest.mark.usefixtures("profile")
def test_the_long_profile_draws_200_examples_and_others_each_time():
    first, second = drawn(), drawn()
    assert len(first) >= 200 <= len(second)
    assert first != second


@pytest.mark.parametrize("profile", ["elman"], indirect=True)
@pytest.mark.usefixtures("profile")
def test_the_usual_profile_draws_the_same_few():
    first = drawn()
    assert len(first) == 3
    assert drawn() == first
