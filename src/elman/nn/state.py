"""The states of a recurrent layer as an explicit value."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from elman.errors import ModelError, ShapeError, nearest
from elman.files import atomic_write


class State:
    """The states of a layer, by name: where a later call goes on from.

    `state.h` is `(batch, size)` if the layer has one layer and one direction, else `(layers · directions, batch, size)`
    in torch's order: layer 0 forward, layer 0 backward, layer 1 forward and so on; `state.layer(0, backward=True).h` is
    one of them.

    Args:
        tensors: each state by its name, `(layers · directions, batch, size)`.
        bidirectional: whether every layer has two directions.
        output: the last output, `(batch, output size)`, if this state comes out of a layer (a pair of them for
            `merge=None`); Keras's `return_sequences=False`. It is no state: what is selected or saved goes without it.

    Raises:
        ShapeError: states whose layers or batches differ.
    """

    def __init__(self, tensors: Mapping[str, Tensor], *, bidirectional: bool = False, output: Any = None):
        shapes = {name: tuple(tensor.shape[:2]) for name, tensor in tensors.items()}
        if any(tensor.dim() != 3 for tensor in tensors.values()) or len(set(shapes.values())) != 1:
            raise ShapeError(
                f"The states have the shapes { {name: tuple(tensor.shape) for name, tensor in tensors.items()} }.",
                fix="Each is (layers · directions, batch, size), with the same layers and batch.",
            )
        self.tensors = dict(tensors)
        self.bidirectional = bidirectional
        self.output = output

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the states."""
        return tuple(self.tensors)

    @property
    def places(self) -> int:
        """Layers times directions."""
        return next(iter(self.tensors.values())).shape[0]

    @property
    def batch_size(self) -> int:
        """Number of sequences."""
        return next(iter(self.tensors.values())).shape[1]

    def __getitem__(self, name: str) -> Tensor:
        """The state of that name; see the class for its shape."""
        if name not in self.tensors:
            raise KeyError(f"no state `{name}`. {nearest(name, self.tensors)}")
        return self.tensors[name][0] if self.places == 1 else self.tensors[name]

    def __getattr__(self, name: str) -> Tensor:
        tensors = self.__dict__.get("tensors", {})
        if name.startswith("_") or name not in tensors:
            raise AttributeError(f"no state `{name}`. {nearest(name, tensors)}")
        return self[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def layer(self, index: int, *, backward: bool = False) -> "State":
        """The state of one layer and one direction; layers count from 0, or from the last with -1."""
        directions = 2 if self.bidirectional else 1
        layers = self.places // directions
        if not -layers <= index < layers or (backward and not self.bidirectional):
            which = f"layer {index}" + (", backward" if backward else "")
            raise ShapeError(
                f"There is no {which} among {layers} layer(s) of {directions} direction(s).",
                fix="Layers count from 0; only a bidirectional layer has a backward direction.",
            )
        place = (index % layers) * directions + backward
        return State({name: tensor[place : place + 1] for name, tensor in self.tensors.items()})

    def select(self, sequences: Sequence[int] | Tensor) -> "State":
        """The states of some sequences, in the order given; one may be taken more than once (branching)."""
        return self._each(lambda tensor: tensor[:, torch.as_tensor(sequences, device=tensor.device)])

    def detach(self) -> "State":
        """The same numbers without their history, for truncated backpropagation."""
        return self._each(Tensor.detach)

    def clone(self) -> "State":
        """A copy that later changes do not reach."""
        return self._each(Tensor.clone)

    def to(self, *args: Any, **kwargs: Any) -> "State":
        """The state on another device or in another float type; arguments as those of `Tensor.to`."""
        return self._each(lambda tensor: tensor.to(*args, **kwargs))

    def _each(self, change: Any) -> "State":
        tensors = {name: change(tensor) for name, tensor in self.tensors.items()}
        return State(tensors, bidirectional=self.bidirectional)

    @staticmethod
    def concatenate(states: Sequence["State"]) -> "State":
        """The states of several batches as that of one batch.

        Raises:
            ShapeError: no states, or states of different layers.
        """
        if len({(state.names, state.places, state.bidirectional) for state in states}) != 1:
            raise ShapeError(
                "Only states of the same layer can be joined.", fix="Give one or more states of one layer."
            )
        tensors = {name: torch.cat([state.tensors[name] for state in states], 1) for name in states[0].names}
        return State(tensors, bidirectional=states[0].bidirectional)

    def save(self, path: str | Path) -> None:
        """Write the state to a file (safetensors)."""
        header = {"elman_state": json.dumps({"bidirectional": self.bidirectional, "names": self.names})}
        tensors = {name: tensor.detach().contiguous().cpu() for name, tensor in self.tensors.items()}
        atomic_write(Path(path), save(tensors, header))

    @staticmethod
    def load(path: str | Path) -> "State":
        """The state that `save` wrote.

        Raises:
            ModelError: no such file, or no state in it.
        """
        try:
            with safe_open(str(path), "pt") as file:
                header = json.loads((file.metadata() or {})["elman_state"])
                tensors = {name: file.get_tensor(name) for name in header["names"]}
                return State(tensors, bidirectional=header["bidirectional"])
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise ModelError(
                "This file holds no state.", where=f"{path}: {error}", fix="Give a file that State.save has written."
            ) from None

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name}={tuple(self[name].shape)}" for name in self.tensors)
        return f"State({shapes})"
