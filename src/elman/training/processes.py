"""The processes that train one model together, and the one process that trains alone.

Each step has one global minibatch, which is cut so that every process has nearly the same number of tokens. A process
computes the loss l_i of its part, a mean over n_i targets, and its gradient. One message then gives every process

    Σ n_i ∇l_i / Σ n_i

which is the gradient of the loss of the whole minibatch: a mean of means would not be, since the parts have unequal
numbers of targets. The same message carries the figures of the step and the wishes of the processes, so that all of
them stop after the same step. Gradients go in one flat message instead of torch's DistributedDataParallel, which
divides by the number of processes, expects every process to have a loss, and sends while the backward pass goes on:
backpropagation through time adds to the gradient of a recurrent matrix until its end, and leaves nothing to send early.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from elman.errors import ElmanError
from elman.launch import check_launch, is_one_of_several
from elman.tasks.task import Batch, Data, Read

Result = TypeVar("Result")


class Figures(NamedTuple):
    """The figures of a minibatch, or of a process's part of it.

    Attributes:
        loss: mean over its targets.
        metric: mean over its targets.
        targets: their number.
        sequences: in it.
        tokens: steps of all its sequences.
    """

    loss: float
    metric: float
    targets: int
    sequences: int
    tokens: int


class Alone:
    """One process that trains alone: what it has is the whole.

    Attributes:
        rank: number of the process, from 0.
        size: number of processes.
    """

    rank, size = 0, 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes the files of the run and reports."""
        return self.rank == 0

    def part_of(self, data: Any, item: Any) -> Any:
        """Return what this process reads of an item of a data set's plan."""
        return item

    def seed(self, seed: int) -> int:
        """Return the seed of this process's random numbers."""
        return seed

    def add(self, parameters: Sequence[nn.Parameter], figures: Figures, weight: float) -> Figures:
        """Give every process the gradient of the whole minibatch.

        Args:
            parameters: with the gradients of this process's part, None for none.
            figures: of this part.
            weight: what the loss of this part is divided by, such as the number of its targets.

        Returns:
            The figures of the whole minibatch.
        """
        return figures

    def reads(self, data: Data, item: Any, batch: Batch, read: Read | None) -> Iterable[tuple[Batch, Read]]:
        """Return every part of an evaluated batch to the first process, with how it was read.

        Args:
            data: the data set.
            item: of its plan.
            batch: this process's part of it.
            read: how it was read, None if the part is empty.
        """
        return [] if read is None else [(batch, read.on_cpu())]

    def agree(self, *wishes: bool) -> list[bool]:
        """Return which of these wishes any process had when the last message was sent."""
        return list(wishes)

    def any(self, wish: bool) -> bool:
        """Return whether any process has a wish."""
        return wish

    def gather(self, value: Result) -> list[Result]:
        """Return the value of every process to the first, and an empty list to the others."""
        return [value]

    def from_first(self, make: Callable[[], Result]) -> Result:
        """Return what the first process makes, or raise the error of elman that it raises."""
        return make()

    def check_same(self, identity: Mapping[str, Any]) -> None:
        """Refuse processes that have other data, settings or networks than the first."""

    def check_folder(self, folder: Path | None) -> None:
        """Refuse a folder that not all processes see."""

    def share_weights(self, network: nn.Module) -> None:
        """Give every process the weights and buffers of the first."""

    @contextmanager
    def together(self) -> Iterator[None]:
        """End the other processes if this one ends with an error within."""
        yield


def merged(parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return the tensors that each process has for itself as the tensors of one checkpoint.

    States that are carried from minibatch to minibatch follow each other in the order of the processes; the random
    generators of the later processes have names of their own.

    Args:
        parts: of each process, `generator/…` and `carried/…`.
    """
    found: dict[str, Tensor] = {}
    for rank, part in enumerate(parts):
        for name, tensor in part.items():
            group, _, key = name.partition("/")
            if group == "carried":
                found[name] = torch.cat([found[name], tensor], 1) if name in found else tensor
            else:
                found[name if not rank else f"{group} of process {rank}/{key}"] = tensor
    return found


def own_part(tensors: Mapping[str, Tensor], processes: Alone) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint that belong to this process.

    The checkpoint may have been made by another number of processes.

    Args:
        tensors: of the checkpoint, by `group/name`.
        processes: whose part it is; `generator` is missing if there were fewer before.
    """
    found = {}
    own = f"generator of process {processes.rank}/" if processes.rank else "generator/"
    for name, tensor in tensors.items():
        if name.startswith(own):
            found[f"generator/{name.removeprefix(own)}"] = tensor
        elif name.startswith("carried/"):
            begin, end = share_of(tensor.shape[1], processes.rank, processes.size)
            if end > begin:
                found[name] = tensor[:, begin:end].contiguous()
        elif not name.startswith("generator"):
            found[name] = tensor
    return found


def share_of(count: int, rank: int, size: int) -> tuple[int, int]:
    """Return the first and the end of a process's share of things in a row.

    >>> [share_of(5, rank, 2) for rank in range(2)]
    [(0, 2), (2, 5)]
    """
    return rank * count // size, (rank + 1) * count // size


class OtherProcessError(ElmanError):
    """A run that cannot go on, since another of its processes has ended or cannot be reached."""


ALONE = Alone()
_joined: Alone | None = None
_is_left = False


def find_processes() -> Alone:
    """Return the processes that torchrun started with this one, or `Alone`.

    The first call joins them. Within `alone` each process is alone.

    Raises:
        OtherProcessError: the others cannot be reached.
        UsageError: the port is in use, or the variables of the launcher are wrong.
    """
    global _joined
    check_launch()
    if _is_left or not is_one_of_several():
        return ALONE
    if _joined is None:
        # torch.distributed is imported where there are several processes only.
        from elman.training.several import join

        _joined = join()
    return _joined


@contextmanager
def alone() -> Iterator[None]:
    """Train without the other processes within, as the first does at the end of a run."""
    global _is_left
    before, _is_left = _is_left, True
    try:
        yield
    finally:
        _is_left = before
