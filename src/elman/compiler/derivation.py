"""The gradient of a step over a batch, on any target: from tensors to the gradients of these tensors."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from elman.compiler.gradient import Gradient, Use, differentiate
from elman.compiler.graph import TRANSPOSED, Graph, Node, transposed
from elman.compiler.widen import Wide, widen
from elman.order import TimeMajor


class Parts(NamedTuple):
    """The tensors of a call: inputs `(total, size)`, initial states `(batch, size)`, parameters."""

    inputs: Sequence[Tensor]
    states: Sequence[Tensor]
    learned: Sequence[Tensor]


class Kept(NamedTuple):
    """What the backward pass reads besides the tensors given to the forward pass.

    Args:
        output: at every step.
        values: of `Derivation.kept_nodes`.
    """

    output: Tensor
    values: Sequence[Tensor]


class Derivation:
    """A step, its wide form, in which every value is multiplied once, and its gradient.

    Args:
        graph: the step; it is not kept, so that what is derived from it can be kept with it.
    """

    def __init__(self, graph: Graph):
        self.wide: Wide = widen(graph)
        self.names = tuple(parameter.name for parameter in self.wide.graph.parameters)
        self.parts = [(name, self.wide.parts.get(name, (name,))) for name in self.names]
        # Each parameter once, in the order in which the wide step reads them.
        self.parameters = tuple(dict.fromkeys(_own(part) for _, parts in self.parts for part in parts))
        sizes = {node.attribute[0]: node.size for node in graph.nodes if node.op == "product"}
        self.columns = {name: [sizes.get(part, 0) for part in parts] for name, parts in self.parts}
        positions = {name: index for index, name in enumerate(self.parameters)}
        self._sources = [
            (name, [(positions[_own(part)], part != _own(part)) for part in parts]) for name, parts in self.parts
        ]
        self._wanted: dict[tuple[bool, ...], tuple[Node, ...]] = {}

    @cached_property
    def gradient(self) -> Gradient:
        """The step with its gradient."""
        return differentiate(self.wide.graph)

    @cached_property
    def kept_nodes(self) -> tuple[Node, ...]:
        """What the forward pass keeps for the backward pass, without the output and the inputs."""
        graph = self.gradient.kept
        return tuple(node for node in graph.outputs[1:] if node not in graph.inputs)

    def split(self, tensors: Sequence[Tensor]) -> Parts:
        """Split the tensors of a call into inputs, states and parameters.

        The parameters are in the order of `parameters`.
        """
        graph = self.wide.graph
        inputs, states = len(graph.inputs), len(graph.inputs) + len(graph.states)
        return Parts(tensors[:inputs], tensors[inputs:states], tensors[states:])

    def parts_of(self, learned: Sequence[Tensor]) -> dict[str, Sequence[Tensor]]:
        """Return by name what is side by side in each parameter of the wide step.

        Args:
            learned: the parameters of the step, in the order of `parameters`.
        """
        return {
            name: [learned[index].t() if is_transposed else learned[index] for index, is_transposed in sources]
            for name, sources in self._sources
        }

    def narrowed(self, wide: Mapping[str, Tensor]) -> list[Tensor | None]:
        """Return the gradients of the step's parameters, given those of the wide step.

        They are in the order of `parameters`.

        The gradients of a matrix that is part of several wide ones are added.
        """
        totals: dict[str, Tensor] = {}
        for name, parts in self.parts:
            if name in wide:
                pieces = _apart(wide[name], self.columns[name]) if len(parts) > 1 else [wide[name]]
                for part, piece in zip(parts, pieces, strict=True):
                    own = _own(part)
                    piece = piece if part == own else piece.t()
                    totals[own] = totals[own] + piece if own in totals else piece
        return [totals.get(name) for name in self.parameters]

    def wanted(self, inputs: tuple[bool, ...]) -> tuple[Node, ...]:
        """Return the outputs of the backward step that are needed for these gradients.

        Args:
            inputs: whether each input needs a gradient.
        """
        if inputs not in self._wanted:
            gradient = self.gradient
            wishes = zip(gradient.inputs, inputs, strict=True)
            found = {output for output, wish in wishes if output is not None and wish}
            found |= {output for output, _, _ in gradient.vectors.values()}
            found |= {use.output for use in gradient.uses}
            self._wanted[inputs] = tuple(gradient.backward.outputs[output] for output in sorted(found))
        return self._wanted[inputs]


def derive(graph: Graph) -> Derivation:
    """Return the derivation of a step, which is made once and kept with it."""
    if Derivation not in graph.derived:
        graph.derived[Derivation] = Derivation(graph)
    return graph.derived[Derivation]


Values = dict[Node, Tensor]
# The parameters of the wide step by name, each as the parameters that are side by side in it.
WideParts = Mapping[str, Sequence[Tensor]]


class Engine(Protocol):
    """What runs the backward step of a batch, and makes products.

    Attributes:
        order: of the batch.
        reads_backward: whether the backward step reads every sequence from its last step to its first.
    """

    order: TimeMajor
    reads_backward: bool

    def loop(
        self, weights: WideParts, inputs: Sequence[Tensor], states: Sequence[Tensor]
    ) -> tuple[Values, Sequence[Tensor]]:
        """Run the steps, and return the values that are known then and the last states."""
        ...

    def finish(self, values: Values, wanted: tuple[Node, ...]) -> Values:
        """Return the values of these outputs, `(total, size)`."""
        ...

    def new_rows(self, like: Tensor) -> Tensor:
        """Allocate memory of the shape and type of a tensor."""
        ...

    def outer(self, operand: Tensor, gradient: Tensor, total: Tensor | None = None) -> Tensor:
        """Sum the outer products of `(total, rows)` and `(total, columns)` over all steps.

        With `total`, add them to it.
        """
        ...

    def by_matrix(self, operand: Tensor, name: str) -> Tensor:
        """Multiply `(total, rows)` by a parameter.

        The rows of the result may be longer than those of the parameter.
        """
        ...

    def sum_by_id(self, value: Tensor, ids: Tensor, count: int) -> Tensor:
        """Sum the rows of each id: from `(total, columns)` to `(count, columns)`."""
        ...


def gradients(
    derivation: Derivation,
    engine: Engine,
    tensors: Sequence[Tensor],
    kept: Kept,
    given: Sequence[Tensor],
    ids: Tensor | None,
    wishes: Sequence[bool],
) -> list[Tensor | None]:
    """Compute the gradients of the inputs, states and parameters, without autograd.

    Args:
        derivation: of the step.
        engine: runs the backward step over the batch, in the direction opposite to that of the forward pass.
        tensors: inputs, states and parameters; with ids, the first input is a table `(ids, size)`.
        kept: what the forward pass saved.
        given: the gradients of the output and of the last states.
        ids: those that the forward pass read, `(total,)`.
        wishes: whether a gradient is wanted, for each of the inputs.
    """
    gradient = derivation.gradient
    inputs, states, learned = derivation.split(tensors)
    graph, outputs = gradient.forward, gradient.backward.outputs
    known = {**dict(zip(derivation.kept_nodes, kept.values, strict=True)), graph.output: kept.output}
    known |= dict(zip(graph.inputs, inputs, strict=True))
    # The loop reads only known values.
    saved = [known.get(node, kept.output) for node in gradient.saved]
    values, d_states = engine.loop(derivation.parts_of(learned), [*saved, given[0]], given[1:])
    found: dict[str, Tensor] = {}

    def add_outer(use: Use, operand: Tensor, d_product: Tensor) -> None:
        left, right = (d_product, operand) if use.is_transposed else (operand, d_product)
        found[use.name] = engine.outer(left, right, found.get(use.name))

    # These first: the memory of the states before each step can be used again by the rest.
    later: list[Use] = []
    for use in gradient.uses:
        state = gradient.shifted.get(gradient.saved[use.operand])
        if state is None:
            later.append(use)
        else:
            rows = engine.new_rows(kept.output)
            before = engine.order.step_before(kept.output, states[state], rows, backward=not engine.reads_backward)
            add_outer(use, before, values[outputs[use.output]])
    by_loop = tuple(wishes) if ids is None else (False, *wishes[1:])
    values = engine.finish(values, derivation.wanted(by_loop))
    d_inputs = [
        values[outputs[output]] if output is not None and wish else None
        for output, wish in zip(gradient.inputs, by_loop, strict=True)
    ]
    # All that follows the loop is linear, so that the steps of one id of a table can be summed first.
    by_id: dict[Use, Tensor] = {}
    if ids is not None:
        by_id = {
            use: engine.sum_by_id(values[outputs[use.output]], ids, len(inputs[0]))
            for use in later
            if gradient.saved[use.operand] is graph.inputs[0]
        }
        if wishes[0]:
            parts = [engine.by_matrix(value, transposed(use.matrix)) for use, value in by_id.items()]
            d_inputs[0] = sum(parts[1:], parts[0])[:, : inputs[0].shape[1]]
    for use in later:
        if use in by_id:
            add_outer(use, inputs[0], by_id[use])
        else:
            add_outer(use, saved[use.operand], values[outputs[use.output]])
    sums: dict[int, Tensor] = {}
    for name, (output, start, stop) in gradient.vectors.items():
        if output not in sums:
            sums[output] = values[outputs[output]].sum(0)
        found[name] = sums[output][start:stop]
    return [*d_inputs, *d_states, *derivation.narrowed(found)]


def joined(parts: WideParts) -> dict[str, Tensor]:
    """Return the parameters of the wide step by name."""
    return {name: torch.cat([*each], 1) if len(each) > 1 else each[0] for name, each in parts.items()}


def _own(part: str) -> str:
    """Return the name of a parameter, without the mark of a transposed one."""
    return part.removesuffix(TRANSPOSED)


def _apart(wide: Tensor, columns: Sequence[int]) -> Sequence[Tensor]:
    """Split a wide matrix into its parts.

    Parts of the same size are made contiguous at once, since autograd would copy each of them.
    """
    if len(set(columns)) > 1:
        return wide.split_with_sizes(list(columns), 1)
    return wide.unflatten(1, (len(columns), -1)).transpose(0, 1).contiguous().unbind(0)
