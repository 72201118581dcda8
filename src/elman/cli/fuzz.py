"""`elman fuzz`: random cells, compiled and compared with the reference."""

import dataclasses
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from elman.cli.commands import add
from elman.cli.options import AsJson
from elman.cli.output import emit, emit_json, say

if TYPE_CHECKING:
    from elman.compiler.testing.search import Failure, Findings

SECONDS_BETWEEN_LINES = 10.0

Count = Annotated[int, typer.Option("--count", min=1, metavar="N", help="Cells to try.")]
FirstSeed = Annotated[
    int,
    typer.Option("--seed", min=0, metavar="N", help="Seed of the first cell; the others have those that follow."),
]
Minutes = Annotated[
    float | None,
    typer.Option("--minutes", min=0.0, metavar="M", show_default=False, help="Stop after that time. [no limit]"),
]

Thorough = Annotated[
    bool, typer.Option("--thorough", help="Build all kernels of each cell instead of a quarter in turn; slower.")
]


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    add(app, fuzz, "elman fuzz", "elman fuzz --count 20000 --minutes 60", "elman fuzz --seed 1234 --count 1")


def fuzz(
    count: Count = 500,
    seed: FirstSeed = 0,
    minutes: Minutes = None,
    thorough: Thorough = False,
    as_json: AsJson = False,
) -> None:
    """Compile random cells and compare their results and gradients.

    Kernels are compared with the reference and with torch's autograd, in float32 and float64, for each cell as drawn
    and as simplified. A cell that differs is reduced and shown with its seed. Cells whose results a rounding could
    change are not compared; they are counted by reason. The exit code is 1 if a cell differs.
    """
    # torch takes seconds to import; only commands that compute get here.
    from elman.compiler.testing.search import search

    seconds = None if minutes is None else 60.0 * minutes
    found = search(count, seed, seconds=seconds, thorough=thorough, watch=_progress(count))
    if as_json:
        emit_json(dataclasses.asdict(found))
    else:
        emit(_summary(found))
    if found.failures:
        raise typer.Exit(1)


def _summary(found: "Findings") -> str:
    """Return how many cells were compared and were wrong, and why others were not compared."""
    head = f"{found.count} cells from seed {found.seed} in {found.seconds:.0f} s, {len(found.failures)} of them wrong"
    return "\n".join([head, *(f"{number} not compared: {reason}" for reason, number in found.not_compared.items())])


def _progress(count: int) -> Callable[["Findings"], None]:
    """Print every failure at once, and the progress every ten seconds."""
    shown, last = 0, time.monotonic()

    def watch(found: "Findings") -> None:
        nonlocal shown, last
        for failure in found.failures[shown:]:
            _show(failure)
        shown = len(found.failures)
        if time.monotonic() - last > SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            done = found.count + sum(found.not_compared.values())
            say(f"{done} of {count} cells, {len(found.failures)} wrong, {done / found.seconds:.1f} a second")

    return watch


def _show(failure: "Failure") -> None:
    say(f"seed {failure.seed}:")
    for difference in failure.differences:
        say(f"  {difference}")
    say(f"the smallest cell that fails with these data:\n{failure.graph}")
    say(f"again with: elman fuzz --seed {failure.seed} --count 1")
