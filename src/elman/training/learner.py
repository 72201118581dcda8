"""A model in training: steps of the optimiser, the average of its weights and the best of them."""

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_value_, clip_grads_with_norm_, get_total_norm

from elman.devices import computing_in, device_of
from elman.errors import UsageError, nearest
from elman.nn.frozen import frozen
from elman.nn.penalties import collected_penalties
from elman.nn.state import State
from elman.settings.training import RunSettings
from elman.tasks.task import Batch, Data, Read, Task
from elman.training.averaging import begin_average, build_average
from elman.training.checkpoint import Checkpoint
from elman.training.optimizers import build_optimizer, load_optimizer_tensors, optimizer_tensors, set_learning_rate
from elman.training.processes import ALONE, Alone, Figures
from elman.training.record import History
from elman.training.vanishing_penalty import VanishingPenalty
from elman.training.weights import copy_weights, load_weights, weights_of


class NotFiniteError(ArithmeticError):
    """A loss or a gradient that is infinite or not a number; the weights were not touched."""

    def __init__(self, what: str, value: float):
        super().__init__(what, value)
        self.what = what
        self.value = value


class Learner:
    """A model with its optimiser, the average of its weights and the best of them: every tensor that a run changes.

    Where minibatches follow one another, this includes the state from which the next one continues.

    Args:
        model: trained in place.
        task: gives the loss, and the metric for progress.
        settings: of the optimiser, clipping and averaging.
        data: the training set.
        processes: that train the model together.
    """

    def __init__(self, model: nn.Module, task: Task, settings: RunSettings, data: Data, processes: Alone = ALONE):
        self.model = model
        self._processes = processes
        self._device = device_of(model)
        self._task = task
        self._data = data
        self._clip_norm = settings.clip_norm
        self._optimizer = build_optimizer(model, settings)
        self._parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._settings = settings
        weight = settings.vanishing_penalty
        self._vanishing = VanishingPenalty(model, weight) if weight else None
        self._average = build_average(model, settings)
        self._best: dict[str, Tensor] = {}
        self._carried: State | None = None
        self._frozen: list[nn.Parameter] = []
        parts = dict(model.named_children())
        # The networks of an ensemble have the same parts, and so have the encoders of a pair.
        self._parts = [model]
        if (members := getattr(model, "members", None)) is not None:
            self._parts = list(members)
            parts = dict(self._parts[0].named_children())
        for name in settings.freeze:
            if name not in parts:
                raise UsageError(f"The network has no part `{name}` to freeze.", fix=nearest(name, parts))

    def begin_epoch(self) -> None:
        """Forget the carried state: the data begin anew."""
        self._carried = None

    def freeze_for(self, epoch: int) -> None:
        """Freeze the parts that the settings freeze in an epoch, counted from 0."""
        every, names = self._settings.unfreeze_epochs, self._settings.freeze
        parts = names if every is None else names[: max(0, len(names) - epoch // every)]
        weights = [weight for name in parts for each in self._parts for weight in each.get_submodule(name).parameters()]
        self._frozen = [weight for weight in weights if weight.requires_grad]

    def step(self, batch: Batch, learning_rate: float) -> Figures:
        """Train one minibatch, and return its figures over all processes.

        The loss and the metric are those before the step. What the model's layers add to the loss
        (`elman.nn.penalties`) is trained, and not counted in the mean loss. A minibatch without targets trains nothing.

        Args:
            batch: the minibatch, or this process's part of it, which may be empty.
            learning_rate: of the step.

        Raises:
            NotFiniteError: the loss or the gradient is not finite; the weights are as they were.
        """
        figures = self._processes.add(self._parameters, *self._differentiated(batch))
        # The loss of a minibatch without targets is 0 / 0, and there is nothing to learn from it.
        if not figures.targets:
            return figures
        _check("loss", figures.loss)
        self._check_and_clip()
        set_learning_rate(self._optimizer, learning_rate)
        self._optimizer.step()
        if self._average is not None:
            self._average.update()
        return figures

    def _differentiated(self, batch: Batch) -> tuple[Figures, float]:
        """Compute the gradients of a part of a minibatch, and return its figures and its weight."""
        # The optimiser's own zero_grad costs more than a small step.
        for parameter in self._parameters:
            parameter.grad = None
        sizes = batch.sequences, batch.tokens
        if not batch.sequences:
            return Figures(0.0, 0.0, 0, *sizes), 0.0
        computing = computing_in(self._settings.precision, self._device)
        observed = nullcontext() if self._vanishing is None else self._vanishing.observed()
        with computing, frozen(self._frozen), collected_penalties() as penalties, observed as calls:
            read = self._task.read(self.model, batch.to(self._device), self._carried)
        self._carried = read.state
        if not read.targets:
            return Figures(0.0, 0.0, 0, *sizes), 0.0
        objective = sum(penalties, read.loss)
        # An optimiser skips parameters without a gradient. If all parts are frozen, nothing has one.
        if objective.requires_grad:
            objective.backward()
        if self._vanishing is not None and calls:
            self._vanishing.add_gradient(calls)
        return Figures(read.loss.item(), self._metric(batch, read), read.targets, *sizes), read.weight

    @torch.no_grad()
    def _metric(self, batch: Batch, read: Read) -> float:
        scores = self._task.scores(self._data)
        scores.update(batch, read.on_cpu())
        # A task may score some answers, such as whole texts, in evaluations only.
        return float(scores.compute().get(self._task.metric.name, math.nan))

    def complete(self) -> None:
        """Do what follows the last minibatch of an epoch, which is nothing for gradients."""

    def evaluated(self) -> AbstractContextManager[None]:
        """Give the model the weights to evaluate while inside: averages if there are any."""
        return nullcontext() if self._average is None else self._average.in_place()

    def end_epoch(self, history: History) -> None:
        """Begin to average the weights, if the settings and the epochs so far call for it."""
        if self._average is not None:
            begin_average(self._average, self._settings, history)

    def keep_as_best(self) -> None:
        """Remember the weights that the model has now."""
        self._best = copy_weights(self.model)

    def finish(self) -> None:
        """Give the model its final weights: the best, else the averages, else its own."""
        if self._best:
            load_weights(self.model, self._best)
        elif self._average is not None:
            self._average.keep()

    def tensors(self) -> dict[str, Tensor]:
        """Return every tensor by `group/name`, not copied."""
        groups: dict[str, Mapping[str, Tensor]] = {
            "weights": weights_of(self.model),
            "optimizer": optimizer_tensors(self._optimizer, self.model.named_parameters()),
            "average": {} if self._average is None else self._average.tensors(),
            "averaging": {} if self._average is None else self._average.progress(),
            "best": self._best,
            "carried": {} if self._carried is None else self._carried.tensors,
        }
        return {f"{group}/{name}": tensor for group, tensors in groups.items() for name, tensor in tensors.items()}

    def load(self, checkpoint: Checkpoint) -> None:
        """Load every tensor from a checkpoint of the same model and settings."""
        load_weights(self.model, checkpoint.group("weights"))
        load_optimizer_tensors(self._optimizer, self.model.named_parameters(), checkpoint.group("optimizer"))
        if self._average is not None:
            self._average.load(checkpoint.group("average"), checkpoint.group("averaging"))
        carried = checkpoint.group("carried")
        self._carried = State(carried).to(next(self.model.parameters()).device) if carried else None
        own = weights_of(self.model)
        self._best = {name: tensor.to(own[name].device) for name, tensor in checkpoint.group("best").items()}

    def _check_and_clip(self) -> None:
        gradients = [parameter.grad for parameter in self._parameters if parameter.grad is not None]
        norm = get_total_norm(gradients)
        if (largest := self._settings.clip_value) is not None:
            # Also of numbers that are clipped, NaN and infinity are refused.
            _check("norm of the gradient", norm.item())
            clip_grad_value_(self._parameters, largest)
            norm = get_total_norm(gradients)
        if _check("norm of the gradient", norm.item()) > (self._clip_norm or math.inf):
            clip_grads_with_norm_(self._parameters, self._clip_norm or math.inf, norm)


def _check(what: str, value: float) -> float:
    if not math.isfinite(value):
        raise NotFiniteError(what, value)
    return value
