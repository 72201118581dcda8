"""`elman fuzz`: random cells, compiled and compared with what they should give."""

import dataclasses
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from elman.cli.options import AsJson, examples
from elman.cli.output import emit, emit_json, say

if TYPE_CHECKING:
    from elman.compiler.fuzz.search import Failure, Findings

SECONDS_BETWEEN_LINES = 10.0

Count = Annotated[int, typer.Option("--count", min=1, metavar="N", help="Cells to try.")]
FirstSeed = Annotated[
    int, typer.Option("--seed", min=0, metavar="N", help="Of the first cell; those after it have the seeds after it.")
]
Minutes = Annotated[
    float | None,
    typer.Option("--minutes", min=0.0, metavar="M", show_default=False, help="Stop after that time. [no limit]"),
]


def register(app: typer.Typer) -> None:
    """Adds the command to the app."""
    epilog = examples("elman fuzz", "elman fuzz --count 20000 --minutes 60", "elman fuzz --seed 1234 --count 1")
    app.command(epilog=epilog)(fuzz)


def fuzz(count: Count = 500, seed: FirstSeed = 0, minutes: Minutes = None, as_json: AsJson = False) -> None:
    """Compile random cells and compare them.

    The kernels against the reference and against torch's autograd, in float32 and float64, results and every gradient.
    A cell that differs is made smaller and shown; its seed makes it again. Exit code 1 if there is one.
    """
    # torch takes seconds to import; only commands that compute get here.
    from elman.compiler.fuzz.search import search

    found = search(count, seed, seconds=None if minutes is None else 60.0 * minutes, watch=_progress(count))
    summary = (
        f"{found.count} cells from seed {found.seed} in {found.seconds:.0f} s, {len(found.failures)} of them wrong"
    )
    if found.unjudged:
        summary += f"; of {found.unjudged} others nothing can be said, since their results hang on roundings"
    if as_json:
        emit_json(dataclasses.asdict(found))
    else:
        emit(summary)
    if found.failures:
        raise typer.Exit(1)


def _progress(count: int) -> Callable[["Findings"], None]:
    """Says every failure at once, and how far it is now and then."""
    told, last = 0, time.monotonic()

    def watch(found: "Findings") -> None:
        nonlocal told, last
        for failure in found.failures[told:]:
            _tell(failure)
        told = len(found.failures)
        if time.monotonic() - last > SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            done = found.count + found.unjudged
            say(f"{done} of {count} cells, {told} wrong, {done / found.seconds:.1f} a second")

    return watch


def _tell(failure: "Failure") -> None:
    say(f"seed {failure.seed}:")
    for difference in failure.differences:
        say(f"  {difference}")
    say(f"the smallest cell that fails with these data:\n{failure.graph}")
    say(f"again with: elman fuzz --seed {failure.seed} --count 1")
