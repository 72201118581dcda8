"""The three textbook layers by name: `SimpleRNN`, `LSTM`, `GRU`."""

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, TypedDict, TypeVar, Unpack

from elman.cells import CELLS
from elman.compiler.cell import Cell
from elman.errors import UsageError, nearest
from elman.nn.recurrent import Merge, Recurrent
from elman.nn.weights import Init

Function = str | Callable[..., Any] | None
# A bidirectional layer also takes a pair: forward and backward.
Activation = Function | tuple[Function, Function]
Layer = TypeVar("Layer", bound=type[Recurrent])

# Names of other libraries, each with what to write here.
ELSEWHERE = {
    "units": "Write hidden_size.",
    "return_sequences": "A layer always returns both: steps, last = layer(batch); last.output is the last output.",
    "return_state": "A layer always returns both: steps, last = layer(batch); last.h is the last state.",
    "batch_first": "The batch is always the first axis. elman.nn.torch has layers with torch's arguments.",
    "bias": "Write use_bias.",
    "merge_mode": "Write merge.",
    "recurrent_dropout": "Write weight_drop for the recurrent matrices, or candidate_dropout for an LSTM's or GRU's g.",
}


class LayerSettings(TypedDict, total=False):
    """The keyword arguments that each of these layers hands on to `Recurrent`."""

    num_layers: int
    bidirectional: bool
    merge: Merge | None
    go_backwards: bool
    dropout: float
    weight_drop: float
    stateful: bool
    init: Init
    target: str | None


def _described(layer: Layer) -> Layer:
    """Write `Recurrent`'s arguments into the signature and the docstring of a layer."""
    names = LayerSettings.__annotations__
    own, general = (inspect.signature(kind.__init__).parameters.values() for kind in (layer, Recurrent))
    parameters = [each for each in own if each.kind is not each.VAR_KEYWORD]
    parameters += [each for each in general if each.name in names]
    layer.__init__.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    if layer.__doc__ and Recurrent.__doc__:  # python -OO has none
        entry = re.compile(r"^    (\w+): .*\n(?:     .*\n)*", re.MULTILINE)
        entries = [found[0] for found in entry.finditer(inspect.cleandoc(Recurrent.__doc__)) if found[1] in names]
        mine = lambda found: "".join(entries) if found[1] == "settings" else found[0]  # noqa: E731
        layer.__doc__ = entry.sub(mine, inspect.cleandoc(layer.__doc__))
    return layer


