"""The weights of a model as named tensors: copied out, put back, averaged over the steps of a run."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from elman.errors import UsageError


def copy_weights(model: nn.Module) -> dict[str, Tensor]:
    """A copy of every parameter and buffer that the model saves."""
    return {name: tensor.detach().clone() for name, tensor in weights_of(model).items()}


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """Every parameter and buffer that the model saves, not copied.

    Raises:
        UsageError: the model saves something that is no tensor.
    """
    state = model.state_dict()
    if foreign := [name for name, value in state.items() if not isinstance(value, Tensor)]:
        raise UsageError(
            f"The model saves state that is no tensor: {', '.join(foreign)}.", fix="Keep it in buffers (tensors)."
        )
    return state


def load_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copies these values into the model's own tensors."""
    model.load_state_dict(dict(weights), strict=True)


def describe_weights(model: nn.Module) -> dict[str, str]:
    """Name to type and shape, and whether it is trained, for comparing two models.

    >>> describe_weights(nn.Linear(3, 2))
    {'weight': 'float32 (2, 3) trained', 'bias': 'float32 (2,) trained'}
    """
    trained = {name for name, parameter in model.named_parameters(remove_duplicate=False) if parameter.requires_grad}
    return {
        name: f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}{' trained' * (name in trained)}"
        for name, tensor in weights_of(model).items()
    }


class MovingAverage:
    """The exponential moving average of the trained parameters.

    After step t (from 1) the average is `d a + (1 - d) w` with `d = min(decay, t / (t + 9))`: the early steps, when
    the start still shows, are forgotten faster.

    Source:
        Polyak & Juditsky 1992 on averaging; the rise of the decay with the steps as in TensorFlow's
        `ExponentialMovingAverage(num_updates=...)`, whose (1 + t) / (10 + t) counts from 0.

    Args:
        model: its parameters are followed from where they are now.
        decay: below 1.
    """

    def __init__(self, model: nn.Module, decay: float):
        self._names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
        self._parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._averages = [parameter.detach().clone() for parameter in self._parameters]
        self._decay = decay

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Counts in the parameters after this step (from 1)."""
        decay = min(self._decay, step / (step + 9))
        for average, parameter in zip(self._averages, self._parameters, strict=True):
            average.lerp_(parameter, 1 - decay)

    def tensors(self) -> dict[str, Tensor]:
        """The averages by the names of their parameters, not copied."""
        return dict(zip(self._names, self._averages, strict=True))

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes the averages over from these."""
        for name, average in self.tensors().items():
            average.copy_(tensors[name])

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Inside, the model has the averages for its parameters."""
        weights = [parameter.detach().clone() for parameter in self._parameters]
        self.keep()
        try:
            yield
        finally:
            _copy(weights, self._parameters)

    def keep(self) -> None:
        """Gives the model the averages for good."""
        _copy(self._averages, self._parameters)


@torch.no_grad()
def _copy(sources: list[Tensor], targets: list[nn.Parameter]) -> None:
    for source, target in zip(sources, targets, strict=True):
        target.copy_(source)
