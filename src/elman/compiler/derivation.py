"""A step with its gradient over a batch: from tensors to the gradients of these tensors, on any target."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from elman.compiler.gradient import TRANSPOSED, Gradient, differentiate
from elman.compiler.graph import Graph, Node
from elman.compiler.order import TimeMajor
from elman.compiler.widen import Wide, widen


class Parts(NamedTuple):
    """The tensors of a call: inputs `(total, size)`, initial states `(batch, size)`, parameters."""

    inputs: Sequence[Tensor]
    states: Sequence[Tensor]
    learned: Sequence[Tensor]


class Kept(NamedTuple):
    """What the backward pass reads beside the tensors that the forward pass was given.

    Args:
        wide: parameters of the wide step that are made of several of the step's.
        output: at every step.
        values: of `Derivation.kept_nodes`.
    """

    wide: Sequence[Tensor]
    output: Tensor
    values: Sequence[Tensor]


class Derivation:
    """A step, the same with every value multiplied once, and its gradient.

    Args:
        graph: the step; it is not kept, so that what is derived from it can be kept with it.
    """

    def __init__(self, graph: Graph):
        self.wide: Wide = widen(graph)
        self.names = tuple(parameter.name for parameter in self.wide.graph.parameters)
        self.parts = [(name, self.wide.parts.get(name, (name,))) for name in self.names]
        self.parameters = tuple(part for _, parts in self.parts for part in parts)
        sizes = {parameter.name: parameter.shape[-1] for parameter in graph.parameters}
        self.columns = {name: [sizes[part] for part in parts] for name, parts in self.parts}
        self._wanted: dict[tuple[bool, ...], tuple[Node, ...]] = {}

    @cached_property
    def gradient(self) -> Gradient:
        """The step with its gradient."""
        return differentiate(self.wide.graph)

    @cached_property
    def kept_nodes(self) -> tuple[Node, ...]:
        """What the forward pass keeps for the backward pass, but for the output and the inputs."""
        graph = self.gradient.kept
        return tuple(node for node in graph.outputs[1:] if node not in graph.inputs)

    def split(self, tensors: Sequence[Tensor]) -> Parts:
        """The tensors of a call by what they are; the parameters are in the order of `parameters`."""
        graph = self.wide.graph
        inputs, states = len(graph.inputs), len(graph.inputs) + len(graph.states)
        return Parts(tensors[:inputs], tensors[inputs:states], tensors[states:])

    def wide_weights(self, learned: Sequence[Tensor], wide: Sequence[Tensor] | None = None) -> dict[str, Tensor]:
        """The parameters of the wide step by name.

        Args:
            learned: those of the step, in the order of `parameters`.
            wide: those that are made of several, if they are there already.
        """
        rest, made = iter(learned), None if wide is None else iter(wide)
        found: dict[str, Tensor] = {}
        for name, parts in self.parts:
            alone = [next(rest) for _ in parts]
            if len(parts) == 1:
                found[name] = alone[0]
            else:
                found[name] = torch.cat(alone, 1) if made is None else next(made)
        return found

    def wide_of(self, weights: dict[str, Tensor]) -> list[Tensor]:
        """Those parameters of the wide step that are made of several of the step's."""
        return [weights[name] for name, parts in self.parts if len(parts) > 1]

    def wanted(self, inputs: tuple[bool, ...]) -> tuple[Node, ...]:
        """The outputs of the backward step that are needed, given which inputs need a gradient."""
        if inputs not in self._wanted:
            gradient = self.gradient
            wishes = zip(gradient.inputs, inputs, strict=True)
            found = {output for output, wish in wishes if output is not None and wish}
            found |= {output for output, _, _ in gradient.vectors.values()}
            found |= {output for _, output in gradient.matrices.values()}
            self._wanted[inputs] = tuple(gradient.backward.outputs[output] for output in sorted(found))
        return self._wanted[inputs]


Values = dict[Node, Tensor]


class Engine(Protocol):
    """What runs the backward step of a batch, and makes products."""

    def loop(
        self, weights: dict[str, Tensor], inputs: Sequence[Tensor], states: Sequence[Tensor]
    ) -> tuple[Values, Sequence[Tensor]]:
        """Run the steps; return the values that are known then, and the last states."""
        ...

    def finish(self, values: Values, wanted: tuple[Node, ...]) -> Values:
        """The values of these outputs, `(total, size)`."""
        ...

    def new_rows(self, like: Tensor) -> Tensor:
        """Memory of the shape and type of a tensor."""
        ...

    def outer(self, operand: Tensor, gradient: Tensor) -> Tensor:
        """The sum over all steps of the outer products of `(total, rows)` and `(total, columns)`."""
        ...

    def by_matrix(self, operand: Tensor, name: str) -> Tensor:
        """The product of `(total, rows)` and a parameter; its rows may be longer than the parameter's."""
        ...

    def sum_by_id(self, value: Tensor, ids: Tensor, count: int) -> Tensor:
        """The sums of all rows of the same id: from `(total, columns)` to `(count, columns)`."""
        ...


