"""A recurrent layer fed one step at a time."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from elman.compiler import dispatch
from elman.compiler.draws import expectation
from elman.errors import ShapeError
from elman.nn.state import State

if TYPE_CHECKING:
    from elman.nn.recurrent import Recurrent


class Stream:
    """Sequences that arrive step by step: each call of `step` takes one step of all of them and gives the output.

    It has the layer's weights as they were when it was made, and the state of its sequences, which can be read, saved
    and set. Gradients do not pass through it.

    Args:
        layer: a layer that reads forward.
        state: where to go on from.
    """

    def __init__(self, layer: "Recurrent", state: State):
        self._layer = layer
        self._tensors = {name: tensor.detach().clone() for name, tensor in state.tensors.items()}
        self._kernels = self._build()

    @property
    def target(self) -> dispatch.Choice:
        """What runs the steps, and why."""
        if self._kernels:
            return dispatch.Choice("llvm", "kernels compiled for this processor, called step by step")
        return dispatch.Choice("eager", "the layer itself, on sequences of one step: its cell or its device needs that")

    def _build(self) -> list:
        layer = self._layer
        weights = layer.weights(0)
        like = next(iter(weights.values()))
        chosen = dispatch.choose(layer.target, like.device, like.dtype)
        if chosen.target != "llvm":
            return []
        # llvmlite is only needed where kernels are built.
        from elman.compiler.targets.llvm.stream import StepKernel

        graphs = [expectation(layer.cell.trace(*sizes)) for sizes in layer.cell_sizes]
        if not all(map(StepKernel.takes, graphs)):
            return []
        batch = self.state.batch_size
        self._input = like.new_zeros(batch, layer.input_size)
        kernels, read = [], self._input
        for index, graph in enumerate(graphs):
            states = [tensor[index] for tensor in self._tensors.values()]
            kernels.append(StepKernel(graph, layer.weights(index), read, states))
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
        expected = (self._tensors[self._layer.cell.states[0]].shape[1], self._layer.input_size)
        if tuple(x.shape) != expected:
            raise ShapeError(
                f"The stream takes {expected}, and {tuple(x.shape)} came.", fix="Give (batch, input_size)."
            )
        if not self._kernels:
            return self._slow_step(x)
        self._input.copy_(x)
        for kernel in self._kernels:
            kernel.step()
        return self._kernels[-1].output.clone()

    def _slow_step(self, x: Tensor) -> Tensor:
        was_training = self._layer.training
        # Nothing is dropped or drawn where answers are asked for; the kernels know of no training at all.
        self._layer.eval()
        steps, last = self._layer(x.unsqueeze(1), State(self._tensors))
        self._layer.train(was_training)
        for name, tensor in self._tensors.items():
            tensor.copy_(last.tensors[name])
        return steps[:, 0]
