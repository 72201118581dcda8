"""Taking turns, on a clock that only the work itself moves."""

import pytest

from elman.bench.timing import time_in_turns


class Clock:
    """Time that passes when a side runs."""

    def __init__(self):
        self.now = 0.0
        self.order: list[str] = []

    def __call__(self) -> float:
        return self.now

    def side(self, name: str, *seconds: float):
        """A side whose runs take these times, the last one for ever."""
        left = list(seconds)

        def run() -> None:
            self.order.append(name)
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return run


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_sides_take_turns_after_they_are_warmed_up(clock: Clock):
    sides = {"a": clock.side("a", 0.1), "b": clock.side("b", 0.2)}
    found = time_in_turns(sides, repeat=4, seconds=10, clock=clock)
    assert "".join(clock.order) == "aabb" + "ab" * 4
    assert found["a"].milliseconds == pytest.approx(100)
    assert found["b"].milliseconds == pytest.approx(200)
    assert found["a"].samples == found["b"].samples == 4


def test_the_median_counts_and_the_warm_up_does_not(clock: Clock):
    sides = {"a": clock.side("a", 0.9, 0.1, 0.5, 0.2, 0.3)}
    assert time_in_turns(sides, repeat=3, seconds=10, clock=clock)["a"].milliseconds == pytest.approx(300)


def test_a_slow_side_is_run_three_times_spread_over_the_rounds(clock: Clock):
    sides = {"slow": clock.side("s", 0.9), "fast": clock.side("f", 0.05)}
    found = time_in_turns(sides, repeat=9, seconds=1, clock=clock)
    assert found["slow"].samples == 3
    assert found["fast"].samples == 9
    assert "".join(clock.order).removeprefix("ssff") == "ffsfffsfffsf"


def test_a_very_slow_side_is_not_warmed_up_for_nothing(clock: Clock):
    found = time_in_turns({"slow": clock.side("s", 12.0)}, repeat=25, seconds=2, clock=clock)
    assert found["slow"].samples == len(clock.order) == 3


def test_fewer_rounds_than_three_are_kept_to(clock: Clock):
    found = time_in_turns({"slow": clock.side("s", 12.0)}, repeat=1, seconds=2, clock=clock)
    assert found["slow"].samples == len(clock.order) == 1


def test_what_is_quick_is_called_several_times_a_sample(clock: Clock):
    found = time_in_turns({"a": clock.side("a", 0.005)}, repeat=2, seconds=1, clock=clock)
    assert len(clock.order) == 2 + 2 * 4
    assert found["a"].milliseconds == pytest.approx(5)


def test_a_burst_is_so_many_runs_of_one_side_in_a_row(clock: Clock):
    sides = {"a": clock.side("a", 0.01), "b": clock.side("b", 0.02)}
    found = time_in_turns(sides, repeat=2, seconds=10, burst=4, clock=clock)
    assert "".join(clock.order) == "a" * 8 + "b" * 8 + "aaaabbbb" * 2
    assert found["a"].milliseconds == pytest.approx(10)
    assert found["b"].milliseconds == pytest.approx(20)


def test_a_slow_burst_is_a_sample_from_the_start(clock: Clock):
    found = time_in_turns({"slow": clock.side("s", 0.5)}, repeat=9, seconds=1, burst=4, clock=clock)
    assert found["slow"].samples == 3
    assert len(clock.order) == 3 * 4
