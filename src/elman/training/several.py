"""Several processes that train one model together, over torch.distributed: gloo for CPUs, nccl for GPUs."""

import os
import secrets
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from elman.errors import ElmanError, ModelError, UsageError, os_errors_as
from elman.tasks.task import Batch, Read
from elman.training.checkpoint import differences, plain
from elman.training.interrupts import TrainingInterrupted
from elman.training.meeting import meet
from elman.training.processes import Alone, Figures, OtherProcessError

Result = TypeVar("Result")

WISHES = 2
# The random numbers of two processes must not be those of two runs with neighbouring seeds.
SEED_STEP = 1_000_003
# Whether this process is the first that reports an error; None before it was asked.
_is_first_to_say: bool | None = None


def join() -> "Several":
    """Meet the other processes, and return them.

    Raises:
        UsageError: the port is in use.
        OtherProcessError: the first process cannot be reached.
    """
    device = None
    if torch.cuda.is_available():
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)) % torch.cuda.device_count())
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        meet("gloo" if device is None else "cpu:gloo,cuda:nccl")
    return Several(dist.get_rank(), dist.get_world_size())


def says_first() -> bool:
    """Return whether no other process has reported an error yet, and note that this one does."""
    global _is_first_to_say
    if _is_first_to_say is None:
        _is_first_to_say = _noted_error()
    return _is_first_to_say


def _noted_error() -> bool:
    if dist.is_initialized():
        with suppress(RuntimeError):
            return dist.distributed_c10d._get_default_store().add("elman/errors", 1) == 1
    # The process that held the list has ended, and the others cannot read it either.
    return True


