"""What a command says when torchrun runs it in several processes: each thing once."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

from elman.launch import is_one_of_several


@contextmanager
def only_first_speaks() -> Iterator[None]:
    """Discard what this process prints within, unless it is the first or the only one."""
    if not is_one_of_several():
        yield
        return
    # This imports torch.
    from elman.training.processes import find_processes

    if find_processes().is_first:
        yield
        return
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        yield


def speaks() -> bool:
    """Return whether this process is to report its error: the first of several that has one."""
    if not is_one_of_several():
        return True
    # This imports torch.
    from elman.training.several import says_first

    return says_first()
