"""Checks of the layers of `elman.nn.torch`, with torch's error types and words, and the repair.

A program written for torch catches the errors that torch raises. Each error here is therefore an instance of every type
that torch raises for the same mistake, and begins with torch's words.
"""

import numbers
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from elman.compiler.autocast import fits
from elman.data.ragged.ragged import Ragged
from elman.errors import ShapeError, UsageError, nearest
from elman.nn.checks import described
from elman.tensors import check_layout


class SettingError(UsageError, TypeError, RuntimeError):
    """A setting that torch's layers refuse too, with a ValueError, a TypeError or a RuntimeError."""


class InputError(ShapeError, TypeError, RuntimeError, AttributeError, IndexError, KeyError):
    """An input or a state that torch's layers refuse too, with one of these errors."""


NONLINEARITIES = {"tanh": "RNN_TANH", "relu": "RNN_RELU"}


def check_settings(
    *,
    input_size: Any,
    hidden_size: Any,
    num_layers: Any = 1,
    bias: Any = True,
    batch_first: Any = False,
    dropout: Any = 0.0,
    bidirectional: Any = False,
    proj_size: Any = 0,
    projects: bool = False,
    nonlinearity: Any = "tanh",
) -> None:
    """Refuse settings with which a layer cannot be built.

    Args:
        projects: whether the layer is an LSTM, which has projections; the other arguments are settings.

    Raises:
        SettingError: one or several wrong settings, all of which are named.
    """
    problems = _wrong_nonlinearity(nonlinearity)
    problems += _wrong_dropout(dropout)
    flags = {"bias": bias, "batch_first": batch_first, "bidirectional": bidirectional}
    problems += [
        (f"{name} should be of type bool, got: {type(value).__name__} ({value!r}).", f"{name}: give True or False.")
        for name, value in flags.items()
        if not isinstance(value, bool)
    ]
    sizes = {"input_size": input_size, "hidden_size": hidden_size, "num_layers": num_layers}
    problems += [problem for name, value in sizes.items() for problem in _wrong_size(name, value)]
    problems += _wrong_projection(proj_size, hidden_size) if projects else _no_projection(proj_size)
    if problems:
        raise SettingError("\n".join(each for each, _ in problems), fix=" ".join(repair for _, repair in problems))


Problem = tuple[str, str]


