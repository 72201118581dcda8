"""A model that is trained by Hessian-free optimisation."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from elman.errors import UsageError
from elman.nn.frozen import frozen
from elman.nn.penalties import collected_penalties
from elman.tasks.task import Batch, Read
from elman.training.gauss_newton import GaussNewton, flat
from elman.training.generators import cuda_devices, own_generators
from elman.training.hessian_free import HessianFree
from elman.training.learner import Learner, NotFiniteError
from elman.training.processes import Figures

LARGEST_SEED = 2**31


class HessianFreeLearner(Learner):
    """A model whose steps are those of `HessianFree`.

    The gradient is that of a whole minibatch with the penalties of the model's layers; the curvature is that of the
    loss on some of its rows, which are drawn anew for each step. What is random in the model, such as dropout, is the
    same for all readings of a step. There is neither a learning rate nor clipping.
    """

    def step(self, batch: Batch, learning_rate: float) -> Figures:
        """Train one minibatch, as `Learner.step` does.

        Raises:
            NotFiniteError: the loss or the gradient is not finite; the weights are as they were.
            UsageError: the model or its data have no curvature, or several processes train it.
        """
        if self._processes.size > 1:
            raise UsageError(
                f"Hessian-free optimisation runs in one process, got {self._processes.size} processes.",
                fix="Start the command without torchrun, or give another optimizer.",
            )
        optimizer = self._optimizer
        assert isinstance(optimizer, HessianFree)
        seed = int(torch.randint(LARGEST_SEED, ()))
        devices = cuda_devices(self.model)

        def read(rows: Batch) -> tuple[Tensor, Read]:
            with own_generators(devices, seed), collected_penalties() as penalties:
                found = self._task.read(self.model, rows, self._carried)
            return sum(penalties, found.loss), found

        with frozen(self._frozen):
            minibatch = Minibatch(self.model, optimizer, batch, read, self._settings.curvature_fraction)
            if not minibatch.targets:
                return Figures(0.0, 0.0, 0, batch.sequences, batch.tokens)
            found = minibatch.found
            optimizer.step(minibatch)
        self._carried = found.state
        if self._average is not None:
            self._average.update()
        sizes = batch.sequences, batch.tokens
        return Figures(found.loss.item(), self._metric(batch, found), found.targets, *sizes)


class Minibatch:
    """A minibatch as a function of a model's weights.

    Args:
        model: whose weights change between the calls.
        optimizer: has the parameters, and says whether the states are observed.
        batch: to read.
        read: returns the objective and the reading of rows.
        fraction: of the rows, for the curvature.

    Attributes:
        found: the first reading.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: HessianFree,
        batch: Batch,
        read: Callable[[Batch], tuple[Tensor, Read]],
        fraction: float,
    ):
        self._model = model
        self._optimizer = optimizer
        self._batch = batch
        self._read = read
        self._fraction = fraction
        with torch.enable_grad():
            self._objective, self.found = read(batch)

    @property
    def targets(self) -> int:
        """Number of the targets."""
        return self.found.targets

    def gradient(self) -> Tensor:
        """Return the gradient of the objective at the first weights, `(weights,)`."""
        parameters = self._optimizer.parameters
        _refuse_not_finite("loss", self._objective.detach())
        gradient = flat(torch.autograd.grad(self._objective, parameters, allow_unused=True), parameters)
        _refuse_not_finite("norm of the gradient", gradient.norm())
        return gradient

    @torch.no_grad()
    def value(self) -> float:
        """Return the objective at the present weights."""
        return self._read(self._batch)[0].item()

    def curvature(self) -> GaussNewton:
        """Return the curvature of the loss on some of the rows."""
        rows = some_rows(self._batch, self._fraction)
        structural = bool(self._optimizer.structural)

        def loss() -> Tensor:
            return self._read(rows)[1].loss

        return GaussNewton(
            self._model, self._optimizer.parameters, loss, sequences=rows.sequences, structural=structural
        )


def some_rows(batch: Batch, fraction: float) -> Batch:
    """Draw a fraction of the rows of a batch, at least one.

    Raises:
        UsageError: the values of the batch are not one for each row.
    """
    count = max(1, round(fraction * batch.sequences))
    if count == batch.sequences:
        return batch
    if any(len(column) != batch.sequences for column in batch.columns.values()):
        raise UsageError(
            "The minibatches of this task cannot be divided into rows.",
            fix="Give curvature_fraction=1 (--curvature-fraction 1).",
        )
    rows = torch.randperm(batch.sequences)[:count].sort().values.tolist()
    columns = {
        name: column[rows] if isinstance(column, Tensor) else column.select(rows)
        for name, column in batch.columns.items()
    }
    return Batch(columns, count, round(batch.tokens * count / batch.sequences))


def _refuse_not_finite(what: str, value: Tensor) -> None:
    if not math.isfinite(found := value.item()):
        raise NotFiniteError(what, found)