class Several(Alone):
    """Several processes that train one model together.

    Args:
        rank: number of this process, from 0.
        size: number of processes.
    """

    def __init__(self, rank: int, size: int):
        self.rank, self.size = rank, size
        self._wishes = [False] * WISHES
        self._agreed = [False] * WISHES
        # An error that every process raises.
        self._shared: ElmanError | None = None

    def part_of(self, data: Any, item: Any) -> Any:
        """Return what this process reads of an item of a data set's plan.

        Raises:
            UsageError: the data set cannot be divided.
        """
        if not hasattr(data, "part"):
            raise UsageError(
                f"{type(data).__name__} cannot be divided among processes.",
                fix="Give it a method part(item, rank, size), as elman.tasks.examples.Examples has.",
            )
        return data.part(item, self.rank, self.size)

    def seed(self, seed: int) -> int:
        """Return another seed for each process."""
        return (seed + SEED_STEP * self.rank) % 2**63

    def add(self, parameters: Sequence[nn.Parameter], figures: Figures, weight: float) -> Figures:
        """Give every process the gradient of the whole minibatch."""
        loss, metric, targets, *sizes = figures
        sums = [weight, loss * weight, metric * targets, targets, *sizes, *self._wishes]
        numbers = torch.tensor([*sums, *(each.grad is not None for each in parameters)], dtype=torch.float64)
        flat = self._flattened(parameters, weight)
        with _messages():
            waiting = dist.all_reduce(numbers, async_op=True)
            dist.all_reduce(flat)
            assert waiting is not None
            waiting.wait()
        total, loss, metric, targets, *others = numbers.tolist()
        sequences, tokens, *others = others
        self._agreed = [found > 0 for found in others[:WISHES]]
        self._give(parameters, flat.div_(total) if total else flat, others[WISHES:] if total else [0] * len(parameters))
        return Figures(
            loss / total if total else 0.0,
            metric / targets if targets else 0.0,
            int(targets),
            int(sequences),
            int(tokens),
        )

    @staticmethod
    def _flattened(parameters: Sequence[nn.Parameter], weight: float) -> Tensor:
        """Return the gradients times the weight as one tensor, zeros where there is none."""
        if not weight:
            return parameters[0].new_zeros(sum(map(torch.numel, parameters)))
        parts = [(torch.zeros_like(each) if each.grad is None else each.grad).flatten() for each in parameters]
        return torch.cat(parts).mul_(weight)

    @staticmethod
    def _give(parameters: Sequence[nn.Parameter], flat: Tensor, known: Sequence[float]) -> None:
        """Give the parameters their parts of the gradient, None where no process has one."""
        parts = flat.split([each.numel() for each in parameters])
        for parameter, part, count in zip(parameters, parts, known, strict=True):
            parameter.grad = part.view_as(parameter) if count else None

    def reads(self, data: Any, item: Any, batch: Batch, read: Read | None) -> Iterator[tuple[Batch, Read]]:
        """Yield every part of an evaluated batch to the first process, with how it was read."""
        own = None if read is None else read.on_cpu()._replace(state=None)
        for rank, found in enumerate(self.gather(own)):
            if found is not None:
                yield batch if rank == self.rank else data.read(data.part(item, rank, self.size)), found

    def agree(self, *wishes: bool) -> list[bool]:
        """Return the wishes of the last message, and send these with the next one."""
        found, self._agreed, self._wishes = self._agreed, [False] * WISHES, list(wishes)
        return found[: len(wishes)]

    def any(self, wish: bool) -> bool:
        """Return whether any process has a wish."""
        found = torch.tensor([float(wish)])
        with _messages():
            dist.all_reduce(found)
        return bool(found.item())

    def gather(self, value: Result) -> list[Result]:
        """Return the value of every process to the first, and an empty list to the others."""
        found: list[Any] = [None] * self.size
        with _messages():
            dist.gather_object(value, found if self.is_first else None)
        return found if self.is_first else []

    def from_first(self, make: Callable[[], Result]) -> Result:
        """Return what the first process makes, or raise the error of elman that it raises."""
        found: list[Any] = [None, None]
        if self.is_first:
            try:
                found[0] = make()
            except ElmanError as error:
                found[1] = error
        with _messages():
            dist.broadcast_object_list(found, device=torch.device("cpu"))
        if found[1] is not None:
            self._shared = found[1]
            raise found[1]
        return found[0]

    def check_same(self, identity: Mapping[str, Any]) -> None:
        """Refuse processes that have other data, settings or networks than the first.

        Raises:
            ModelError: in every process; names the machine and what differs.
        """
        own = plain(identity)
        every = self.gather((socket.gethostname(), own))

        def compare() -> None:
            for rank, (host, found) in enumerate(every):
                if differing := differences(found, own):
                    lines = [f"{name}: {there}, {here} in process 0" for name, (there, here) in differing.items()]
                    raise ModelError(
                        f"Process {rank} on {host} has other data, settings or files of code than process 0.",
                        where="\n".join(lines),
                        fix="Give every process the same command and the same files.",
                    )

        self.from_first(compare)

    def check_folder(self, folder: Path | None) -> None:
        """Refuse a folder that not all processes see.

        Any of them may be the first when the run is resumed.

        Raises:
            ModelError: in every process; names the machines.
        """
        name = self.from_first(lambda: _mark(folder))
        is_seen = name is None or folder is None or (folder / name).exists()
        every = self.gather((socket.gethostname(), is_seen))

        def compare() -> None:
            if folder is not None and name is not None:
                (folder / name).unlink(missing_ok=True)
            blind = [f"process {rank} on {host}" for rank, (host, found) in enumerate(every) if not found]
            if blind:
                raise ModelError(
                    "Not every process sees the folder of the run.",
                    where=f"{folder}: missing for {', '.join(blind)}",
                    fix="Give a folder on a disk that all machines share.",
                )

        self.from_first(compare)

    @torch.no_grad()
    def share_weights(self, network: nn.Module) -> None:
        """Give every process the weights and buffers of the first.

        They are equal but for buffers that layers such as batch normalisation change by the data of their process, and
        for machines whose processors round differently.
        """
        with _messages():
            for tensor in (*network.parameters(), *network.buffers()):
                dist.broadcast(tensor.detach(), 0)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Leave the other processes if this one ends with an error within, so that they end too."""
        try:
            yield
        except TrainingInterrupted:
            raise
        except BaseException as error:
            if error is self._shared:
                raise
            if not isinstance(error, OtherProcessError):
                # Noted before the others find this process gone, so that they do not report that.
                says_first()
            with suppress(RuntimeError, ValueError):
                dist.destroy_process_group()
            raise


def _mark(folder: Path | None) -> str | None:
    """Write a file by which other processes recognise the folder, and return its name."""
    if folder is None:
        return None
    name = f".processes.{secrets.token_hex(8)}.tmp"
    with os_errors_as(ModelError, "The folder of the run cannot be written", where=folder, fix="Give another folder."):
        (folder / name).write_bytes(b"")
    return name


@contextmanager
def _messages() -> Iterator[None]:
    """Report a message that failed."""
    try:
        yield
    except RuntimeError as error:
        raise OtherProcessError(
            "Another process of the run has ended, or cannot be reached.",
            fix="Start the run again: resume=True (--resume) continues from its last checkpoint, if it has one.",
        ) from error
