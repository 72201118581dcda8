"""The meaning of a step: NumPy, float64, one sequence after the other, node by node.

It is slow, and easy to check against the paper. All other targets are compared with it.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from elman.compiler.graph import Graph, Node, find_matrix

Array = np.ndarray


def _sigmoid(x: Array) -> Array:
    e = np.exp(-np.abs(x))
    return np.where(x < 0.0, e, 1.0) / (1.0 + e)


def _of_each(function: Callable[[float], float]) -> Callable[[Array], Array]:
    return np.vectorize(function, otypes=[float])


NUMPY: dict[str, Callable[..., Array]] = {
    "neg": np.negative,
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "square": np.square,
    "reciprocal": np.reciprocal,
    "sin": np.sin,
    "cos": np.cos,
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
    "relu": lambda x: np.maximum(x, 0.0),
    "abs": np.abs,
    "sign": np.sign,
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "less": lambda a, b: (a < b).astype(float),
    "less_equal": lambda a, b: (a <= b).astype(float),
    "equal": lambda a, b: (a == b).astype(float),
    "where": lambda condition, a, b: np.where(condition != 0, a, b),
    "floor": np.floor,
    "round": np.rint,
    "erf": _of_each(math.erf),
    "erfc": _of_each(math.erfc),
    "log1p": np.log1p,
    "expm1": np.expm1,
    "softplus": lambda x: np.logaddexp(0.0, x),
    "stop_gradient": lambda x: x,
    "remainder": np.remainder,
    "power": np.power,
    "outer": lambda a, b: np.outer(a, b).ravel(),
    "sum": lambda x: x.sum(keepdims=True),
    "max": lambda x: x.max(keepdims=True),
    "concat": lambda *parts: np.concatenate(parts),
}


def step(
    graph: Graph, weights: Mapping[str, Array], inputs: Sequence[Array], states: Sequence[Array]
) -> tuple[list[Array], list[Array]]:
    """Compute the outputs and the next states of one step of one sequence, each `(size,)`."""
    values: dict[Node, Array] = dict(zip((*graph.inputs, *graph.states), (*inputs, *states), strict=True))
    for node in graph.nodes:
        if node not in values:
            values[node] = _compute(node, weights, values)
    full = lambda node: np.broadcast_to(values[node], (node.size,))  # noqa: E731
    return [full(node) for node in graph.outputs], [full(node) for node in graph.following]


def _compute(node: Node, weights: Mapping[str, Array], values: Mapping[Node, Array]) -> Array:
    args = [values[arg] for arg in node.args]
    if node.op == "number":
        return np.full(1, node.attribute)
    if node.op == "vector":
        return weights[node.attribute[0]]
    if node.op == "product":
        return args[0] @ find_matrix(weights, node.attribute[0])
    if node.op == "slice":
        return args[0][slice(*node.attribute)]
    if node.op == "expand":
        return np.broadcast_to(args[0], (node.size,))
    if node.op == "cumsum":
        return args[0][::-1].cumsum()[::-1] if node.attribute else args[0].cumsum()
    if node.op == "contract":
        matrix = args[0].reshape((args[1].size, -1) if node.attribute else (-1, args[1].size))
        return args[1] @ matrix if node.attribute else matrix @ args[1]
    return NUMPY[node.op](*args)


def run(
    graph: Graph,
    weights: Mapping[str, Array],
    inputs: Sequence[Array],
    states: Sequence[Array],
    lengths: Sequence[int],
    *,
    backward: bool = False,
) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    """Run a step over every sequence of a batch.

    Arguments and results are those of the other targets, in NumPy.
    """
    weights, inputs, states = (
        {name: np.asarray(value, np.float64) for name, value in weights.items()},
        [np.asarray(value, np.float64) for value in inputs],
        [np.array(value, np.float64) for value in states],
    )
    outputs = tuple(np.empty((len(inputs[0]), node.size)) for node in graph.outputs)
    start = 0
    with np.errstate(all="ignore"):
        for sequence, length in enumerate(lengths):
            current = [state[sequence].copy() for state in states]
            times = range(start, start + length)
            for time in reversed(times) if backward else times:
                found, current = step(graph, weights, [value[time] for value in inputs], current)
                for output, value in zip(outputs, found, strict=True):
                    output[time] = value
            for state, value in zip(states, current, strict=True):
                state[sequence] = value
            start += length
    return outputs, tuple(states)
