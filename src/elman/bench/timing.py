"""Times several sides of one piece of work in turns, so that what slows the machine slows all of them."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

FEWEST_RUNS = 3
# A sample lasts about so long: what is quicker is called several times for one, as minibatches follow each other, so
# that most calls do not find in the caches what another side left.
SAMPLE_SECONDS = 0.02
# What takes longer than this is not run once more to warm up.
SLOW_SECONDS = 1.0

Run = Callable[[], object]


@dataclass(frozen=True)
class Timing:
    """How long one side takes.

    Args:
        milliseconds: the median of all samples.
        samples: how many there were.
    """

    milliseconds: float
    samples: int


def time_in_turns(
    sides: Mapping[str, Run],
    *,
    repeat: int,
    seconds: float,
    burst: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Timing]:
    """Return the median time of each side.

    Args:
        sides: what is timed, by name.
        repeat: rounds; in each, every side is sampled once.
        seconds: for each side; one that would need longer is left out of some rounds, spread evenly, but is sampled
            at least three times.
        burst: a sample is at least so many runs in a row, and its time that of one of them. A run that works on what
            the run before left in the caches must not always find there what another side left.
        clock: gives the time in seconds.
    """
    plans = {name: _Plan(run, repeat, seconds, burst, clock) for name, run in sides.items()}
    for round in range(repeat):
        for plan in plans.values():
            if plan.is_due(round):
                plan.sample()
    return {name: Timing(1000 * median(plan.found), len(plan.found)) for name, plan in plans.items()}


class _Plan:
    """One side: it is warmed up, and from how long that took follows how often it is run."""

    def __init__(self, run: Run, repeat: int, seconds: float, burst: int, clock: Callable[[], float]):
        self.run, self.repeat, self.clock = run, repeat, clock
        self.calls = burst
        self.found: list[float] = []
        first = self._measure()
        if first * burst > SLOW_SECONDS:
            self.found.append(first)
        else:
            first = self._measure()
        self.calls = max(burst, round(SAMPLE_SECONDS / max(first, 1e-9)))
        wanted = int(seconds / max(first * self.calls, 1e-9))
        self.samples = min(repeat, max(FEWEST_RUNS, wanted)) - len(self.found)

    def is_due(self, round: int) -> bool:
        """Return whether a side takes part in this round, spread evenly over all rounds."""
        return (round + 1) * self.samples // self.repeat > round * self.samples // self.repeat

    def sample(self) -> None:
        self.found.append(self._measure())

    def _measure(self) -> float:
        began = self.clock()
        for _ in range(self.calls):
            self.run()
        return (self.clock() - began) / self.calls
