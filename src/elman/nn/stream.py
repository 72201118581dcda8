"""A recurrent layer that runs one step at a time."""

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from elman.compiler import dispatch
from elman.compiler.draws import expectation
from elman.errors import ShapeError, UsageError
from elman.nn.checks import described
from elman.nn.recurrent_inputs import read_state
from elman.nn.state import State, check_state
from elman.order import equal
from elman.tensors import resolved

if TYPE_CHECKING:
    from elman.nn.recurrent import Recurrent

TABLE_NUMBERS = 1 << 24  # a larger table saves little time at a step, and takes much memory


def check_streamable(layer: Any) -> None:
    """Refuse a layer that cannot run step by step.

    Raises:
        UsageError: not a recurrent layer, or one that reads backward or takes constants.
    """
    if not hasattr(layer, "zero_state"):
        raise UsageError(
            f"Expected layer to be a recurrent layer, got {described(layer)}.", fix="Give a Recurrent layer."
        )
    if layer.bidirectional or layer.go_backwards or layer.cell.constants:
        raise UsageError(
            "Expected a layer that reads forward and takes no constants, to run step by step.",
            fix="Run this layer over whole sequences: layer(batch).",
        )


class Stream:
    """Sequences that arrive step by step: each call of `step` reads a step of all of them and returns the output.

    A stream keeps the weights that the layer had when the stream was made, and the state of its sequences, which can be
    read, saved and set. Nothing is dropped, as in evaluation, and no gradient passes through a stream.

    Args:
        layer: a layer that reads forward and takes no constants.
        state: the states to continue from.

    Attributes:
        input: `(batch, input_size)`, which `advance` reads.
        output: `(batch, output_size)`, which `advance` writes, in the same memory at every step.

    Raises:
        UsageError: another kind of layer, or a state that is not a `State`.
        ShapeError: a state of other shapes or of another type than the layer's.
    """

    def __init__(self, layer: "Recurrent", state: State):
        check_streamable(layer)
        check_state(state)
        self._layer = layer
        # Tensors made here are changed at every step, also outside an inference mode.
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
        """The target that runs the steps, and why."""
        if self.kernels:
            return dispatch.Choice(self._chosen, "kernels compiled for this processor, called step by step")
        return dispatch.Choice("eager", "the layer itself on sequences of one step, as its cell or device needs")

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
        """A copy of the present states."""
        return State({name: tensor.clone() for name, tensor in self._tensors.items()})

    @state.setter
    def state(self, state: State) -> None:
        check_state(state)
        shapes = {name: tuple(tensor.shape) for name, tensor in self._tensors.items()}
        got = {name: tuple(tensor.shape) for name, tensor in state.tensors.items()}
        if shapes != got:
            raise ShapeError(
                f"Expected states of shapes {shapes}, got {got}.", fix="Make a new stream: layer.stream(state)."
            )
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
            ShapeError: not a tensor of this shape.
        """
        if not isinstance(x, Tensor) or x.shape != self.input.shape:
            raise ShapeError(
                f"Expected a tensor of shape {tuple(self.input.shape)}, got {described(x)}.",
                fix="Give a tensor (batch, input_size).",
            )
        self.input.copy_(x)
        self.advance()
        return self.output.clone()

    def advance(self) -> None:
        """Take one step from `input` to `output`, allocating nothing where kernels run it."""
        if not self.kernels:
            self._advance_layer()
        for kernel in self.kernels:
            kernel.step()

    @torch.no_grad()
    def _advance_layer(self) -> None:
        was_training = self._layer.training
        # A stream drops and draws nothing, and the layer may be in training mode.
        self._layer.eval()
        steps, last = self._layer(self.input.unsqueeze(1), State(self._tensors))
        self._layer.train(was_training)
        self.output.copy_(steps[:, 0])
        for name, tensor in self._tensors.items():
            tensor.copy_(last.tensors[name])

    def reader(self, rows: Tensor) -> Callable[[np.ndarray], None]:
        """Return a function that takes one step, given the row of each input in a table.

        Where kernels run the steps, the table is multiplied by the first layer's matrices here, once for all steps.

        Args:
            rows: the inputs, `(count, input_size)`, such as an embedding; later changes have no effect.

        Returns:
            A function of an array of row numbers, `(batch,)`, int64.

        Raises:
            ShapeError: not a tensor of this shape; later, row numbers that are not in the table.
        """
        if not isinstance(rows, Tensor) or rows.dim() != 2 or rows.shape[1] != self.input.shape[1]:
            raise ShapeError(
                f"Expected a table of rows of {self.input.shape[1]} features, got {described(rows)}.",
                fix="Give a tensor (count, input_size).",
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
        """Refuse row numbers that are not in a table."""
        fits = isinstance(index, np.ndarray) and index.shape == (len(self.input),) and index.dtype.kind == "i"
        if not fits or index.min() < 0 or index.max() >= count:
            raise ShapeError(
                f"Expected an array of {len(self.input)} whole numbers from 0 to {count - 1}, one for each sequence; "
                f"got {index!r}.",
                fix="Give an int64 array (batch,), each number a row of the table.",
            )

    def _row_reader(self, rows: Tensor) -> Callable[[np.ndarray], None]:
        def read(index: np.ndarray) -> None:
            self._check_index(index, len(rows))
            torch.index_select(rows, 0, torch.from_numpy(index).to(rows.device), out=self.input)
            self.advance()

        return read


def _own(tensor: Tensor) -> Tensor:
    """Return a contiguous copy in memory of its own."""
    return resolved([tensor.detach()])[0].clone(memory_format=torch.contiguous_format)
