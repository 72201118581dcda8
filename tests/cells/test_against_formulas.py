"""The cells against their sources' formulas, typed out number by number, without elman or any matrix product."""

import math
from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch

from elman import CELLS, Recurrent
from elman.compiler.tolerances import TOLERANCES
from tests.laws.tolerances import assert_near

Array = np.ndarray
Weights = Mapping[str, Array]
States = dict[str, Array]

INPUT, HIDDEN, BATCH, TIME = 3, 4, 2, 5


def logistic(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))


def net(w: Weights, name: str, unit: int, *sources: Array) -> float:
    """What arrives at a unit: its bias and every source times its weight."""
    total = float(w[f"{name}/bias"][unit]) if f"{name}/bias" in w else 0.0
    for place, source in enumerate(sources):
        for index in range(len(source)):
            total += source[index] * w[f"{name}/{place}"][index, unit]
    return total


def each(unit: Callable[[int], float], count: int = HIDDEN) -> Array:
    return np.array([unit(k) for k in range(count)])


def simple_rnn(w: Weights, x: Array, h: Array) -> States:
    """Elman 1990, with tanh."""
    return {"h": each(lambda k: math.tanh(net(w, "hidden", k, x, h)))}


def lstm(w: Weights, x: Array, h: Array, c: Array) -> States:
    """Gers, Schmidhuber, Cummins 2000, one cell a block."""
    new_c, new_h = np.zeros(HIDDEN), np.zeros(HIDDEN)
    for k in range(HIDDEN):
        write, keep, show = (logistic(net(w, gate, k, x, h)) for gate in ("input", "forget", "output"))
        new_c[k] = keep * c[k] + write * math.tanh(net(w, "cell", k, x, h))
        new_h[k] = show * math.tanh(new_c[k])
    return {"h": new_h, "c": new_c}


def gru(w: Weights, x: Array, h: Array) -> States:
    """Cho et al. 2014, equations 5 to 8: there z keeps the old state, and the reset comes before the product."""
    reset = each(lambda k: logistic(net(w, "reset", k, x, h)))
    shortened = each(lambda k: reset[k] * h[k])

    def unit(k: int) -> float:
        z = logistic(net(w, "update", k, x, h))
        return z * h[k] + (1 - z) * math.tanh(net(w, "candidate", k, x, shortened))

    return {"h": each(unit)}


def gru_reset_after(w: Weights, x: Array, h: Array) -> States:
    """Keras's GRU with reset_after=True: the reset acts on the product of the state, bias included."""

    def unit(k: int) -> float:
        z = logistic(net(w, "update", k, x, h))
        r = logistic(net(w, "reset", k, x, h))
        candidate = math.tanh(net(w, "candidate", k, x) + r * net(w, "memory", k, h))
        return z * h[k] + (1 - z) * candidate

    return {"h": each(unit)}


def peephole_lstm(w: Weights, x: Array, h: Array, c: Array) -> States:
    """Graves 2013, equations 7 to 11: the output gate sees the new cell."""
    new_c, new_h = np.zeros(HIDDEN), np.zeros(HIDDEN)
    for k in range(HIDDEN):
        i = logistic(net(w, "input", k, x, h) + w["input_peephole"][k] * c[k])
        f = logistic(net(w, "forget", k, x, h) + w["forget_peephole"][k] * c[k])
        new_c[k] = f * c[k] + i * math.tanh(net(w, "cell", k, x, h))
        o = logistic(net(w, "output", k, x, h) + w["output_peephole"][k] * new_c[k])
        new_h[k] = o * math.tanh(new_c[k])
    return {"h": new_h, "c": new_c}


