"""Keras's activations as words of the cell language, with the defaults that they have in Keras."""

from collections.abc import Callable
from typing import Any

from elman.compiler.spelling import read_word
from elman.errors import UsageError, nearest

# Names of Keras 3, each with the word here.
KERAS: dict[str, str] = {
    "celu": "celu",
    "elu": "elu",
    "exponential": "exp",
    "gelu": "gelu",
    "glu": "glu",
    "hard_shrink": "hard_shrink",
    "hard_sigmoid": "hard_sigmoid",
    "hard_silu": "hard_silu",
    "hard_swish": "hard_silu",
    "hard_tanh": "hard_tanh",
    "leaky_relu": "leaky_relu(slope=0.2)",
    "linear": "linear",
    "log_sigmoid": "log_sigmoid",
    "log_softmax": "log_softmax",
    "mish": "mish",
    "relu": "relu",
    "relu6": "relu6",
    "selu": "selu",
    "sigmoid": "sigmoid",
    "silu": "silu",
    "soft_shrink": "soft_shrink",
    "softmax": "softmax",
    "softplus": "softplus",
    "softsign": "softsign",
    "sparse_plus": "sparse_plus",
    "sparse_sigmoid": "sparse_sigmoid",
    "squareplus": "squareplus",
    "swish": "silu",
    "tanh": "tanh",
    "tanh_shrink": "tanh_shrink",
}

ELSEWHERE = {
    "sparsemax": "Use `softmax`, or write it as a function of the cell language.",
    "threshold": "Write a function: lambda value: elman.where(value > 0.5, value, 0.0).",
}


def keras_activation(name: str | None) -> Callable[..., Any]:
    """Return the activation of this name in Keras, for an option of a cell.

    >>> from elman import SimpleRNN
    >>> from elman.nn import keras_activation
    >>> SimpleRNN(3, 4, activation=keras_activation("leaky_relu")).cell
    Cell(simple_rnn, activation=leaky_relu(slope=0.2))

    Args:
        name: the name in `keras.layers.SimpleRNN(activation=name)` of Keras 3; `None` is `linear`.

    Raises:
        UsageError: Keras or elman has no such activation.
    """
    name = "linear" if name is None else name
    if name not in KERAS:
        fix = ELSEWHERE.get(str(name)) or nearest(name, KERAS)
        raise UsageError(f"Expected the name of an activation of Keras, got {name!r}.", fix=fix)
    return read_word(KERAS[name])