def is_whole(value: Any) -> bool:
    """Return whether a value is a whole number, and not True or False."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _wrong_size(name: str, value: Any) -> list[Problem]:
    # torch accepts NumPy's whole numbers as counts, and refuses them as sizes.
    valid = is_whole(value) if name == "num_layers" else is_whole(value) and isinstance(value, int)
    repair = f"{name}: give a whole number, 1 or more."
    if not valid:
        return [(f"{name} should be of type int, got: {type(value).__name__} ({value!r}).", repair)]
    return [] if value > 0 else [(f"{name} must be greater than zero, got {value}.", repair)]


def _wrong_dropout(dropout: Any) -> list[Problem]:
    if isinstance(dropout, numbers.Real) and not isinstance(dropout, bool) and 0 <= float(dropout) <= 1:
        return []
    wanted = "a number in range [0, 1] representing the probability of an element being zeroed"
    return [(f"dropout should be {wanted}, got {dropout!r}.", "dropout: give a probability from 0 to 1.")]


def _wrong_projection(proj_size: Any, hidden_size: Any) -> list[Problem]:
    repair = "proj_size: give a whole number below hidden_size, or 0 for no projection."
    if not is_whole(proj_size):
        return [(f"proj_size should be of type int, got: {type(proj_size).__name__} ({proj_size!r}).", repair)]
    if proj_size < 0:
        return [(f"proj_size should be a positive integer or zero to disable projections, got {proj_size}.", repair)]
    if is_whole(hidden_size) and 0 < hidden_size <= proj_size:
        return [(f"proj_size has to be smaller than hidden_size, got {proj_size} and {hidden_size}.", repair)]
    return []


def _no_projection(proj_size: Any) -> list[Problem]:
    if is_whole(proj_size) and proj_size == 0:
        return []
    problem = f"proj_size argument is only supported for LSTM, not RNN or GRU; got {proj_size!r}."
    return [(problem, "Leave out proj_size, or use an LSTM.")]


def _wrong_nonlinearity(nonlinearity: Any) -> list[Problem]:
    if isinstance(nonlinearity, str) and nonlinearity in NONLINEARITIES:
        return []
    problem = f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'."
    return [(problem, f"nonlinearity: {nearest(nonlinearity, NONLINEARITIES)}")]


def check_input(layer: nn.RNNBase, inputs: Any) -> None:
    """Refuse an input that is not a batch of sequences with the layer's features and float type.

    Raises:
        InputError: another kind of value, shape, type or device.
    """
    if isinstance(inputs, Tensor):
        check_layout(inputs)
    data, dims, forms = _read_form(layer, inputs)
    if data.dim() not in dims:
        axes = " or ".join(f"{count}D" for count in dims)
        raise InputError(f"{layer._get_name()}: Expected input to be {axes}, got {data.dim()}D instead.", fix=forms)
    check_kind(data, getattr(layer, layer._flat_weights_names[0]))
    if data.shape[-1] != layer.input_size:
        raise InputError(
            f"input.size(-1) must be equal to input_size. Expected {layer.input_size}, got {data.shape[-1]}; "
            f"the input has the shape {tuple(data.shape)}.",
            fix=f"{forms} Or build the layer with input_size={data.shape[-1]}.",
        )


def _read_form(layer: nn.RNNBase, inputs: Any) -> tuple[Tensor, tuple[int, ...], str]:
    """Return the data of an input, the valid numbers of axes, and the repair."""
    size = layer.input_size
    if isinstance(inputs, Ragged):
        return inputs.data, (2,), f"Give a Ragged batch of steps with {size} features."
    if isinstance(inputs, PackedSequence):
        return inputs.data, (2,), f"Give a PackedSequence of steps with {size} features."
    axes = f"(batch, time, {size})" if layer.batch_first else f"(time, batch, {size})"
    if isinstance(inputs, Tensor):
        return inputs, (2, 3), f"Give a tensor {axes}, or (time, {size}) for one sequence."
    raise wrong_kind(layer, inputs, f"Give a tensor {axes}, a PackedSequence, or a Ragged batch.")


def wrong_kind(layer: nn.Module, inputs: Any, fix: str) -> InputError:
    """Return the error for an input that is not a tensor."""
    kind = type(inputs).__name__
    return InputError(f"{layer._get_name()}: Expected input to be a tensor, got an object of type {kind}.", fix=fix)


def check_kind(data: Tensor, weight: Tensor) -> None:
    """Refuse an input of another float type or on another device than the parameters.

    Raises:
        InputError: the types or the devices differ.
    """
    if data.device != weight.device:
        raise InputError(
            "Input and parameter tensors are not at the same device, "
            f"found input tensor at {data.device} and parameter tensor at {weight.device}.",
            fix=f"Move the input with .to({str(weight.device)!r}), or the layer with .to({str(data.device)!r}).",
        )
    if not fits(data.dtype, weight):
        raise InputError(
            f"The input is {data.dtype}, the parameters are {weight.dtype}.",
            fix=f"RNN input dtype ({data.dtype}) does not match weight dtype ({weight.dtype}). "
            f"Convert input: input.to({weight.dtype}), or convert model: model.to({data.dtype})",
        )


def check_states(hidden: Any, wanted: Mapping[str, tuple[int, ...]], like: Tensor) -> list[Tensor]:
    """Return the initial states as a list.

    Args:
        hidden: the caller's value: a tensor for one state, a sequence of tensors for two.
        wanted: the shape of each state by its name.
        like: the input, whose type and device the states must have.

    Raises:
        InputError: another number of states, other shapes, or another type or device.
    """
    names = list(wanted)
    single = len(names) == 1
    given = [hidden] if single else list(hidden) if isinstance(hidden, tuple | list) else None
    fix = f"Give {_listed(wanted)}." if single else f"Give the pair ({', '.join(names)}): {_listed(wanted)}."
    if given is None or len(given) != len(names):
        got = "one tensor" if isinstance(hidden, Tensor) else described(hidden)
        count = "" if given is None else f" of {len(given)}"
        raise InputError(f"Expected hx to be {len(names)} hidden states, got {got}{count}.", fix=fix)
    for index, (state, shape) in enumerate(zip(given, wanted.values(), strict=True)):
        which = "" if single else f"[{index}]"
        if not isinstance(state, Tensor):
            raise InputError(f"Expected hidden{which} to be a tensor, got {described(state)}.", fix=fix)
        if tuple(state.shape) != shape:
            raise InputError(_wrong_shape(which, state, shape), fix=fix)
        if not fits(state.dtype, like) or state.device != like.device:
            raise InputError(
                f"Expected hidden{which} to be {like.dtype} on {like.device}, got {state.dtype} on {state.device}.",
                fix="Convert the states with .to(input).",
            )
    return given


def check_arrays(arrays: Mapping[str, Tensor], wanted: Mapping[str, tuple[int, ...]], suffix: str) -> None:
    """Refuse parameters that were replaced by parameters of other shapes.

    Args:
        arrays: the parameters by torch's names without their ending.
        wanted: the shape of each.
        suffix: the ending of the names, such as `l0`.

    Raises:
        InputError: one or several parameters of other shapes, all of which are named.
    """
    wrong = [
        f"{name}_{suffix}: expected {wanted[name]}, got {tuple(array.shape)}"
        for name, array in arrays.items()
        if tuple(array.shape) != wanted[name]
    ]
    if wrong:
        raise InputError(
            "Parameters have other shapes than the layer was built with.",
            where="\n".join(wrong),
            fix="Give each parameter the expected shape, or build another layer.",
        )


def _wrong_shape(which: str, state: Tensor, shape: tuple[int, ...]) -> str:
    if state.dim() == len(shape):
        return f"Expected hidden{which} size {shape}, got {list(state.shape)}."
    batched = "batched 3-D" if len(shape) == 3 else "unbatched 2-D"
    return f"For {batched} input, hx{which} should also be {len(shape)}-D but got {state.dim()}-D tensor."


def _listed(shapes: Mapping[str, Sequence[int]]) -> str:
    return " and ".join(f"{name} of shape {shape}" for name, shape in shapes.items())


@contextmanager
def torch_errors_as_settings() -> Iterator[None]:
    """Turn torch's errors for a wrong device or dtype into a `SettingError`."""
    try:
        yield
    except (TypeError, RuntimeError) as error:
        raise SettingError(
            f"torch cannot make the parameters: {error}",
            fix="Give device as a torch.device or its name, and dtype as a float type such as torch.float32.",
        ) from error
