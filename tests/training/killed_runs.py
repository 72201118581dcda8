"""Trains in child processes that kill themselves with SIGKILL, and resumes each: `killed_runs.py FOLDER`."""

import os
import pathlib
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from helpers_training import EVERYTHING, At, nothing, trainer
from small_training import Net

SETTINGS = EVERYTHING | {"checkpoint_seconds": 0.0}


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_at_call(owner: object, name: str, call: int) -> None:
    """Makes the process die at this call of a function: within the writing of a checkpoint."""
    calls = iter(range(1, call))
    original = getattr(owner, name)

    def dying(*args, **kwargs):
        if next(calls, None) is None:
            die()
        return original(*args, **kwargs)

    setattr(owner, name, dying)


def in_child(work: Callable[[], object]) -> int:
    """The signal that ended a child process which did this work, 0 if none did."""
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    return os.WTERMSIG(os.waitpid(child, 0)[1])


def train(folder: Path, listener: At, prepare: Callable[[], object] = nothing) -> None:
    prepare()
    trainer(folder, SETTINGS, listener).run()


def deaths() -> dict[str, tuple[At, Callable[[], object]]]:
    by_batch = {f"batch {batch}": (At(die, batch=batch), nothing) for batch in (1, 2, 3, 5, 9)}
    by_epoch = {f"epoch {epoch}": (At(die, epoch=epoch), nothing) for epoch in (1, 2)}
    renames = {f"rename {call}": (At(nothing), lambda call=call: die_at_call(Path, "replace", call)) for call in (2, 6)}
    syncs = {
        f"sync {call}": (At(nothing), lambda call=call: die_at_call(os, "fsync", call)) for call in (5, 12, 13, 14)
    }
    return by_batch | by_epoch | renames | syncs


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    # In this process, so that the children find loaded what torch loads at its first step.
    train(folder / "whole", At(nothing))
    for name, (listener, prepare) in deaths().items():
        ended = in_child(lambda name=name, one=listener, two=prepare: train(folder / name, one, two))
        assert ended == signal.SIGKILL, name
        again = in_child(lambda name=name: trainer(folder / name, SETTINGS, network=Net(seed=8)).run(resume=True))
        assert again == 0, name


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
