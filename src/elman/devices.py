"""Where a network runs: the device of its parameters, to which each batch is moved, and its precision."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import fields, is_dataclass, replace
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from elman.errors import UsageError

Moved = TypeVar("Moved")

CPU = torch.device("cpu")


class Gpu(NamedTuple):
    """A GPU that torch can use.

    Attributes:
        name: of the model.
        capability: compute capability, such as `9.0`.
        free: bytes that no process uses.
        total: bytes.
        has_bfloat16: whether it computes in bfloat16.
    """

    name: str
    capability: str
    free: int
    total: int
    has_bfloat16: bool


def find_device(name: str) -> torch.device:
    """Return the device that a setting names.

    Args:
        name: `cpu`; `cuda`, the GPU that torch uses at present; `cuda:N`; or `auto`, a GPU if there is one.

    Raises:
        UsageError: there is no such GPU.

    >>> find_device("cpu")
    device(type='cpu')
    """
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return CPU
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not count:
        raise UsageError(
            f"Expected a GPU for the device {name}, got none that torch can use.",
            fix="Give --device cpu or auto (device='cpu'), or install a CUDA build of torch; `elman doctor` shows what "
            "it finds.",
        )
    index = torch.device(name).index if name != "auto" else None
    if index is not None and index >= count:
        raise UsageError(
            f"Expected one of the {count} GPUs from cuda:0 to cuda:{count - 1}, got {name}.",
            fix="Give one of them, or `auto`.",
        )
    return torch.device("cuda", torch.cuda.current_device() if index is None else index)


def device_of(network: nn.Module) -> torch.device:
    """Return the device of a network's parameters."""
    return next((tensor.device for tensor in (*network.parameters(), *network.buffers())), CPU)


def moved(value: Moved, device: torch.device) -> Moved:
    """Return a value with every tensor within it on a device.

    Tensors, and objects with a method `to`, are moved; so are those within tuples, lists, mappings and data classes.
    Other values are returned as they are.
    """
    return _moved(value, device)


def _moved(value: Any, device: torch.device) -> Any:
    if hasattr(value, "to"):
        return value.to(device)
    if isinstance(value, tuple):
        parts = [_moved(each, device) for each in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    if isinstance(value, list):
        return [_moved(each, device) for each in value]
    if isinstance(value, Mapping):
        return {name: _moved(each, device) for name, each in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{field.name: _moved(getattr(value, field.name), device) for field in fields(value)})
    return value


def computing_in(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    """Return a context in which a network computes in a precision.

    The parameters, the optimizer and what is summed up stay in float32. With `bfloat16` torch's autocast computes
    products of matrices in bfloat16, on a GPU the steps of recurrent layers too.

    Args:
        precision: `float32` or `bfloat16`.
        device: of the network.
    """
    return torch.autocast(device.type, torch.bfloat16) if precision == "bfloat16" else nullcontext()


def widened(tensor: Tensor) -> Tensor:
    """Return the outputs of a network in float32 if autocast computed them in fewer bits."""
    return tensor.float() if tensor.is_floating_point() and tensor.itemsize < 4 else tensor


def find_gpus() -> list[Gpu]:
    """Return the GPUs that torch can use."""
    found = []
    for number in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        properties = torch.cuda.get_device_properties(number)
        free, total = torch.cuda.mem_get_info(number)
        capability = f"{properties.major}.{properties.minor}"
        found.append(Gpu(properties.name, capability, free, total, properties.major >= 8))
    return found
