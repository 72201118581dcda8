import copy

import pytest
import torch
from torch import nn

from elman.errors import UsageError
from elman.training import TrainingSettings
from elman.training.optimizers import build_optimizer, load_optimizer_tensors, optimizer_tensors, set_learning_rate

CASES = {
    "sgd": {"optimizer": "sgd"},
    "sgd with momentum": {"optimizer": "sgd", "momentum": 0.9},
    "rmsprop": {"optimizer": "rmsprop"},
    "rmsprop with momentum": {"optimizer": "rmsprop", "momentum": 0.9},
    "adam": {"optimizer": "adam", "betas": (0.8, 0.95)},
    "adamw": {"optimizer": "adamw", "weight_decay": 0.1},
}


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)).double()


def step(net: nn.Module, optimizer: torch.optim.Optimizer, seed: int) -> None:
    torch.manual_seed(seed)
    for parameter in net.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()


@pytest.mark.parametrize("case", CASES)
def test_exported_state_continues_bit_for_bit(case):
    settings = TrainingSettings(**CASES[case])
    net = model()
    optimizer = build_optimizer(net, settings)
    for seed in range(3):
        step(net, optimizer, seed)
    other = copy.deepcopy(net)
    continued = build_optimizer(other, settings)
    tensors = {name: tensor.clone() for name, tensor in optimizer_tensors(optimizer, net.named_parameters()).items()}
    load_optimizer_tensors(continued, other.named_parameters(), tensors)
    for seed in range(3, 6):
        step(net, optimizer, seed)
        step(other, continued, seed)
    assert all(torch.equal(one, two) for one, two in zip(net.parameters(), other.parameters(), strict=True))


def test_state_is_named_after_its_parameter():
    net = model()
    optimizer = build_optimizer(net, TrainingSettings(optimizer="adam"))
    assert optimizer_tensors(optimizer, net.named_parameters()) == {}
    step(net, optimizer, 0)
    named = optimizer_tensors(optimizer, net.named_parameters())
    assert named["0.weight/exp_avg"].shape == (4, 3)
    assert len(named) == 4 * 3


def weight_after(decay: float, optimizer: str, **settings) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    net = nn.Linear(2, 1).double()
    before = net.weight.detach().clone()
    built = build_optimizer(net, TrainingSettings(optimizer=optimizer, weight_decay=decay, **settings))
    bias = net.bias.detach().clone()
    for parameter in net.parameters():
        parameter.grad = torch.zeros_like(parameter)
    built.step()
    assert torch.equal(net.bias.detach(), bias)
    return before, net.weight.detach(), net.weight.grad


def test_weight_decay_is_for_matrices_only():
    before, after, _ = weight_after(0.5, "sgd", learning_rate=0.1)
    torch.testing.assert_close(after, before * (1 - 0.1 * 0.5))
    before, after, _ = weight_after(0.5, "adamw", learning_rate=0.1)
    torch.testing.assert_close(after, before * (1 - 0.1 * 0.5))


@pytest.mark.parametrize(("decay", "sizes"), [(0.0, [4]), (0.5, [2, 2])])
def test_parameters_are_apart_only_for_weight_decay(decay: float, sizes: list[int]):
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    groups = build_optimizer(net, TrainingSettings(optimizer="adamw", weight_decay=decay)).param_groups
    assert [len(group["params"]) for group in groups] == sizes
    assert [group["weight_decay"] for group in groups] == [decay, 0.0][: len(sizes)]


@pytest.mark.parametrize("case", CASES)
def test_first_step_follows_the_formula(case):
    settings = TrainingSettings(learning_rate=0.1, **CASES[case])
    weight = nn.Parameter(torch.tensor([[0.5, -2.0]], dtype=torch.float64))
    holder = nn.ParameterList([weight])
    weight.grad = gradient = torch.tensor([[0.3, -0.7]], dtype=torch.float64)
    start = weight.detach().clone()
    build_optimizer(holder, settings).step()
    expected = {
        "sgd": gradient,
        # The running mean of squares starts at 0 and has the decay 0.99.
        "rmsprop": gradient / ((0.01 * gradient**2).sqrt() + 1e-8),
        # Corrected for their start, both means of the first step are the gradient itself.
        "adam": gradient / (gradient.abs() + 1e-8),
        "adamw": gradient / (gradient.abs() + 1e-8) + settings.weight_decay * start,
    }[settings.optimizer]
    torch.testing.assert_close(weight.detach(), start - 0.1 * expected, rtol=1e-6, atol=1e-9)


def test_learning_rate_is_that_of_the_step():
    net = model()
    optimizer = build_optimizer(net, TrainingSettings(optimizer="sgd", learning_rate=0.1))
    before = net[0].weight.detach().clone()
    set_learning_rate(optimizer, 0.25)
    step(net, optimizer, 0)
    torch.testing.assert_close(net[0].weight.detach(), before - 0.25 * net[0].weight.grad)


def test_a_frozen_parameter_stays_and_a_model_without_any_is_refused():
    net = model()
    net[0].requires_grad_(False)
    optimizer = build_optimizer(net, TrainingSettings())
    assert sum(len(group["params"]) for group in optimizer.param_groups) == 2
    with pytest.raises(UsageError, match="no parameter to train"):
        build_optimizer(net.requires_grad_(False), TrainingSettings())
