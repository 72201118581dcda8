"""`elman bench`: elman and its peers on this machine, the same work in the same run."""

import os
import sys
from typing import Annotated

import typer

from elman.cli.commands import add
from elman.cli.options import AsJson, Device, Threads, use_threads
from elman.cli.output import emit, emit_json, say

Words = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="CASE",
        show_default=False,
        help="Names of cases, or patterns with *. Any sizes may be named, as in lstm-b4-t50-i32-h64-ragged-forward. "
        "`language` stands for all cases of language models. "
        "[all of --list]",
    ),
]
Listed = Annotated[bool, typer.Option("--list", help="List the cases without running them.")]
Repeat = Annotated[
    int,
    typer.Option("--repeat", min=1, metavar="N", help="Samples of each side at most; slow ones get at least 3."),
]


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    add(
        app,
        bench,
        "elman bench --list",
        "elman bench lstm-b16-t40-i64-h64-forward+backward",
        'elman bench "gru-*-ragged-*" --threads 1 --json',
        "elman bench language --repeat 3 --json",
    )


def bench(
    cases: Words = None,
    listed: Listed = False,
    threads: Threads = None,
    device: Device = None,
    repeat: Repeat = 25,
    as_json: AsJson = False,
) -> None:
    """Time elman and its peers on this machine.

    The peers are the same cell written by hand in torch (over unbound steps, and over indexed ones, whose backward pass
    is quadratic in time), torch.nn's layer (padded and packed), and JAX's scan if it is installed. They take turns, and
    medians are reported. All cases take half an hour. With --device, cases of layers are timed on a GPU, with peers in
    torch alone. With --json, there is one line per case.
    """
    from elman.bench.cases import find_cases

    chosen = find_cases(cases or [])
    if listed:
        _show_names([case.name for case in chosen], as_json)
        return
    if threads is not None:
        # NumPy's products have threads of their own, and their number is read once, when NumPy is loaded.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", str(threads))
    use_threads(threads)
    # torch takes seconds to import; only commands that compute get here.
    import torch

    from elman.bench.run import Machine, Result, run_case
    from elman.bench.table import describe_machine, line_of, lines_of
    from elman.devices import find_device

    computed_on = find_device(device or "cpu")
    machine = Machine()
    limits = describe_machine(machine, torch.get_num_threads())
    say(limits)
    results: list[Result] = []
    try:
        for number, case in enumerate(chosen, 1):
            say(f"[{number}/{len(chosen)}] {case.name}")
            results.append(run_case(case, machine, repeat=repeat, device=computed_on))
            say(f"    {line_of(results[-1])}")
            if as_json:
                emit_json(results[-1].record())
                sys.stdout.flush()
    finally:
        # An interrupted run shows the cases that were finished.
        if results and not as_json:
            emit("\n".join([limits, "", *lines_of(results)]))


def _show_names(names: list[str], as_json: bool) -> None:
    if as_json:
        emit_json({"cases": names})
    for name in names if not as_json else []:
        emit(name)
