"""One fitted echo state network of one seed."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from elman.errors import DataError
from elman.models.echo_state_data import Series
from elman.nn.factored_ridge import Factor
from elman.nn.intrinsic_plasticity import fit_plasticity
from elman.nn.lagged_products import LaggedProducts
from elman.nn.reservoirs import Reservoirs
from elman.nn.ridge import RecursiveLeastSquares, Solution, Sums, cross_validate
from elman.settings.reservoir import ReservoirSettings
from elman.training.generators import own_generators

PARTS = 5  # of the data, each left out in turn to choose a ridge
AHEAD = 2  # blocks that wait for each thread that adds them up
SUMMARIES: dict[str, Any] = {"products": Sums, "qr": Factor}


@dataclass
class Member:
    """An echo state network of one seed.

    Attributes:
        settings: of the network.
        forward, backward: the reservoirs, or lagged products; the second only of a bidirectional network.
        solution: the readout, which reads the input, the states forward and the states backward.
        states: at the end of the last series that it was fitted on.
        fed: what the network reads next to continue that series, `(channels,)`; None if it cannot.
        held: for a network with feedback, the input that it reads meanwhile, `(inputs,)`.
    """

    settings: ReservoirSettings
    forward: Any
    backward: Reservoirs | None
    solution: Solution
    states: list[Any] | None = None
    fed: Tensor | None = None
    held: Tensor | None = None

    @classmethod
    def drawn(cls, settings: ReservoirSettings, seed: int, inputs: int, outputs: int) -> Self:
        """Return a network whose readout is zeros."""
        with own_generators([], seed):
            dtype = getattr(torch, settings.precision)
            forward = _features(inputs, outputs, settings).to(dtype)
            backward = Reservoirs(inputs, 0, settings).to(dtype) if settings.bidirectional else None
        size = inputs * (settings.read_input and settings.lags is None) + forward.size * (1 + settings.bidirectional)
        zeros = torch.zeros(size, outputs, dtype=torch.float64)
        return cls(settings, forward, backward, Solution(zeros, zeros[0], settings.ridges[0]))

    @classmethod
    def fitted(cls, settings: ReservoirSettings, seed: int, read: Series, targets: Series) -> Self:
        """Return the network of a seed, fitted to series."""
        found = cls.drawn(settings, seed, read.channels, targets.channels)
        if settings.plasticity_rate:
            steps = torch.from_numpy(read.arrays[0][: settings.plasticity_steps]).to(found._dtype)
            spread = {"mean": 0.0, "deviation": settings.plasticity_deviation}
            fit_plasticity(found.forward, steps, **spread, rate=settings.plasticity_rate)
        if settings.fitter == "force":
            found._learn_online(read, targets)
        else:
            with own_generators([], seed):
                found.solution = cross_validate(found._summed(read, targets), settings.ridges)
        if not (found.solution.weight.isfinite().all() and found.solution.bias.isfinite().all()):
            raise DataError(
                "The readout is not finite: the states or the targets are too large.",
                fix="Scale the series, for example to a deviation of 1, or give a smaller spectral radius.",
            )
        if settings.feedback_scaling and settings.fitter == "ridge":
            found.held = torch.from_numpy(read.arrays[-1][-1]).to(found._dtype)
            found.fed = torch.from_numpy(targets.arrays[-1][-1])
        return found

    def _summed(self, read: Series, targets: Series) -> list[Any]:
        """Return the data in parts, as ridge regression reads them.

        The blocks are dealt to the parts in turn. A single ridge is compared with none, and needs one part.
        """
        kind, count = SUMMARIES[self.settings.solver], PARTS if len(self.settings.ridges) > 1 else 2
        parts = [kind.empty(len(self.solution.weight), targets.channels) for _ in range(count)]
        blocks = 0
        with _adding(parts) as add:
            for array, wanted in zip(read.arrays, targets.arrays, strict=True):
                steps, values = torch.from_numpy(array), torch.from_numpy(wanted)
                for first, features in self.features(steps, values, noisy=True):
                    skipped = max(self.settings.warmup_steps - first, 0)
                    block = values[first : first + len(features)]
                    add(blocks % count, features[skipped:], block[skipped:])
                    blocks += 1
        return parts

    def _learn_online(self, read: Series, targets: Series) -> None:
        """Learn the readout at every step, while the network reads its own output.

        Source:
            D. Sussillo, L. F. Abbott, Generating Coherent Patterns of Activity from Chaotic Neural Networks, 2009.
        """
        ridge = self.settings.ridges[len(self.settings.ridges) // 2]
        size, outputs = self.solution.weight.shape
        learned = RecursiveLeastSquares(size, outputs, ridge=ridge)
        for array, wanted in zip(read.arrays, targets.arrays, strict=True):
            fed, states = torch.zeros(1, 1, outputs, dtype=torch.float64), None
            row = fed
            for step, target in enumerate(torch.from_numpy(wanted)):
                row = torch.from_numpy(array[step]).to(self._dtype).view(1, 1, -1)
                found, states = self.forward(row, fed.to(self._dtype), states)
                features = self._joined(row, found, None)[0, 0]
                if step >= self.settings.warmup_steps:
                    learned.update(features, target)
                fed = (features.double() @ learned.weight + learned.bias).view(1, 1, -1)
            self.states, self.fed, self.held = states, fed[0, 0], row[0, 0]
        self.solution = Solution(learned.weight, learned.bias, ridge)

    def features(
        self, steps: Tensor, outputs: Tensor | None, states: list[Any] | None = None, *, noisy: bool = False
    ) -> Iterator[tuple[int, Tensor]]:
        """Yield the first step of each block, and what the readout reads, `(steps, features)`.

        Args:
            steps: `(steps, inputs)`.
            outputs: `(steps, outputs)`, each of which is fed back at the next step if the network has feedback.
            states: to continue from.
            noisy: whether the units have noise.
        """
        read = steps.to(self._dtype).unsqueeze(0)
        behind = None if self.backward is None else self.backward(read.flip(1), noisy=noisy)[0].flip(1)
        self.states = states
        size = self.settings.block_steps
        for first in range(0, len(steps), size):
            block = read[:, first : first + size]
            fed = self._fed_before(outputs, first, block.shape[1])
            found, self.states = self.forward(block, fed, self.states, noisy=noisy)
            yield first, self._joined(block, found, None if behind is None else behind[:, first : first + size])[0]

    def predict(self, array: np.ndarray, known: np.ndarray | None = None) -> np.ndarray:
        """Return the predictions at each step of a series, `(steps, outputs)`."""
        kept, steps = self.states, torch.from_numpy(array)
        if self.settings.feedback_scaling:
            found = self._predict_with_feedback(steps, known)
        else:
            blocks = [self._read_out(features) for _, features in _ahead(self.features(steps, None))]
            found = torch.cat(blocks) if blocks else self.solution.bias.new_empty(0, len(self.solution.bias))
        self.states = kept
        return found.numpy()

    def generate(self, steps: int, arrays: Sequence[np.ndarray] | None = None) -> np.ndarray:
        """Return the continuation of each series in closed loop, `(series, steps, channels)`.

        Args:
            steps: number of values.
            arrays: the series, each `(steps, channels)`; that which the network was fitted on if not given.
        """
        if arrays is None:
            assert self.fed is not None
            return self._close_loop(steps, self.fed.unsqueeze(0), self.states)
        if len({len(each) for each in arrays}) > 1:
            return np.concatenate([self.generate(steps, [each]) for each in arrays])
        read = torch.from_numpy(np.stack(arrays))
        states = None
        for block in read[:, :-1].split(self.settings.block_steps, 1):
            _, states = self.forward(block.to(self._dtype), None, states)
        return self._close_loop(steps, read[:, -1], states)

    def _close_loop(self, steps: int, fed: Tensor, states: list[Any] | None) -> np.ndarray:
        """Return the values that follow those of `fed`, `(series, channels)`, in closed loop."""
        found = torch.empty(len(fed), steps, fed.shape[1], dtype=torch.float64)
        for step in range(steps):
            back = fed.unsqueeze(1).to(self._dtype)
            row, back = (back, None) if self.held is None else (self.held.view(1, 1, -1), back)
            features, states = self.forward(row, back, states)
            fed = found[:, step] = self._read_out(self._joined(row, features, None))[:, 0]
        return found.numpy()

    def _predict_with_feedback(self, steps: Tensor, known: np.ndarray | None) -> Tensor:
        found = torch.empty(len(steps), len(self.solution.bias), dtype=torch.float64)
        fed, states = torch.zeros_like(found[:1]), None
        for step, row in enumerate(steps.to(self._dtype).view(len(steps), 1, 1, -1)):
            features, states = self.forward(row, fed.to(self._dtype).unsqueeze(0), states)
            found[step] = self._read_out(self._joined(row, features, None))[0, 0]
            fed = found[step : step + 1] if known is None or step >= len(known) else torch.from_numpy(known)[step, None]
        return found

    def _fed_before(self, outputs: Tensor | None, first: int, count: int) -> Tensor | None:
        """Return the output of the step before at each step of a block, zeros before the first."""
        if not self.settings.feedback_scaling:
            return None
        assert outputs is not None
        before = outputs[first - 1 : first] if first else torch.zeros_like(outputs[:1])
        return torch.cat([before, outputs[first : first + count - 1]]).to(self._dtype).unsqueeze(0)

    def _joined(self, block: Tensor, forward: Tensor, backward: Tensor | None) -> Tensor:
        parts = [block] if self.settings.read_input and self.settings.lags is None else []
        return torch.cat([*parts, forward, *([] if backward is None else [backward])], -1)

    def _read_out(self, features: Tensor) -> Tensor:
        return features.double() @ self.solution.weight + self.solution.bias

    @property
    def _dtype(self) -> torch.dtype:
        return getattr(torch, self.settings.precision)


@contextmanager
def _adding(parts: Sequence[Any]) -> Iterator[Callable[[int, Tensor, Tensor], None]]:
    """Add rows to the parts on other threads, if torch may use several.

    The function that it gives takes the number of a part, features and targets. The rows of a part are added in their
    order, by one thread. Meanwhile each of torch's operators uses one thread.
    """
    count = torch.get_num_threads()
    if count == 1:
        yield lambda part, features, targets: parts[part].add(features, targets)
        return
    with ExitStack() as stack:
        stack.callback(torch.set_num_threads, count)
        torch.set_num_threads(1)
        pools = [stack.enter_context(ThreadPoolExecutor(1)) for _ in parts[:count]]
        waiting: list[deque[Future[None]]] = [deque() for _ in pools]

        def add(part: int, features: Tensor, targets: Tensor) -> None:
            own = waiting[part % len(pools)]
            if len(own) == AHEAD:
                own.popleft().result()
            own.append(pools[part % len(pools)].submit(parts[part].add, features, targets))

        yield add
        for future in chain(*waiting):
            future.result()


def _ahead(blocks: Iterator[tuple[int, Tensor]]) -> Iterator[tuple[int, Tensor]]:
    """Yield blocks, while another thread computes the next one if torch may use several."""
    if torch.get_num_threads() == 1:
        yield from blocks
        return
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(next, blocks, None)
        while (block := following.result()) is not None:
            following = pool.submit(next, blocks, None)
            yield block


def _features(inputs: int, outputs: int, settings: ReservoirSettings) -> Any:
    if settings.lags is not None:
        return LaggedProducts(inputs, settings.lags, settings.lag_stride, settings.degree)
    return Reservoirs(inputs, outputs, settings)
