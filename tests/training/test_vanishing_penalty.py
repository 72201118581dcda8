"""The penalty on vanishing gradients against differences of its own definition."""

import pytest
import torch
from helpers_training import At, nothing, trainer
from small_training import Words
from torch import Tensor, nn

from elman.data.ragged.ragged import Ragged
from elman.errors import UsageError
from elman.nn import Recurrent
from elman.training.vanishing_penalty import Call, VanishingPenalty, _slopes, penalty_of

LENGTHS = [3, 0, 5, 1]
BATCH = Ragged(torch.sin(torch.arange(18.0, dtype=torch.float64)).view(9, 2), LENGTHS)


class Network(nn.Module):
    """A recurrent layer whose outputs at every step and at the end are read."""

    def __init__(self, cell: str = "simple_rnn"):
        super().__init__()
        torch.manual_seed(1)
        self.body = Recurrent(cell, 2, 3)
        self.each, self.end = nn.Linear(3, 1), nn.Linear(3, 1)
        self.double()

    def forward(self, batch: Ragged) -> Tensor:
        steps, last = self.body(batch)
        return self.each(steps.data).square().sum() + self.end(last.output).sin().sum()


def observed(network: nn.Module) -> tuple[VanishingPenalty, list[Call]]:
    penalty = VanishingPenalty(network, 0.5)
    with penalty.observed() as calls:
        loss = network(BATCH)
    loss.backward()
    return penalty, calls


def states_and_slopes(network: Network) -> tuple[list[list[Tensor]], list[list[Tensor]]]:
    """h after each step of each sequence, and the gradient of the loss by it, step by step through torch."""
    cell = network.body
    states, slopes = [], []
    with torch.enable_grad():
        loss, whole = torch.zeros((), dtype=torch.float64), []
        for sequence in BATCH.to_list():
            state, own = torch.zeros(1, 3, dtype=torch.float64), []
            for row in sequence:
                state = cell(row.view(1, 1, -1), state)[1].h
                own.append(state)
                loss = loss + network.each(state).square().sum()
            whole.append(own)
            ends = own[-1] if own else torch.zeros(1, 3, dtype=torch.float64)
            loss = loss + network.end(ends).sin().sum()
    grads = torch.autograd.grad(loss, [each for own in whole for each in own])
    found = iter(grads)
    for own in whole:
        states.append([each.detach() for each in own])
        slopes.append([next(found) for _ in own])
    return states, slopes


def definition(network: Network, states: list[list[Tensor]], slopes: list[list[Tensor]]) -> float:
    """Ω with fixed states and slopes, as a function of the present weights."""
    matrix, inputs, bias = (network.body.weights()[name].detach() for name in ("hidden/1", "hidden/0", "hidden/bias"))
    total = 0.0
    for sequence, own, slope in zip(BATCH.to_list(), states, slopes, strict=True):
        for time in range(len(own) - 1):
            after = torch.tanh(sequence[time + 1] @ inputs + own[time] @ matrix + bias)
            jacobian = matrix * (1 - after**2)  # (before, after)
            pulled = slope[time + 1] @ jacobian.T
            total += float((pulled.norm() / slope[time + 1].norm() - 1) ** 2)
    return total / sum(length > 0 for length in LENGTHS)


def test_the_gradient_is_that_of_differences_of_the_definition():
    network = Network()
    plain = Network()
    plain(BATCH).backward()
    penalty, calls = observed(network)
    states, slopes = states_and_slopes(network)
    assert penalty.add_gradient(calls) == pytest.approx(definition(network, states, slopes), rel=1e-9)
    added = {
        name: parameter.grad - other.grad
        for (name, parameter), (_, other) in zip(network.named_parameters(), plain.named_parameters(), strict=True)
    }
    matrix, size = network.body.weights()["hidden/1"], 1e-6
    for row in range(3):
        for column in range(3):
            ends = []
            for shift in (size, -size):
                with torch.no_grad():
                    matrix[row, column] += shift
                    ends.append(definition(network, states, slopes))
                    matrix[row, column] -= shift
            wanted = 0.5 * (ends[0] - ends[1]) / (2 * size)
            assert float(added["body.layer0.hidden/1"][row, column]) == pytest.approx(wanted, rel=1e-5, abs=1e-8)
    others = {name: tensor for name, tensor in added.items() if name != "body.layer0.hidden/1"}
    assert all(torch.equal(tensor, torch.zeros_like(tensor)) for tensor in others.values())


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_the_gradient_of_other_cells_is_that_of_differences(cell: str):
    network = Network(cell)
    _, calls = observed(network)
    trajectory, slopes = _slopes(calls[0])
    weights = {name: value.detach() for name, value in network.body.weights().items()}
    for name in calls[0].layer._weights_of(0, False).graph.recurrent_matrices:
        live = weights[name].clone().requires_grad_()
        (found,) = torch.autograd.grad(penalty_of(trajectory, slopes, {**weights, name: live}), live)
        direction = torch.cos(torch.arange(found.numel(), dtype=torch.float64)).view_as(found)
        ends = [
            penalty_of(trajectory, slopes, {**weights, name: weights[name] + shift * direction}).item()
            for shift in (1e-6, -1e-6)
        ]
        assert float((found * direction).sum()) == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-5, abs=1e-8)


def test_dead_steps_are_left_out():
    network = Network()
    with torch.no_grad():
        for layer in (network.each, network.end):
            layer.weight.zero_()
    penalty, calls = observed(network)
    assert penalty.add_gradient(calls) == 0.0
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())  # pyright: ignore


class Sequences(nn.Module):
    """A simple network for the task of the trainer's tests."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = Recurrent("simple_rnn", 3, 5)
        self.head = nn.Linear(5, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.body(inputs)[1].output)


def test_a_run_has_the_penalty_and_keeps_frozen_layers():
    ends = []
    for settings in ({}, {"vanishing_penalty": 3.0}, {"vanishing_penalty": 3.0, "freeze": ("body",)}):
        network = Sequences()
        before = network.body.weights()["hidden/1"].detach().clone()
        plain = {"epochs": 1, "batch_size": 10, "optimizer": "sgd", "learning_rate": 0.1}
        trainer(None, plain | settings, At(nothing), network=network, train=Words(30)).run()  # pyright: ignore
        ends.append(network.body.weights()["hidden/1"].detach() - before)
    assert not torch.equal(ends[0], ends[1])
    assert not ends[2].any()


@pytest.mark.parametrize("how", [{"num_layers": 2}, {"bidirectional": True}])
def test_layers_that_cannot_be_observed_are_refused(how: dict):
    with pytest.raises(UsageError, match="one forward"):
        VanishingPenalty(Recurrent("gru", 2, 3, **how), 1.0)
    with pytest.raises(UsageError, match="recurrent layer, got one without"):
        VanishingPenalty(nn.Linear(2, 3), 1.0)
    with pytest.raises(UsageError, match="recurrent matrix"):
        VanishingPenalty(Recurrent("min_gru", 2, 3), 1.0)
