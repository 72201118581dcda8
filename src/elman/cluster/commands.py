"""Commands of elman that several machines of a Ray cluster run at once."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from elman.cluster.connect import connected, problem_of
from elman.errors import ElmanError

RETRIES = 3


def run_everywhere(words: Sequence[str], *, address: str | None = None, workers: int | None = None) -> None:
    """Run a command several times on a cluster, and wait for all of them.

    Args:
        words: of the command, after `elman`; the paths in it are those of this folder, which all machines see.
        address: of the cluster, as for `connected`.
        workers: how often it runs; once for each CPU of the cluster if not given.

    Raises:
        ElmanError: a command fails; with what it said.
        MissingPackageError, UsageError: as for `connected`.
    """
    with connected(address, workers) as ray:
        count = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
        task = ray.remote(num_cpus=1, max_retries=RETRIES)(_run)
        try:
            ended = ray.get([task.remote(list(words), str(Path.cwd())) for _ in range(count)])
        except ray.exceptions.RayError as error:
            raise problem_of(error) from None
    for code, said in ended:
        if code:
            lines = said.strip().splitlines()
            fix = "Run it without --engine ray to see more."
            raise ElmanError("A worker failed.", where="\n".join(lines[-4:]), fix=fix)


def _run(words: list[str], folder: str) -> tuple[int, str]:
    # A process of its own: training handles signals, which only a main thread can.
    done = subprocess.run([sys.executable, "-m", "elman", *words], cwd=folder, capture_output=True, text=True)
    return done.returncode, done.stderr
