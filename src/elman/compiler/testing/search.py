"""The search for cells that a target gets wrong."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from elman.compiler.graph import Graph, show
from elman.compiler.testing.compare import ALL_KERNELS, NotCompared, compare, kernels_in_turn
from elman.compiler.testing.shrink import shrink
from elman.compiler.testing.steps import random_draft


@dataclass(frozen=True)
class Failure:
    """A cell that a target gets wrong.

    Args:
        seed: of the cell and its data.
        differences: what is wrong, in words.
        graph: the cell, made as small as it could be, as text.
    """

    seed: int
    differences: tuple[str, ...]
    graph: str


@dataclass(frozen=True)
class Findings:
    """What a search found.

    Args:
        count: cells that were compared.
        not_compared: how many could not be compared, by the reason.
        seed: of the first cell; those after it have the seeds after it.
        seconds: how long it took.
        failures: cells that a target gets wrong.
    """

    count: int
    not_compared: dict[str, int]
    seed: int
    seconds: float
    failures: tuple[Failure, ...]


def search(
    count: int,
    seed: int = 0,
    *,
    seconds: float | None = None,
    thorough: bool = False,
    watch: Callable[[Findings], None] = lambda found: None,
) -> Findings:
    """Compare random cells, one a seed, on all targets.

    Args:
        count: how many.
        seed: of the first.
        seconds: stop after the cell at which this time is over.
        thorough: build all kernels of each cell; otherwise those of a quarter of the kinds, in turn, see
            `compare.kernels_in_turn`.
        watch: called after every cell.

    Raises:
        Unavailable: this machine has no kernels.
    """
    # llvmlite is only needed where kernels are built.
    from elman.compiler.targets.llvm import machine

    machine.host()
    began = time.monotonic()
    failures: list[Failure] = []
    not_compared: Counter[str] = Counter()
    found = Findings(0, {}, seed, 0.0, ())
    for number in range(seed, seed + count):
        problems = _problems(random_draft(number), number, thorough)
        if isinstance(problems, NotCompared):
            not_compared[problems.value] += 1
        elif problems:
            failures.append(_failure(number, problems, thorough))
        done = number - seed + 1 - not_compared.total()
        found = Findings(done, dict(not_compared), seed, time.monotonic() - began, tuple(failures))
        watch(found)
        if seconds is not None and found.seconds >= seconds:
            break
    return found


def _problems(draft: Graph, seed: int, thorough: bool) -> list[str] | NotCompared:
    try:
        found = compare(draft, seed, ALL_KERNELS if thorough else kernels_in_turn(seed))
    except Exception as error:  # any exception on a valid cell is a defect of the compiler
        return [f"raises {type(error).__name__}: {error}"]
    return found if isinstance(found, NotCompared) else [str(difference) for difference in found]


def _failure(seed: int, problems: list[str], thorough: bool) -> Failure:
    fails = lambda graph: isinstance(found := _problems(graph, seed, thorough), list) and bool(found)  # noqa: E731
    return Failure(seed, tuple(problems), show(shrink(random_draft(seed), fails)))
