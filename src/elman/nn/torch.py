"""The recurrent layers of `torch.nn` under their own names, run by elman: change the import and nothing else.

Arguments, shapes, names of parameters, `state_dict`, initial values and results are torch's, and each class is a
subclass of torch's, so that code which looks for `torch.nn.LSTM` or `torch.nn.RNNBase` finds elman's. Differences: the
layers also take a `Ragged` batch, and return a `Ragged` batch for it; each error has a repair; empty sequences are
legal, so that a dense input of 0 steps gives 0 outputs and the initial states, where torch raises a RuntimeError
("Expected sequence length to be larger than 0"). Arrays assigned into `_flat_weights` are used as in torch, except
inside `torch.compile`, which reads the named parameters.
"""

from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from elman.compiler import dispatch
from elman.compiler.autocast import is_on
from elman.data.ragged.ragged import Ragged
from elman.nn.torch_cells import GRUCell, LSTMCell, RNNCell
from elman.nn.torch_checks import check_arrays, check_input, check_settings, check_states, torch_errors_as_settings
from elman.nn.torch_convert import from_torch, to_torch
from elman.nn.torch_inputs import Steps, read_dense, read_packed, read_ragged
from elman.nn.torch_layout import Layout, assigned_arrays, find_layout, read_arrays, to_step
from elman.order import TimeMajor

