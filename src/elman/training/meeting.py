"""The meeting of the processes of a run, with one error if they do not meet in time."""

import atexit
import os
import sys
import threading
from datetime import timedelta

import torch.distributed as dist
from torch.distributed.rendezvous import rendezvous

from elman.errors import ElmanError, UsageError
from elman.training.processes import OtherProcessError

# In which the others wait for the first process, and a few more for torch's own error.
MEETING_SECONDS, GRACE_SECONDS = 20, 4
# Between two messages: a process may read a long text in this time.
WAITING_SECONDS = 1800


def _meet(backend: str) -> None:
    store, rank, size = next(rendezvous("env://", timeout=timedelta(seconds=MEETING_SECONDS)))
    dist.init_process_group(
        backend, store=store, rank=rank, world_size=size, timeout=timedelta(seconds=WAITING_SECONDS)
    )


def meet(backend: str) -> None:
    """Meet the other processes of the run.

    torch itself waits for any time where another service answers at the address; here, for a few seconds more than
    torch's own limit.

    Args:
        backend: of torch.distributed.

    Raises:
        UsageError: the port is in use.
        OtherProcessError: the others cannot be reached in time.
    """
    failures: list[Exception] = []

    def attempt() -> None:
        try:
            _meet(backend)
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(MEETING_SECONDS + GRACE_SECONDS)
    if thread.is_alive():
        failures.append(TimeoutError("no answer"))
        atexit.register(_end_with, thread)
    if failures:
        raise _not_met(failures[0]) from failures[0]


def _end_with(thread: threading.Thread) -> None:
    """End this process at once if a thread still waits in torch.

    Such a thread makes the process abort when the interpreter ends.
    """
    if thread.is_alive():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)


def _not_met(error: Exception) -> ElmanError:
    address = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
    if "EADDRINUSE" in str(error) or "in use" in str(error):
        return UsageError(
            f"The port of {address} is in use.",
            fix="Give another one: torchrun --master-port PORT; on one machine, torchrun --standalone finds one.",
        )
    return OtherProcessError(
        f"The processes of the run did not meet at {address} within {MEETING_SECONDS} seconds.",
        where=str(error).splitlines()[0],
        fix="Start all of them at the same time, with the address of the first machine as --master-addr.",
    )
