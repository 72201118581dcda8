"""The connection to a Ray cluster: one message, and no waiting, if there is none."""

import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from elman.errors import ElmanError, MissingPackageError, UsageError
from elman.launch import usable_cores

CONNECT_SECONDS = 20
_PROBE = "import ray, sys; ray.init(address=sys.argv[1], logging_level='ERROR', log_to_driver=False)"


def import_ray() -> Any:
    """Return the module `ray`, with `ray.data`.

    Raises:
        MissingPackageError: it is not installed.
    """
    # Ray asks so before it sends statistics of its use.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    # The later behaviour of Ray, which otherwise warns that it will come.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        # Optional packages, which take seconds to import.
        import ray
        import ray.data
    except ImportError:
        raise MissingPackageError(
            "The engine ray needs the package ray, which is not installed.", fix='Install it: pip install "elman[ray]"'
        ) from None
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return ray


@contextmanager
def connected(address: str | None = None, workers: int | None = None) -> Iterator[Any]:
    """Give the module `ray`, connected to a cluster.

    A cluster that this process is connected to already is used, and kept.

    Args:
        address: HOST:PORT of a running cluster, or `auto`; a new one on this machine if not given.
        workers: CPUs of a new cluster; all of this machine if not given.

    Raises:
        MissingPackageError: Ray is not installed.
        UsageError: there is no cluster at the address.
        ElmanError: a new cluster does not start.
    """
    ray = import_ray()
    if ray.is_initialized():
        yield ray
        return
    quiet: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
    if address is not None:
        _check_address(address)
        ray.init(address=address, **quiet)
        _quieten(ray)
    else:
        cpus = workers or usable_cores()
        try:
            ray.init(address="local", num_cpus=cpus, include_dashboard=False, **quiet)
        except (RuntimeError, OSError, ValueError, TimeoutError) as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            fix = "Look at the free memory and the folder of temporary files."
            raise ElmanError(f"Ray does not start on this machine: {reason}", fix=fix) from None
        _quieten(ray)
    try:
        yield ray
    finally:
        ray.shutdown()


def _quieten(ray: Any) -> None:
    """Leave out what Ray Data prints of its plans and progress."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.issue_detectors_config.detectors = []


def problem_of(error: BaseException) -> BaseException:
    """Return the error of elman that ended a task of Ray, or one that names its failure."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, ElmanError):
            # Of the class itself and not of one that Ray made of it.
            kind = next(each for each in type(found).__mro__ if each.__module__ == "elman.errors")
            return kind(found.problem, where=found.where, fix=found.fix)  # pyright: ignore[reportCallIssue]
        found = getattr(found, "cause", None) or found.__cause__
    lines = str(error).strip().splitlines()
    return ElmanError(
        f"A task of Ray failed: {type(error).__name__}.",
        where="\n".join(lines[-3:]),
        fix="Look at the logs of the cluster; fewer workers need less memory.",
    )


def _check_address(address: str) -> None:
    """Refuse an address without a cluster.

    Another process tries it, since Ray ends a process that cannot connect.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        if host and port.isdigit():
            socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS / 5).close()
        done = subprocess.run(
            [sys.executable, "-c", _PROBE, address], capture_output=True, timeout=CONNECT_SECONDS, text=True
        )
        reason = "" if done.returncode == 0 else _last_line(done.stderr)
    except (OSError, OverflowError) as error:
        reason = str(error)
    except subprocess.TimeoutExpired:
        reason = f"no answer within {CONNECT_SECONDS} seconds"
    if reason:
        raise UsageError(
            f"There is no Ray cluster at {address}.",
            where=reason,
            fix="Start one with `ray start --head`, and give the address that it prints, or leave --address out.",
        )


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "the connection failed"
