"""Kinds of tensors: memory that kernels can read, views to resolve first, and others.

They are read from the dispatch keys of torch: one set for plain memory, and an additional key for every other kind.
"""

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from enum import Enum
from functools import wraps
from operator import attrgetter
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch._C._functorch import get_unwrapped, is_functorch_wrapped_tensor
from torch.autograd import forward_ad
from torch.utils._python_dispatch import _disable_current_modes

from elman.errors import ShapeError

F = TypeVar("F", bound=Callable[..., Any])


class Kind(Enum):
    """How a tensor is to be treated."""

    PLAIN = "memory, on some device"
    LAZY = "memory seen through a sign, or zeros without memory"
    OTHER = "a wrapper, a fake or a batched tensor, for torch's own operations only"
    REFUSED = "a layout that no recurrent layer reads"


_dispatch_keys, _raw_keys = torch._C._dispatch_keys, torch._C.DispatchKeySet.raw_repr
_is_contiguous, _offset_of, _storage_of = Tensor.is_contiguous, Tensor.storage_offset, Tensor.untyped_storage
_bytes_of, _bytes_of_storage = attrgetter("nbytes"), torch.UntypedStorage.nbytes
_KINDS: dict[int, Kind] = {}
_PLAIN = Kind.PLAIN
_LAZY_KEYS = ("Negative", "ZeroTensor", "Conjugate")
_OTHER_KEYS = ("Python", "Batched", "Functorch", "FuncTorch", "Functionalize")
_REFUSED_KEYS = ("Sparse", "Nested", "Quantized", "Mkldnn")


def kind_of(tensor: Tensor) -> Kind:
    """Return how a tensor is to be treated."""
    # Called for every tensor of every call of a layer, so that the kind of each set of keys is cached by its number.
    keys = _dispatch_keys(tensor)
    return _KINDS.get(keys.raw_repr()) or _KINDS.setdefault(keys.raw_repr(), _read_keys(str(keys)))


def _read_keys(keys: str) -> Kind:
    groups = ((Kind.REFUSED, _REFUSED_KEYS), (Kind.OTHER, _OTHER_KEYS), (Kind.LAZY, _LAZY_KEYS))
    names = [name.strip() for name in keys.partition("(")[2].rstrip(")").split(",")]
    return next((kind for kind, starts in groups if any(name.startswith(starts) for name in names)), Kind.PLAIN)