__all__ = ["GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "RNNCell", "from_torch", "to_torch"]


class _Layer(nn.RNNBase):
    """The parts that elman's `RNN`, `LSTM` and `GRU` have in common: elman's cells run the sequences."""

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
        """Build the layer.

        Args:
            input_size: number of features of a step of the input.
            hidden_size: number of features of the state.
            num_layers: number of layers in the stack. Default 1.
            bias: whether there are biases. Default True.
            batch_first: whether dense tensors are `(batch, time, feature)` instead of `(time, batch, feature)`. Default
                False.
            dropout: probability, from 0 to 1, of dropping an element of the output of each layer but the last in
                training. Default 0.
            bidirectional: whether the sequences are also read backward. Default False.
            proj_size: of an LSTM, the number of features of the projected output and of h, below `hidden_size` (see
                `elman.cells.projected_lstm`). Default 0: no projection.
            device: device of the parameters. Default torch's default device.
            dtype: type of the parameters. Default torch's default type.

        Raises:
            SettingError: wrong settings, all of which are named. It is a ValueError, a TypeError and a RuntimeError,
                one of which torch raises.
        """
        settings = {"input_size": input_size, "hidden_size": hidden_size, "num_layers": num_layers, "bias": bias}
        settings |= {"batch_first": batch_first, "dropout": dropout, "bidirectional": bidirectional}
        self._build(settings, proj_size, device, dtype)

    def _build(self, settings: dict[str, Any], proj_size: int, device: Any, dtype: Any) -> None:
        projects = isinstance(self, nn.LSTM)
        check_settings(**settings, proj_size=proj_size, projects=projects)
        if projects:
            settings["proj_size"] = int(proj_size)
        with torch_errors_as_settings():
            super().__init__(**settings, device=device, dtype=dtype)
        # Kept, so that compiled code for these steps is in use as long as the layer is.
        self._steps = [self._layout.cell.trace(width, self.hidden_size) for _, width in self._layers()]

    @property
    def _output_size(self) -> int:
        return self.proj_size or self.hidden_size

    @property
    def _directions(self) -> int:
        return 2 if self.bidirectional else 1

    @property
    def _layout(self) -> Layout:
        return find_layout(self.mode, self.proj_size, bias=self.bias)

    @property
    def _state_sizes(self) -> tuple[int, ...]:
        return (self._output_size, self.hidden_size)[: len(self._layout.cell.states)]

    def _layers(self) -> Iterator[tuple[str, int]]:
        """Iterate over the endings of parameter names and the input widths of all directions."""
        for layer in range(self.num_layers):
            width = self._output_size * self._directions if layer else self.input_size
            yield from ((f"l{layer}{ending}", width) for ending in ("", "_reverse")[: self._directions])

    def _shapes(self, width: int) -> dict[str, tuple[int, ...]]:
        rows = len(self._layout.gates) * self.hidden_size
        return {
            "weight_ih": (rows, width),
            "weight_hh": (rows, self._output_size),
            "bias_ih": (rows,),
            "bias_hh": (rows,),
            "weight_hr": (self.proj_size, self.hidden_size),
        }

    def forward(self, input: Any, hx: Tensor | None = None) -> tuple[Any, Tensor]:
        """Run the layer over every sequence.

        Args:
            input: `(time, batch, input_size)`, or `(batch, time, input_size)` with `batch_first`; `(time, input_size)`
                for one sequence; a `PackedSequence`; or a `Ragged` batch.
            hx: the initial state, `(layers · directions, batch, hidden_size)`, in the order of the caller's sequences;
                without the batch for one sequence. Default zeros.

        Returns:
            The output at every step in the form of the input, with `directions · hidden_size` features, and the last
            states in the form of `hx`.

        Raises:
            InputError: an input or a state that does not fit. It is a ShapeError, and an instance of the error that
                torch raises for the same input.
        """
        output, (h,) = self._run(input, hx)
        return output, h

    def _run(self, inputs: Any, initial: Any) -> tuple[Any, tuple[Tensor, ...]]:
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
        for position, (suffix, width) in enumerate(self._layers()):
            arrays = read_arrays(self, suffix) | assigned_arrays(self, suffix)
            check_arrays(arrays, self._shapes(width), suffix)
            weights, graph = to_step(layout, arrays), self._steps[position]
            initial = [state[position] for state in states]
            backward = position % self._directions == 1
            output, last = dispatch.run(graph, weights, [data], initial, order, backward=backward)
            outputs.append(output)
            finals.append(last)
            if len(outputs) == self._directions:
                data, outputs = torch.cat(outputs, -1), []
                if position < self.num_layers * self._directions - 1:
                    data = nn.functional.dropout(data, self.dropout, self.training)
        return data, [torch.stack(state) for state in zip(*finals, strict=True)]

    def _read_input(self, inputs: Any) -> Steps:
        check_input(self, inputs)
        # As torch's layers do when they run: a parameter that was replaced is then in `_flat_weights`, too.
        if not torch.compiler.is_compiling():
            self._update_flat_weights()
        if isinstance(inputs, Ragged):
            return read_ragged(inputs)
        return read_packed(inputs) if isinstance(inputs, PackedSequence) else read_dense(inputs, self.batch_first)

    def _read_states(self, initial: Any, steps: Steps) -> list[Tensor]:
        layers, sequences = self.num_layers * self._directions, steps.order.batch
        if initial is None:
            return [steps.data.new_zeros(layers, sequences, size) for size in self._state_sizes]
        batch = (sequences,) if steps.batched else ()
        names = [f"{name}_0" for name in self._layout.cell.states]
        wanted = {name: (layers, *batch, size) for name, size in zip(names, self._state_sizes, strict=True)}
        states = check_states(initial, wanted, steps.data)
        states = [state if steps.batched else state.unsqueeze(1) for state in states]
        return states if steps.sorting is None else [state.index_select(1, steps.sorting) for state in states]


class RNN(_Layer, nn.RNN):
    """`torch.nn.RNN`, run by elman: h' = activation(x·W + b_ih + h·U + b_hh).

    Args:
        nonlinearity: `"tanh"` or `"relu"`. Default `"tanh"`.

    The other arguments are those of `GRU`; only an LSTM has projections.

    >>> layer = RNN(3, 5)
    >>> output, last = layer(torch.zeros(7, 2, 3))
    >>> output.shape, last.shape
    (torch.Size([7, 2, 5]), torch.Size([1, 2, 5]))
    >>> isinstance(layer, nn.RNN)
    True
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
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ):
        settings = {"input_size": input_size, "hidden_size": hidden_size, "num_layers": num_layers, "bias": bias}
        settings |= {"batch_first": batch_first, "dropout": dropout, "bidirectional": bidirectional}
        self._build(settings | {"nonlinearity": nonlinearity}, proj_size, device, dtype)


class GRU(_Layer, nn.GRU):
    """`torch.nn.GRU`, run by elman: gated recurrent units whose reset gate acts after the product.

    Equations: see `elman.cells.gru_reset_after`. Arguments: see `__init__`.
    """


class LSTM(_Layer, nn.LSTM):
    """`torch.nn.LSTM`, run by elman.

    Equations: see `elman.cells.lstm`. Arguments: see `__init__`.
    """

    def forward(  # type: ignore[override]
        self, input: Any, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Any, tuple[Tensor, Tensor]]:
        """Run the layer over every sequence.

        Args:
            input: `(time, batch, input_size)`, or `(batch, time, input_size)` with `batch_first`; `(time, input_size)`
                for one sequence; a `PackedSequence`; or a `Ragged` batch.
            hx: the initial states h, `(layers · directions, batch, proj_size or hidden_size)`, and c,
                `(layers · directions, batch, hidden_size)`. Default zeros.

        Returns:
            The output at every step in the form of the input, and the last states h and c.

        Raises:
            InputError: an input or a state that does not fit.
        """
        output, (h, c) = self._run(input, hx)
        return output, (h, c)
