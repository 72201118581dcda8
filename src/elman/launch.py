"""Which processes a launcher such as torchrun started, and the ports and cores that this one may use; no torch."""

import os
import socket

from elman.errors import UsageError

_VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_LARGEST_PORT = 65535


def is_one_of_several() -> bool:
    """Return whether a launcher such as torchrun started several processes."""
    return all(name in os.environ for name in _VARIABLES) and (_number("WORLD_SIZE") or 0) > 1


def check_launch() -> None:
    """Refuse variables of a launcher that are not numbers, or contradict each other.

    Raises:
        UsageError: names the variable.
    """
    if not all(name in os.environ for name in _VARIABLES):
        return
    size = _number("WORLD_SIZE")
    if size is None or size < 1:
        raise _wrong("WORLD_SIZE", "the number of processes")
    rank = _number("RANK")
    if rank is None or not 0 <= rank < size:
        raise _wrong("RANK", f"a number from 0 to {size - 1} (WORLD_SIZE={size})")
    port = _number("MASTER_PORT")
    if port is None or not 0 < port <= _LARGEST_PORT:
        raise _wrong("MASTER_PORT", f"a port from 1 to {_LARGEST_PORT}")
    if "LOCAL_RANK" in os.environ and _number("LOCAL_RANK") is None:
        raise _wrong("LOCAL_RANK", "the number of this process on its machine")


def _number(name: str) -> int | None:
    """Return the whole number of a variable, None if it is not one."""
    written = os.environ[name]
    return int(written) if written.lstrip("-").isdecimal() and written.isascii() else None


def _wrong(name: str, expected: str) -> UsageError:
    return UsageError(
        f"Expected the environment variable {name} to be {expected}, got {os.environ[name]!r}.",
        fix=f"Start the processes with torchrun, which sets {', '.join(_VARIABLES)}; for one process unset them.",
    )


def is_restarted() -> bool:
    """Return whether torchrun started the processes again after one of them had ended."""
    return is_one_of_several() and os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0"


def find_free_port() -> int:
    """Return a port of this machine that no process listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    # Not on macOS and Windows.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_size() -> int | None:
    """Return the bytes of this machine's memory, None where the system does not say."""
    if not hasattr(os, "sysconf") or not {"SC_PHYS_PAGES", "SC_PAGE_SIZE"} <= os.sysconf_names.keys():
        return None
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
