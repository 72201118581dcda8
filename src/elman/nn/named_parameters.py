"""A module whose parameters have names given by the user, and work with torch's tools."""

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from elman.errors import UsageError

# Methods of a module that are called on the whole layer only, so that a parameter here may have their names.
CONVERSIONS = ("bfloat16", "cpu", "cuda", "double", "float", "half", "ipu", "mtia", "to", "to_empty", "type", "xpu")
OF_THE_WHOLE = frozenset((*CONVERSIONS, "compile", "eval", "forward", "share_memory", "zero_grad"))


class NamedParameters(nn.Module):
    """Parameters whose names may be any text without a dot, such as `hidden/0` or `half`.

    torch's tools know a parameter by the name of an attribute, and some replace it: a parametrization computes it
    (`torch.nn.utils.parametrizations`), pruning multiplies it by a mask, the older `weight_norm` sets it before each
    call. `values` returns each parameter with these changes, and `assign` sets the parameters that it is computed from.

    A name may also be that of a method of every module. If the method is called on the whole layer only (`half`,
    `type`, `forward`; see `OF_THE_WHOLE`), the attribute is the parameter, as torch's tools need it. Under the name of
    another method (`train`, `parameters`) the parameter works, but those tools do not find it.

    Args:
        names: the names of the parameters.
    """

    def __init__(self, names: Iterable[str]):
        super().__init__()
        self._taken = OF_THE_WHOLE.intersection(names)

    def values(self, names: Iterable[str]) -> dict[str, Tensor]:
        """Return each parameter by its name, as a step computes with it."""
        own = self.__dict__
        # This module is not called, so the hooks that run before a call run here.
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
        """Set a parameter, or the parameters that it is computed from, to get this value.

        Raises:
            UsageError: the parameter is computed in a way that cannot be reversed.
        """
        # A pruned parameter is kept whole under another name, and its mask acts again when the parameter is used.
        for stored in (name, f"{name}_orig"):
            found = self._parameters.get(stored)
            found = self._buffers.get(stored) if found is None else found
            if found is not None:
                found.copy_(value)
                return
        if not parametrize.is_parametrized(self, name):
            raise _not_settable(name, "it is computed before each call")
        try:
            setattr(self, name, value.to(getattr(self, name)))
        except (NotImplementedError, RuntimeError, ValueError) as error:
            raise _not_settable(name, str(error)) from error

    def register_parameter(self, name: str, param: nn.Parameter | None) -> None:
        """Add a parameter, whose name may be one of `OF_THE_WHOLE`."""
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
        """Return the parameter, or the attribute or property by which a tool has replaced it."""
        for values in (own["_parameters"], own["_buffers"], own):
            if values.get(name) is not None:
                return values[name]
        if isinstance(getattr(type(self), name, None), property):
            return super().__getattribute__(name)
        raise AttributeError(f"The parameter `{name}` was removed from the module.")

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "training":
            # The module's mode, even if a parameter has this name.
            self.__dict__[name] = value
            return
        # torch keeps parametrizations in a ModuleDict, which refuses keys that are names of its own attributes.
        is_first = name == "parametrizations" and type(value) is nn.ModuleDict and not len(value)
        super().__setattr__(name, _AnyKey() if is_first else value)


class _AnyKey(nn.ModuleDict):
    """A `ModuleDict` whose keys may be any names."""

    def __setitem__(self, key: str, module: nn.Module) -> None:
        self._modules[key] = module

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)


def _not_settable(name: str, reason: str) -> UsageError:
    return UsageError(
        f"The parameter `{name}` cannot be set: {reason}.",
        fix="Remove the parametrization first (torch.nn.utils.parametrize.remove_parametrizations, "
        "remove_weight_norm), or set the parameters that it is computed from.",
    )
