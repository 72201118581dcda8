"""How many examples Hypothesis draws for a test: a few in the usual run, 200 at random in the long one."""

from collections.abc import Callable
from typing import Any

from hypothesis import settings

# Each run draws others, and what fails is kept in .hypothesis and tried again first.
LONG = "long"
settings.register_profile("elman", derandomize=True, deadline=None, database=None)
# Said outright: in CI, Hypothesis draws the same examples each time unless it is told otherwise.
settings.register_profile(LONG, max_examples=200, derandomize=False, deadline=None, print_blob=True)


def draws(count: int) -> Callable[[Any], Any]:
    """Draw so many examples for a test, or as many as the long profile says: `pytest --hypothesis-profile long`."""
    return settings() if settings.get_current_profile_name() == LONG else settings(max_examples=count)
