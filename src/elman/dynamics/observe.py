"""The recurrent layers of any network, with what they read of a batch."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from elman.data.ragged.ragged import Ragged
from elman.dynamics.trajectory import Layer, layers_of
from elman.errors import UsageError
from elman.nn.recurrent import Recurrent
from elman.nn.reservoir_body import ReservoirBody


def observed_layers(
    network: nn.Module,
    read: Callable[[], Any],
    sequences: int | None = None,
    *,
    dtype: torch.dtype = torch.float64,
) -> list[Layer]:
    """Return every recurrent layer of a network with what it reads.

    Args:
        network: put in evaluation mode for the reading, and back.
        read: has the network read a batch. Of several calls of a layer in it, the first counts.
        sequences: keep at most so many, the first ones of the batch.
        dtype: the type to compute in.

    Raises:
        UsageError: no recurrent layer read anything, or the network feeds its output back.
    """
    if any(isinstance(module, ReservoirBody) and module.outputs for module in network.modules()):
        raise UsageError(
            "The gradients of a network with output feedback are not measured: they also flow through the outputs.",
            fix="Train it without feedback_scaling (--feedback-scaling) to measure its reservoirs.",
        )
    calls: dict[str, tuple[Recurrent, tuple, dict[str, Any]]] = {}
    hooks = []
    for name, module in network.named_modules():
        if isinstance(module, Recurrent):

            def keep(module: nn.Module, given: tuple, named: dict[str, Any], name: str = name) -> None:
                calls.setdefault(name, (module, given, named))  # type: ignore[arg-type]

            hooks.append(module.register_forward_pre_hook(keep, with_kwargs=True))
    was_training = network.training
    network.eval()
    try:
        with torch.no_grad():
            read()
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    if not calls:
        raise UsageError(
            "Expected a network with a recurrent layer, got one without.",
            fix="Train a model with a cell, such as lstm.",
        )
    return [
        layer._replace(name=f"{name}.{layer.name}" if name else layer.name)
        for name, (recurrent, given, named) in calls.items()
        for layer in _some(layers_of(recurrent, *given, dtype=dtype, **named), sequences)
    ]


def _some(layers: list[Layer], count: int | None) -> list[Layer]:
    """Keep the first sequences."""
    if count is None:
        return layers
    return [
        layer._replace(
            inputs=[_first(each, count) for each in layer.inputs], initial=[each[:count] for each in layer.initial]
        )
        for layer in layers
    ]


def _first(batch: Ragged, count: int) -> Ragged:
    return batch.select(range(min(count, batch.batch_size)))
