"""The three textbook layers by name."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from elman.cells import CELLS
from elman.compiler.cell import Cell
from elman.compiler.language import sigmoid, tanh
from elman.errors import UsageError, nearest
from elman.nn.recurrent import Recurrent

Function = str | Callable[..., Any]
# For a bidirectional layer also a pair: of the forward and of the backward direction.
Activation = Function | tuple[Function, Function]

# What others call a setting, and what to say here.
ELSEWHERE = {
    "units": "Say hidden_size.",
    "return_sequences": "A layer always gives both: steps, last = layer(batch); last.output is the last output.",
    "return_state": "A layer always gives both: steps, last = layer(batch); last.h is the last state.",
    "batch_first": "The batch is always the first axis. elman.nn.torch has layers with torch's arguments.",
    "bias": "Say use_bias.",
    "merge_mode": "Say merge.",
    "recurrent_dropout": "Say weight_drop for the recurrent matrices, or candidate_dropout for an LSTM's or GRU's g.",
}


def SimpleRNN(  # noqa: N802
    input_size: int, hidden_size: int, *, activation: Activation = tanh, use_bias: bool = True, **settings: Any
) -> Recurrent:
    """A layer of the simple recurrent network.

    Args:
        input_size: features of the input.
        hidden_size: units.
        activation: tanh, or a function of the cell language or its name, such as `relu` or `linear`; for a
            bidirectional layer also a pair of them, forward and backward.
        use_bias: whether it has a bias.
        settings: as those of `Recurrent`.
    """
    return _layer("simple_rnn", input_size, hidden_size, {"activation": activation, "use_bias": use_bias}, settings)


def LSTM(  # noqa: N802
    input_size: int,
    hidden_size: int,
    *,
    activation: Activation = tanh,
    recurrent_activation: Activation = sigmoid,
    output_activation: Activation | None = None,
    use_bias: bool = True,
    unit_forget_bias: bool = True,
    candidate_dropout: float = 0.0,
    **settings: Any,
) -> Recurrent:
    """A layer of long short-term memory.

    Args:
        input_size: features of the input.
        hidden_size: units.
        activation: of the cell's input and output; this and the next two may be pairs in a bidirectional layer, for the
            forward and the backward direction.
        recurrent_activation: of the gates.
        output_activation: of the cell's output, if it is another than that of its input (ONNX: f, g, h are
            `recurrent_activation`, `activation`, `output_activation`).
        use_bias: whether the gates and the candidate have biases.
        unit_forget_bias: start the bias of the forget gate from 1 and not from 0.
        candidate_dropout: the probability of dropping a feature of the candidate while training.
        settings: as those of `Recurrent`.
    """
    options = {
        "activation": activation,
        "recurrent_activation": recurrent_activation,
        "output_activation": output_activation,
        "use_bias": use_bias,
        "unit_forget_bias": unit_forget_bias,
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
    use_bias: bool = True,
    candidate_dropout: float = 0.0,
    **settings: Any,
) -> Recurrent:
    """A layer of gated recurrent units.

    Args:
        input_size: features of the input.
        hidden_size: units.
        reset_after: the reset gate acts after the product, as in torch, cuDNN and Keras; before it, as published,
            if false.
        activation: of the candidate; this and the next may be pairs in a bidirectional layer, for the forward and the
            backward direction.
        recurrent_activation: of the gates.
        use_bias: whether the gates and the candidate have biases.
        candidate_dropout: the probability of dropping a feature of the candidate while training.
        settings: as those of `Recurrent`.
    """
    options = {
        "activation": activation,
        "recurrent_activation": recurrent_activation,
        "use_bias": use_bias,
        "candidate_dropout": candidate_dropout,
    }
    return _layer("gru_reset_after" if reset_after else "gru", input_size, hidden_size, options, settings)


def _layer(
    name: str, input_size: int, hidden_size: int, options: Mapping[str, Any], settings: Mapping[str, Any]
) -> Recurrent:
    known = inspect.signature(Recurrent).parameters.keys() - {"cell"}
    for setting in settings:
        if setting not in known:
            hint = ELSEWHERE.get(setting) or nearest(setting, [*known, *options])
            raise UsageError(f"The layer has no setting `{setting}`.", fix=hint)
    return Recurrent(_cells(name, options), input_size, hidden_size, **settings)


def _cells(name: str, options: Mapping[str, Any]) -> Cell | tuple[Cell, Cell]:
    """The cell, or where an option is a pair, that of each direction."""
    pairs = {option: value for option, value in options.items() if isinstance(value, tuple)}
    if not pairs:
        return CELLS[name].with_options(**options)
    for option, pair in pairs.items():
        if len(pair) != 2:
            raise UsageError(f"`{option}` has {len(pair)} values.", fix="Give one, or two: (forward, backward).")
    forward, backward = ({**options, **{option: pair[side] for option, pair in pairs.items()}} for side in (0, 1))
    return CELLS[name].with_options(**forward), CELLS[name].with_options(**backward)
