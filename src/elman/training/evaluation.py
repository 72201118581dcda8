"""The scores of a network over a whole data set."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from elman.devices import computing_in, device_of
from elman.errors import DataError
from elman.tasks.task import Batch, Data, Read, Scores, Task
from elman.training.memory import full_memory_named
from elman.training.processes import ALONE, Alone


def evaluate(
    network: nn.Module,
    task: Task,
    data: Data,
    *,
    between: Callable[[], Any] | None = None,
    adapt: Callable[[Tensor], Any] | None = None,
    check: Callable[[Any, Batch, Read], Any] | None = None,
    processes: Alone = ALONE,
) -> dict[str, Any]:
    """Return every score of the task, with the network in evaluation mode, in bounded memory.

    Args:
        network: returned in the mode (training or evaluation) that it had.
        task: reads the batches and has the scores.
        data: at least one batch.
        between: called after each batch; an exception raised there ends the evaluation.
        adapt: called with the loss of each batch after it was counted, and may change the network.
        check: called with each item of the plan, its batch and how it was read.
        processes: among which each batch is divided; the first counts, and all return its scores.

    Raises:
        DataError: no batch has a target.
    """
    was_training, targets, device = network.training, 0, device_of(network)
    settings = getattr(task, "settings", None)
    network.eval()
    scores, state = task.scores(data), None
    try:
        with torch.inference_mode() if adapt is None else nullcontext():
            for item in data.plan(0):
                batch, read = data.read(processes.part_of(data, item)), None
                if batch.sequences:
                    with full_memory_named(device, batch, settings), computing_in(precision_of(task), device):
                        read = task.read(network, batch.to(device), state)
                    state = read.state
                    if check is not None:
                        check(item, batch, read.on_cpu())
                for part, found in processes.reads(data, item, batch, read):
                    scores.update(part, found)
                    targets += found.targets
                if adapt is not None and read is not None:
                    adapt(read.loss)
                if between is not None:
                    between()
            return processes.from_first(lambda: _computed(scores, targets, task, data))
    finally:
        network.train(was_training)


def _computed(scores: Scores, targets: int, task: Task, data: Data) -> dict[str, Any]:
    if not targets and len(data):
        raise DataError("There is no known target to score.", fix=task.unscored)
    return scores.compute()


def precision_of(task: Task) -> str:
    """Return the precision of a task's settings, float32 for settings without one."""
    return getattr(getattr(task, "settings", None), "precision", "float32")
