"""Reservoirs side by side and in depth: fixed recurrent layers, whose states are the features of a readout."""

from collections.abc import Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from elman.cells.reservoir import RECURRENT, reservoir
from elman.compiler.cell import cell
from elman.compiler.language import matrix, product, tanh
from elman.data.ragged.ragged import Ragged
from elman.nn.recurrent import Recurrent
from elman.nn.sparse_steps import SparseMatrix, compressed
from elman.nn.state import State
from elman.settings.reservoir import ReservoirUnits

# A batch `(batch, time, feature)`, dense or ragged.
Steps = TypeVar("Steps", Tensor, Ragged)


@cell
def driven_reservoir(x, h, *, recurrent=RECURRENT, leak=1.0, activation=tanh):
    """Run the reservoir on an input that is already multiplied by its weights.

    h' = (1 - a)·h + a·activation(x + h·W)

    With x = u·W_in + b it is the cell `reservoir`.
    """
    new = activation(x + product(h, matrix("recurrent", h.size, h.size, initial=recurrent, learned=False)))
    return new if leak == 1.0 else (1.0 - leak) * h + leak * new


class Reservoir(nn.Module):
    """A recurrent layer of fixed units, with the fixed weights of its input, feedback and bias.

    h' = (1 - a)·h + a·activation(u·W_in + y·W_fb + b + noise + h·W)

    Args:
        inputs: number of features of a step.
        outputs: number of features that are fed back; 0 for none.
        input_scaling: W_in is drawn uniformly from minus this to this.
        settings: those of the units and of the feedback.

    Source:
        H. Jaeger, The "Echo State" Approach to Analysing and Training Recurrent Neural Networks, 2001, equation 1;
        the leak as in H. Jaeger et al., 2007, equation 6, with a step of 1.
    """

    input_weight: Tensor
    feedback_weight: Tensor
    bias: Tensor

    def __init__(self, inputs: int, outputs: int, input_scaling: float, settings: ReservoirUnits):
        super().__init__()
        units = settings.hidden_size
        options = {name: getattr(settings, name) for name in ("recurrent", "leak", "activation")}
        # The messages of this cell have the name that users know.
        reservoir.with_options(**options)
        self.layer = Recurrent(driven_reservoir.with_options(**options), units, units)
        self.noise, self.leak, self.is_linear = settings.noise, settings.leak, settings.activation == "linear"
        self._compressed: tuple[Any, SparseMatrix | None] | None = None
        for name, rows, scaling in (
            ("input_weight", inputs, input_scaling),
            ("feedback_weight", outputs, settings.feedback_scaling),
            ("bias", 1, settings.bias_scaling),
        ):
            self.register_buffer(name, torch.empty(rows, units, dtype=torch.float64).uniform_(-1.0, 1.0) * scaling)

    def forward(self, inputs: Steps, fed: Steps | None, state: State | None, *, noisy: bool) -> tuple[Steps, State]:
        """Return the states at every step, `(batch, time, units)`, and the last state.

        Args:
            inputs: `(batch, time, inputs)`, dense or ragged.
            fed: `(batch, time, outputs)`, what is fed back at each step.
            state: to continue from; zeros if not given.
            noisy: whether noise is added.
        """
        drive = rows_of(inputs) @ self.input_weight + self.bias
        if fed is not None:
            drive += rows_of(fed) @ self.feedback_weight
        if noisy and self.noise:
            drive += self.noise * torch.randn_like(drive)
        if len(inputs) > 1 or (sparse := self._sparse_matrix()) is None:
            return self.layer(with_rows(inputs, drive), state)
        before = drive.new_zeros(drive.shape[-1]) if state is None else state.h[0]
        states = sparse.run(drive.flatten(0, -2), before, leak=self.leak, is_linear=self.is_linear)
        last = states[-1] if len(states) else before
        return with_rows(inputs, states.view_as(drive)), State({"h": last.view(1, 1, -1).clone()})

    def _sparse_matrix(self) -> SparseMatrix | None:
        """Return the recurrent matrix without its zeros, None if they are few."""
        recurrent = self.layer.weights()["recurrent"]
        key = recurrent.data_ptr(), recurrent._version
        if self._compressed is None or self._compressed[0] != key:
            self._compressed = key, compressed(recurrent)
        return self._compressed[1]

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_compressed": None}


class Reservoirs(nn.Module):
    """Reservoirs side by side and in depth; a reservoir in depth reads the states of the one before it.

    Args:
        inputs: number of features of a step.
        outputs: number of features that are fed back.
        settings: of the echo state network.

    Attributes:
        size: number of states at a step, those of all reservoirs.

    Source:
        C. Gallicchio, A. Micheli, L. Pedrelli, Deep Reservoir Computing: A Critical Experimental Analysis, 2017,
        equations 1 and 2. Difference: the input weights of the deeper ones are scaled by 1/√units.
    """

    def __init__(self, inputs: int, outputs: int, settings: ReservoirUnits):
        super().__init__()
        fed = outputs if settings.feedback_scaling else 0
        between = settings.input_scaling / settings.hidden_size**0.5
        self.side = nn.ModuleList()
        for _ in range(settings.num_reservoirs):
            first = Reservoir(inputs, fed, settings.input_scaling, settings)
            deeper = [Reservoir(settings.hidden_size, 0, between, settings) for _ in range(1, settings.num_layers)]
            self.side.append(nn.ModuleList([first, *deeper]))
        self.size = settings.hidden_size * settings.num_layers * settings.num_reservoirs

    @torch.no_grad()
    def forward(
        self, inputs: Steps, fed: Steps | None = None, states: Sequence[State] | None = None, *, noisy: bool = False
    ) -> tuple[Steps, list[State]]:
        """Return the states at every step, `(batch, time, size)`, and the last states.

        Args:
            inputs: `(batch, time, inputs)`, dense or ragged.
            fed: what is fed back at each step, `(batch, time, outputs)`.
            states: the last states of an earlier call, to continue from.
            noisy: whether noise is added.
        """
        found: list[Tensor] = []
        last: list[State] = []
        for stack in self.side:
            read, back = inputs, fed
            for one in stack:  # pyright: ignore[reportGeneralTypeIssues]
                before: Any = None if states is None else states[len(last)]
                read, after = one(read, back, before, noisy=noisy)
                found.append(rows_of(read))
                last.append(after)
                back = None
        return with_rows(inputs, found[0] if len(found) == 1 else torch.cat(found, -1)), last


def rows_of(steps: Tensor | Ragged) -> Tensor:
    """Return the rows of a ragged batch, `(total, feature)`, or a dense batch as it is."""
    return steps.data if isinstance(steps, Ragged) else steps


def with_rows(steps: Steps, rows: Tensor) -> Steps:
    """Return a batch of the same lengths with other rows."""
    return steps.replace(rows) if isinstance(steps, Ragged) else rows  # pyright: ignore[reportReturnType]