@_described
class SimpleRNN(Recurrent):
    """A layer of the simple recurrent network (Elman network), or a stack of them.

    h' = activation(x·W + h·U + b)

    Args:
        input_size: number of features of a step of the input.
        hidden_size: number of units: the size of the state h, and of the output of one direction.
        activation: a function of the cell language, its name such as `"relu"`, or `None` for the identity. Default
            `"tanh"`. A bidirectional layer also takes a pair: (forward, backward).
        use_bias: whether there is a bias b. Default True.
        settings: the other arguments of `Recurrent`.

    Raises:
        UsageError: a setting that is unknown or out of range.

    Source:
        See `elman.cells.simple_rnn`.

    >>> import torch
    >>> steps, last = SimpleRNN(3, 5, activation="relu")(torch.zeros(2, 7, 3))
    >>> steps.shape, last.h.shape
    (torch.Size([2, 7, 5]), torch.Size([2, 5]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        activation: "Activation" = "tanh",
        use_bias: bool = True,
        **settings: Unpack[LayerSettings],
    ):
        options = {"activation": activation, "use_bias": use_bias}
        _check_names(settings, options)
        super().__init__(_cells("simple_rnn", options), input_size, hidden_size, **settings)


@_described
class LSTM(Recurrent):
    """A layer of long short-term memory, or a stack of them.

    i = σ(x·W_i + h·U_i + b_i)        f = σ(x·W_f + h·U_f + b_f)
    g = tanh(x·W_g + h·U_g + b_g)     o = σ(x·W_o + h·U_o + b_o)
    c' = f∘c + i∘g                    h' = o∘tanh(c')

    Args:
        input_size: number of features of a step of the input.
        hidden_size: number of units: the size of the states h and c, and of the output of one direction.
        activation: of g and of c': a function of the cell language, its name such as `"relu"`, or `None` for the
            identity. Default `"tanh"`. A bidirectional layer also takes a pair: (forward, backward).
        recurrent_activation: of the gates i, f and o, given as `activation` is. Default `"sigmoid"`.
        output_activation: of c', given as `activation` is; `None`, the default, uses `activation`. (ONNX calls
            `recurrent_activation`, `activation` and `output_activation` f, g and h.)
        use_bias: whether there are biases. Default True.
        unit_forget_bias: whether the bias of the forget gate starts from 1 and not from 0. Default True.
        candidate_dropout: probability, from 0 to 1, of dropping a feature of g at a step in training. Default 0.
        settings: the other arguments of `Recurrent`.

    Raises:
        UsageError: a setting that is unknown or out of range.

    Source:
        See `elman.cells.lstm`.

    >>> import torch
    >>> steps, last = LSTM(3, 5, bidirectional=True)(torch.zeros(2, 7, 3))
    >>> steps.shape, last.h.shape, last.c.shape, last.output.shape
    (torch.Size([2, 7, 10]), torch.Size([2, 2, 5]), torch.Size([2, 2, 5]), torch.Size([2, 10]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        activation: "Activation" = "tanh",
        recurrent_activation: "Activation" = "sigmoid",
        output_activation: "Activation" = None,
        use_bias: bool = True,
        unit_forget_bias: bool = True,
        candidate_dropout: float = 0.0,
        **settings: Unpack[LayerSettings],
    ):
        options = {
            "activation": activation,
            "recurrent_activation": recurrent_activation,
            "output_activation": output_activation,
            "use_bias": use_bias,
            "unit_forget_bias": unit_forget_bias,
            "candidate_dropout": candidate_dropout,
        }
        _check_names(settings, options)
        super().__init__(_cells("lstm", options), input_size, hidden_size, **settings)


@_described
class GRU(Recurrent):
    """A layer of gated recurrent units, or a stack of them.

    z = σ(x·W_z + h·U_z + b_z)                     r = σ(x·W_r + h·U_r + b_r)
    n = tanh(x·W_n + b_n + r∘(h·U_n + d_n))        h' = z∘h + (1 - z)∘n

    Args:
        input_size: number of features of a step of the input.
        hidden_size: number of units: the size of the state h, and of the output of one direction.
        reset_after: whether the reset gate r acts after the product with U_n, as in torch, cuDNN and Keras, or, if
            False, before it as first published: n = tanh(x·W_n + (r∘h)·U_n + b_n). Default True.
        activation: of the candidate n: a function of the cell language, its name such as `"relu"`, or `None` for the
            identity. Default `"tanh"`. A bidirectional layer also takes a pair: (forward, backward).
        recurrent_activation: of the gates z and r, given as `activation` is. Default `"sigmoid"`.
        use_bias: whether there are biases. Default True.
        candidate_dropout: probability, from 0 to 1, of dropping a feature of n at a step in training. Default 0.
        settings: the other arguments of `Recurrent`.

    Raises:
        UsageError: a setting that is unknown or out of range.

    Source:
        See `elman.cells.gru_reset_after` and `elman.cells.gru`.

    >>> import torch
    >>> steps, last = GRU(3, 5, num_layers=2)(torch.zeros(2, 7, 3))
    >>> steps.shape, last.h.shape, last.output.shape
    (torch.Size([2, 7, 5]), torch.Size([2, 2, 5]), torch.Size([2, 5]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        reset_after: bool = True,
        activation: "Activation" = "tanh",
        recurrent_activation: "Activation" = "sigmoid",
        use_bias: bool = True,
        candidate_dropout: float = 0.0,
        **settings: Unpack[LayerSettings],
    ):
        options = {
            "activation": activation,
            "recurrent_activation": recurrent_activation,
            "use_bias": use_bias,
            "candidate_dropout": candidate_dropout,
        }
        _check_names(settings, [*options, "reset_after"])
        cells = _cells("gru_reset_after" if reset_after else "gru", options)
        super().__init__(cells, input_size, hidden_size, **settings)


def _check_names(settings: LayerSettings, options: Any) -> None:
    """Refuse a keyword that is neither an argument of `Recurrent` nor an option of the cell."""
    known = LayerSettings.__annotations__
    for setting in settings:
        if setting not in known:
            hint = ELSEWHERE.get(setting) or nearest(setting, [*known, *options])
            raise UsageError(f"The layer has no setting `{setting}`.", fix=hint)


def _cells(name: str, options: Mapping[str, Any]) -> Cell | tuple[Cell, Cell]:
    """Return the cell, or, where an option is a pair, the cells of the two directions."""
    pairs = {option: value for option, value in options.items() if isinstance(value, tuple)}
    if not pairs:
        return CELLS[name].with_options(**options)
    for option, pair in pairs.items():
        if len(pair) != 2:
            raise UsageError(
                f"Expected one value of `{option}` or two, got {len(pair)}.", fix="Give a pair: (forward, backward)."
            )
    forward, backward = ({**options, **{option: pair[side] for option, pair in pairs.items()}} for side in (0, 1))
    return CELLS[name].with_options(**forward), CELLS[name].with_options(**backward)
