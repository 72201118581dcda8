"""The random generators of a run: seeded for it, saved with it, and the caller's left as they were."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


def cuda_devices(model: nn.Module) -> list[int]:
    """The numbers of the CUDA devices that the model lies on."""
    tensors = [*model.parameters(), *model.buffers()]
    return sorted({tensor.device.index or 0 for tensor in tensors if tensor.device.type == "cuda"})


@contextmanager
def own_generators(devices: list[int]) -> Iterator[None]:
    """Inside, torch's generators of the CPU and of these CUDA devices may be used up; afterwards they are as before."""
    with torch.random.fork_rng(devices=devices):
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
