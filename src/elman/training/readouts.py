"""How an output layer is learned by least squares: ridge regression in one pass, or row by row."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor, nn

from elman.data.ragged.ragged import Ragged
from elman.nn.parts import PARTS, Parts
from elman.nn.ridge import RecursiveLeastSquares, Solution, require_rows
from elman.settings.readout import ReadoutSettings

RIDGES = tuple(10.0**power for power in range(-8, 3))


class Readout(Protocol):
    """What is learned of rows of features and targets."""

    def add(self, features: Tensor, targets: Tensor, lengths: Sequence[int]) -> None:
        """Learn from the rows of a minibatch.

        Args:
            features: `(rows, features)`.
            targets: `(rows, targets)`.
            lengths: how many of the rows each sequence has.
        """
        ...

    def so_far(self) -> Solution | None:
        """Return the solution on the rows so far, None if it is not worth computing."""
        ...

    def solution(self) -> Solution:
        """Return the solution on all rows."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """Return what was learned by name, not copied."""
        ...

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over what `tensors` gave."""
        ...


class RidgeReadout:
    """Ridge regression on sums over the rows, with the ridge of the least cross-validated error.

    The minibatches are dealt to the parts of the data in turn; if there are fewer than parts, their sequences are, so
    that the ridges are compared on small data too. After 1, 2, 4, 8, … minibatches there is a solution so far.

    Args:
        features: number of features.
        targets: number of targets.
        settings: with `ridges` and `solver`.
        batches: number of minibatches of the data.
        scale_free: how the ridges are compared, as for `elman.nn.ridge.cross_validate`.
    """

    def __init__(
        self, features: int, targets: int, settings: ReadoutSettings, batches: int, *, scale_free: bool = False
    ):
        how = {"ridges": settings.ridges or RIDGES, "solver": settings.solver}
        self._parts = Parts(features, targets, scale_free=scale_free, **how)
        self._by_sequence = batches < PARTS
        self._batches = 0

    def add(self, features: Tensor, targets: Tensor, lengths: Sequence[int]) -> None:
        """Count the rows of a minibatch in."""
        self._parts.add(features, targets, lengths=lengths if self._by_sequence else None)
        self._batches += 1

    def so_far(self) -> Solution | None:
        """Return the solution with the middle ridge after 1, 2, 4, 8, … minibatches."""
        return None if self._batches & (self._batches - 1) else self._parts.solution_so_far()

    def solution(self) -> Solution:
        """Return the solution with the best of the ridges.

        Raises:
            DataError: there are no rows.
        """
        return self._parts.solution()

    def tensors(self) -> dict[str, Tensor]:
        """Return the sums by name."""
        return {**self._parts.tensors(), "batches": torch.tensor(self._batches)}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over sums that `tensors` gave."""
        self._parts.load(tensors)
        self._batches = int(tensors["batches"])


class RecursiveReadout:
    """Recursive least squares: the solution is known after every row.

    Args:
        features: number of features.
        targets: number of targets.
        settings: with `ridges`, of which it has the middle one, and `forgetting`.
    """

    def __init__(self, features: int, targets: int, settings: ReadoutSettings):
        ridges = settings.ridges or RIDGES
        ridge = ridges[len(ridges) // 2]
        self._learned = RecursiveLeastSquares(features, targets, ridge=ridge, forgetting=settings.forgetting)
        self._rows = 0

    def add(self, features: Tensor, targets: Tensor, lengths: Sequence[int]) -> None:
        """Learn from the rows of a minibatch, one after the other."""
        for row, target in zip(features, targets, strict=True):
            self._learned.update(row, target)
        self._rows += len(features)

    def so_far(self) -> Solution:
        """Return the solution on the rows so far."""
        return self._learned.solution

    def solution(self) -> Solution:
        """Return the solution.

        Raises:
            DataError: there were no rows.
        """
        require_rows(self._rows, self._learned.weight)
        return self._learned.solution

    def tensors(self) -> dict[str, Tensor]:
        """Return what was learned by name."""
        return {**self._learned.tensors(), "rows": torch.tensor(self._rows)}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over what `tensors` gave."""
        self._learned.load(tensors)
        self._rows = int(tensors["rows"])


def build_readout(
    features: int, targets: int, settings: ReadoutSettings, batches: int, *, scale_free: bool = False
) -> Readout:
    """Build what learns an output layer, as the settings say.

    Args:
        features: number of features.
        targets: number of targets.
        settings: of the run.
        batches: number of minibatches of the data.
        scale_free: how ridges are compared, as for `elman.nn.ridge.cross_validate`.
    """
    if settings.is_online:
        return RecursiveReadout(features, targets, settings)
    return RidgeReadout(features, targets, settings, batches, scale_free=scale_free)


@contextmanager
def given_to(layer: nn.Linear) -> Iterator[list[Tensor]]:
    """Collect what a layer is given."""
    found: list[Tensor] = []
    hook = layer.register_forward_pre_hook(lambda module, given: found.append(given[0]))
    try:
        yield found
    finally:
        hook.remove()


@contextmanager
def taught_in_closed_loop(layer: nn.Linear, readout: Readout, targets: Ragged, kept: Tensor) -> Iterator[None]:
    """Let an output layer learn at every step of a closed loop.

    Its output at the step is that after it has learned.

    Args:
        layer: is called once for each step of the longest sequence.
        readout: learns from the step of each sequence, one after the other.
        targets: of all steps, `(total, outputs)`.
        kept: which of the steps are learned from, `(total,)`.

    Source:
        D. Sussillo, L. F. Abbott, Generating Coherent Patterns of Activity from Chaotic Neural Networks, 2009.
    """
    step = 0

    def teach(module: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> Tensor:
        nonlocal step
        lengths = targets.lengths
        is_read = lengths > step
        steps = targets.offsets[:-1][is_read] + step
        chosen = kept[steps]
        features = given[0].cpu()
        rows = features[is_read][chosen]
        readout.add(rows, targets.data[steps][chosen], [1] * len(rows))
        step += 1
        found = readout.so_far()
        assert found is not None
        return (features.double() @ found.weight + found.bias).to(output)

    hook = layer.register_forward_hook(teach)
    try:
        yield
    finally:
        hook.remove()
