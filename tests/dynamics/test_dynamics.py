"""Gradient norms against exact Jacobian products, Lyapunov exponents of maps whose exponents are known."""

import json
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.functional import jacobian

from elman.compiler.cell import cell
from elman.compiler.language import matrix, product
from elman.data.ragged.ragged import Ragged
from elman.dynamics import (
    Flow,
    GradientNorms,
    Trajectory,
    flow_of,
    gradient_norms,
    layers_of,
    lyapunov_exponents,
    observed_layers,
)
from elman.dynamics.flow import plot_of
from elman.errors import UsageError
from elman.nn import Recurrent

LENGTHS = [3, 6, 0, 1]
BATCH = Ragged(torch.sin(torch.arange(30.0)).view(10, 3), LENGTHS)
ROOT = [[0.9, 0.4, 0.0], [-0.3, 0.7, 0.2], [0.1, 0.0, 0.5]]


@cell
def linear(x, h):
    """h' = h·A + 0·x"""
    return product(h, matrix("a", h.size, h.size, initial=ROOT)) + 0.0 * x


@cell
def logistic(x, h):
    """h' = 4·h·(1 - h)"""
    return 4.0 * h * (1.0 - h) + 0.0 * x


def trajectory(recurrent: Recurrent, **how: Any) -> Trajectory:
    return Trajectory(layers_of(recurrent, BATCH)[0], **how)


@pytest.mark.parametrize("name", ["simple_rnn", "lstm", "gru_reset_after"])
def test_norms_are_those_of_the_jacobian_of_the_whole_way(name: str):
    torch.manual_seed(2)
    recurrent = Recurrent(name, 3, 4).double()
    states = recurrent.cell.states
    inputs = [sequence.double() for sequence in BATCH.to_list() if len(sequence)]
    # The longest sequence first: its distances beyond 3 are those of no other.
    found = gradient_norms(trajectory(recurrent))
    assert found.exact
    assert found.sequences == [3, 3, 2, 2, 1, 1, 1]

    def norm(sequence: Tensor, first: int) -> float:
        _, before = recurrent(sequence[None, :first])

        def last(state: Tensor) -> Tensor:
            parts = dict(zip(states, state.chunk(len(states)), strict=True))
            given = {each: part.view(1, 1, -1) for each, part in parts.items()}
            _, end = recurrent(sequence[None, first:], given)
            return torch.cat([end.tensors[each].flatten() for each in states])

        start = torch.cat([before.tensors[each].flatten() for each in states]).detach()
        return float(torch.linalg.norm(jacobian(last, start))) / math.sqrt(len(start))

    for distance in range(1, 7):
        wanted = [math.log(norm(each, len(each) - distance)) for each in inputs if len(each) >= distance]
        assert found.logarithms[distance] == pytest.approx(sum(wanted) / len(wanted), abs=1e-9)


def test_random_probes_estimate_the_norm():
    torch.manual_seed(2)
    recurrent = Recurrent("simple_rnn", 3, 40)
    exact, some = (gradient_norms(trajectory(recurrent), probes=count) for count in (40, 20))
    assert not some.exact
    assert some.logarithms == pytest.approx(exact.logarithms, abs=0.2)
    assert some.logarithms[1:] != exact.logarithms[1:]


def test_every_layer_and_direction_is_followed():
    torch.manual_seed(3)
    recurrent = Recurrent("gru", 3, 4, num_layers=2, bidirectional=True, dropout=0.5).double()
    layers = layers_of(recurrent, BATCH)
    assert [layer.name for layer in layers] == ["layer0", "layer0_backward", "layer1", "layer1_backward"]
    recurrent.eval()
    _, last = recurrent(BATCH.to(torch.float64))
    for index, layer in enumerate(layers):
        found = Trajectory(layer)
        order = torch.tensor(LENGTHS).argsort(descending=True)[: len(found.lengths)]
        ends = torch.stack([found.states[length, row] for row, length in enumerate(found.lengths)])
        torch.testing.assert_close(ends, last.tensors["h"][index, order])


def test_exponents_of_a_linear_map_are_the_logarithms_of_its_eigenvalues():
    recurrent = Recurrent(linear, 3, 3)
    inputs = Ragged(torch.zeros(400, 3), [400])
    start = recurrent.zero_state(1)
    start.tensors["h"].fill_(1e-3)
    moduli = torch.linalg.eigvals(torch.tensor(ROOT, dtype=torch.float64)).abs().log()
    wanted = sorted(moduli.tolist(), reverse=True)
    found = lyapunov_exponents(Trajectory(layers_of(recurrent, inputs, start)[0]), 3, skipped=50)
    # Two eigenvalues are conjugate: their vectors turn.
    assert found == pytest.approx(wanted, abs=0.01)
    assert sum(found) == pytest.approx(sum(wanted), abs=1e-6)


