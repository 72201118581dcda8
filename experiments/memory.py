"""How much memory a case takes at most, elman beside its peers, each in a process of its own (Linux)."""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from elman.bench.cases import Case, parse
from elman.errors import UsageError
from experiments import run_module

CASES = ("lstm-b32-t1000-i256-h256-forward+backward", "lstm-b32-t1000-i256-h256-ragged-forward+backward")
SIDES = ("elman", "torch.nn", "torch.nn packed")
TURNS = 3
STATUS = Path("/proc/self/status")


def peak_of(case: Case, side: str) -> dict[str, float]:
    """The memory of one side in this process, which must have done nothing before.

    Args:
        case: the case.
        side: one of `SIDES`.

    Returns:
        MB of the process before the first run, at the peak of the runs, and their difference.
    """
    from elman.bench import layers, modules
    from elman.bench.work import Work

    makers = {"elman": layers.side, "torch.nn": modules.padded, "torch.nn packed": modules.packed}
    # What is built once for a cell, whatever it is run over, is no memory of the case.
    makers[side](Work(replace(case, batch=1, steps=2))).run()
    run = makers[side](Work(case)).run
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak is counted from here on
    for _ in range(TURNS):
        run()
    peak = _status("VmHWM")
    return {"before": before, "peak": peak, "added": peak - before}


def measure(case: str, side: str) -> dict[str, float]:
    """Return what `peak_of` measures in a process of its own.

    Args:
        case: the name of the case.
        side: one of `SIDES`.
    """
    command = [sys.executable, "-m", "experiments.memory", case, "--side", side]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _status(name: str) -> float:
    """A figure of this process, in MB."""
    lines = STATUS.read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints one JSON object a case."""
    parser = argparse.ArgumentParser(prog="python -m experiments.memory", description=__doc__)
    parser.add_argument("cases", nargs="*", default=CASES, metavar="CASE")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if not STATUS.exists():
        raise UsageError("Memory is measured by Linux's own figures, which are not here.", fix="Run it on Linux.")
    for name in given.cases:
        case = parse(name)
        if case is None:
            raise UsageError(f"There is no case `{name}`.", fix="Any sizes do, as in " + CASES[0] + ".")
        if given.side:
            sys.stdout.write(json.dumps(peak_of(case, given.side)) + "\n")
            continue
        found = {side: measure(name, side) for side in SIDES}
        sys.stdout.write(json.dumps({"case": name, "megabytes": found}) + "\n")


if __name__ == "__main__":
    run_module(main)
