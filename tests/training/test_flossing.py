"""Gradient flossing: its loss against the exponents, its gradient against differences, and a run."""

from typing import Any

import pytest
import torch
from helpers_training import At, nothing, trainer
from small_training import Words
from torch import Tensor, nn

from elman.data.ragged.ragged import Ragged
from elman.dynamics import Trajectory, layers_of, lyapunov_exponents
from elman.errors import UsageError
from elman.nn import Recurrent
from elman.training.flossing import flossing_loss, weights_named

LENGTHS = [3, 5]
BATCH = Ragged(torch.sin(torch.arange(16.0, dtype=torch.float64)).view(8, 2), LENGTHS)


@pytest.mark.parametrize("cell", ["simple_rnn", "lstm"])
def test_the_loss_is_the_mean_of_the_squared_exponents_and_its_gradient_that_of_differences(cell: str):
    torch.manual_seed(1)
    layer = Recurrent(cell, 2, 3).double()
    (observed,) = layers_of(layer, BATCH)

    def loss() -> Tensor:
        return flossing_loss(observed._replace(weights=layer.weights()), 2)

    alone = []
    for sequence in BATCH.to_list():
        (one,) = layers_of(layer, Ragged(sequence, [len(sequence)]))
        alone += lyapunov_exponents(Trajectory(one), 2)
    found = loss()
    assert found.item() == pytest.approx(sum(each**2 for each in alone) / len(alone), rel=1e-9)
    gradients = torch.autograd.grad(found, list(layer.parameters()))
    for parameter, gradient in zip(layer.parameters(), gradients, strict=True):
        direction = torch.cos(torch.arange(parameter.numel(), dtype=torch.float64)).view_as(parameter)
        ends = []
        for shift in (1e-6, -1e-6):
            with torch.no_grad():
                parameter.add_(shift * direction)
            ends.append(loss().item())
            with torch.no_grad():
                parameter.sub_(shift * direction)
        assert float((gradient * direction).sum()) == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-4, abs=1e-7)


class Sequences(nn.Module):
    """A recurrent layer in both directions for the task of the trainer's tests."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = Recurrent("gru", 3, 5, bidirectional=True)
        self.head = nn.Linear(10, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.body(inputs)[1].output)


def exponents(network: Sequences) -> list[float]:
    data = Ragged(torch.sin(torch.arange(60.0)).view(20, 3), [20])
    return [abs(lyapunov_exponents(Trajectory(layer), 1)[0]) for layer in layers_of(network.body, data)]


def test_a_run_begins_with_exponents_nearer_to_0():
    network = Sequences()
    before = exponents(network)
    settings: dict[str, Any] = {"epochs": 1, "learning_rate": 0.05, "flossing_steps": 8, "flossing_exponents": 2}
    settings |= {"freeze": ("body", "head")}
    trainer(None, settings, At(nothing), network=network, train=Words(20, longest=12)).run()  # pyright: ignore
    assert sum(exponents(network)) < 0.8 * sum(before)


def test_weights_of_each_layer_are_found():
    network = Sequences()
    layers = [layer._replace(name=f"body.{layer.name}") for layer in layers_of(network.body, torch.zeros(1, 2, 3))]
    for number, layer in enumerate(layers):
        wanted = network.body.weights(0, number == 1)
        assert all(weights is wanted[name] for name, weights in weights_named(network, layer).items())


def test_a_network_without_a_recurrent_layer_is_refused():
    network = nn.Sequential(nn.Flatten(), nn.Linear(3, 2))
    with pytest.raises(UsageError, match="recurrent layer"):
        trainer(None, {"epochs": 1, "flossing_steps": 1}, network=network, train=Words(10, longest=1)).run()