def test_the_exponent_of_the_logistic_map_is_the_logarithm_of_2():
    recurrent = Recurrent(logistic, 1, 1).double()
    sequences, steps = 300, 200
    inputs = Ragged(torch.zeros(sequences * steps, 1, dtype=torch.float64), [steps] * sequences)
    start = recurrent.zero_state(sequences)
    start.tensors["h"][0, :, 0] = torch.rand(sequences, generator=torch.Generator().manual_seed(0))
    found = lyapunov_exponents(Trajectory(layers_of(recurrent, inputs, start)[0]), skipped=20)
    assert found == pytest.approx([math.log(2)], rel=0.01)


class Reader(nn.Module):
    """An embedding of ids, a recurrent layer and dropout."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(5, 3)
        self.body = Recurrent("lstm", 3, 2, num_layers=2, dropout=0.5)

    def forward(self, ids: Ragged) -> Any:
        return self.body(ids, table=self.table.weight)


def test_layers_of_a_network_are_observed():
    network = Reader()
    ids = Ragged(torch.tensor([0, 1, 2, 3, 4, 0]), [1, 3, 2])
    layers = observed_layers(network, lambda: network(ids), 2)
    assert [layer.name for layer in layers] == ["body.layer0", "body.layer1"]
    assert network.training
    assert layers[0].inputs[0].lengths.tolist() == [1, 3]
    torch.testing.assert_close(layers[0].inputs[0].data, network.table.weight[:4].double())
    flows = list(flow_of(layers, exponents=2))
    assert [flow.steps for flow in flows] == [3, 3]
    assert all(len(flow.exponents) == 2 for flow in flows)
    assert Flow.from_json(json.loads(json.dumps(flows[0].to_json()))) == flows[0]
    assert [panel.name for panel in plot_of(flows).panels] == ["body.layer0", "body.layer1"]
    with pytest.raises(UsageError, match="recurrent layer"):
        observed_layers(nn.Linear(1, 1), lambda: None)


def test_verdicts():
    def verdict(*logarithms: float) -> str:
        return Flow("body", GradientNorms(list(logarithms), [1] * len(logarithms), True), []).verdict

    assert verdict(0.0, -0.1, -0.2) == "healthy"
    assert verdict(0.0, -4.0, -8.0) == "vanishing"
    assert verdict(0.0, 4.0, 8.0) == "exploding"
    assert verdict(0.0, -math.inf, -math.inf) == "vanishing"
    falling = GradientNorms([0.0, -0.5, -1.0], [2, 2, 1], True)
    assert (falling.slope, falling.memory) == (pytest.approx(-0.5), pytest.approx(2.0))
    assert GradientNorms([0.0, 0.5], [1, 1], True).memory == math.inf


def test_dead_units_have_no_gradient():
    recurrent = Recurrent("simple_rnn", 3, 4)
    with torch.no_grad():
        for weight in recurrent.weights().values():
            weight.zero_()
    (flow,) = flow_of(layers_of(recurrent, BATCH))
    assert flow.norms.logarithms[1:] == [-math.inf] * 6
    assert flow.verdict == "vanishing"
    assert "is 0 from 1 step before the end" in flow.sentence


def test_sequences_are_cut_and_empty_ones_refused():
    recurrent = Recurrent("gru", 3, 4)
    assert trajectory(recurrent, steps=2).lengths == [2, 2, 1]
    with pytest.raises(UsageError, match="with a step"):
        Trajectory(layers_of(recurrent, BATCH.select([2]))[0])


def test_states_that_are_not_finite_are_refused_and_one_step_is_singular():
    layer = Recurrent("simple_rnn", input_size=3, hidden_size=2)
    (flow,) = flow_of(layers_of(layer, BATCH), steps=1)
    assert "over 1 step it" in flow.summary
    with torch.no_grad():
        for weight in layer.parameters():
            weight.fill_(math.nan)
    with pytest.raises(UsageError, match="Expected finite states of layer0, got others"):
        list(flow_of(layers_of(layer, BATCH)))


@pytest.mark.parametrize(("cell", "word"), [("reservoir", "spectral radius"), ("simple_rnn", "hessian-free")])
def test_the_advice_is_about_what_can_be_changed(cell: str, word: str):
    (flow,) = flow_of(layers_of(Recurrent(cell, 3, 4), BATCH))
    vanishing = Flow("body", GradientNorms([0.0, -4.0, -8.0], [1] * 3, True), [], flow.is_fixed)
    assert word in vanishing.sentence
    assert Flow.from_json(json.loads(json.dumps(vanishing.to_json()))) == vanishing