def projected_lstm(w: Weights, x: Array, h: Array, c: Array) -> States:
    """Sak, Senior, Beaufays 2014, equations 1 to 7, without peepholes: h is a projection of half the size."""
    inner = lstm(w, x, h, c)
    return {"h": each(lambda k: net(w, "projection", k, inner["h"]), HIDDEN // 2), "c": inner["c"]}


def layer_norm(values: Array, gain: Array) -> Array:
    """Ba, Kiros, Hinton 2016, equation 15 of the supplement, with 1e-5 under the root."""
    mean = sum(values) / len(values)
    variance = sum((value - mean) ** 2 for value in values) / len(values)
    return each(lambda k: gain[k] * (values[k] - mean) / math.sqrt(variance + 1e-5), len(values))


def layer_norm_lstm(w: Weights, x: Array, h: Array, c: Array) -> States:
    """Ba, Kiros, Hinton 2016, equations 20 to 22; the four parts are i, f, g, o."""
    from_x = layer_norm(each(lambda k: net(w, "input", k, x), 4 * HIDDEN), w["input_gain"])
    from_h = layer_norm(each(lambda k: net(w, "hidden", k, h), 4 * HIDDEN), w["hidden_gain"])
    new_c, show = np.zeros(HIDDEN), np.zeros(HIDDEN)
    for k in range(HIDDEN):
        part = [from_x[k + place * HIDDEN] + from_h[k + place * HIDDEN] for place in range(4)]
        i = logistic(part[0] + w["input_bias"][k])
        f = logistic(part[1] + w["forget_bias"][k])
        g = math.tanh(part[2] + w["cell_bias"][k])
        show[k] = logistic(part[3] + w["output_bias"][k])
        new_c[k] = f * c[k] + i * g
    shown = layer_norm(new_c, w["cell_gain"])
    return {"h": each(lambda k: show[k] * math.tanh(shown[k] + w["cell_shift"][k])), "c": new_c}


def min_gru(w: Weights, x: Array, h: Array) -> States:
    """Feng et al. 2024, section 3.1.2: no gate reads the state."""

    def unit(k: int) -> float:
        z = logistic(net(w, "update", k, x))
        return (1 - z) * h[k] + z * net(w, "candidate", k, x)

    return {"h": each(unit)}


def reservoir(w: Weights, x: Array, h: Array) -> States:
    """Jaeger et al. 2007, equation 6, without leak, as the options are."""

    def total(k: int) -> float:
        arriving = sum(x[i] * w["inputs"][i, k] for i in range(INPUT))
        return arriving + sum(h[i] * w["recurrent"][i, k] for i in range(HIDDEN))

    return {"h": each(lambda k: math.tanh(total(k)))}


FORMULAS = {
    formula.__name__: formula
    for formula in (
        simple_rnn,
        lstm,
        gru,
        gru_reset_after,
        peephole_lstm,
        projected_lstm,
        layer_norm_lstm,
        min_gru,
        reservoir,
    )
}


def test_every_cell_has_a_formula():
    assert FORMULAS.keys() == CELLS.keys()


@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize("target", ["eager", "llvm", "reference"])
@pytest.mark.parametrize("name", FORMULAS)
@torch.no_grad()
def test_a_cell_is_its_formula(name: str, target: str, dtype: torch.dtype):
    layer = Recurrent(name, INPUT, HIDDEN, target=target).to(dtype)
    for tensor in layer.weights().values():
        tensor.copy_(torch.randn_like(tensor))
    x = torch.randn(BATCH, TIME, INPUT, dtype=dtype)
    start = {state: torch.randn_like(tensor[0]) for state, tensor in layer.zero_state(BATCH).tensors.items()}
    weights = {key: tensor.double().numpy() for key, tensor in layer.weights().items()}
    steps, last = layer(x, start)
    for sequence in range(BATCH):
        states = {state: tensor[sequence].double().numpy() for state, tensor in start.items()}
        for time in range(TIME):
            states = FORMULAS[name](weights, x[sequence, time].double().numpy(), **states)
            assert_near(steps[sequence, time], torch.from_numpy(states["h"]).to(dtype), dtype)
        ends = {state: torch.from_numpy(value).to(dtype) for state, value in states.items()}
        assert_near({state: last[state][sequence] for state in states}, ends, dtype)
