"""One fitted echo state network of one seed."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from elman.errors import DataError
from elman.models.echo_state_data import Series
from elman.nn.parts import Parts
from elman.nn.reservoir_body import adapt_units, build_features
from elman.nn.ridge import RecursiveLeastSquares, Solution
from elman.settings.reservoir import ReservoirSettings
from elman.training.generators import own_generators


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
    backward: Any
    solution: Solution
    states: list[Any] | None = None
    fed: Tensor | None = None
    held: Tensor | None = None

    @classmethod
    def drawn(cls, settings: ReservoirSettings, seed: int, inputs: int, outputs: int) -> Self:
        """Return a network whose readout is zeros."""
        with own_generators([], seed):
            dtype = getattr(torch, settings.precision)
            forward = build_features(inputs, outputs, settings).to(dtype)
            backward = build_features(inputs, 0, settings).to(dtype) if settings.bidirectional else None
        size = inputs * settings.has_input_beside + forward.size * (1 + settings.bidirectional)
        zeros = torch.zeros(size, outputs, dtype=torch.float64)
        return cls(settings, forward, backward, Solution(zeros, zeros[0], settings.ridges[0]))

    @classmethod
    def fitted(cls, settings: ReservoirSettings, seed: int, read: Series, targets: Series) -> Self:
        """Return the network of a seed, fitted to series."""
        found = cls.drawn(settings, seed, read.channels, targets.channels)
        if settings.plasticity_rate:
            directions = [each for each in (found.forward, found.backward) if each is not None]
            adapt_units(directions, (torch.from_numpy(each).to(found._dtype) for each in read.arrays), settings)
        if settings.fitter == "force":
            found._learn_in_closed_loop(read, targets)
        else:
            with own_generators([], seed):
                found.solution = found._recursive(read, targets) if settings.is_online else found._ridge(read, targets)
        if not (found.solution.weight.isfinite().all() and found.solution.bias.isfinite().all()):
            raise DataError(
                "The readout is not finite: the states or the targets are too large.",
                fix="Scale the series, for example to a deviation of 1, or give a smaller spectral radius.",
            )
        if settings.feedback_scaling and settings.fitter != "force":
            found.held = torch.from_numpy(read.arrays[-1][-1]).to(found._dtype)
            found.fed = torch.from_numpy(targets.arrays[-1][-1])
        return found

    def _ridge(self, read: Series, targets: Series) -> Solution:
        """Return the solution of ridge regression, with the blocks dealt to the parts in turn."""
        settings, size = self.settings, self.settings.block_steps
        parts = Parts(len(self.solution.weight), targets.channels, ridges=settings.ridges, solver=settings.solver)
        is_short = sum(-(-len(array) // size) for array in read.arrays) == 1
        with parts.side_by_side():
            for features, wanted in self._learned_from(read, targets):
                # Stretches of a single block are the parts.
                parts.add(features, wanted, lengths=[len(features)] if is_short else None)
        return parts.solution()

    def _recursive(self, read: Series, targets: Series) -> Solution:
        """Return the solution of recursive least squares."""
        learned = self._new_recursion()
        for features, wanted in self._learned_from(read, targets):
            for row, target in zip(features, wanted, strict=True):
                learned.update(row, target)
        return learned.solution

    def _learned_from(self, read: Series, targets: Series) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield what the readout reads and its targets, block by block, without the warm-up."""
        for array, wanted in zip(read.arrays, targets.arrays, strict=True):
            steps, values = torch.from_numpy(array), torch.from_numpy(wanted)
            for first, features in _ahead(self.features(steps, values, noisy=True)):
                skipped = max(self.settings.warmup_steps - first, 0)
                yield features[skipped:], values[first : first + len(features)][skipped:]

    def _new_recursion(self) -> RecursiveLeastSquares:
        ridges, sizes = self.settings.ridges, self.solution.weight.shape
        return RecursiveLeastSquares(*sizes, ridge=ridges[len(ridges) // 2], forgetting=self.settings.forgetting)

    def _learn_in_closed_loop(self, read: Series, targets: Series) -> None:
        """Learn the readout at every step, while the network reads its own output.

        Source:
            D. Sussillo, L. F. Abbott, Generating Coherent Patterns of Activity from Chaotic Neural Networks, 2009.
        """
        learned, outputs = self._new_recursion(), targets.channels
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
        self.solution = learned.solution

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
        parts = [block] if self.settings.has_input_beside else []
        return torch.cat([*parts, forward, *([] if backward is None else [backward])], -1)

    def _read_out(self, features: Tensor) -> Tensor:
        return features.double() @ self.solution.weight + self.solution.bias

    @property
    def _dtype(self) -> torch.dtype:
        return getattr(torch, self.settings.precision)


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
