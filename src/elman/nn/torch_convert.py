"""From torch's recurrent modules to elman's layer and back, with the weights."""

from typing import Any

import torch
from torch import nn

from elman.cells import CELLS
from elman.compiler.cell import Cell, describe_options
from elman.errors import UsageError
from elman.nn.recurrent import Recurrent
from elman.nn.torch_layout import (
    LAYOUTS,
    PROJECTION,
    find_layout,
    from_step,
    has_biases,
    learned,
    read_arrays,
    to_step,
)

Module = nn.RNN | nn.LSTM | nn.GRU
MODULES: dict[str, type[Module]] = {"RNN_TANH": nn.RNN, "RNN_RELU": nn.RNN, "LSTM": nn.LSTM, "GRU": nn.GRU}
FIX = (
    "It has simple_rnn (tanh or relu), lstm, projected_lstm and gru_reset_after with their own activations, that read "
    "forwards or both ways, concatenate, and are given their states with each call."
)


def from_torch(module: Any, **settings: Any) -> Recurrent:
    """The layer of elman with the same weights, and so the same results.

    Its dense tensors are `(batch, time, feature)` whatever `batch_first` of the module says. Its biases are the sums of
    the module's, and it has none if the module has none. A parameter that is not learned in the module
    (`requires_grad=False`) is not learned in the layer; the sum of two biases is learned if one of them is. Dropout is
    not carried over, since the two libraries' is not the same: torch's drops single elements between layers, elman's
    the same features at all steps.

    Args:
        module: `RNN`, `LSTM` or `GRU` of `torch.nn` or of `elman.nn.torch`.
        settings: further ones of `Recurrent`, such as `dropout` or `stateful`.

    Raises:
        UsageError: the module is none of these.

    >>> from_torch(nn.GRU(3, 5, bidirectional=True))(torch.zeros(2, 7, 3))[0].shape
    torch.Size([2, 7, 10])
    """
    if getattr(module, "mode", None) not in LAYOUTS:
        raise UsageError(
            f"A {type(module).__name__} came.", fix="Give an RNN, LSTM or GRU of torch.nn or of elman.nn.torch."
        )
    layout = find_layout(module.mode, module.proj_size, bias=bool(module.bias))
    recurrent = Recurrent(
        layout.cell,
        module.input_size,
        module.hidden_size,
        num_layers=module.num_layers,
        bidirectional=module.bidirectional,
        **settings,
    ).to(module.weight_ih_l0)
    for layer, backward, suffix in _places(recurrent):
        with torch.enable_grad():
            tensors = to_step(layout, read_arrays(module, suffix))
        for name, parameter in recurrent.weights(layer, backward).items():
            parameter.detach().copy_(tensors[name].detach())
            parameter.requires_grad_(tensors[name].requires_grad)
    return recurrent.train(module.training)


def to_torch(recurrent: Recurrent) -> Module:
    """The module of `torch.nn` with the same weights, and so the same results.

    It has `batch_first=True`, as elman's layers, and no dropout (see `from_torch`). An array is learned if the layer's
    parameters in it are.

    Args:
        recurrent: a layer whose cell torch has: `lstm`, `projected_lstm`, `gru_reset_after` or `simple_rnn` (with tanh
            or relu), with their own activations.

    Raises:
        UsageError: torch has no such cell or no such setting; all that stands in the way is named.

    >>> to_torch(Recurrent("lstm", 3, 5))
    LSTM(3, 5, batch_first=True)
    """
    mode, weights = _find_mode(recurrent.cell), recurrent.weights()
    projection = weights.get(PROJECTION)
    proj_size = 0 if projection is None else projection.shape[1]
    if problems := _problems(recurrent, mode, proj_size):
        raise UsageError("torch.nn has no such layer: " + "; ".join(problems) + ".", fix=FIX)
    assert mode is not None  # one of the problems
    options: dict[str, Any] = {"nonlinearity": "relu"} if mode == "RNN_RELU" else {}
    module = MODULES[mode](
        input_size=recurrent.input_size,
        hidden_size=recurrent.hidden_size,
        num_layers=recurrent.num_layers,
        bias=has_biases(LAYOUTS[mode], weights),
        batch_first=True,
        bidirectional=recurrent.bidirectional,
        **(options | ({"proj_size": proj_size} if proj_size else {})),
    ).to(next(recurrent.parameters()))
    for layer, backward, suffix in _places(recurrent):
        tensors = recurrent.weights(layer, backward)
        flags = learned(LAYOUTS[mode], tensors)
        for name, array in from_step(LAYOUTS[mode], tensors).items():
            parameter = getattr(module, f"{name}_{suffix}")
            parameter.detach().copy_(array.detach())
            parameter.requires_grad_(flags[name] == {True})
    return module.train(recurrent.training)


def _places(recurrent: Recurrent) -> list[tuple[int, bool, str]]:
    """Each layer and direction, and the ending of its parameters' names in torch."""
    directions = {False: "", True: "_reverse"} if recurrent.bidirectional else {False: ""}
    return [
        (layer, backward, f"l{layer}{ending}")
        for layer in range(recurrent.num_layers)
        for backward, ending in directions.items()
    ]


def _find_mode(cell: Cell) -> str | None:
    like_lstm = cell.step is CELLS["projected_lstm"].step and _functions(cell) == _functions(CELLS["projected_lstm"])
    equal = (
        mode
        for mode, layout in LAYOUTS.items()
        if cell.step is layout.cell.step and _functions(cell) == _functions(layout.cell)
    )
    return "LSTM" if like_lstm else next(equal, None)


def _functions(cell: Cell) -> dict[str, Any]:
    """The options that change what the cell computes, apart from its size and its biases, which torch has too."""
    options = describe_options(cell)
    options["output_activation"] = options.get("output_activation") or options.get("activation")
    return {name: options[name] for name in options.keys() - {"projection", "use_bias", "unit_forget_bias"}}


def _problems(recurrent: Recurrent, mode: str | None, proj_size: int) -> list[str]:
    settings = {
        f"the cell is {recurrent.cell!r}": mode is None,
        "its directions have different cells": describe_options(recurrent.cell) != describe_options(recurrent.cells[1]),
        f"the projection has {proj_size} features, not less than {recurrent.hidden_size}": (
            proj_size >= recurrent.hidden_size
        ),
        f"merge is {recurrent.merge!r}": recurrent.bidirectional and recurrent.merge != "concat",
        "go_backwards is set": recurrent.go_backwards,
        "it is stateful": recurrent.stateful,
    }
    return [problem for problem, stands in settings.items() if stands] + _learned_in_part(recurrent, mode)


def _learned_in_part(recurrent: Recurrent, mode: str | None) -> list[str]:
    """torch's arrays hold the parameters of all gates, and each is learned as a whole or not at all."""
    if mode is None:
        return []
    return [
        f"{name}_{suffix} would be learned in part, as only some of its gates' parameters have requires_grad=True"
        for layer, backward, suffix in _places(recurrent)
        for name, flags in learned(LAYOUTS[mode], recurrent.weights(layer, backward)).items()
        if len(flags) > 1
    ]
