"""Zoneout: features of a cell's states that stay as they were, at random, in training."""

import functools
import pickle
from collections.abc import Mapping
from typing import Any

from elman.compiler.cell import Cell
from elman.compiler.language import bernoulli
from elman.compiler.pickling import has_own_step
from elman.compiler.value import Next, Value
from elman.errors import UsageError, nearest


def zoneout(cell: Cell, probability: float | Mapping[str, float]) -> Cell:
    """Return the cell with random features of its states left as they were in training.

    s' = m∘s + (1 - m)∘ŝ, where ŝ is what the cell gives for its state s, and m is drawn anew for each feature,
    sequence and step: 1 with the probability. In evaluation m is the probability itself.

    Args:
        cell: any cell.
        probability: with which a feature of a state stays, from 0 to 1: one for all states, or one for each state by
            its name; a state without one is not touched.

    Raises:
        UsageError: a probability is not from 0 to 1, or the cell does not have a state.

    Source:
        D. Krueger et al., Zoneout: Regularizing RNNs by Randomly Preserving Hidden Activations, 2017. As there, what
        one state gives another within a step is not zoned out: h' of an LSTM is computed from ĉ.
        An output of the cell that is not a state is also computed from the states before they are zoned out.

    >>> from elman import CELLS
    >>> zoned = zoneout(CELLS["lstm"], {"c": 0.5, "h": 0.05})
    >>> [(draw.name, draw.probability) for draw in zoned.trace(3, 4).draws]
    [('zoneout_h/draw', 0.05), ('zoneout_c/draw', 0.5)]
    """
    probabilities = _probabilities(cell, probability)
    if not probabilities:
        return cell

    return Cell(_ZonedStep(cell, probabilities), cell.options, cell.sizes)


class _ZonedStep:
    """The step of a cell, its states mixed with those before it; a class, so that it can be pickled."""

    def __init__(self, cell: Cell, probabilities: Mapping[str, float]):
        self.cell = cell
        self.probabilities = probabilities
        functools.update_wrapper(self, cell.step)

    def __call__(self, x: Value, *states: Value, **named: Any) -> Next | Value:
        return _mix(self.cell, self.probabilities, states, self.cell.step(x, *states, **named))

    def __reduce__(self):
        if not has_own_step(self.cell):
            raise pickle.PicklingError(f"the step of the cell `{self.cell.name}` cannot be imported by name")
        return _ZonedStep, (self.cell, self.probabilities)


def _probabilities(cell: Cell, probability: float | Mapping[str, float]) -> dict[str, float]:
    given = dict(probability) if isinstance(probability, Mapping) else dict.fromkeys(cell.states, probability)
    for name, value in given.items():
        if name not in cell.states:
            raise UsageError(f"The cell `{cell.name}` has no state `{name}`.", fix=nearest(name, cell.states))
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value <= 1.0:
            raise UsageError(f"The zoneout of `{name}` is {value!r}.", fix="Give a probability from 0 to 1.")
    return {name: float(value) for name, value in given.items() if value}


def _mix(cell: Cell, probabilities: Mapping[str, float], states: tuple[Value, ...], answer: Any) -> Next | Value:
    """Mix the states that a step returns with those before it.

    A wrong result is returned as it is: `trace` refuses it.
    """
    before = dict(zip(cell.states, states, strict=True))
    if isinstance(answer, Value) and len(before) == 1:
        return _stay(cell.states[0], states[0], answer, probabilities[cell.states[0]])
    if not isinstance(answer, Next):
        return answer
    for name in cell.states:
        new = answer.states.get(name)
        if name in probabilities and isinstance(new, Value):
            answer.states[name] = _stay(name, before[name], new, probabilities[name])
            if isinstance(answer.output, Value) and answer.output.node is new.node:
                answer.output = answer.states[name]
    return answer


def _stay(name: str, old: Value, new: Value, probability: float) -> Value:
    if old.size != new.size:
        # The step runs until the sizes of its states no longer change; the cell determines them.
        return new
    stays = bernoulli(f"zoneout_{name}", probability, size=new.size)
    # In this form a feature that stays keeps its bits, and the loop reads only one mask.
    return stays * old + (new - stays * new)
