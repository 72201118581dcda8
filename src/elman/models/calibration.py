"""The temperature of a model's probabilities, fitted on held-out data."""

from typing import Any

import torch
from torch import nn

from elman.devices import CPU, computing_in, device_of, moved
from elman.tasks.calibration import fit_temperature
from elman.tasks.task import Data, Task
from elman.training.evaluation import precision_of

# Logits that are kept to fit it.
LARGEST = 50_000_000


@torch.inference_mode()
def temperature_of(network: nn.Module, task: Task, data: Data | None) -> float:
    """Return the temperature that fits held-out data best.

    Args:
        network: trained, in evaluation mode.
        task: its `logits` gives what is fitted.
        data: held out, in the batches of an evaluation.

    Returns:
        The temperature; 1 without held-out data, or for a task without probabilities.
    """
    found: list[Any] = []
    device = device_of(network)
    size = 0
    for item in () if data is None else data.plan(0):
        batch = data.read(item)  # pyright: ignore[reportOptionalMemberAccess]
        with computing_in(precision_of(task), device):
            logits = task.logits(network, batch.to(device))
        if logits is None or size > LARGEST:
            break
        found.append(moved(logits, CPU))
        size += logits[0].numel()
    if not found:
        return 1.0
    outputs, targets = (torch.cat(parts) for parts in zip(*found, strict=True))
    return fit_temperature(outputs, targets)
