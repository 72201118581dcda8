"""Weights in Keras's order: for each layer and direction the kernel W, the recurrent kernel H, the bias b.

Columns are in the order in which the cell names its affines, which for `lstm` is Keras's i, f, c, o and for `gru` and
`gru_reset_after` its z, r, h. The bias of Keras's GRU with reset_after=True has two rows. elman keeps one bias for each
gate and two for the candidate, so the first row has the gates' biases, and the second row has zeros in their columns.
Parameters that are not learned come last, one array each, as Keras's non-trainable weights.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from elman.compiler.graph import Graph, Parameter

RESET_AFTER = "gru_reset_after"


def groups(graph: Graph) -> list[list[Parameter]]:
    """Return the parameters of each array, side by side."""
    arrays: list[list[Parameter]] = []
    learned = [parameter for parameter in graph.parameters if parameter.is_learned]
    for role in ("input", "recurrent", "bias"):
        members = [parameter for parameter in learned if parameter.role == role]
        if len({parameter.shape[:-1] for parameter in members}) == 1:
            arrays.append(members)
        else:
            arrays.extend([parameter] for parameter in members)
    fixed = [parameter for parameter in graph.parameters if not parameter.is_learned]
    return arrays + [[parameter] for parameter in (*(item for item in learned if item.role == "vector"), *fixed)]


def to_arrays(graph: Graph, tensors: Mapping[str, Tensor]) -> list[Tensor]:
    """Return the arrays of one layer and direction."""
    arrays = [torch.cat([tensors[parameter.name] for parameter in members], -1) for members in groups(graph)]
    if _has_two_biases(graph):
        gates, candidate, memory = arrays[2].split([2 * len(arrays[2]) // 4, *[len(arrays[2]) // 4] * 2])
        arrays[2] = torch.stack([torch.cat([gates, candidate]), torch.cat([torch.zeros_like(gates), memory])])
    return arrays


def _has_two_biases(graph: Graph) -> bool:
    return graph.name == RESET_AFTER and any(parameter.role == "bias" for parameter in graph.parameters)


def shapes(graph: Graph) -> list[tuple[int, ...]]:
    """Return the shape of each array."""
    zeros = {parameter.name: torch.zeros(parameter.shape, device="meta") for parameter in graph.parameters}
    return [tuple(array.shape) for array in to_arrays(graph, zeros)]


def from_arrays(graph: Graph, arrays: Sequence[Tensor]) -> dict[str, Tensor]:
    """Return each parameter by its name, from the arrays of one layer and direction."""
    arrays = list(arrays)
    if _has_two_biases(graph):
        first, second = arrays[2]
        hidden = len(first) // 3
        arrays[2] = torch.cat([first[: 2 * hidden] + second[: 2 * hidden], first[2 * hidden :], second[2 * hidden :]])
    tensors: dict[str, Tensor] = {}
    for members, array in zip(groups(graph), arrays, strict=True):
        parts = array.split([parameter.shape[-1] for parameter in members], -1)
        tensors.update(zip((parameter.name for parameter in members), parts, strict=True))
    return tensors
