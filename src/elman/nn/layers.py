"""The three textbook layers by name."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from elman.cells import CELLS
from elman.compiler.language import sigmoid, tanh
from elman.errors import UsageError, nearest
from elman.nn.recurrent import Recurrent

Activation = str | Callable[..., Any]

# What others call a setting, and what to say here.
ELSEWHERE = {
    "units": "Say hidden_size.",
    "return_sequences": "A layer always gives both: steps, last = layer(batch); last.output is the last output.",
    "return_state": "A layer always gives both: steps, last = layer(batch); last.h is the last state.",
    "batch_first": "The batch is always the first axis. elman.nn.torch has layers with torch's arguments.",
    "bias": "A bias belongs to the cell. elman.nn.torch has layers with torch's arguments.",
    "merge_mode": "Say merge.",
    "recurrent_dropout": "Say weight_drop for the recurrent matrices, or candidate_dropout for an LSTM's or GRU's g.",
}


def SimpleRNN(  # noqa: N802
    input_size: int, hidden_size: int, *, activation: Activation = tanh, **settings: Any
) -> Recurrent:
    """A layer of the simple recurrent network.

    Args:
        input_size: features of the input.
        hidden_size: units.
        activation: tanh, or a function of the cell language or its name, such as `relu` or `linear`.
        settings: as those of `Recurrent`.
    """
    return _layer("simple_rnn", input_size, hidden_size, {"activation": activation}, settings)


def LSTM(  # noqa: N802
    input_size: int,
    hidden_size: int,
    *,
    activation: Activation = tanh,
    recurrent_activation: Activation = sigmoid,
    candidate_dropout: float = 0.0,
    **settings: Any,
) -> Recurrent:
    """A layer of long short-term memory.

    Args:
        input_size: features of the input.
        hidden_size: units.
        activation: of the cell's input and output.
        recurrent_activation: of the gates.
        candidate_dropout: the probability of dropping a feature of the candidate while training.
        settings: as those of `Recurrent`.
    """
    options = {
        "activation": activation,
        "recurrent_activation": recurrent_activation,
        "candidate_dropout": candidate_dropout,
    }
    return _layer("lstm", input_size, hidden_size, options, settings)


def GRU(  # noqa: N802
    input_size: int,
    hidden_size: int,
    *,
    reset_after: bool = True,
    activation: Activation = tanh,
    recurrent_activation: Activation = sigmoid,
    candidate_dropout: float = 0.0,
    **settings: Any,
) -> Recurrent:
    """A layer of gated recurrent units.

    Args:
        input_size: features of the input.
        hidden_size: units.
        reset_after: the reset gate acts after the product, as in torch, cuDNN and Keras; before it, as published,
            if false.
        activation: of the candidate.
        recurrent_activation: of the gates.
        candidate_dropout: the probability of dropping a feature of the candidate while training.
        settings: as those of `Recurrent`.
    """
    options = {
        "activation": activation,
        "recurrent_activation": recurrent_activation,
        "candidate_dropout": candidate_dropout,
    }
    return _layer("gru_reset_after" if reset_after else "gru", input_size, hidden_size, options, settings)


def _layer(
    name: str, input_size: int, hidden_size: int, options: Mapping[str, Activation | float], settings: Mapping[str, Any]
) -> Recurrent:
    known = inspect.signature(Recurrent).parameters.keys() - {"cell"}
    for setting in settings:
        if setting not in known:
            hint = ELSEWHERE.get(setting) or nearest(setting, [*known, *options])
            raise UsageError(f"The layer has no setting `{setting}`.", fix=hint)
    return Recurrent(CELLS[name].with_options(**options), input_size, hidden_size, **settings)
