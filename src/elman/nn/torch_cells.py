"""The recurrent cells of `torch.nn` under their own names: one step of elman's cells."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from elman.compiler import dispatch
from elman.compiler.autocast import autocast_type, fits, without_autocast
from elman.nn.torch_checks import (
    NONLINEARITIES,
    InputError,
    check_arrays,
    check_kind,
    check_settings,
    torch_errors_as_settings,
    wrong_kind,
)
from elman.nn.torch_layout import Layout, find_layout, read_cell_arrays, to_step
from elman.order import equal
from elman.tensors import check_layout


class _Cell(nn.RNNCellBase):
    """The parts that elman's `RNNCell`, `GRUCell` and `LSTMCell` have in common: the step and the checks."""

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None):
        """Build the cell.

        Args:
            input_size: number of features of the input.
            hidden_size: number of features of the state.
            bias: whether there are biases. Default True.
            device: device of the parameters. Default torch's default device.
            dtype: type of the parameters. Default torch's default type.

        Raises:
            SettingError: wrong settings, all of which are named.
        """
        self._build(input_size, hidden_size, bias, device=device, dtype=dtype)

    def _build(self, input_size: int, hidden_size: int, bias: bool, device: Any, dtype: Any, **settings: Any) -> None:
        check_settings(input_size=input_size, hidden_size=hidden_size, **settings)
        with torch_errors_as_settings():
            super().__init__(input_size, hidden_size, bias, device=device, dtype=dtype, **settings)
        # Kept, so that compiled code for this step is in use as long as the cell is.
        self._step = self._layout.cell.trace(self.input_size, self.hidden_size)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """Run one step.

        Args:
            input: `(batch, input_size)`, or `(input_size,)` for one sequence.
            hx: the state, `(batch, hidden_size)`, or `(hidden_size,)` for one sequence. Default zeros.

        Returns:
            The next state, in the form of `hx`.

        Raises:
            InputError: an input or a state that does not fit.
        """
        return self._run(input, None if hx is None else [hx])[0]

    @property
    def _mode(self) -> str:
        raise NotImplementedError

    @property
    def _layout(self) -> Layout:
        return find_layout(self._mode, bias=bool(self.bias))

    def _run(self, inputs: Any, states: list[Any] | None) -> tuple[Tensor, ...]:
        """Return the states after one step, in the form of the input: with a batch or without."""
        if isinstance(inputs, Tensor):
            check_layout(inputs)
        rows = self._read_input(inputs)
        layout = self._layout
        sizes = [self.hidden_size] * len(layout.cell.states)
        if states is None:
            initial = [rows.new_zeros(rows.shape[0], size) for size in sizes]
        else:
            initial = self._read_states(states, inputs, rows)
        arrays, gates = read_cell_arrays(self), len(layout.gates) * self.hidden_size
        shapes = {"weight_ih": (gates, self.input_size), "weight_hh": (gates, self.hidden_size)}
        check_arrays(arrays, {**shapes, "bias_ih": (gates,), "bias_hh": (gates,)}, "of the cell")
        last = self._make_step(to_step(layout, arrays), rows, initial)
        return tuple(state if inputs.dim() == 2 else state.squeeze(0) for state in last)

    def _make_step(self, weights: dict[str, Tensor], rows: Tensor, initial: list[Tensor]) -> Sequence[Tensor]:
        order = equal(rows.shape[0], 1, rows)
        low = autocast_type([rows, *initial, *weights.values()])
        if low is None or self._mode.startswith("RNN"):
            return dispatch.run(self._step, weights, [rows], initial, order)[1]
        # Under autocast torch's gated cells compute the gates in autocast's type and the states in their own, so that
        # small changes of a float32 state over many steps are not rounded away.
        wide = torch.promote_types(low, initial[-1].dtype)
        kind = torch.float32 if rows.device.type == "cpu" else wide
        weights = {name: weight.to(kind) for name, weight in weights.items()}
        with without_autocast(rows.device.type):
            states = [state.to(kind) for state in initial]
            _, last = dispatch.run(self._step, weights, [rows.to(kind)], states, order)
        return [state.to(wide) for state in last]

    def _read_input(self, inputs: Any) -> Tensor:
        fix = f"Give a tensor (batch, {self.input_size}), or ({self.input_size},) for one sequence."
        if not isinstance(inputs, Tensor):
            raise wrong_kind(self, inputs, fix)
        if inputs.dim() not in (1, 2):
            problem = f"{self._get_name()}: Expected input to be 1D or 2D, got {inputs.dim()}D instead."
            raise InputError(problem, fix=fix)
        check_kind(inputs, self.weight_ih)
        if inputs.shape[-1] != self.input_size:
            problem = f"input has inconsistent input_size: got {inputs.shape[-1]} expected {self.input_size}."
            raise InputError(problem, fix=fix)
        return inputs if inputs.dim() == 2 else inputs.unsqueeze(0)

    def _read_states(self, states: list[Any], inputs: Tensor, rows: Tensor) -> list[Tensor]:
        axes = tuple(inputs.shape[:-1])
        for index, state in enumerate(states):
            name = "hidden" if len(states) == 1 else f"hx[{index}]"
            problem = _wrong_state(state, f"{self._get_name()}: Expected {name}", index, axes, self.hidden_size, rows)
            if problem:
                form = "(batch, {0})" if axes else "({0},)"
                fix = f"Give each state as a tensor {form.format(self.hidden_size)}, of the input's type and device."
                raise InputError(problem, fix=fix)
        return [state if axes else state.unsqueeze(0) for state in states]


