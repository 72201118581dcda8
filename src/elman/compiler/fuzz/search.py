"""Looks for cells that a target gets wrong."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from elman.compiler.fuzz.judge import judge
from elman.compiler.fuzz.shrink import shrink
from elman.compiler.fuzz.steps import random_step
from elman.compiler.graph import Graph, show


@dataclass(frozen=True)
class Failure:
    """A cell that a target gets wrong.

    Args:
        seed: makes the cell and its data again.
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
        count: cells judged.
        unjudged: cells of which nothing could be said: on all data drawn, a rounding decides their results.
        seed: of the first cell; those after it have the seeds after it.
        seconds: how long it took.
        failures: cells that a target gets wrong.
    """

    count: int
    unjudged: int
    seed: int
    seconds: float
    failures: tuple[Failure, ...]


def search(
    count: int, seed: int = 0, *, seconds: float | None = None, watch: Callable[[Findings], None] = lambda found: None
) -> Findings:
    """Judge random cells, one a seed.

    Args:
        count: how many.
        seed: of the first.
        seconds: stop after the cell in which that much time has gone.
        watch: is told after every cell.

    Raises:
        Unavailable: this machine has no kernels.
    """
    # llvmlite is only needed where kernels are built.
    from elman.compiler.targets.llvm import machine

    machine.host()
    began = time.monotonic()
    failures: list[Failure] = []
    judged = unjudged = 0
    found = Findings(0, 0, seed, 0.0, ())
    for number in range(seed, seed + count):
        problems = _problems(random_step(number), number)
        judged, unjudged = judged + (problems is not None), unjudged + (problems is None)
        if problems:
            failures.append(_failure(number, problems))
        found = Findings(judged, unjudged, seed, time.monotonic() - began, tuple(failures))
        watch(found)
        if seconds is not None and found.seconds >= seconds:
            break
    return found


def _problems(graph: Graph, seed: int) -> list[str] | None:
    try:
        found = judge(graph, seed)
    except Exception as error:  # whatever a compiler raises on a sound cell is a defect of it
        return [f"raises {type(error).__name__}: {error}"]
    return found if found is None else [str(difference) for difference in found]


def _failure(seed: int, problems: list[str]) -> Failure:
    smallest = shrink(random_step(seed), lambda graph: bool(_problems(graph, seed)))
    return Failure(seed, tuple(problems), show(smallest))
