"""The weights of a model as named tensors: copied and loaded."""

from collections.abc import Mapping

from torch import Tensor, nn

from elman.errors import UsageError


def copy_weights(model: nn.Module) -> dict[str, Tensor]:
    """Return a copy of every parameter and buffer that the model saves."""
    return {name: tensor.detach().clone() for name, tensor in weights_of(model).items()}


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """Return every parameter and buffer that the model saves, not copied.

    Raises:
        UsageError: the model saves something that is not a tensor.
    """
    state = model.state_dict()
    if foreign := [name for name, value in state.items() if not isinstance(value, Tensor)]:
        raise UsageError(
            f"The model saves state that is not a tensor: {', '.join(foreign)}.", fix="Keep it in buffers (tensors)."
        )
    return state


def load_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copy these values into the model's own tensors."""
    model.load_state_dict(dict(weights), strict=True)


def describe_weights(model: nn.Module) -> dict[str, str]:
    """Return the type and shape of each weight, and whether it is trained, by its name.

    >>> describe_weights(nn.Linear(3, 2))
    {'weight': 'float32 (2, 3) trained', 'bias': 'float32 (2,) trained'}
    """
    trained = {name for name, parameter in model.named_parameters(remove_duplicate=False) if parameter.requires_grad}
    return {
        name: f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}{' trained' * (name in trained)}"
        for name, tensor in weights_of(model).items()
    }
