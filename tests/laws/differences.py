"""Gradients by central differences."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor


def central_differences(
    function: Callable[[], float], tensors: Sequence[Tensor], step: float = 1e-5
) -> Iterator[Tensor]:
    """The gradient of the function with respect to each tensor, which it reads."""
    for tensor in tensors:
        gradient, flat = torch.zeros_like(tensor), tensor.view(-1)
        for index, value in enumerate(flat.tolist()):
            flat[index] = value + step
            above = function()
            flat[index] = value - step
            gradient.view(-1)[index] = (above - function()) / (2 * step)
            flat[index] = value
        yield gradient
