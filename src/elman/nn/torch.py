"""The recurrent layers of `torch.nn` under their own names, run by elman: change the import and nothing else.

Arguments, shapes, names of parameters, `state_dict`, initial values and results are torch's. What is elman's: a
`Ragged` batch is taken as well, and gives a `Ragged` batch; empty sequences are legal.
"""

import math
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from elman.compiler import dispatch
from elman.compiler.autocast import fits, is_on
from elman.compiler.order import TimeMajor
from elman.compiler.tensors import check_layout
from elman.errors import ShapeError, UsageError, nearest
from elman.nn.torch_convert import from_torch, to_torch
from elman.nn.torch_inputs import Steps, read_dense, read_packed, read_ragged
from elman.nn.torch_layout import Layout, find_layout, read_arrays, to_step
from elman.sequences.ragged import Ragged

__all__ = ["GRU", "LSTM", "RNN", "from_torch", "to_torch"]


class _Layer(nn.Module):
    """What `RNN`, `LSTM` and `GRU` share: the parameters, the forms of the input, the stack."""

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int,
        bias: bool,
        batch_first: bool,
        dropout: float,
        bidirectional: bool,
        proj_size: int,
        device: Any,
        dtype: Any,
    ):
        super().__init__()
        _check_settings(input_size, hidden_size, num_layers, dropout, proj_size)
        self.mode = mode
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        for suffix, width in self._places():
            for name, shape in self._shapes(width).items():
                value = nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
                self.register_parameter(f"{name}_{suffix}", value)
        # Kept, so that what is compiled of them is in use as long as the layer is.
        self._steps = [self._layout.cell.trace(width, hidden_size) for _, width in self._places()]
        self.reset_parameters()

    @property
    def _output_size(self) -> int:
        return self.proj_size or self.hidden_size

    @property
    def _directions(self) -> int:
        return 2 if self.bidirectional else 1

    @property
    def _layout(self) -> Layout:
        return find_layout(self.mode, self.proj_size)

    @property
    def _state_sizes(self) -> tuple[int, ...]:
        return (self._output_size, self.hidden_size)[: len(self._layout.cell.states)]

    def _places(self) -> Iterator[tuple[str, int]]:
        """The ending of the parameters' names and the width of the input, layer by layer and forward first."""
        for layer in range(self.num_layers):
            width = self._output_size * self._directions if layer else self.input_size
            yield from ((f"l{layer}{ending}", width) for ending in ("", "_reverse")[: self._directions])

    def _shapes(self, width: int) -> dict[str, tuple[int, ...]]:
        rows = len(self._layout.gates) * self.hidden_size
        return {
            "weight_ih": (rows, width),
            "weight_hh": (rows, self._output_size),
            **({"bias_ih": (rows,), "bias_hh": (rows,)} if self.bias else {}),
            **({"weight_hr": (self.proj_size, self.hidden_size)} if self.proj_size else {}),
        }

    @property
    def all_weights(self) -> list[list[nn.Parameter]]:
        """The parameters of each layer and direction, in torch's order."""
        return [cast("list[nn.Parameter]", list(read_arrays(self, suffix).values())) for suffix, _ in self._places()]

    def reset_parameters(self) -> None:
        """Draw all parameters anew, uniform in ±1/√hidden_size."""
        bound = 1.0 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def flatten_parameters(self) -> None:
        """Do nothing: it is here for programs that call it."""

    def _run(self, inputs: Any, initial: Sequence[Tensor] | None) -> tuple[Any, tuple[Tensor, ...]]:
        steps = self._read_input(inputs)
        states = self._read_states(initial, steps)
        output, last = self._run_layers(steps.data, states, steps.order)
        if self.mode == "GRU" and is_on(output.device.type):
            # Under autocast torch's GRU, unlike its LSTM and RNN, gives the type of its initial state.
            output, last = output.to(states[0].dtype), [state.to(states[0].dtype) for state in last]
        if steps.restored is not None:
            last = [state.index_select(1, steps.restored) for state in last]
        return steps.restore(output), tuple(state if steps.batched else state.squeeze(1) for state in last)

    def _run_layers(self, data: Tensor, states: list[Tensor], order: TimeMajor) -> tuple[Tensor, list[Tensor]]:
        layout = self._layout
        outputs: list[Tensor] = []
        finals: list[tuple[Tensor, ...]] = []
        for place, (suffix, _) in enumerate(self._places()):
            weights = to_step(layout, read_arrays(self, suffix))
            graph = self._steps[place]
            initial = [state[place] for state in states]
            backward = place % self._directions == 1
            output, last = dispatch.run(graph, weights, [data], initial, order, backward=backward)
            outputs.append(output)
            finals.append(last)
            if len(outputs) == self._directions:
                data, outputs = torch.cat(outputs, -1), []
                if place < self.num_layers * self._directions - 1:
                    data = nn.functional.dropout(data, self.dropout, self.training)
        return data, [torch.stack(state) for state in zip(*finals, strict=True)]

    def _read_input(self, inputs: Any) -> Steps:
        dims = 2
        if isinstance(inputs, Tensor):
            check_layout(inputs)
        if isinstance(inputs, Ragged):
            data, form = inputs.data, "a Ragged batch of steps ({},)"
        elif isinstance(inputs, PackedSequence):
            data, form = inputs.data, "a PackedSequence of steps ({},)"
        elif isinstance(inputs, Tensor):
            data, dims = inputs, 2 if inputs.dim() == 2 else 3
            form = f"a tensor {'(batch, time, {})' if self.batch_first else '(time, batch, {})'} or (time, {{}})"
        else:
            raise ShapeError(
                f"The layer reads sequences, and a {type(inputs).__name__} came.",
                fix="Give a tensor, a PackedSequence, or a Ragged batch.",
            )
        if data.dim() != dims or data.shape[-1] != self.input_size:
            raise ShapeError(
                f"The layer reads {self.input_size} features, and an input of shape {tuple(data.shape)} came.",
                fix=f"Give {form.format(*[self.input_size] * 2)}, or build the layer with the input's own input_size.",
            )
        weight = cast("Tensor", self.weight_ih_l0)
        if not fits(data.dtype, weight):
            raise ShapeError(
                f"The input is {data.dtype} and the layer's parameters are {weight.dtype}.",
                fix=f"Convert the input with .to({weight.dtype}) or the layer with .to({data.dtype}).",
            )
        if isinstance(inputs, Ragged):
            return read_ragged(inputs)
        return read_packed(inputs) if isinstance(inputs, PackedSequence) else read_dense(inputs, self.batch_first)

    def _read_states(self, initial: Sequence[Tensor] | None, steps: Steps) -> list[Tensor]:
        places = self.num_layers * self._directions
        batch = (steps.order.batch,) if steps.batched else ()
        wanted = [(places, *batch, size) for size in self._state_sizes]
        if initial is None:
            return [steps.data.new_zeros(places, steps.order.batch, size) for size in self._state_sizes]
        came = [tuple(state.shape) if isinstance(state, Tensor) else type(state).__name__ for state in initial]
        if came != wanted:
            names = " and ".join(f"{name}_0" for name in self._layout.cell.states)
            raise ShapeError(
                f"hx should be {names} of shape {_listed(wanted)}, and {_listed(came)} came.",
                fix="The axes are (layers · directions, batch, size); an input without batch has states without it.",
            )
        states = [state if steps.batched else state.unsqueeze(1) for state in initial]
        return states if steps.sorting is None else [state.index_select(1, steps.sorting) for state in states]

    def extra_repr(self) -> str:
        """The settings that are not torch's defaults, for printing the module."""
        defaults = {"proj_size": 0, "num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0}
        defaults |= {"bidirectional": False}
        changed = [f"{name}={getattr(self, name)}" for name, usual in defaults.items() if getattr(self, name) != usual]
        return ", ".join([str(self.input_size), str(self.hidden_size), *changed])


class RNN(_Layer):
    """`torch.nn.RNN`, run by elman: h' = activation(x·W + b_ih + h·U + b_hh).

    Args:
        input_size: features of the input.
        hidden_size: features of the state.
        num_layers: layers in the stack.
        nonlinearity: `tanh` or `relu`.
        bias: whether there are biases.
        batch_first: dense tensors are `(batch, time, feature)` instead of `(time, batch, feature)`.
        dropout: probability with which an element of the output of every layer but the last is dropped in training.
        bidirectional: also read the sequences backwards.
        device: of the parameters.
        dtype: of the parameters.

    Raises:
        UsageError: settings that make no sense; all of them are named.

    >>> layer = RNN(3, 5)
    >>> output, last = layer(torch.zeros(7, 2, 3))
    >>> output.shape, last.shape
    (torch.Size([7, 2, 5]), torch.Size([1, 2, 5]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: Literal["tanh", "relu"] = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ):
        modes = {"tanh": "RNN_TANH", "relu": "RNN_RELU"}
        if nonlinearity not in modes:
            raise UsageError(f"nonlinearity is {nonlinearity!r}.", fix=nearest(nonlinearity, modes))
        super().__init__(
            modes[nonlinearity],
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            0,
            device,
            dtype,
        )
        self.nonlinearity = nonlinearity

    def forward(self, input: Any, hx: Tensor | None = None) -> tuple[Any, Tensor]:
        """Run the layer over every sequence.

        Args:
            input: `(time, batch, input_size)`, with the first two axes exchanged if `batch_first`; `(time, input_size)`
                for one sequence; a `PackedSequence`; or a `Ragged` batch.
            hx: the initial state, `(layers · directions, batch, hidden_size)`, in the order of the caller's sequences;
                without the batch for one sequence; zeros if not given.

        Returns:
            The output at every step in the form of the input, with `directions · hidden_size` features, and the last
            states in the form of `hx`.

        Raises:
            ShapeError: an input or a state that does not fit.
        """
        output, (h,) = self._run(input, None if hx is None else (hx,))
        return output, h


class GRU(_Layer):
    """`torch.nn.GRU`, run by elman: gated recurrent units whose reset gate acts after the product.

    Equations: see `elman.cells.gru_reset_after`. Arguments and shapes: see `RNN`, without `nonlinearity`.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(
            "GRU", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0, device, dtype
        )

    def forward(self, input: Any, hx: Tensor | None = None) -> tuple[Any, Tensor]:
        """Run the layer over every sequence; see `RNN.forward`."""
        output, (h,) = self._run(input, None if hx is None else (hx,))
        return output, h


class LSTM(_Layer):
    """`torch.nn.LSTM`, run by elman.

    Equations: see `elman.cells.lstm`. Arguments and shapes: see `RNN`, without `nonlinearity`, and:

    Args:
        proj_size: features of the projected output and of h, below `hidden_size` (see `elman.cells.projected_lstm`);
            0 for no projection.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(
            "LSTM",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            proj_size,
            device,
            dtype,
        )

    def forward(self, input: Any, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Any, tuple[Tensor, Tensor]]:
        """Run the layer over every sequence.

        Args:
            input: as in `RNN.forward`.
            hx: the initial states h, `(layers · directions, batch, proj_size or hidden_size)`, and c,
                `(layers · directions, batch, hidden_size)`; zeros if not given.

        Returns:
            The output at every step in the form of the input, and the last h and c.

        Raises:
            ShapeError: an input or a state that does not fit.
        """
        if isinstance(hx, Tensor):
            raise ShapeError("hx is one tensor, and an LSTM has two states.", fix="Give the pair (h_0, c_0).")
        output, (h, c) = self._run(input, hx)
        return output, (h, c)


def _listed(shapes: Sequence[object]) -> str:
    return " and ".join(map(str, shapes)) or "nothing"


def _check_settings(input_size: object, hidden_size: object, num_layers: object, dropout: Any, proj_size: Any) -> None:
    sizes = {"input_size": input_size, "hidden_size": hidden_size, "num_layers": num_layers}
    whole = lambda value, least: isinstance(value, int) and not isinstance(value, bool) and value >= least  # noqa: E731
    problems = [
        f"{name} is {value!r}: give a whole number from 1 on." for name, value in sizes.items() if not whole(value, 1)
    ]
    if isinstance(dropout, bool) or not isinstance(dropout, int | float) or not 0 <= dropout <= 1:
        problems.append(f"dropout is {dropout!r}: give a probability from 0 to 1.")
    elif dropout and num_layers == 1:
        message = f"dropout={dropout} does nothing in one layer: it acts between the layers of a stack."
        warnings.warn(message, stacklevel=4)
    if not whole(proj_size, 0) or (whole(hidden_size, 1) and proj_size >= cast("int", hidden_size)):
        problems.append(f"proj_size is {proj_size!r}: give a whole number from 1 to below hidden_size, or 0 for none.")
    if problems:
        raise UsageError("\n".join(problems))
