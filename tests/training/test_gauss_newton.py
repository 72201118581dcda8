"""Gauss–Newton products against explicit matrices in float64, and conjugate gradients against a solver."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, hessian, jacrev, jvp
from torch.nn import functional

from elman.data.ragged.ragged import Ragged
from elman.errors import UsageError
from elman.nn import Recurrent
from elman.training.conjugate_gradients import minimise
from elman.training.gauss_newton import GaussNewton, flat, split

LENGTHS = [4, 1, 3]
BATCH = Ragged(torch.sin(torch.arange(16.0, dtype=torch.float64)).view(8, 2), LENGTHS)
Loss = Callable[[Tensor], Tensor]
LOSSES: dict[str, Loss] = {
    "squared": lambda outputs: outputs.square().mean(),
    "cross entropy": lambda outputs: functional.cross_entropy(outputs, torch.tensor([0, 2, 1])),
    "absolute": lambda outputs: outputs.abs().mean(),
}


class Network(nn.Module):
    """A recurrent layer and a linear one."""

    def __init__(self, cell: str):
        super().__init__()
        torch.manual_seed(1)
        self.body = Recurrent(cell, 2, 3)
        self.out = nn.Linear(self.body.output_size, 3)
        self.double()

    def forward(self, batch: Ragged) -> tuple[Tensor, Tensor]:
        steps, last = self.body(batch)
        return self.out(last.output), steps.data


def explicit(network: Network, loss: Loss) -> tuple[Tensor, Tensor]:
    """J, H and the states' J as matrices, and from them the two curvatures."""
    parameters = dict(network.named_parameters())
    jacobians = [
        torch.cat([part.flatten(0, 1).flatten(1) for part in found.values()], 1)
        for found in jacrev(lambda given: functional_call(network, given, (BATCH,)))(parameters)
    ]
    outputs = network(BATCH)[0].detach()
    curved: Tensor = hessian(loss)(outputs).view(outputs.numel(), -1)  # pyright: ignore
    plain, states = (each.detach() for each in jacobians)
    return plain.T @ curved @ plain, states.T @ states / len(LENGTHS)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")  # by torch's own rules for tangents
@pytest.mark.parametrize("cell", ["simple_rnn", "lstm", "gru"])
@pytest.mark.parametrize("name", LOSSES)
def test_products_are_those_of_the_matrices(cell: str, name: str):
    network, loss = Network(cell), LOSSES[name]
    parameters = list(network.parameters())
    found = GaussNewton(network, parameters, lambda: loss(network(BATCH)[0]), sequences=len(LENGTHS), structural=True)
    curvature, structural = explicit(network, loss)
    for seed in range(3):
        torch.manual_seed(seed)
        vector = torch.randn(len(curvature), dtype=torch.float64)
        torch.testing.assert_close(found.product(vector), curvature @ vector)
        torch.testing.assert_close(found.product(vector, 0.7), curvature @ vector + 0.7 * structural @ vector)
        assert found.structural_change(vector) == pytest.approx(float(vector @ structural @ vector))


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")  # by torch's own rules for tangents
def test_changes_of_the_outputs_are_forward_tangents():
    network = Network("lstm")
    parameters = list(network.parameters())
    found = GaussNewton(
        network, parameters, lambda: network(BATCH)[0].square().sum(), sequences=len(LENGTHS), structural=True
    )
    vector = torch.cos(torch.arange(sum(each.numel() for each in parameters), dtype=torch.float64))
    named = dict(network.named_parameters())
    tangents = dict(zip(named, split(vector, parameters), strict=True))
    _, ahead = jvp(lambda given: functional_call(network, given, (BATCH,)), (named,), (tangents,))
    for one, other in zip(found.tangents(vector), ahead, strict=True):
        torch.testing.assert_close(one, other)


def test_squared_gradients_are_those_of_the_rows():
    network = Network("gru")
    parameters = list(network.parameters())
    targets = torch.tensor([0, 2, 1])

    def rows() -> Tensor:
        return functional.cross_entropy(network(BATCH)[0], targets, reduction="none")

    found = GaussNewton(network, parameters, lambda: rows().mean(), sequences=len(LENGTHS))
    each = torch.stack([flat(torch.autograd.grad(row, parameters, retain_graph=True), parameters) for row in rows()])
    torch.manual_seed(0)
    torch.testing.assert_close(found.squared_gradients(4_000), each.square().mean(0), rtol=0.1, atol=1e-4)


def test_a_network_without_an_output_layer_is_refused():
    layer = Recurrent("gru", 2, 3)
    with pytest.raises(UsageError, match="linear output layer"):
        GaussNewton(layer, list(layer.parameters()), lambda: layer(BATCH.to(torch.float32))[1].h.sum(), sequences=3)


def test_conjugate_gradients_solve():
    torch.manual_seed(0)
    root = torch.randn(8, 8, dtype=torch.float64)
    matrix, gradient = root @ root.T + torch.eye(8), torch.randn(8, dtype=torch.float64)
    for scale in (None, matrix.diagonal()):
        found = minimise(lambda x: matrix @ x, gradient, torch.zeros_like(gradient), scale)
        torch.testing.assert_close(found.steps[-1], torch.linalg.solve(matrix, -gradient), rtol=1e-6, atol=1e-8)
        for step, value in zip(found.steps, found.values, strict=True):
            assert value == pytest.approx(float(0.5 * step @ matrix @ step + gradient @ step))
        assert found.values == sorted(found.values, reverse=True)


def test_conjugate_gradients_stop():
    matrix, gradient = torch.diag(torch.tensor([1.0, -1.0])), torch.tensor([1.0, 1.0])
    assert minimise(lambda x: matrix @ x, gradient, torch.zeros(2)).iterations == 0
    wide = torch.logspace(-6, 6, 400, dtype=torch.float64)
    slow = minimise(lambda x: wide * x, torch.ones_like(wide), torch.zeros_like(wide), iterations=10_000)
    assert 10 < slow.iterations < 10_000
    few = minimise(lambda x: wide * x, torch.ones_like(wide), torch.zeros_like(wide), iterations=7)
    assert few.iterations == 7


def test_conjugate_gradients_start_where_they_are_given():
    matrix, gradient = torch.eye(3), torch.tensor([1.0, 2.0, 3.0])
    found = minimise(lambda x: matrix @ x, gradient, -gradient)
    assert found.iterations == 0
    assert found.steps[-1].tolist() == [-1.0, -2.0, -3.0]
