"""The random generators of a run, seeded for it and saved with it; the caller's are left as they were.

torch has one generator for all threads of a process. So that a run draws the same numbers while other threads
train, everything is drawn inside `own_generators`, by one thread at a time.
"""

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

# Held while a thread uses the generators up; the same thread may take it again.
_drawing = threading.RLock()


def _renew_lock() -> None:
    """Make a new lock in a forked process, which lacks the thread that held the old one."""
    global _drawing
    _drawing = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def cuda_devices(model: nn.Module) -> list[int]:
    """Return the indices of the CUDA devices of a model."""
    tensors = [*model.parameters(), *model.buffers()]
    return sorted({tensor.device.index or 0 for tensor in tensors if tensor.device.type == "cuda"})


@contextmanager
def own_generators(devices: list[int], seed: int | None = None) -> Iterator[None]:
    """Use torch's generators alone, and leave them as they were.

    Another thread that enters waits until this one leaves; the same thread may enter again inside. Threads that draw
    from torch's generators without entering are not stopped.

    Args:
        devices: CUDA devices whose generators are used besides the CPU's.
        seed: of the generators; they continue if it is not given.
    """
    with _drawing, torch.random.fork_rng(devices=devices):
        if seed is not None:
            seed_generators(seed, devices)
        yield


def seed_generators(seed: int, devices: list[int]) -> None:
    """Seed the generators."""
    torch.default_generator.manual_seed(seed)
    for device in devices:
        torch.cuda.default_generators[device].manual_seed(seed)


def generator_tensors(devices: list[int]) -> dict[str, Tensor]:
    """Return the state of the generators by the names of their devices."""
    states = {"cpu": torch.get_rng_state()}
    return states | {f"cuda:{device}": torch.cuda.get_rng_state(device) for device in devices}


def load_generator_tensors(tensors: Mapping[str, Tensor], devices: list[int], seed: int = 0) -> None:
    """Set the generators to these states, which may be those of another machine.

    Args:
        tensors: as `generator_tensors` gives them.
        devices: CUDA devices whose generators are used; one takes the state of any other GPU if its own is missing.
        seed: where the states have none.
    """
    if "cpu" not in tensors:
        # A process that the run had not before.
        seed_generators(seed, devices)
        return
    torch.set_rng_state(tensors["cpu"])
    others = [state for name, state in tensors.items() if name != "cpu"]
    for device in devices:
        state = tensors.get(f"cuda:{device}", others[0] if others else None)
        if state is None:
            torch.cuda.default_generators[device].manual_seed(seed)
        else:
            torch.cuda.set_rng_state(state, device)
