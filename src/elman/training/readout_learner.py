"""A model whose output layer is found by least squares, in one pass over the data."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from elman.data.ragged.ragged import Ragged
from elman.devices import device_of
from elman.errors import UsageError
from elman.nn.reservoir_body import ReservoirBody, with_table
from elman.nn.ridge import Solution
from elman.settings.training import RunSettings
from elman.tasks.task import Batch, Data, Read, Task
from elman.training.checkpoint import Checkpoint
from elman.training.learner import NotFiniteError
from elman.training.processes import ALONE, Alone, Figures
from elman.training.readouts import build_readout, given_to, taught_in_closed_loop
from elman.training.record import History
from elman.training.weights import load_weights, weights_of


class ReadoutLearner:
    """A model whose output layer is found by least squares, and whose other weights stay as they are.

    What the output layer reads is learned from minibatch by minibatch, in memory that does not grow with the data.
    The scores while training are those of a solution so far on new data; with the fitter `force` they are those after
    each step was learned. Nothing is dropped. The units of reservoirs are first fitted by intrinsic plasticity if the
    settings say so.

    Args:
        model: its last linear layer is trained in place.
        task: gives the targets of that layer, and the metric for progress.
        settings: with the fitter and its settings.
        data: the training set.
        processes: that train the model, one alone.

    Raises:
        UsageError: the model has no output layer, or there are several processes.
    """

    def __init__(self, model: nn.Module, task: Task, settings: RunSettings, data: Data, processes: Alone = ALONE):
        if processes.size > 1:
            raise UsageError(
                f"Ridge regression takes one pass over the data in one process, got {processes.size} processes.",
                fix="Start the command without torchrun, or give fitter='gradient' (--fitter gradient).",
            )
        self.model = model
        self.task = task
        self.data = data
        self._settings = settings
        self._layer = _output_layer(model)
        self._is_adapted = not getattr(settings, "plasticity_rate", 0.0)
        self.begin_epoch()

    @torch.no_grad()
    def begin_epoch(self) -> None:
        """Forget what was learned, and the output layer, which is zeros until the first solution."""
        for weight in self._layer.parameters():
            weight.zero_()
        sizes = self._layer.in_features, self._layer.out_features
        batches, scale_free = len(self.data.plan(0)), self.task.has_scale_free_readout
        self._readout = build_readout(*sizes, self._settings, batches, scale_free=scale_free)

    def freeze_for(self, epoch: int) -> None:
        """Freeze nothing: only the output layer changes."""

    @torch.no_grad()
    def step(self, batch: Batch, learning_rate: float) -> Figures:
        """Learn from a minibatch, and return its figures before.

        Raises:
            NotFiniteError: what the output layer reads is not finite.
        """
        self._evaluate_parts()
        if not self._is_adapted:
            self._adapt()
        read = self._read_in_closed_loop(batch) if self._settings.fitter == "force" else self._read(batch)
        if not read.targets:
            return Figures(0.0, 0.0, 0, batch.sequences, batch.tokens)
        scores = self.task.scores(self.data)
        scores.update(batch, read)
        metric = float(scores.compute()[self.task.metric.name] or 0.0)
        return Figures(read.loss.item(), metric, read.targets, batch.sequences, batch.tokens)

    def _evaluate_parts(self) -> None:
        """Set all parts to evaluation mode but reservoirs, which have noise while fitting.

        The model itself stays in training mode, in which a classifier reads no n-grams.
        """
        for part in self.model.children():
            part.eval()
        for module in self.model.modules():
            if isinstance(module, ReservoirBody):
                module.train()

    def _read(self, batch: Batch) -> Read:
        """Read a minibatch with the solution so far, then learn from it."""
        wanted = self._wanted(batch)
        with given_to(self._layer) as given:
            read = self.task.read(self.model, batch.to(device_of(self.model))).on_cpu()
        if not read.targets:
            return read
        features, targets = given[-1].flatten(0, -2).cpu(), wanted.data if isinstance(wanted, Ragged) else wanted
        counted = self.task.counted(batch)
        if counted is not None:
            features, targets = features[counted], targets[counted]
        _require_finite(features)
        self._readout.add(features, targets, _lengths_of(wanted, counted))
        if (found := self._readout.so_far()) is not None:
            self._set(found)
        return read

    def _read_in_closed_loop(self, batch: Batch) -> Read:
        """Read a minibatch in closed loop, and learn at every step."""
        wanted = self._wanted(batch)
        assert isinstance(wanted, Ragged)
        counted = self.task.counted(batch)
        kept = torch.ones(wanted.total, dtype=torch.bool) if counted is None else counted
        with taught_in_closed_loop(self._layer, self._readout, wanted, kept):
            read = self.task.read(self.model, batch.to(device_of(self.model))).on_cpu()
        found = self._readout.so_far()
        assert found is not None
        _require_finite(found.weight)
        self._set(found)
        return read

    def _wanted(self, batch: Batch) -> Tensor | Ragged:
        return self.task.readout(self.model, batch.to(device_of(self.model))).to("cpu")

    def _adapt(self) -> None:
        """Fit the units of reservoirs by intrinsic plasticity to the first steps of the data."""
        for body in [module for module in self.model.modules() if isinstance(module, ReservoirBody)]:
            body.adapt(list(_first_inputs(self, body, body.settings.plasticity_steps)))
        self._is_adapted = True

    def complete(self) -> None:
        """Solve for the output layer, with the best of the ridges.

        Raises:
            DataError: no rows are left to learn from.
        """
        self._set(self._readout.solution())

    @torch.no_grad()
    def _set(self, solution: Solution) -> None:
        self._layer.weight.copy_(solution.weight.T)
        if self._layer.bias is not None:
            self._layer.bias.copy_(solution.bias)

    def evaluated(self) -> AbstractContextManager[None]:
        """Evaluate the weights as they are."""
        return nullcontext()

    def end_epoch(self, history: History) -> None:
        """Do nothing: there is one epoch."""

    def keep_as_best(self) -> None:
        """Do nothing: there is one epoch."""

    def finish(self) -> None:
        """Leave the weights as they are, which are the final ones."""

    def tensors(self) -> dict[str, Tensor]:
        """Return every tensor by `group/name`, not copied."""
        found = {f"weights/{name}": tensor for name, tensor in weights_of(self.model).items()}
        found |= {f"readout/{name}": tensor for name, tensor in self._readout.tensors().items()}
        return {**found, "readout/adapted": torch.tensor(self._is_adapted)}

    def load(self, checkpoint: Checkpoint) -> None:
        """Load every tensor from a checkpoint of the same model and settings."""
        load_weights(self.model, checkpoint.group("weights"))
        kept = checkpoint.group("readout")
        self._is_adapted = bool(kept["adapted"])
        self._readout.load(kept)


def _first_inputs(learner: ReadoutLearner, body: ReservoirBody, steps: int) -> Iterator[Tensor]:
    """Yield each sequence that a body reads until there are enough steps."""
    read: list[Ragged] = []
    hook = body.register_forward_pre_hook(
        lambda module, given, named: read.append(with_table(given[0], named.get("table"))), with_kwargs=True
    )
    try:
        for item in learner.data.plan(0):
            if steps <= 0:
                return
            batch = learner.data.read(item)
            learner.task.read(learner.model, batch.to(device_of(learner.model)))
            yield from read[-1].to_list()
            steps -= read[-1].total
    finally:
        hook.remove()


def _output_layer(model: nn.Module) -> nn.Linear:
    """Return the last linear layer of a network."""
    layers = [module for module in model.modules() if isinstance(module, nn.Linear)]
    if not layers:
        raise UsageError(
            "Expected a network with a linear output layer, got one without.",
            fix="Give fitter='gradient' (--fitter gradient).",
        )
    return layers[-1]


def _lengths_of(wanted: Tensor | Ragged, counted: Tensor | None) -> list[int]:
    """Return how many rows each sequence has, or how many of those that count."""
    if not isinstance(wanted, Ragged):
        return [1] * (len(wanted) if counted is None else int(counted.sum()))
    if counted is None:
        return wanted.lengths.tolist()
    return torch.bincount(wanted.sequence_index()[counted], minlength=len(wanted)).tolist()


def _require_finite(values: Tensor) -> None:
    if not values.isfinite().all():
        raise NotFiniteError("input of the output layer", float(values[~values.isfinite()][0]))
