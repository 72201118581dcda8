"""The states of a recurrent layer along sequences, and products with the Jacobian of one step."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from elman.compiler import dispatch
from elman.compiler.graph import Graph
from elman.data.ragged.ragged import Ragged
from elman.errors import UsageError
from elman.nn.recurrent import MERGES, Recurrent
from elman.nn.recurrent_inputs import read_constants, read_input
from elman.nn.regularisers import draw_inputs
from elman.nn.state import State
from elman.order import TimeMajor


class Layer(NamedTuple):
    """One layer of a `Recurrent` in one direction, with everything that it reads.

    Attributes:
        name: such as `layer0` or `layer1_backward`.
        graph: the step.
        weights: each parameter by its name.
        inputs: the batch in the order in which the layer reads it, then the constants, as `Ragged` batches.
        initial: each initial state, `(batch, size)`.
    """

    name: str
    graph: Graph
    weights: Mapping[str, Tensor]
    inputs: Sequence[Ragged]
    initial: Sequence[Tensor]


@torch.no_grad()
def layers_of(
    recurrent: Recurrent,
    inputs: Ragged | Tensor,
    initial: State | None = None,
    table: Tensor | None = None,
    *,
    dtype: torch.dtype = torch.float64,
    **constants: Tensor,
) -> list[Layer]:
    """Return the layers of a `Recurrent` with what each of them reads.

    Everything is in one type and without dropout.

    Args:
        recurrent: the layers.
        inputs: as for a call of them, and so are the others.
        initial: the initial states.
        table: rows, where the inputs are ids.
        dtype: the type to compute in.
        constants: each constant of the cell.
    """
    if table is not None:
        ragged = inputs if isinstance(inputs, Ragged) else Ragged.from_dense(inputs)
        inputs = ragged.replace(torch.nn.functional.embedding(ragged.data, table))
    batch = read_input(inputs, recurrent.input_size)
    batch = batch.replace(batch.data.to(dtype))
    if recurrent.go_backwards:
        batch = batch.reverse()
    given = {name: value.to(dtype) for name, value in constants.items()}
    further = read_constants(given, recurrent._weights_of(0, False).graph, batch)
    state = recurrent.zero_state(batch.batch_size, like=batch.data) if initial is None else initial
    found: list[Layer] = []
    for layer in range(recurrent.num_layers):
        outputs = []
        for backward in recurrent._directions:
            one = _layer(recurrent, len(found), layer, backward, batch, state, further)
            found.append(one)
            outputs.append(_outputs(one, backward))
        batch = batch.replace(outputs[0] if len(outputs) == 1 else MERGES[recurrent.merge or "concat"](*outputs))
    return found


def _layer(
    recurrent: Recurrent, index: int, layer: int, backward: bool, batch: Ragged, state: State, constants: list[Tensor]
) -> Layer:
    weights = recurrent._weights_of(layer, backward)
    graph = weights.expected
    named = {name: value.detach().to(batch.data) for name, value in weights.named().items()}
    values = [batch, *map(batch.replace, [*constants, *draw_inputs(graph, batch, batch.data)])]
    read = [each.reverse() if backward else each for each in values]
    initial = [state.tensors[name][index].to(batch.data) for name in recurrent.cell.states]
    return Layer(f"layer{layer}{'_backward' * backward}", graph, named, read, initial)


def _outputs(layer: Layer, backward: bool) -> Tensor:
    """Return the outputs at every step in the order of the batch, `(total, size)`."""
    batch = layer.inputs[0]
    inputs = [each.data for each in layer.inputs]
    output, _ = dispatch.run(layer.graph, layer.weights, inputs, layer.initial, batch.order, target="eager")
    return batch.replace(output).reverse().data if backward else output


class Trajectory:
    """The states of a layer along sequences, longest first.

    All states of the cell are one vector: that of the LSTM has h and c. They are computed step by step.

    Args:
        layer: what it is about.
        steps: read at most so many of each sequence.

    Attributes:
        lengths: of the sequences, in descending order; those without a step are left out.
        states: after each step, the initial ones first, `(time + 1, batch, width)`; zeros after the end of a sequence.
        width: size of all states together.
        order: index of each sequence in the batch of the layer.

    Raises:
        UsageError: no sequence has a step, or the layer has no states.
    """

    def __init__(self, layer: Layer, steps: int | None = None):
        self.layer = layer
        self._sizes = [node.size for node in layer.graph.states]
        self.width = sum(self._sizes)
        lengths = layer.inputs[0].lengths
        lengths = lengths if steps is None else lengths.clamp(max=steps)
        order = lengths.argsort(descending=True, stable=True)
        order = order[lengths[order] > 0]
        if not len(order):
            raise UsageError("Expected a sequence with a step, got none.", fix="Give data that are not empty.")
        if not self.width:
            raise UsageError("Expected a cell with a state, got one without.", fix="Give a cell with a state.")
        self.lengths: list[int] = lengths[order].tolist()
        self._inputs = [each.select(order).to_padded(batch_first=False) for each in layer.inputs]
        self.order = order
        self.states = self._run(torch.cat([state[order] for state in layer.initial], 1))

    @torch.no_grad()
    def _run(self, state: Tensor) -> Tensor:
        states = state.new_zeros(self.lengths[0] + 1, *state.shape)
        states[0] = state
        for time in range(self.lengths[0]):
            rows = self.running(time)
            states[time + 1, :rows] = self.step(states[time, :rows], torch.full((rows,), time), torch.arange(rows))
        return states

    def running(self, time: int) -> int:
        """Return how many sequences have a step of this index."""
        return sum(length > time for length in self.lengths)

    def step(
        self, state: Tensor, times: Tensor, sequences: Tensor, weights: Mapping[str, Tensor] | None = None
    ) -> Tensor:
        """Return the states after one step.

        Args:
            state: before it, `(rows, width)`.
            times: index of the step of each row, `(rows,)`.
            sequences: index of the sequence of each row, `(rows,)`.
            weights: in place of those of the layer.
        """
        inputs = [each[times, sequences] for each in self._inputs]
        ones = TimeMajor(torch.ones(len(state), dtype=torch.int64))
        states = [part.contiguous() for part in state.split(self._sizes, 1)]
        _, last = dispatch.run(self.layer.graph, weights or self.layer.weights, inputs, states, ones, target="eager")
        return torch.cat(last, 1)

    def pull(self, vectors: Tensor, times: Tensor, sequences: Tensor) -> Tensor:
        """Return vᵀ·J of several vectors for each row, where J is the Jacobian of one step.

        Args:
            vectors: `(rows, vectors, width)`.
            times: index of the step of each row, `(rows,)`.
            sequences: index of the sequence of each row, `(rows,)`.
        """
        before, after = self._differentiated(vectors, times, sequences)
        return torch.autograd.grad(after, before, vectors.flatten(0, 1))[0].view_as(vectors)

    def push(self, vectors: Tensor, times: Tensor, sequences: Tensor) -> Tensor:
        """Return J·v of several vectors for each row, with the arguments of `pull`."""
        before, after = self._differentiated(vectors, times, sequences)
        # vᵀ·J is linear in v, so that its own derivative by v is J.
        probe = torch.zeros_like(after, requires_grad=True)
        with torch.enable_grad():
            pulled = torch.autograd.grad(after, before, probe, create_graph=True)[0]
        found = torch.autograd.grad(pulled, probe, vectors.flatten(0, 1), allow_unused=True)[0]
        return torch.zeros_like(vectors) if found is None else found.view_as(vectors)

    def _differentiated(self, vectors: Tensor, times: Tensor, sequences: Tensor) -> tuple[Tensor, Tensor]:
        """Return the states before and after a step, once for each vector."""
        count = vectors.shape[1]
        before = self.states[times, sequences].repeat_interleave(count, 0).requires_grad_()
        with torch.enable_grad():
            after = self.step(before, times.repeat_interleave(count), sequences.repeat_interleave(count))
        return before, after


def trajectories(layers: Sequence[Layer], steps: int | None = None) -> Iterator[Trajectory]:
    """Yield the trajectory of each layer that has states."""
    return (Trajectory(layer, steps) for layer in layers if layer.graph.states)


def unit_vectors(rows: int, count: int, width: int, *, seed: int = 0) -> Tensor:
    """Return orthonormal vectors, the same for each row, `(rows, count, width)`.

    They are the unit vectors if they are as many as the width, and else random.
    """
    if count == width:
        found = torch.eye(width, dtype=torch.float64)
    else:
        generator = torch.Generator().manual_seed(seed)
        drawn = torch.randn(width, count, generator=generator, dtype=torch.float64)
        found = torch.linalg.qr(drawn).Q.T.contiguous()
    return found.expand(rows, -1, -1).clone()