def resolved(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return tensors in plain memory, instead of views with a sign or zeros without memory.

    Raises:
        ShapeError: the layout is not strided, or the memory of a tensor was freed.
    """
    return [*read(tensors)[0]]


def read(tensors: Sequence[Tensor]) -> tuple[Sequence[Tensor], bool]:
    """Resolve tensors, and return whether one of them is for torch's own operations only.

    Raises:
        ShapeError: as `resolved`.
    """
    if _are_plain(tensors):
        return tensors, False
    found, has_others = list(tensors), False
    for index, tensor in enumerate(found):
        kind = kind_of(tensor)
        if kind is not _PLAIN or not _has_memory(tensor):
            found[index] = _resolve(tensor, kind)
            has_others = has_others or kind is Kind.OTHER
    return found, has_others


def _are_plain(tensors: Sequence[Tensor]) -> bool:
    """Return whether all tensors are plain memory, as in nearly every call of a layer."""
    # Each attribute is read for all tensors at once, since a loop over them takes twice as long.
    return all(_KINDS.get(keys) is _PLAIN for keys in set(map(_raw_keys, map(_dispatch_keys, tensors)))) and all(
        (is_contiguous and not offset and size <= room) or _has_memory(tensor)
        for tensor, is_contiguous, offset, size, room in zip(
            tensors,
            map(_is_contiguous, tensors),
            map(_offset_of, tensors),
            map(_bytes_of, tensors),
            map(_bytes_of_storage, map(_storage_of, tensors)),
            strict=True,
        )
    )


def _resolve(tensor: Tensor, found: Kind) -> Tensor:
    if found is Kind.OTHER:
        return tensor
    if found is Kind.REFUSED:
        check_layout(tensor)
    if found is Kind.LAZY:
        if tensor._is_zerotensor():
            return torch.zeros(tensor.shape, dtype=tensor.dtype, device=tensor.device)
        tensor = tensor.resolve_conj().resolve_neg()
    if not _has_memory(tensor) and tensor.device.type == "cpu":
        raise ShapeError(
            f"Expected a tensor with memory, got one of shape {tuple(tensor.shape)} on a storage of "
            f"{tensor.untyped_storage().nbytes()} bytes.",
            fix="Its storage was resized: give the tensor memory again before the layer reads it.",
        )
    return tensor


def check_layout(tensor: Tensor) -> None:
    """Refuse tensors that are not plain: sparse, nested, quantized.

    Raises:
        ShapeError: the layout is not strided.
    """
    if torch.compiler.is_compiling() or kind_of(tensor) is _PLAIN:
        return
    if tensor.is_nested or kind_of(tensor) is Kind.REFUSED:
        layout = "nested" if tensor.is_nested else str(tensor.layout).removeprefix("torch.")
        raise ShapeError(
            f"Expected a plain tensor, got one with the layout {layout}.",
            fix="Convert it first: Ragged.from_nested(tensor), tensor.to_dense() or tensor.dequantize().",
        )


def _has_memory(tensor: Tensor) -> bool:
    """Return whether all the tensor's numbers are within its storage."""
    count = tensor.numel()
    if count and not tensor.is_contiguous():
        count = 1 + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return not count or (tensor.storage_offset() + count) * tensor.itemsize <= tensor.untyped_storage().nbytes()


def is_recorded(like: Tensor) -> bool:
    """Return whether torch records operations on this tensor, or infers only their shapes."""
    return (
        torch.compiler.is_compiling()
        or torch._C._is_tracing()
        or torch._C._len_torch_dispatch_stack() > 0
        or (kind_of(like) is Kind.OTHER and is_symbolic(like))
    )


def is_symbolic(tensor: Tensor) -> bool:
    """Return whether the tensor is a shape without numbers, as torch's fake tensors are."""
    modules = ("torch._subclasses.fake_tensor", "torch._subclasses.functional_tensor")
    names = ("FakeTensor", "FunctionalTensor")
    return any(
        module in sys.modules and isinstance(tensor, getattr(sys.modules[module], name))
        for module, name in zip(modules, names, strict=True)
    )


def is_transformed() -> bool:
    """Return whether vmap, jvp or grad of torch.func is active.

    They know torch's own operations only.
    """
    return torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0


def is_differentiated(tensor: Tensor) -> bool:
    """Return whether a derivative of any kind by this tensor may be wanted."""
    if torch.is_grad_enabled() and tensor.requires_grad:
        return True
    return torch.compiler.is_compiling() or is_transformed()


def unwrapped(tensor: Tensor) -> Tensor:
    """Unwrap a tensor of vmap, jvp or grad of torch.func: the numbers of all calls together."""
    while is_functorch_wrapped_tensor(tensor):
        tensor = get_unwrapped(tensor)
    return tensor


def constant_in_compiled_code(function: F) -> F:
    """Mark a function that torch.compile calls once, while it compiles, to keep the result.

    It does what `torch.compiler.assume_constant_result` does, which imports the whole compiler of torch.
    """
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function


def outside_compiled_code(function: F) -> F:
    """Wrap a function that torch.compile must not compile, since its result depends on numbers.

    It is `torch.compiler.disable`, called only if torch's compiler is loaded, since it imports all of it.
    """

    @wraps(function)
    def outside(*args: Any) -> Any:
        found = torch.compiler.disable(function) if "torch._dynamo" in sys.modules else function
        return found(*args)

    outside._torchdynamo_disable = True  # type: ignore[attr-defined]
    return outside  # type: ignore[return-value]


def without_modes() -> AbstractContextManager[Any]:
    """Return a context in which new tensors are plain memory, in any mode of the caller."""
    return _disable_current_modes() if torch._C._len_torch_dispatch_stack() else nullcontext()
