"""The random generators of a run: seeded for it, saved with it, and the caller's left as they were.

torch has one generator for all threads of a process. So that a run draws the same numbers whatever other threads train,
what draws does so inside `own_generators`, one thread at a time.
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
    """In a forked process, where the thread that held the lock does not exist."""
    global _drawing
    _drawing = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def cuda_devices(model: nn.Module) -> list[int]:
    """The numbers of the CUDA devices that the model lies on."""
    tensors = [*model.parameters(), *model.buffers()]
    return sorted({tensor.device.index or 0 for tensor in tensors if tensor.device.type == "cuda"})


@contextmanager
def own_generators(devices: list[int], seed: int | None = None) -> Iterator[None]:
    """Use torch's generators alone, and leave them as they were.

    Another thread that enters waits until this one leaves; the same thread may enter again inside. Threads that draw
    from torch's generators without entering are not kept from it.

    Args:
        devices: CUDA devices whose generators are used besides the CPU's.
        seed: what the generators start from; where they are if not given.
    """
    with _drawing, torch.random.fork_rng(devices=devices):
        if seed is not None:
            seed_generators(seed, devices)
        yield


def seed_generators(seed: int, devices: list[int]) -> None:
    """Starts the generators from this seed."""
    torch.default_generator.manual_seed(seed)
    for device in devices:
        torch.cuda.default_generators[device].manual_seed(seed)


def generator_tensors(devices: list[int]) -> dict[str, Tensor]:
    """The state of the generators by the names of their devices."""
    states = {"cpu": torch.get_rng_state()}
    return states | {f"cuda:{device}": torch.cuda.get_rng_state(device) for device in devices}


def load_generator_tensors(tensors: Mapping[str, Tensor], devices: list[int]) -> None:
    """Continues the generators from these states; a device that has none starts where it is."""
    torch.set_rng_state(tensors["cpu"])
    for device in devices:
        if (state := tensors.get(f"cuda:{device}")) is not None:
            torch.cuda.set_rng_state(state, device)
