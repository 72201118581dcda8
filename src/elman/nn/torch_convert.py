"""Conversion of torch's recurrent modules to elman's layer and back, with the weights."""

from typing import Any

import torch
from torch import nn

from elman.cells import CELLS
from elman.compiler.cell import Cell, describe_options
from elman.errors import UsageError
from elman.nn.checks import described
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
    "torch has simple_rnn (tanh or relu), lstm, projected_lstm, gru_reset_after with their default activations. They "
    "read forward or in both directions, concatenate, and take their states with each call."
)


def from_torch(module: Any, **settings: Any) -> Recurrent:
    """Return elman's layer with the weights, and so the results, of a module of torch.

    Dense tensors are `(batch, time, feature)`, with either `batch_first` of the module. The biases are the sums of the
    module's biases; without them the layer has none. A parameter that is not learned in the module
    (`requires_grad=False`) is not learned in the layer; the sum of two biases is learned if one of them is. Dropout of
    the module is left out, since elman's is different: torch drops single elements between layers, elman drops the same
    features at all steps.

    Args:
        module: an `RNN`, `LSTM` or `GRU` of `torch.nn` or of `elman.nn.torch`.
        settings: other settings of `Recurrent`, such as `dropout` or `stateful`.

    Raises:
        UsageError: another kind of module.

    >>> from_torch(nn.GRU(3, 5, bidirectional=True))(torch.zeros(2, 7, 3))[0].shape
    torch.Size([2, 7, 10])
    """
    if getattr(module, "mode", None) not in LAYOUTS:
        raise UsageError(
            f"Expected a recurrent module of torch, got {described(module)}.",
            fix="Give an RNN, LSTM or GRU of torch.nn or of elman.nn.torch.",
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
    for layer, backward, suffix in _layers(recurrent):
        with torch.enable_grad():
            tensors = to_step(layout, read_arrays(module, suffix))
        for name, parameter in recurrent.weights(layer, backward).items():
            parameter.detach().copy_(tensors[name].detach())
            parameter.requires_grad_(tensors[name].requires_grad)
    return recurrent.train(module.training)


def to_torch(recurrent: Recurrent) -> Module:
    """Return the module of `torch.nn` with the weights, and so the results, of elman's layer.

    The module has `batch_first=True`, as elman's layers do, and no dropout (see `from_torch`). An array is learned if
    the layer's parameters in it are.

    Args:
        recurrent: a layer whose cell torch has: `lstm`, `projected_lstm`, `gru_reset_after` or `simple_rnn` (with tanh
            or relu), with the default activations.

    Raises:
        UsageError: torch has no such cell or setting; every reason is named.

    >>> to_torch(Recurrent("lstm", 3, 5))
    LSTM(3, 5, batch_first=True)
    """
    mode, weights = _find_mode(recurrent.cell), recurrent.weights()
    projection = weights.get(PROJECTION)
    proj_size = 0 if projection is None else projection.shape[1]
    if problems := _problems(recurrent, mode, proj_size):
        raise UsageError("torch.nn has no such layer: " + "; ".join(problems) + ".", fix=FIX)
    assert mode is not None  # otherwise there is a problem
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
    for layer, backward, suffix in _layers(recurrent):
        tensors = recurrent.weights(layer, backward)
        flags = learned(LAYOUTS[mode], tensors)
        for name, array in from_step(LAYOUTS[mode], tensors).items():
            parameter = getattr(module, f"{name}_{suffix}")
            parameter.detach().copy_(array.detach())
            parameter.requires_grad_(flags[name] == {True})
    return module.train(recurrent.training)


def _layers(recurrent: Recurrent) -> list[tuple[int, bool, str]]:
    """Return each layer and direction, with the ending of its parameters' names in torch."""
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
    """Return the options of the equations, except size and biases, which torch has too."""
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
    return [problem for problem, is_found in settings.items() if is_found] + _partly_learned(recurrent, mode)


def _partly_learned(recurrent: Recurrent, mode: str | None) -> list[str]:
    """Return a problem for each array of torch that would be learned in part."""
    if mode is None:
        return []
    return [
        f"{name}_{suffix} would be learned in part, as only some of its gates' parameters have requires_grad=True"
        for layer, backward, suffix in _layers(recurrent)
        for name, flags in learned(LAYOUTS[mode], recurrent.weights(layer, backward)).items()
        if len(flags) > 1
    ]
