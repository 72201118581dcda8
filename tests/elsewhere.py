"""A device that is not the CPU, without any hardware: tensors that know where they are, computed on the CPU.

A tensor on it has the device `meta`, and its numbers in a tensor of the CPU. An operation on tensors of both devices is
an error, as on a GPU, unless those of the CPU have no axes. What torch allows on a GPU and forbids here, or the other
way round, is listed where it is.
"""

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import return_and_correct_aliasing

from elman import tensors

AWAY, HOME = torch.device("meta"), torch.device("cpu")
ALLOWED = {"aten::_to_copy", "aten::copy_", "aten::_local_scalar_dense", "aten::index.Tensor", "aten::index_put_"}


class Elsewhere(Tensor):
    """A tensor of the other device."""

    inside: Tensor

    @staticmethod
    def __new__(cls, inside: Tensor):
        how = {"dtype": inside.dtype, "device": AWAY, "requires_grad": False}
        made = Tensor._make_wrapper_subclass(
            cls, inside.size(), strides=inside.stride(), storage_offset=inside.storage_offset(), **how
        )
        made.inside = inside
        return made

    def tolist(self) -> Any:
        return self.inside.tolist()

    def __repr__(self, **_: Any) -> str:
        return f"Elsewhere({self.inside})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return dispatched(func, args, kwargs or {})


def dispatched(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    tensors = [each for each in leaves((args, kwargs)) if isinstance(each, Tensor)]
    away = [each for each in tensors if isinstance(each, Elsewhere)]
    here = [each for each in tensors if not isinstance(each, Elsewhere)]
    name = func._schema.name
    lost = [each for each in here if each.is_meta]
    if lost and (name != "aten::where" or any(each.dim() for each in lost)):
        raise RuntimeError(f"{name} was given numbers that this test's device does not have.")
    wanted = kwargs.get("device")
    if away and name not in ALLOWED and (mixed := [tuple(each.shape) for each in here if each.dim()]):
        raise RuntimeError(f"Expected all tensors to be on the same device, got {name} of {mixed} on the CPU.")
    inner = mapped(_inside, (args, kwargs))
    if "device" in inner[1] and wanted is not None:
        inner[1]["device"] = HOME
    found = func(*inner[0], **inner[1])
    stays = bool(away) if wanted is None else is_away(wanted)
    if name == "aten::copy_":
        return args[0]
    if not stays:
        return found
    wrapped = mapped(lambda each: Elsewhere(each) if isinstance(each, Tensor) else each, found)
    return return_and_correct_aliasing(func, args, kwargs, wrapped) if away else wrapped


def leaves(value: Any) -> Iterator[Any]:
    """Give what lists, tuples and dictionaries hold; torch's own pytree takes longer than the operations."""
    if isinstance(value, list | tuple | dict):
        for each in value.values() if isinstance(value, dict) else value:
            yield from leaves(each)
    else:
        yield value


def mapped(function: Callable[[Any], Any], value: Any) -> Any:
    """Apply a function to the leaves of lists, tuples and dictionaries."""
    if isinstance(value, dict):
        return {name: mapped(function, each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)([mapped(function, each) for each in value])
    return function(value)


def _inside(value: Any) -> Any:
    # The derivatives of torch choose between a gradient and a 0 that it makes on the device.
    if isinstance(value, Tensor) and not isinstance(value, Elsewhere) and value.is_meta:
        return torch.zeros(value.shape, dtype=value.dtype)
    return value.inside if isinstance(value, Elsewhere) else value


class Made(TorchFunctionMode):
    """Makes tensors of the other device where a call names it."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (torch.where, Tensor.where, Tensor.__setitem__):
            # torch makes a tensor of a number, on the device of the others.
            like = next((each for each in args[::-1] if isinstance(each, Tensor)), None)
            first, *rest = args
            args = (first, *(_as_tensor(each, like) for each in rest))
        if func is Tensor.to and isinstance(args[1], Elsewhere) and not isinstance(args[0], Elsewhere):
            return Elsewhere(args[0].to(args[1].inside))
        if func is Tensor.backward:
            # Called with the mode on, which is off within this function.
            with self:
                return torch.autograd.backward(args[0])
        if func is Tensor.new_tensor and isinstance(args[0], Elsewhere):
            return Elsewhere(torch.tensor(args[1], dtype=args[0].dtype))
        if func is functional.embedding_bag and isinstance(args[0], Elsewhere) and args[0].dim() == 2:
            # torch makes the offsets of the rows.
            kwargs = {**kwargs, "offsets": Elsewhere(torch.arange(0, args[0].numel(), args[0].shape[1]))}
            weights = kwargs.get("per_sample_weights")
            kwargs["per_sample_weights"] = None if weights is None else weights.flatten()
            args = (args[0].flatten(), *args[1:])
        named = [each for each in (*args[1:], kwargs.get("device")) if each is not None and is_away(each)]
        if not named or any(isinstance(each, Elsewhere) for each in args):
            return func(*args, **kwargs)
        others = [HOME if is_away(each) else each for each in args]
        found = func(*others, **{**kwargs, **({"device": HOME} if "device" in kwargs else {})})
        return Elsewhere(found)


def is_away(value: Any) -> bool:
    return isinstance(value, str | torch.device) and str(value) == AWAY.type


_PLAIN_TO = Tensor.to


def _to(tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    if not isinstance(tensor, Elsewhere) and any(map(is_away, (*args, kwargs.get("device")))):
        return Elsewhere(tensor.detach().clone())
    return _PLAIN_TO(tensor, *args, **kwargs)


def _as_tensor(value: Any, like: Any) -> Any:
    return torch.tensor(value, dtype=like.dtype) if isinstance(value, float) and like is not None else value


@contextmanager
def elsewhere() -> Iterator[torch.device]:
    """Give the other device, which exists while inside."""
    keys = tensors._dispatch_keys(Elsewhere(torch.zeros(1))).raw_repr()
    trained = tensors._dispatch_keys(Elsewhere(torch.zeros(1)).requires_grad_()).raw_repr()
    with pytest.MonkeyPatch.context() as patch, Made(), torch.autograd.set_multithreading_enabled(False):
        # As on a GPU, these are plain memory to elman.
        patch.setitem(tensors._KINDS, keys, tensors.Kind.PLAIN)
        patch.setitem(tensors._KINDS, trained, tensors.Kind.PLAIN)
        # Autograd calls the functions of elman without the mode.
        patch.setattr(Tensor, "to", _to)
        # Views of wrapped tensors are not made in inference mode.
        patch.setattr(torch, "inference_mode", lambda mode=True: torch.no_grad() if mode else nullcontext())
        # torch.optim has a name `optimizer` only until it is imported whole.
        fused = importlib.import_module("torch.optim.optimizer")
        patch.setattr(fused, "_get_fused_kernels_supported_devices", lambda: [AWAY.type, HOME.type])
        yield AWAY
