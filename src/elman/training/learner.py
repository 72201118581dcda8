"""A model that learns: one step of the optimiser at a time, its average and its best weights beside it."""

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from elman.tasks.base import Task
from elman.training.checkpoint import Checkpoint
from elman.training.optimizers import build_optimizer, load_optimizer_tensors, optimizer_tensors, set_learning_rate
from elman.training.settings import TrainingSettings
from elman.training.weights import MovingAverage, copy_weights, load_weights, weights_of


class NotFiniteError(ArithmeticError):
    """A loss or a gradient that is infinite or not a number; the weights were not touched."""

    def __init__(self, what: str, value: float):
        super().__init__(what, value)
        self.what = what
        self.value = value


class Learner:
    """A model with its optimiser, the average of its weights and the best of them: every tensor that a run changes.

    Args:
        model: trained in place.
        task: gives the loss, and the metric for progress.
        settings: of the optimiser, clipping and averaging.
    """

    def __init__(self, model: nn.Module, task: Task, settings: TrainingSettings):
        self.model = model
        self._task = task
        self._clip_norm = settings.clip_norm
        self._optimizer = build_optimizer(model, settings)
        self._parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._average = None if settings.average_decay is None else MovingAverage(model, settings.average_decay)
        self._best: dict[str, Tensor] = {}

    def step(self, inputs: Any, targets: Tensor, learning_rate: float, number: int) -> tuple[float, float]:
        """Trains one minibatch, the step of this number (from 1); its mean loss and metric, before the step.

        Raises:
            NotFiniteError: the loss or the gradient is no finite number; the weights are as they were.
        """
        outputs = self.model(inputs)
        loss = self._task.loss(outputs, targets)
        value = _finite("loss", loss.detach())
        # The optimiser's own zero_grad costs more than a small step.
        for parameter in self._parameters:
            parameter.grad = None
        loss.backward()
        self._check_and_clip()
        set_learning_rate(self._optimizer, learning_rate)
        self._optimizer.step()
        if self._average is not None:
            self._average.update(number)
        with torch.no_grad():
            return value, self._task.hits(outputs.detach(), targets).item()

    def evaluated(self) -> AbstractContextManager[None]:
        """Inside, the model has the weights that are to be judged: the averages if there are any, else its own."""
        return nullcontext() if self._average is None else self._average.in_place()

    def keep_as_best(self) -> None:
        """Remembers the weights that the model has now."""
        self._best = copy_weights(self.model)

    def finish(self) -> None:
        """Gives the model its final weights: the best if there are any, else the averages, else its own."""
        if self._best:
            load_weights(self.model, self._best)
        elif self._average is not None:
            self._average.keep()

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor by `group/name`, not copied."""
        groups: dict[str, Mapping[str, Tensor]] = {
            "weights": weights_of(self.model),
            "optimizer": optimizer_tensors(self._optimizer, self.model.named_parameters()),
            "average": {} if self._average is None else self._average.tensors(),
            "best": self._best,
        }
        return {f"{group}/{name}": tensor for group, tensors in groups.items() for name, tensor in tensors.items()}

    def load(self, checkpoint: Checkpoint) -> None:
        """Takes every tensor over from a checkpoint of the same model and settings."""
        load_weights(self.model, checkpoint.group("weights"))
        load_optimizer_tensors(self._optimizer, self.model.named_parameters(), checkpoint.group("optimizer"))
        if self._average is not None:
            self._average.load(checkpoint.group("average"))
        own = weights_of(self.model)
        self._best = {name: tensor.to(own[name].device) for name, tensor in checkpoint.group("best").items()}

    def _check_and_clip(self) -> None:
        norm = get_total_norm([parameter.grad for parameter in self._parameters if parameter.grad is not None])
        if _finite("norm of the gradient", norm) > (self._clip_norm or math.inf):
            clip_grads_with_norm_(self._parameters, self._clip_norm or math.inf, norm)


def _finite(what: str, tensor: Tensor) -> float:
    value = tensor.item()
    if not math.isfinite(value):
        raise NotFiniteError(what, value)
    return value
