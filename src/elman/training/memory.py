"""A device whose memory is full: one message with what was tried and what would fit."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from elman.errors import MemoryFullError
from elman.tasks.task import Batch

GIB = 2**30
# Settings of the size of a minibatch, the first of which a model has decides it.
SIZES = ("tokens_per_batch", "batch_size", "streams")


@contextmanager
def full_memory_named(device: torch.device, batch: Batch, settings: Any, *, fitted: int = 0) -> Iterator[None]:
    """Report the minibatch, the settings and the repair if the memory is full within.

    Args:
        device: of the network.
        batch: that is computed within.
        settings: of the model.
        fitted: tokens of the largest minibatch that was computed before; 0 if there was none.

    Raises:
        MemoryFullError: torch could not allocate memory on the GPU, or on the CPU.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not is_full_memory(error):
            raise
        raise MemoryFullError(
            f"The memory of {_name(device)} is full: a minibatch of {batch.sequences:,} sequences and {batch.tokens:,} "
            f"tokens did not fit.",
            where="\n".join([*_tried(settings), *_in_use(device)]) or None,
            fix=_repair(settings, batch, fitted),
        ) from error


def is_full_memory(error: BaseException) -> bool:
    """Return whether an error means that the memory of the CPU or of a GPU is full."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return "can't allocate memory" in str(error) or "out of memory" in str(error)


def _name(device: torch.device) -> str:
    return "this machine" if device.type == "cpu" else str(device)


def _tried(settings: Any) -> list[str]:
    names = (*SIZES, "window", "hidden_size", "num_layers", "precision")
    known = {name: getattr(settings, name, None) for name in names}
    return [", ".join(f"{name}={value}" for name, value in known.items() if value is not None)]


def _in_use(device: torch.device) -> list[str]:
    if device.type != "cuda":
        return []
    free, total = torch.cuda.mem_get_info(device)
    own = torch.cuda.max_memory_allocated(device)
    return [f"{own / GIB:.1f} GiB used by this process, {free / GIB:.1f} of {total / GIB:.1f} GiB free"]


def _repair(settings: Any, batch: Batch, fitted: int) -> str:
    name = next((each for each in SIZES if getattr(settings, each, None) is not None), None)
    share = min(fitted / batch.tokens, 0.5) if fitted and batch.tokens else 0.5
    begin = f"Minibatches of up to {fitted:,} tokens fitted. " if fitted else ""
    others = "a smaller network (--hidden-size) or --precision bfloat16"
    size = 0 if name is None else getattr(settings, name)
    if name is None or size < 2:
        return f"{begin}Give shorter sequences, {others}."
    smaller = max(1, int(size * share))
    return f"{begin}Give --{name.replace('_', '-')} {smaller} ({name}={smaller}), {others}."