def gradients(
    derivation: Derivation,
    engine: Engine,
    tensors: Sequence[Tensor],
    kept: Kept,
    given: Sequence[Tensor],
    order: TimeMajor,
    reads_backward: bool,
    ids: Tensor | None,
    wishes: Sequence[bool],
) -> list[Tensor | None]:
    """The gradients of the inputs, states and parameters; seen by no autograd.

    Args:
        derivation: of the step.
        engine: runs the backward step over the batch, in the direction opposite to that of the forward pass.
        tensors: inputs, states and parameters; with ids, the first input is a table `(ids, size)`.
        kept: what the forward pass left.
        given: the gradients of the output and of the last states.
        order: of the batch.
        reads_backward: whether the forward pass read every sequence from its last step.
        ids: as they were read, `(total,)`.
        wishes: whether a gradient is wanted, for each of the inputs.
    """
    gradient = derivation.gradient
    inputs, states, learned = derivation.split(tensors)
    named = derivation.wide_weights(learned, kept.wide)
    transposed = {name + TRANSPOSED: value.t() for name, value in named.items() if value.dim() == 2}
    graph, outputs = gradient.forward, gradient.backward.outputs
    known = {**dict(zip(derivation.kept_nodes, kept.values, strict=True)), graph.output: kept.output}
    known |= dict(zip(graph.inputs, inputs, strict=True))
    # A value that is not known is read by nothing in the loop.
    saved = [known.get(node, kept.output) for node in gradient.saved]
    values, d_states = engine.loop({**named, **transposed}, [*saved, given[0]], given[1:])
    # Here and not later: the states before each step take memory that the rest can have after it.
    shifted = {
        name: engine.outer(
            order.step_before(kept.output, states[state], engine.new_rows(kept.output), backward=reads_backward),
            values[outputs[place]],
        )
        for name, state, place in _shifted(gradient)
    }
    by_loop = tuple(wishes) if ids is None else (False, *wishes[1:])
    values = engine.finish(values, derivation.wanted(by_loop))
    d_inputs = [
        values[outputs[place]] if place is not None and wish else None
        for place, wish in zip(gradient.inputs, by_loop, strict=True)
    ]
    # Where steps read a table, all that follows the loop is linear: it can wait until steps of one id are summed.
    by_id: dict[str, Tensor] = {}
    if ids is not None:
        by_id = {
            name: engine.sum_by_id(values[outputs[place]], ids, len(inputs[0]))
            for name, (operand, place) in gradient.matrices.items()
            if gradient.saved[operand] is graph.inputs[0]
        }
        if wishes[0]:
            parts = [engine.by_matrix(value, name + TRANSPOSED) for name, value in by_id.items()]
            d_inputs[0] = sum(parts[1:], parts[0])[:, : inputs[0].shape[1]]
    sums: dict[int, Tensor] = {}

    def of_parameter(name: str) -> Tensor | None:
        if name in shifted:
            return shifted[name]
        if name in by_id:
            return engine.outer(inputs[0], by_id[name])
        if name in gradient.matrices:
            operand, place = gradient.matrices[name]
            return engine.outer(saved[operand], values[outputs[place]])
        if name not in gradient.vectors:
            return None
        place, start, stop = gradient.vectors[name]
        if place not in sums:
            sums[place] = values[outputs[place]].sum(0)
        return sums[place][start:stop]

    found: list[Tensor | None] = [*d_inputs, *d_states]
    for name, parts in derivation.parts:
        whole = of_parameter(name)
        if whole is None or len(parts) == 1:
            found += [whole] * len(parts)
        else:
            found += _apart(whole, derivation.columns[name])
    return found


def _shifted(gradient: Gradient) -> Iterator[tuple[str, int, int]]:
    """Matrices that multiply a state that is the output of the step before: name, the state, the product's gradient."""
    for name, (operand, place) in gradient.matrices.items():
        if gradient.saved[operand] in gradient.shifted:
            yield name, gradient.shifted[gradient.saved[operand]], place


def _apart(wide: Tensor, columns: Sequence[int]) -> Sequence[Tensor]:
    """Matrices that are side by side, each in one piece if they are of one size: autograd would copy each again."""
    if len(set(columns)) > 1:
        return wide.split_with_sizes(list(columns), 1)
    return wide.unflatten(1, (len(columns), -1)).transpose(0, 1).contiguous().unbind(0)
