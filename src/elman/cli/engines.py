"""Tries of the engines that use more than one process: an all-reduce, a Ray actor."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import NamedTuple

from elman.launch import find_free_port

SECONDS = 120
_ALL_REDUCE = """
import torch, torch.distributed as dist
dist.init_process_group("gloo")
number = torch.ones(1)
dist.all_reduce(number)
assert number.item() == 2.0
dist.destroy_process_group()
"""
_ACTOR = """
import ray
ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
@ray.remote
class Actor:
    def answer(self):
        return 42
assert ray.get(Actor.remote().answer.remote(), timeout=60) == 42
ray.shutdown()
"""


class Try(NamedTuple):
    """A try of an engine.

    Attributes:
        part: what was tried.
        found: what happened.
        works: whether it did; None if a package is missing.
    """

    part: str
    found: str
    works: bool | None


def try_engines() -> Iterator[Try]:
    """Yield a try of each engine whose packages are installed."""
    yield _tried("two processes", "torch", "an all-reduce over gloo works", _two)
    yield _tried("Ray", "ray", "an actor answers", lambda: _run(_ACTOR))


def _tried(part: str, package: str, result: str, attempt: Callable[[], str | None]) -> Try:
    if find_spec(package) is None:
        return Try(part, f"without {package}", None)
    problem = attempt()
    return Try(part, result, True) if problem is None else Try(part, problem, False)


def _two() -> str | None:
    port = str(find_free_port())
    shared = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    started = [_start(_ALL_REDUCE, {**shared, "RANK": str(rank)}) for rank in range(2)]
    return next((problem for each in started if (problem := _problem(each))), None)


def _run(code: str) -> str | None:
    return _problem(_start(code, dict(os.environ)))


def _start(code: str, variables: dict[str, str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code]
    return subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def _problem(process: subprocess.Popen[str]) -> str | None:
    """Return the last line of a process that failed, None if it did not."""
    try:
        said = process.communicate(timeout=SECONDS)[1]
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return f"no answer within {SECONDS} seconds"
    return None if process.returncode == 0 else (said.strip().splitlines() or ["it failed"])[-1]
