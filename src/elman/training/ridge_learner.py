"""A model whose output layer is solved for, in one pass over the data."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn

from elman.data.ragged.ragged import Ragged
from elman.devices import device_of
from elman.errors import UsageError
from elman.nn.ridge import Solution, Sums, cross_validate, joined
from elman.settings.training import RunSettings
from elman.tasks.task import Batch, Data, Task
from elman.training.checkpoint import Checkpoint
from elman.training.learner import NotFiniteError
from elman.training.processes import ALONE, Alone, Figures
from elman.training.record import History
from elman.training.weights import load_weights, weights_of

# The minibatches are dealt to so many parts, each of which is left out once to compare the ridges.
PARTS = 5
RIDGES = tuple(10.0**power for power in range(-8, 3))


class RidgeLearner:
    """A model whose output layer is found by ridge regression, and whose other weights stay as they are.

    What the output layer reads is summed up, minibatch by minibatch, in memory that does not grow with the data. The
    layer is solved for at the end, with the ridge of the least cross-validated error. After 1, 2, 4, 8, … minibatches
    it is solved for with the middle ridge, so that the scores while training are those of a solution so far on new
    data. Nothing is dropped.

    Args:
        model: its last linear layer is trained in place.
        task: gives the targets of that layer, and the metric for progress.
        settings: with the `ridges`.
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
        self._task = task
        self._data = data
        self._settings = settings
        self._layer = _output_layer(model)
        self.begin_epoch()

    @torch.no_grad()
    def begin_epoch(self) -> None:
        """Forget what was summed up, and the output layer, which is zeros until the first solution."""
        for weight in self._layer.parameters():
            weight.zero_()
        sizes = self._layer.in_features, self._layer.out_features
        self._parts = [Sums.empty(*sizes) for _ in range(PARTS)]
        self._batches = 0

    def freeze_for(self, epoch: int) -> None:
        """Freeze nothing: only the output layer changes."""

    @torch.no_grad()
    def step(self, batch: Batch, learning_rate: float) -> Figures:
        """Count a minibatch in, and return its figures before.

        Raises:
            NotFiniteError: what the output layer reads is not finite.
        """
        wanted = self._task.readout(self.model, batch.to(device_of(self.model)))
        # The model itself stays in training mode, in which a classifier reads no n-grams.
        for part in self.model.children():
            part.eval()
        with _given_to(self._layer) as given:
            read = self._task.read(self.model, batch.to(device_of(self.model))).on_cpu()
        if not read.targets:
            return Figures(0.0, 0.0, 0, batch.sequences, batch.tokens)
        features, targets = given[-1].cpu(), (wanted.data if isinstance(wanted, Ragged) else wanted).cpu()
        if (counted := self._task.counted(batch)) is not None:
            features, targets = features[counted], targets[counted]
        if not features.isfinite().all():
            raise NotFiniteError("input of the output layer", float(features[~features.isfinite()][0]))
        self._parts[self._batches % PARTS].add(features, targets)
        self._batches += 1
        if self._batches & (self._batches - 1) == 0:
            self._solve_so_far()
        scores = self._task.scores(self._data)
        scores.update(batch, read)
        metric = float(scores.compute()[self._task.metric.name] or 0.0)
        return Figures(read.loss.item(), metric, read.targets, batch.sequences, batch.tokens)

    def complete(self) -> None:
        """Solve for the output layer with the best of the ridges.

        Raises:
            DataError: no rows are left to learn from.
        """
        self._set(cross_validate(self._parts, self._ridges))

    def _solve_so_far(self) -> None:
        """Solve with the middle one of the ridges: to compare them takes several times as long."""
        whole = joined(self._parts)
        if whole.count:
            self._set(next(whole.solve([self._ridges[len(self._ridges) // 2]])))

    @property
    def _ridges(self) -> Sequence[float]:
        return self._settings.ridges or RIDGES

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
        for number, part in enumerate(self._parts):
            found |= {f"ridge/{number}/{name}": tensor for name, tensor in part.tensors().items()}
        return {**found, "ridge/batches": torch.tensor(self._batches)}

    def load(self, checkpoint: Checkpoint) -> None:
        """Load every tensor from a checkpoint of the same model and settings."""
        load_weights(self.model, checkpoint.group("weights"))
        kept = checkpoint.group("ridge")
        for number, part in enumerate(self._parts):
            start = f"{number}/"
            part.load({name.removeprefix(start): tensor for name, tensor in kept.items() if name.startswith(start)})
        self._batches = int(kept["batches"])


def _output_layer(model: nn.Module) -> nn.Linear:
    """Return the last linear layer of a network."""
    layers = [module for module in model.modules() if isinstance(module, nn.Linear)]
    if not layers:
        raise UsageError(
            "Expected a network with a linear output layer, got one without.",
            fix="Give fitter='gradient' (--fitter gradient).",
        )
    return layers[-1]


@contextmanager
def _given_to(layer: nn.Linear) -> Iterator[list[Tensor]]:
    """Collect what a layer is given."""
    found: list[Tensor] = []
    hook = layer.register_forward_pre_hook(lambda module, given: found.append(given[0]))
    try:
        yield found
    finally:
        hook.remove()
