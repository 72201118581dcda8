"""Reservoirs with options as the recurrent layers of a network, and their run in closed loop."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from elman.data.ragged.ragged import Ragged
from elman.nn.intrinsic_plasticity import first_steps, fit_plasticity
from elman.nn.lagged_products import LaggedProducts
from elman.nn.reservoirs import Reservoirs
from elman.nn.state import State
from elman.settings.reservoir import ReservoirUnits


def build_features(inputs: int, outputs: int, settings: ReservoirUnits) -> Reservoirs | LaggedProducts:
    """Build the reservoirs of one direction, or lagged products instead.

    Args:
        inputs: number of features of a step.
        outputs: number of features that are fed back.
        settings: of the reservoirs.
    """
    if settings.lags is not None:
        return LaggedProducts(inputs, settings.lags, settings.lag_stride, settings.degree)
    return Reservoirs(inputs, outputs, settings)


def adapt_units(directions: Sequence[Any], series: Iterable[Tensor], settings: ReservoirUnits) -> None:
    """Fit the units of reservoirs by intrinsic plasticity, as the settings say.

    Args:
        directions: reservoirs that read forward, and those that read backward, if there are any.
        series: each `(time, inputs)`, of which the first `plasticity_steps` steps are read.
        settings: of the reservoirs.
    """
    read = first_steps(series, settings.plasticity_steps)
    how = {"mean": 0.0, "deviation": settings.plasticity_deviation, "rate": settings.plasticity_rate}
    for number, reservoirs in enumerate(directions):
        fit_plasticity(reservoirs, [each.flip(0) for each in read] if number else read, **how)


class ReservoirBody(nn.Module):
    """Reservoirs side by side and in depth, or lagged products, as the recurrent layers of a network.

    It is called as `Recurrent`. A row of its outputs has the states of all reservoirs, or the lagged products, of both
    directions, behind the input of the step with `read_input`. It gives no gradients. Noise is added in training mode.

    Args:
        settings: of the reservoirs.
        inputs: number of features of a step.
        outputs: number of outputs that are fed back; 0 for none.

    Attributes:
        output_size: features of a step of the output.
    """

    def __init__(self, settings: ReservoirUnits, inputs: int, outputs: int = 0):
        super().__init__()
        self.settings, self.outputs = settings, outputs if settings.feedback_scaling else 0
        self.onward = build_features(inputs, self.outputs, settings)
        self.backward = build_features(inputs, 0, settings) if settings.bidirectional else None
        self.output_size = inputs * settings.has_input_beside + self.onward.size * (1 + settings.bidirectional)
        self.to(torch.get_default_dtype())

    def forward(
        self, inputs: Ragged | Tensor, initial: Any = None, table: Tensor | None = None, *, fed: Ragged | None = None
    ) -> tuple[Any, State]:
        """Return the outputs of all steps, `(total, output_size)`, and the last states.

        Args:
            inputs: `(total, inputs)`, ids `(total,)` of the rows of a table, or a dense batch `(batch, time, inputs)`,
                for which the outputs are dense too.
            initial: a `State`, or its tensors, to continue from in one direction; zeros if not given.
            table: the rows of the ids, `(rows, inputs)`.
            fed: what is fed back at each step, `(total, outputs)`.
        """
        if isinstance(inputs, Tensor):
            steps, last = self(Ragged.from_dense(inputs), initial)
            return steps.data.unflatten(0, inputs.shape[:2]), last
        rows = with_table(inputs, table)
        before = None if initial is None else self._states_in(getattr(initial, "tensors", initial))
        found, states = self.onward(rows, fed, before, noisy=self.training)
        parts, ends = [found.data], [found.last()]
        if self.backward is not None:
            turned, others = self.backward(rows.reverse(), noisy=self.training)
            parts.append(turned.reverse().data)
            ends.append(turned.last())
            states = [*states, *others]
        if self.settings.has_input_beside:
            parts.insert(0, rows.data)
            ends.insert(0, rows.last())
        return rows.replace(torch.cat(parts, 1)), State(self._tensors_of(states), output=torch.cat(ends, 1))

    def _tensors_of(self, states: Sequence[Any]) -> dict[str, Tensor]:
        """Return states by name, the layers of all reservoirs first, or the last inputs, time first."""
        if self.settings.lags is None:
            return {"h": torch.cat([each.tensors["h"] for each in states])}
        return {"inputs": torch.cat([each.transpose(0, 1) for each in states])}

    def _states_in(self, tensors: Mapping[str, Tensor]) -> list[Any]:
        """Return the states of one direction that `_tensors_of` has put together."""
        if self.settings.lags is None:
            return [State({"h": each}) for each in tensors["h"].split(1)]
        return [tensors["inputs"].transpose(0, 1)]

    def run_closed(self, inputs: Ragged, read_out: Callable[[Tensor], Tensor]) -> Ragged:
        """Return the outputs of all steps in closed loop.

        Each step reads the output of the step before it, and the first step reads zeros.

        Args:
            inputs: `(total, inputs)`.
            read_out: gives the outputs `(batch, outputs)` of the rows `(batch, output_size)` of one step.
        """
        padded, states = inputs.to_padded(), None
        fed, found = padded.new_zeros(len(inputs), self.outputs), []
        for step in range(inputs.longest):
            row = padded[:, step : step + 1]
            features, states = self.onward(row, fed.unsqueeze(1), states, noisy=self.training)
            parts = [row, features] if self.settings.has_input_beside else [features]
            fed = read_out(torch.cat(parts, 2)[:, 0])
            found.append(fed)
        every = torch.stack(found, 1) if found else padded.new_zeros(len(inputs), 0, self.outputs)
        return inputs.replace(every[inputs.mask().to(every.device)])

    def adapt(self, series: Iterable[Tensor]) -> None:
        """Fit the units by intrinsic plasticity to the first of these series, each `(time, inputs)`."""
        directions = [self.onward] if self.backward is None else [self.onward, self.backward]
        adapt_units(directions, series, self.settings)


def with_table(inputs: Ragged, table: Tensor | None) -> Ragged:
    """Return the rows of ids, or inputs that are rows already."""
    return inputs if table is None else inputs.map(lambda ids: table[ids])


def shifted(outputs: Ragged) -> Ragged:
    """Return the output of the step before at each step, zeros at the first of a sequence."""
    is_first = (outputs.step_index() == 0).unsqueeze(1)
    return outputs.map(lambda rows: torch.where(is_first, 0.0, rows.roll(1, 0)))
