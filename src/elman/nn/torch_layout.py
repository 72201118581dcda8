"""Weights in torch's order: `weight_ih`, `weight_hh`, `bias_ih`, `bias_hh` and, with a projection, `weight_hr`.

torch keeps every matrix transposed, with the gates of a cell one below the other. It keeps two biases for each gate, of
which elman keeps the sum, except for the candidate of `gru_reset_after`, which needs both.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from elman.cells import CELLS
from elman.compiler.cell import Cell
from elman.tensors import constant_in_compiled_code

PROJECTION = "projection/0"


class Gate(NamedTuple):
    """The names of one gate's parameters, in the order of torch's arrays."""

    weight_ih: str
    weight_hh: str
    bias_ih: str
    bias_hh: str


def _gate(name: str) -> Gate:
    return Gate(f"{name}/0", f"{name}/1", f"{name}/bias", f"{name}/bias")


@dataclass(frozen=True)
class Layout:
    """A cell of torch.

    Args:
        cell: elman's cell with the same equations.
        gates: the gates in torch's order, from the first row of its arrays to the last.
    """

    cell: Cell
    gates: tuple[Gate, ...]


LAYOUTS: dict[str, Layout] = {
    "RNN_TANH": Layout(CELLS["simple_rnn"], (_gate("hidden"),)),
    "RNN_RELU": Layout(CELLS["simple_rnn"].with_options(activation="relu"), (_gate("hidden"),)),
    "LSTM": Layout(CELLS["lstm"], tuple(map(_gate, ("input", "forget", "cell", "output")))),
    "GRU": Layout(
        CELLS["gru_reset_after"],
        (_gate("reset"), _gate("update"), Gate("candidate/0", "memory/0", "candidate/bias", "memory/bias")),
    ),
}


@constant_in_compiled_code
def find_layout(mode: str, proj_size: int = 0, *, bias: bool = True) -> Layout:
    """Return the layout of a cell by torch's name, projection (0 for none) and biases."""
    return _find_layout(mode, proj_size, bias)


@lru_cache(maxsize=64)
def _find_layout(mode: str, proj_size: int, bias: bool) -> Layout:
    layout = LAYOUTS[mode]
    if proj_size:
        layout = Layout(CELLS["projected_lstm"].with_options(projection=proj_size), layout.gates)
    return layout if bias else Layout(layout.cell.with_options(use_bias=False), layout.gates)


def read_arrays(module: Any, suffix: str) -> dict[str, Tensor]:
    """Return the arrays of one layer and direction (`l0`, `l1_reverse`) in torch's order."""
    biases = ("bias_ih", "bias_hh") if module.bias else ()
    names = ("weight_ih", "weight_hh", *biases, *(("weight_hr",) if module.proj_size else ()))
    # By attribute, so that a parametrization of a parameter is found too.
    return {name: getattr(module, f"{name}_{suffix}") for name in names}


def assigned_arrays(layer: nn.RNNBase, suffix: str) -> dict[str, Tensor]:
    """Return the arrays that were assigned into `_flat_weights`, as torch uses them.

    torch keeps a reference to each array that it has put into the list itself. Inside `torch.compile` there are no
    assigned arrays: compiled code reads every parameter by its attribute.
    """
    if torch.compiler.is_compiling():
        return {}
    entries = zip(layer._flat_weights_names, layer._flat_weights, layer._flat_weight_refs, strict=True)
    return {
        name.removesuffix(f"_{suffix}"): array
        for name, array, reference in entries
        if array is not None and name.endswith(f"_{suffix}") and (reference is None or reference() is not array)
    }


def read_cell_arrays(module: Any) -> dict[str, Tensor]:
    """Return the arrays of one of torch's cells in torch's order, with the biases if any."""
    arrays = {name: getattr(module, name) for name in Gate._fields}
    return {name: array for name, array in arrays.items() if array is not None}


def to_step(layout: Layout, arrays: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return each parameter by its name: views of torch's arrays, and sums of its biases.

    Args:
        layout: layout of the cell.
        arrays: torch's arrays of one layer and direction, with biases or without.
    """
    parts = {name: array.chunk(len(layout.gates)) for name, array in arrays.items() if name in Gate._fields}
    tensors = {PROJECTION: arrays["weight_hr"].t()} if "weight_hr" in arrays else {}
    for index, gate in enumerate(layout.gates):
        tensors |= {gate.weight_ih: parts["weight_ih"][index].t(), gate.weight_hh: parts["weight_hh"][index].t()}
        if "bias_ih" in parts:
            bias_ih, bias_hh = parts["bias_ih"][index], parts["bias_hh"][index]
            tensors[gate.bias_ih] = bias_ih
            tensors[gate.bias_hh] = bias_ih + bias_hh if gate.bias_hh == gate.bias_ih else bias_hh
    return tensors


def from_step(layout: Layout, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return torch's arrays of a layer, with zeros in `bias_hh` where elman has one bias.

    A step without biases has no arrays of biases.
    """
    arrays = {"weight_hr": tensors[PROJECTION].t()} if PROJECTION in tensors else {}
    columns = _columns(layout)
    for array in ("weight_ih", "weight_hh"):
        arrays[array] = torch.cat([tensors[name] for name in columns[array]], 1).t()
    if not has_biases(layout, tensors):
        return arrays
    arrays["bias_ih"] = torch.cat([tensors[name] for name in columns["bias_ih"]])
    second = [
        torch.zeros_like(tensors[gate.bias_hh]) if gate.bias_hh == gate.bias_ih else tensors[gate.bias_hh]
        for gate in layout.gates
    ]
    return arrays | {"bias_hh": torch.cat(second)}


def has_biases(layout: Layout, tensors: Mapping[str, Tensor]) -> bool:
    """Return whether a step with these parameters has biases."""
    return layout.gates[0].bias_ih in tensors


def learned(layout: Layout, tensors: Mapping[str, Tensor]) -> dict[str, set[bool]]:
    """Return for each of torch's arrays whether all, none or some parameters are learned."""
    columns = {array: names for array, names in _columns(layout).items() if names[0] in tensors}
    columns |= {"weight_hr": (PROJECTION,)} if PROJECTION in tensors else {}
    return {array: {tensors[name].requires_grad for name in names} for array, names in columns.items()}


def _columns(layout: Layout) -> dict[str, tuple[str, ...]]:
    """Return, for each of torch's arrays, the parameters of the step in it."""
    return dict(zip(Gate._fields, zip(*layout.gates, strict=True), strict=True))
