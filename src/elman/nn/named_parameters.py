"""A module whose parameters have names of the user's, and what torch's tools make of them."""

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from elman.errors import UsageError

# Methods of a module that are called on the whole layer only, so that here the name may be a parameter's.
CONVERSIONS = ("bfloat16", "cpu", "cuda", "double", "float", "half", "ipu", "mtia", "to", "to_empty", "type", "xpu")
OF_THE_WHOLE = frozenset((*CONVERSIONS, "compile", "eval", "forward", "share_memory", "zero_grad"))


class NamedParameters(nn.Module):
    """Parameters by names that may be any text without a dot, such as `hidden/0`, or `half`.

    torch's tools know a parameter by the name of an attribute, and some put something else in its place: a
    parametrization computes it (`torch.nn.utils.parametrizations`), pruning multiplies it by a mask, the older
    `weight_norm` sets it before each call. `values` gives each parameter as it is then, and `assign` sets what it is
    computed from.

    A name may also be that of a method which every module has. Where the method is called on the whole layer only
    (`half`, `type`, `forward`; see `OF_THE_WHOLE`), the attribute is the parameter, as torch's tools need it; where
    not (`train`, `parameters`), the parameter works, but those tools do not find it.
    """

    def __init__(self, names: Iterable[str]):
        super().__init__()
        self._taken = OF_THE_WHOLE.intersection(names)

    def values(self, names: Iterable[str]) -> dict[str, Tensor]:
        """Each parameter by its name, as a step computes with it."""
        own = self.__dict__
        # This module is not called, so what is to happen before its call happens here.
        for key, hook in own["_forward_pre_hooks"].items():
            hook(self, (), {}) if key in own["_forward_pre_hooks_with_kwargs"] else hook(self, ())
        found: dict[str, Tensor] = {}
        for name in names:
            parameter = own["_parameters"].get(name)
            found[name] = self._read(name) if parameter is None else parameter
        return found

    def _read(self, name: str) -> Tensor:
        found = self._buffers.get(name)
        return getattr(self, name) if found is None else found

    @torch.no_grad()
    def assign(self, name: str, value: Tensor) -> None:
        """Set a parameter to a value, or what it is computed from so that it gets that value.

        Raises:
            UsageError: it is computed in a way that cannot be reversed.
        """
        # A pruned parameter is kept whole under another name; its mask acts again when it is used.
        for stored in (name, f"{name}_orig"):
            found = self._parameters.get(stored)
            found = self._buffers.get(stored) if found is None else found
            if found is not None:
                found.copy_(value)
                return
        if not parametrize.is_parametrized(self, name):
            raise _cannot_be_set(name, "it is computed before each call")
        try:
            setattr(self, name, value.to(getattr(self, name)))
        except (NotImplementedError, RuntimeError, ValueError) as error:
            raise _cannot_be_set(name, str(error)) from error

    def register_parameter(self, name: str, param: nn.Parameter | None) -> None:
        """Add a parameter; its name may be one of `OF_THE_WHOLE`."""
        if name in OF_THE_WHOLE:
            self._parameters[name] = param
        else:
            super().register_parameter(name, param)

    def __getattribute__(self, name: str) -> Any:
        if name in OF_THE_WHOLE:
            own = super().__getattribute__("__dict__")
            if name in own.get("_taken", ()):
                return self._taken_attribute(name, own)
        return super().__getattribute__(name)

    def _taken_attribute(self, name: str, own: dict[str, Any]) -> Any:
        """The parameter, or what a tool has put in its place: an attribute of the module, a property of its class."""
        for place in (own["_parameters"], own["_buffers"], own):
            if place.get(name) is not None:
                return place[name]
        if isinstance(getattr(type(self), name, None), property):
            return super().__getattribute__(name)
        raise AttributeError(f"The parameter `{name}` has been taken out of the module.")

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "training":
            # The module's mode, also where a parameter has this name.
            self.__dict__[name] = value
            return
        # torch keeps parametrizations in a ModuleDict, which takes no key that is one of its own attributes.
        is_first = name == "parametrizations" and type(value) is nn.ModuleDict and not len(value)
        super().__setattr__(name, _AnyKey() if is_first else value)


class _AnyKey(nn.ModuleDict):
    """A `ModuleDict` whose keys may be any names."""

    def __setitem__(self, key: str, module: nn.Module) -> None:
        self._modules[key] = module

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)


def _cannot_be_set(name: str, reason: str) -> UsageError:
    return UsageError(
        f"The parameter `{name}` cannot be set: {reason}.",
        fix="Remove what computes it first (torch.nn.utils.parametrize.remove_parametrizations, remove_weight_norm), "
        "or set its own parameters.",
    )
