"""Optimisers by name, and their state as plain named tensors."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop

from elman.errors import UsageError
from elman.settings.training import RunSettings
from elman.training.hessian_free import build_hessian_free

# On a CPU the fused step takes a half to a quarter of the time of torch's other forms, and rounds differently by an
# ulp; RMSprop has none, and its foreach form gains nothing there.
_OPTIMIZERS: dict[str, Callable[[Any, RunSettings], Optimizer]] = {
    "sgd": lambda groups, s: SGD(groups, s.learning_rate, s.momentum, fused=True),
    "rmsprop": lambda groups, s: RMSprop(groups, s.learning_rate, momentum=s.momentum),
    "adam": lambda groups, s: Adam(groups, s.learning_rate, s.betas, fused=True),
    "adamw": lambda groups, s: AdamW(groups, s.learning_rate, s.betas, fused=True),
    "hessian-free": build_hessian_free,
}


def build_optimizer(model: nn.Module, settings: RunSettings) -> Optimizer:
    """Build the optimiser of the settings over every parameter that is to be trained.

    Weight decay (`adamw`: decoupled, Loshchilov & Hutter 2019; the others: added to the gradient) is for matrices;
    biases, gains and other vectors are left alone.

    Raises:
        UsageError: the model has nothing to train.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not parameters:
        raise UsageError(
            "The model has no parameter to train.", fix="Give a model with at least one parameter that requires_grad."
        )
    decays = [(parameters, 0.0)]
    # Each group adds about 0.1 ms to a step.
    if settings.weight_decay:
        matrices = [parameter for parameter in parameters if parameter.ndim > 1]
        vectors = [parameter for parameter in parameters if parameter.ndim <= 1]
        decays = [(matrices, settings.weight_decay), (vectors, 0.0)]
    groups = [{"params": group, "weight_decay": decay} for group, decay in decays if group]
    return _OPTIMIZERS[settings.optimizer](groups, settings)


def set_learning_rate(optimizer: Optimizer, learning_rate: float) -> None:
    """Set the learning rate of every group of the optimiser."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate


def optimizer_tensors(optimizer: Optimizer, parameters: Iterable[tuple[str, nn.Parameter]]) -> dict[str, Tensor]:
    """Return the optimiser's state as named tensors, such as `gru.weight_hh_l0/exp_avg`.

    Args:
        optimizer: its state is read, not copied.
        parameters: names and parameters, as `model.named_parameters()` gives them.
    """
    return {
        f"{name}/{key}": value
        for name, parameter in parameters
        for key, value in optimizer.state.get(parameter, {}).items()
        if isinstance(value, Tensor)
    }


def load_optimizer_tensors(
    optimizer: Optimizer, parameters: Iterable[tuple[str, nn.Parameter]], tensors: Mapping[str, Tensor]
) -> None:
    """Replace the optimiser's state by what `optimizer_tensors` gave, bit for bit."""
    by_name = dict(parameters)
    optimizer.state.clear()
    for full_name, tensor in tensors.items():
        name, _, key = full_name.rpartition("/")
        parameter = by_name[name]
        # Adam and RMSprop count their steps in a tensor, which torch keeps on the CPU unless the step is fused.
        device = parameter.device if key != "step" or _is_fused(optimizer) else torch.device("cpu")
        optimizer.state[parameter][key] = tensor.to(device, copy=True)


def _is_fused(optimizer: Optimizer) -> bool:
    return any(group.get("fused") for group in optimizer.param_groups)
