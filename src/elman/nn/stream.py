"""A recurrent layer fed one step at a time."""

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from elman.compiler import dispatch
from elman.compiler.draws import expectation
from elman.errors import ShapeError
from elman.nn.recurrent_inputs import read_state
from elman.nn.state import State
from elman.order import equal
from elman.tensors import resolved

if TYPE_CHECKING:
    from elman.nn.recurrent import Recurrent

TABLE_NUMBERS = 1 << 24  # beyond, what a table saves at a step is little beside the memory it takes


class Stream:
    """Sequences that arrive step by step: each call of `step` takes one step of all of them and gives the output.

    It has the layer's weights as they were when it was made, and the state of its sequences, which can be read, saved
    and set. Nothing is dropped, as in evaluation, and gradients do not pass through it.

    Args:
        layer: a layer that reads forward.
        state: where to go on from.

    Attributes:
        input: `(batch, input_size)`, what `advance` reads.
        output: `(batch, output_size)`, what `advance` writes: the same memory at every step.
    """

    def __init__(self, layer: "Recurrent", state: State):
        self._layer = layer
        # What is made here is changed at every step, also outside of an inference mode.
        with torch.inference_mode(False), torch.no_grad():
            like = next(layer.parameters(), next(iter(state.tensors.values())))
            checked = read_state(state, layer.zero_state(state.batch_size, like=like))
            self._tensors = {name: _own(tensor) for name, tensor in checked.tensors.items()}
            like = next(iter(self._tensors.values()))
            self.input = like.new_zeros(state.batch_size, layer.input_size)
            self.kernels = self._build(like)
            if self.kernels:
                self.output = self.kernels[-1].output
            else:
                self._layer = copy.deepcopy(layer).eval()
                self.output = self.input.new_zeros(state.batch_size, layer.output_size)

    @property
    def target(self) -> dispatch.Choice:
        """What runs the steps, and why."""
        if self.kernels:
            return dispatch.Choice(self._chosen, "kernels compiled for this processor, called step by step")
        return dispatch.Choice("eager", "the layer itself, on sequences of one step: its cell or its device needs that")

    def _build(self, like: Tensor) -> list:
        layer = self._layer
        self._chosen = dispatch.choose(layer.target, like.device, like.dtype).target
        available = dispatch.step_kernels(self._chosen)
        graphs = [expectation(layer.cell.trace(*sizes)) for sizes in layer.cell_sizes]
        if available is None or not all(map(available.StepKernel.takes, graphs)):
            return []
        kernels, read = [], self.input
        for index, graph in enumerate(graphs):
            states = [tensor[index] for tensor in self._tensors.values()]
            weights = dict(zip(layer.weights(index), resolved(list(layer.weights(index).values())), strict=True))
            dispatch.check_kinds([read, *states, *weights.values()])
            dispatch.check_shapes(graph, [read], states, weights, equal(len(read), 1, read), None)
            kernels.append(available.StepKernel(graph, weights, read, states))
            read = kernels[-1].output
        return kernels

    @property
    def state(self) -> State:
        """A copy of the states as they are now."""
        return State({name: tensor.clone() for name, tensor in self._tensors.items()})

    @state.setter
    def state(self, state: State) -> None:
        shapes = {name: tuple(tensor.shape) for name, tensor in self._tensors.items()}
        came = {name: tuple(tensor.shape) for name, tensor in state.tensors.items()}
        if shapes != came:
            raise ShapeError(f"The stream has states of shapes {shapes}, and {came} came.", fix="Make a new stream.")
        for name, tensor in self._tensors.items():
            tensor.copy_(state.tensors[name])

    @torch.no_grad()
    def step(self, x: Tensor) -> Tensor:
        """Take one step.

        Args:
            x: `(batch, input_size)`.

        Returns:
            The output, `(batch, output_size)`.

        Raises:
            ShapeError: another shape.
        """
        if x.shape != self.input.shape:
            raise ShapeError(
                f"The stream takes {tuple(self.input.shape)}, and {tuple(x.shape)} came.",
                fix="Give (batch, input_size).",
            )
        self.input.copy_(x)
        self.advance()
        return self.output.clone()

    def advance(self) -> None:
        """Take one step from `input` to `output`; with kernels, nothing is allocated."""
        if not self.kernels:
            self._advance_layer()
        for kernel in self.kernels:
            kernel.step()

    @torch.no_grad()
    def _advance_layer(self) -> None:
        was_training = self._layer.training
        # Nothing is dropped or drawn where answers are asked for; the kernels know of no training at all.
        self._layer.eval()
        steps, last = self._layer(self.input.unsqueeze(1), State(self._tensors))
        self._layer.train(was_training)
        self.output.copy_(steps[:, 0])
        for name, tensor in self._tensors.items():
            tensor.copy_(last.tensors[name])

    def reader(self, rows: Tensor) -> Callable[[np.ndarray], None]:
        """A function that advances by inputs out of a table, given the number of each: `(batch,)`, int64.

        With kernels, the table is multiplied by the first layer's matrices here, once for all steps.

        Args:
            rows: the inputs, `(count, input_size)`, as they are now: an embedding.
        """
        if rows.dim() != 2 or rows.shape[1] != self.input.shape[1]:
            raise ShapeError(
                f"Expected rows of {self.input.shape[1]} features, got a table of shape {tuple(rows.shape)}.",
                fix="Give (count, input_size).",
            )
        rows = resolved([rows.detach()])[0].to(self.input)
        if not self.kernels or self.kernels[0].table_size(len(rows)) > TABLE_NUMBERS:
            return self._row_reader(rows.clone())
        first, *others = self.kernels
        prepare, run, steps = first.table(rows).prepare, first.run, [kernel.step for kernel in others]

        def read(index: np.ndarray) -> None:
            self._check_index(index, len(rows))
            prepare(index)
            run()
            for step in steps:
                step()

        return read

    def _check_index(self, index: np.ndarray, count: int) -> None:
        """Refuse numbers of rows that are not in a table."""
        if index.shape != (len(self.input),) or index.min() < 0 or index.max() >= count:
            raise ShapeError(
                f"Expected {len(self.input)} whole numbers from 0 to {count - 1}, one for each sequence; got {index}.",
                fix="Give (batch,), each a row of the table.",
            )

    def _row_reader(self, rows: Tensor) -> Callable[[np.ndarray], None]:
        def read(index: np.ndarray) -> None:
            self._check_index(index, len(rows))
            torch.index_select(rows, 0, torch.from_numpy(index).to(rows.device), out=self.input)
            self.advance()

        return read


def _own(tensor: Tensor) -> Tensor:
    """A copy in memory of its own, its numbers side by side."""
    return resolved([tensor.detach()])[0].clone(memory_format=torch.contiguous_format)
