"""Hessian-free steps on problems whose solution is known, and in a run."""

from typing import Any

import pytest
import torch
from helpers_training import At, nothing, trainer
from small_training import Net, Signs, Words
from torch import Tensor, nn

from elman.errors import TrainingError, UsageError
from elman.nn import Recurrent
from elman.tasks.classify import ClassifierSettings
from elman.tasks.task import Batch
from elman.training import TrainingSettings
from elman.training.gauss_newton import GaussNewton, flat
from elman.training.hessian_free import HessianFree
from elman.training.hessian_free_learner import some_rows
from elman.training.optimizers import build_optimizer


class LeastSquares:
    """A linear model and its squared error, as a problem."""

    def __init__(self, scale: float = 1.0):
        generator = torch.Generator().manual_seed(3)
        self.inputs = torch.randn(20, 4, generator=generator, dtype=torch.float64)
        self.wanted = torch.randn(20, 2, generator=generator, dtype=torch.float64)
        torch.manual_seed(0)
        self.layer = nn.Linear(4, 2, bias=False).double()
        self.scale = scale

    def loss(self) -> Tensor:
        return (self.layer(self.inputs) - self.wanted).square().sum() / 20

    def gradient(self) -> Tensor:
        parameters = list(self.layer.parameters())
        return self.scale * flat(torch.autograd.grad(self.loss(), parameters), parameters)

    def curvature(self) -> GaussNewton:
        return GaussNewton(self.layer, list(self.layer.parameters()), self.loss, sequences=20)

    def value(self) -> float:
        return self.loss().item()


def test_least_squares_are_solved_in_a_few_steps():
    problem = LeastSquares()
    optimizer = HessianFree(problem.layer.parameters(), damping=0.1)
    reached = [optimizer.step(problem) for _ in range(40)]
    solution = torch.linalg.lstsq(problem.inputs, problem.wanted).solution.T
    torch.testing.assert_close(problem.layer.weight.detach(), solution, rtol=1e-4, atol=1e-4)
    assert reached == sorted(reached, reverse=True)


def test_the_damping_falls_while_the_prediction_is_exact():
    problem = LeastSquares()
    optimizer = HessianFree(problem.layer.parameters(), damping=0.1)
    for _ in range(5):
        optimizer.step(problem)
    assert optimizer.damping == pytest.approx(0.1 * (2 / 3) ** 5)


def test_weight_decay_is_part_of_the_objective():
    problem = LeastSquares()
    optimizer = HessianFree([{"params": list(problem.layer.parameters()), "weight_decay": 0.5}], damping=0.1)
    for _ in range(40):
        optimizer.step(problem)
    inputs, rows = problem.inputs, len(problem.inputs)
    ridge = torch.linalg.solve(
        inputs.T @ inputs + 0.25 * rows * torch.eye(4, dtype=torch.float64), inputs.T @ problem.wanted
    )
    torch.testing.assert_close(problem.layer.weight.detach(), ridge.T, rtol=1e-4, atol=1e-4)


def test_a_step_that_would_raise_the_objective_is_not_taken():
    problem = LeastSquares(scale=-1.0)
    before = problem.layer.weight.detach().clone()
    optimizer = HessianFree(problem.layer.parameters(), damping=0.1)
    assert optimizer.step(problem) == problem.value()
    assert torch.equal(problem.layer.weight.detach(), before)
    assert optimizer.damping == pytest.approx(0.15)


def test_a_run_learns_and_keeps_frozen_parts():
    settings: dict[str, Any] = {"epochs": 6, "batch_size": 40, "optimizer": "hessian-free", "freeze": ("head",)}
    network = Net()
    before = network.head.weight.detach().clone()
    listener = At(nothing)
    trainer(None, settings, listener, network=network, train=Words(80)).run()
    losses = [event.record.loss for event in listener.epochs]
    assert losses[-1] < 0.7 * losses[0]
    assert torch.equal(network.head.weight.detach(), before)


class Broken(Signs):
    """A loss that is not finite."""

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return super().loss(outputs, targets) / 0.0


def test_a_loss_that_is_not_finite_ends_the_run_with_the_weights_as_they_were():
    network = Net()
    before = network.head.weight.detach().clone()
    with pytest.raises(TrainingError, match="The loss is inf"):
        trainer(None, {"optimizer": "hessian-free", "epochs": 1}, network=network, task=Broken()).run()
    assert torch.equal(network.head.weight.detach(), before)


def test_rows_for_the_curvature():
    batch = Batch({"values": torch.arange(10)}, 10, 100)
    found = some_rows(batch, 0.3)
    assert (found.sequences, found.tokens, len(set(found["values"].tolist()))) == (3, 30, 3)
    assert some_rows(batch, 1.0) is batch
    with pytest.raises(UsageError, match="curvature_fraction=1"):
        some_rows(Batch({"values": torch.arange(10), "steps": torch.arange(100)}, 10, 100), 0.3)


def test_the_settings_reach_the_optimiser():
    settings = TrainingSettings(
        optimizer="hessian-free", damping=3.0, structural_damping=0.5, cg_iterations=7, weight_decay=0.25
    )
    optimizer = build_optimizer(nn.Linear(3, 2), settings)
    assert isinstance(optimizer, HessianFree)
    assert (optimizer.damping, optimizer.structural, optimizer.iterations) == (3.0, 0.5, 7)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.25, 0.0]
    for name in ("ensemble", "adversarial"):
        with pytest.raises(ValueError, match=f"optimizer.*{name}"):
            ClassifierSettings.model_validate({"optimizer": "hessian-free", name: 2})
    for name, value in {"damping": 1.0, "structural_damping": 1.0, "cg_iterations": 3}.items():
        with pytest.raises(ValueError, match="only hessian-free has it"):
            TrainingSettings.model_validate({name: value})


class Sequences(nn.Module):
    """A recurrent layer, whose states are observed, for the task of the trainer's tests."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = Recurrent("gru", 3, 5)
        self.head = nn.Linear(5, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.body(inputs)[1].output)


def test_structural_damping_changes_a_run():
    ends = []
    for structural in (0.0, 5.0):
        network = Sequences()
        settings = {"epochs": 2, "batch_size": 20, "optimizer": "hessian-free", "structural_damping": structural}
        trainer(None, settings, network=network, train=Words(40)).run()
        ends.append(network.head.weight.detach())
    assert not torch.equal(*ends)