def _wrong_state(state: Any, expected: str, index: int, axes: tuple[int, ...], size: int, like: Tensor) -> str:
    """Return what is wrong with an initial state, or an empty text if it fits."""
    if not isinstance(state, Tensor):
        return f"{expected} to be a tensor, got an object of type {type(state).__name__}."
    if state.dim() not in (1, 2):
        return f"{expected} to be 1D or 2D, got {state.dim()}D instead."
    if state.dim() != len(axes) + 1:
        return f"{expected} to be {len(axes) + 1}D, as the input is, got {state.dim()}D instead."
    if state.shape[-1] != size:
        return f"hidden{index} has inconsistent hidden_size: got {state.shape[-1]}, expected {size}."
    if tuple(state.shape[:-1]) != axes:
        return f"Input batch size {axes[0]} doesn't match hidden{index} batch size {state.shape[0]}."
    if not fits(state.dtype, like) or state.device != like.device:
        return f"{expected} to be {like.dtype} on {like.device}, got {state.dtype} on {state.device}."
    return ""


class RNNCell(_Cell, nn.RNNCell):
    """`torch.nn.RNNCell`, run by elman: h' = activation(x·W + b_ih + h·U + b_hh).

    Args:
        input_size: number of features of the input.
        hidden_size: number of features of the state.
        bias: whether there are biases. Default True.
        nonlinearity: `"tanh"` or `"relu"`. Default `"tanh"`.
        device: device of the parameters. Default torch's default device.
        dtype: type of the parameters. Default torch's default type.

    Raises:
        SettingError: wrong settings, all of which are named.

    >>> import torch
    >>> RNNCell(3, 5)(torch.zeros(2, 3)).shape
    torch.Size([2, 5])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: Literal["tanh", "relu"] = "tanh",
        device: Any = None,
        dtype: Any = None,
    ):
        self._build(input_size, hidden_size, bias, device, dtype, nonlinearity=nonlinearity)

    @property
    def _mode(self) -> str:
        return NONLINEARITIES[self.nonlinearity]


class GRUCell(_Cell, nn.GRUCell):
    """`torch.nn.GRUCell`, run by elman; equations: see `elman.cells.gru_reset_after`, arguments: see `__init__`."""

    @property
    def _mode(self) -> str:
        return "GRU"


class LSTMCell(_Cell, nn.LSTMCell):
    """`torch.nn.LSTMCell`, run by elman; equations: see `elman.cells.lstm`, arguments: see `__init__`."""

    @property
    def _mode(self) -> str:
        return "LSTM"

    def forward(  # type: ignore[override]
        self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Run one step.

        Args:
            input: `(batch, input_size)`, or `(input_size,)` for one sequence.
            hx: the states h and c, each `(batch, hidden_size)`, or `(hidden_size,)` for one sequence. Default zeros.

        Returns:
            The next states h and c.

        Raises:
            InputError: an input or a state that does not fit.
        """
        if hx is not None and not (isinstance(hx, tuple | list) and len(hx) == 2):
            got = f"{len(hx)} of them" if isinstance(hx, tuple | list) else f"a {type(hx).__name__}"
            raise InputError(f"LSTMCell: Expected hx to be two hidden states, got {got}.", fix="Give the pair (h, c).")
        h, c = self._run(input, None if hx is None else list(hx))
        return h, c
