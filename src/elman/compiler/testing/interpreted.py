"""Gradients of a step by the interpreter: the backward step's meaning, without any kernel."""

import numpy as np
import torch
from torch import Tensor

from elman.compiler import reference
from elman.compiler.gradient import differentiate
from elman.compiler.graph import TRANSPOSED, Graph, find_matrix
from elman.compiler.testing.data import Data, split_tensors
from elman.compiler.widen import widen


def interpreted_gradients(graph: Graph, data: Data) -> list[Tensor]:
    """Compute the gradient of every tensor of the data by the reference.

    It runs the backward step, and then sums over all steps.
    """
    wide = widen(graph)
    gradient = differentiate(wide.graph)
    inputs, states, weights = split_tensors(graph, data.tensors)
    plain = {name: value.numpy() for name, value in weights.items()}
    join = lambda parts: np.concatenate([find_matrix(plain, part) for part in parts], 1)  # noqa: E731
    known = plain | {name: join(parts) for name, parts in wide.parts.items()}
    arrays = lambda tensors: [tensor.numpy() for tensor in tensors]  # noqa: E731
    (_, *saved), _ = reference.run(
        gradient.forward, known, arrays(inputs), arrays(states), data.lengths, backward=data.backward
    )
    d_output, *d_last = arrays(data.d_results)
    outputs, d_states = reference.run(
        gradient.backward, known, [*saved, d_output], d_last, data.lengths, backward=not data.backward
    )
    found = {name: outputs[output][:, a:b].sum(0) for name, (output, a, b) in gradient.vectors.items()}
    for use in gradient.uses:
        outer = saved[use.operand].T @ outputs[use.output]
        for name, part in _columns(wide.parts[use.name], outer.T if use.is_transposed else outer, plain).items():
            own = name.removesuffix(TRANSPOSED)
            found[own] = found.get(own, 0.0) + (part if own == name else part.T)
    d_inputs = [
        np.zeros(value.shape) if output is None else outputs[output]
        for value, output in zip(inputs, gradient.inputs, strict=True)
    ]
    d_weights = [found.get(name, np.zeros(value.shape)) for name, value in weights.items()]
    return [torch.as_tensor(value) for value in (*d_inputs, *d_states, *d_weights)]


def _columns(parts: tuple[str, ...], wide: np.ndarray, weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Split the gradient of a wide matrix into those of its parts."""
    edges = np.cumsum([find_matrix(weights, part).shape[1] for part in parts])[:-1]
    return dict(zip(parts, np.split(wide, edges, axis=1), strict=True))
