"""The scores of a model over a whole data set."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from elman.sequences.batches import plan_batches
from elman.tasks.base import StreamTask, Task
from elman.training.examples import Examples, Minibatches
from elman.training.settings import RunSettings, TrainingSettings

# Nothing is kept for a backward pass, so that a larger minibatch fits where one of the training does.
LARGER_BATCHES = 4


@torch.inference_mode()
def evaluate(
    model: nn.Module,
    task: Task | StreamTask,
    examples: Examples | Minibatches,
    settings: RunSettings,
    *,
    between: Callable[[], Any] | None = None,
) -> dict[str, float]:
    """Every score of the task over these examples, with the model in evaluation mode.

    Args:
        model: given back in the mode (training or evaluation) that it had.
        task: its `scores` are taken once, over all outputs and targets; a `StreamTask` judges the data itself.
        examples: at least one.
        settings: for a `Task`, `batch_size` or `tokens_per_batch` is read; minibatches are four times as large.
        between: called after each minibatch; an exception raised there ends the evaluation.
    """
    was_training = model.training
    model.eval()
    try:
        if isinstance(task, StreamTask):
            return task.judge(model, examples, between)
        assert isinstance(settings, TrainingSettings)
        assert not isinstance(examples, Minibatches)
        outputs, targets = _outputs_and_targets(model, examples, settings, between)
        return task.scores(outputs, targets)
    finally:
        model.train(was_training)


def _outputs_and_targets(
    model: nn.Module, examples: Examples, settings: TrainingSettings, between: Callable[[], Any] | None
) -> tuple[Tensor, Tensor]:
    plan = plan_batches(
        examples.lengths,
        batch_size=_larger(settings.batch_size),
        tokens_per_batch=_larger(settings.tokens_per_batch),
        shuffle=False,
        bucketing=settings.bucketing,
    )
    outputs, targets = [], []
    for indices in plan:
        inputs, wanted = examples.batch(indices)
        outputs.append(model(inputs))
        targets.append(wanted)
        if between is not None:
            between()
    return torch.cat(outputs), torch.cat(targets)


def _larger(size: int | None) -> int | None:
    return None if size is None else size * LARGER_BATCHES
