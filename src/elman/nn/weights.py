"""The parameters of one layer in one direction, and their initial values."""

import math
from collections import Counter
from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor, nn

from elman.compiler.draws import expectation
from elman.compiler.graph import Graph, Parameter, matrix_of
from elman.compiler.starts import Opposite, Start
from elman.nn import starts
from elman.nn.named_parameters import NamedParameters

Init = Literal["keras", "torch"]


class Weights(NamedParameters):
    """The parameters of one step, under the names in the step; those that are not learned are buffers.

    Args:
        graph: the step.
        hidden_size: number of units of the layer.
        init: `"keras"`: matrices that multiply the input are Glorot-uniform and recurrent matrices orthogonal, each
            drawn for all affines on the same value together; biases and vectors have the values of the cell, 1 for
            forget gates. `"torch"`: everything is uniform in ±1/√hidden_size except vectors, which have the values of
            the cell. Default `"keras"`. A matrix is recurrent if a value that it multiplies depends on a state. It is
            drawn alone if the step multiplies by it, or by its transpose, more than once. With both, a parameter for
            which the cell declares a start (an array, `identity`, `uniform(...)`, …) begins there.
    """

    def __init__(self, graph: Graph, hidden_size: int, init: Init = "keras"):
        super().__init__(parameter.name for parameter in graph.parameters)
        self.graph = graph
        self.expected = expectation(graph)
        self.hidden_size = hidden_size
        self.init: Init = init
        for parameter in graph.parameters:
            # The name may be that of a method of nn.Module (`half`, `type`), so no attribute is set.
            if parameter.is_learned:
                self._parameters[parameter.name] = nn.Parameter(torch.empty(parameter.shape))
            else:
                self._buffers[parameter.name] = torch.empty(parameter.shape)
        self.reset_parameters()

    def named(self) -> dict[str, Tensor]:
        """Return each parameter by its name, parametrized or pruned by torch's tools."""
        return self.values(self.graph.parameter_names)

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw the parameters again from torch's random generator."""
        tensors = {name: torch.empty_like(tensor) for name, tensor in self.named().items()}
        for parameter in self.graph.parameters:
            tensor, initial = tensors[parameter.name], parameter.initial
            if isinstance(initial, Start):
                if not isinstance(initial, Opposite):
                    starts.draw(initial, tensor)
            elif parameter.role == "bias" and self.init == "torch":
                self._draw_torch(tensor)
            elif parameter.role in ("bias", "vector"):
                tensor.fill_(initial)
        for group in _wide_groups(self.graph):
            wide = torch.empty(group[0].shape[0], sum(parameter.shape[1] for parameter in group))
            if self.init == "torch":
                self._draw_torch(wide)
            elif group[0].role == "recurrent":
                starts.orthogonal(wide)
            else:
                nn.init.xavier_uniform_(wide)
            for parameter, part in zip(group, wide.split([item.shape[1] for item in group], 1), strict=True):
                tensors[parameter.name].copy_(part)
        for parameter in self.graph.parameters:
            if isinstance(parameter.initial, Opposite):
                torch.neg(tensors[parameter.initial.name], out=tensors[parameter.name])
        for name, tensor in tensors.items():
            self.assign(name, tensor)

    def _draw_torch(self, tensor: Tensor) -> None:
        bound = 1.0 / math.sqrt(self.hidden_size)
        tensor.uniform_(-bound, bound)

    def extra_repr(self) -> str:
        """Return the names, shapes and declared starts, for printing the module."""
        return ", ".join(map(_described, self.graph.parameters))


def _described(parameter: Parameter) -> str:
    start = f" from {parameter.initial}" if isinstance(parameter.initial, Start) else ""
    return f"{parameter.name}: {parameter.shape}{start}{'' if parameter.is_learned else ', not learned'}"


def _wide_groups(graph: Graph) -> Iterable[list[Parameter]]:
    """Group the matrices without a declared start by the value that they multiply."""
    products = [node for node in graph.nodes if node.op == "product"]
    uses = Counter(matrix_of(node)[0] for node in products)
    operands = {node.attribute[0]: node.args[0] for node in products}
    groups: dict[object, list[Parameter]] = {}
    for parameter in graph.parameters:
        if parameter.name in uses and not isinstance(parameter.initial, Start):
            alone = uses[parameter.name] > 1 or parameter.name not in operands
            groups.setdefault(parameter.name if alone else operands[parameter.name], []).append(parameter)
    return groups.values()
