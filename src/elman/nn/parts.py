"""Rows for ridge regression in parts, each of which is left out once to compare the ridges."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor

from elman.errors import UsageError
from elman.launch import memory_size
from elman.nn.factored_ridge import Factor
from elman.nn.ridge import Solution, Sums, cross_validate, joined

PARTS = 5
AHEAD = 2  # additions that wait for each thread
WORKING = 8  # matrices of the size of a part's that a solution takes besides
SUMMARIES: dict[str, Any] = {"products": Sums, "qr": Factor}


class Parts:
    """Summaries of rows of features and targets, to which the rows are dealt in turn.

    Args:
        features: number of features.
        targets: number of targets.
        ridges: penalties to choose from.
        solver: `products` keeps sums of products, `qr` a triangular factor.
        scale_free: how the ridges are compared, as for `elman.nn.ridge.cross_validate`.

    Raises:
        UsageError: the products of so many features have no room in the memory of this machine.

    >>> parts = Parts(1, 1, ridges=[1e-6, 100.0])
    >>> rows = torch.arange(10.0).unsqueeze(1)
    >>> parts.add(rows, 2 * rows, lengths=[10])
    >>> parts.solution().ridge
    1e-06
    """

    def __init__(
        self,
        features: int,
        targets: int,
        *,
        ridges: Sequence[float],
        solver: str = "products",
        scale_free: bool = False,
    ):
        self.ridges, self._scale_free = ridges, scale_free
        # A single ridge is compared with none, but two parts are added up side by side.
        count = PARTS if len(ridges) > 1 else 2
        _check_room(features, count)
        self._each = [SUMMARIES[solver].empty(features, targets) for _ in range(count)]
        self._dealt = 0
        self._threads: list[_Thread] = []

    @contextmanager
    def side_by_side(self) -> Iterator[None]:
        """Add rows on other threads, if torch may use several.

        The rows of a part are added in their order, by one thread. Meanwhile each of torch's operators uses one thread.
        """
        count = torch.get_num_threads()
        if count == 1:
            yield
            return
        with ExitStack() as stack:
            stack.callback(torch.set_num_threads, count)
            torch.set_num_threads(1)
            stack.callback(self._threads.clear)
            self._threads += [_Thread(stack.enter_context(ThreadPoolExecutor(1))) for _ in self._each[:count]]
            yield
            for thread in self._threads:
                thread.finish()

    def add(self, features: Tensor, targets: Tensor, *, lengths: Sequence[int] | None = None) -> None:
        """Count rows in.

        Args:
            features: `(rows, features)`.
            targets: `(rows, targets)`.
            lengths: how many of the rows each sequence has, to deal the sequences one by one; fewer sequences than
                parts are cut into stretches. If not given, all rows are dealt to one part.
        """
        stretches = [len(features)] if lengths is None else _stretches(lengths, len(self._each))
        turns = torch.arange(self._dealt, self._dealt + len(stretches)) % len(self._each)
        of_rows = turns.repeat_interleave(torch.tensor(stretches, dtype=torch.int64))
        for number in turns.unique().tolist():
            rows = of_rows == number
            whole = bool(rows.all())
            self._add(number, features if whole else features[rows], targets if whole else targets[rows])
        self._dealt += len(stretches)

    def _add(self, number: int, features: Tensor, targets: Tensor) -> None:
        if self._threads:
            self._threads[number % len(self._threads)].add(self._each[number], features, targets)
        else:
            self._each[number].add(features, targets)

    def solution(self) -> Solution:
        """Return the solution on all rows with the ridge of the least cross-validated error.

        Raises:
            DataError: there are no rows.
        """
        return cross_validate(self._each, self.ridges, scale_free=self._scale_free)

    def solution_so_far(self) -> Solution | None:
        """Return the solution with the middle ridge, None without rows."""
        whole = joined(self._each)
        return next(whole.solve([self.ridges[len(self.ridges) // 2]])) if whole.count else None

    def tensors(self) -> dict[str, Tensor]:
        """Return everything that was summed up, by name, not copied."""
        found = {
            f"{number}/{name}": each for number, part in enumerate(self._each) for name, each in part.tensors().items()
        }
        return {**found, "dealt": torch.tensor(self._dealt)}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over what `tensors` gave."""
        for number, part in enumerate(self._each):
            start = f"{number}/"
            part.load({name.removeprefix(start): each for name, each in tensors.items() if name.startswith(start)})
        self._dealt = int(tensors["dealt"])


def _check_room(features: int, parts: int) -> None:
    """Refuse more features than can be solved for.

    Raises:
        UsageError: says how much memory they need.
    """
    needed, has = (parts + WORKING) * features**2 * 8, memory_size()
    if has is not None and needed > has:
        raise UsageError(
            f"An output layer that reads {features:,} features needs {needed / 1e9:.3g} GB to be solved for, and this "
            f"machine has {has / 1e9:.3g} GB.",
            fix="Give fewer units, lags or reservoirs, a smaller embedding, one direction, or one way of pooling.",
        )


class _Thread:
    """A thread that adds rows to some of the parts.

    Args:
        pool: of one thread.
    """

    def __init__(self, pool: ThreadPoolExecutor):
        self._pool = pool
        self._waiting: deque[Future[None]] = deque()

    def add(self, part: Any, features: Tensor, targets: Tensor) -> None:
        """Add rows to a part, when those before are added."""
        if len(self._waiting) == AHEAD:
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(part.add, features, targets))

    def finish(self) -> None:
        """Wait until all rows are added."""
        while self._waiting:
            self._waiting.popleft().result()


def _stretches(lengths: Sequence[int], parts: int) -> list[int]:
    """Return the lengths, each cut into nearly equal stretches if they are too few.

    >>> _stretches([7], 3), _stretches([4, 1], 2)
    ([2, 2, 3], [4, 1])
    """
    cuts = -(-parts // max(1, len(lengths)))
    return [length * (cut + 1) // cuts - length * cut // cuts for length in lengths for cut in range(cuts)]
