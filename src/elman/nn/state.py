"""The states of a recurrent layer as an explicit value."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from torch.utils import _pytree as pytree

from elman.data.hashing import hash_of
from elman.data.ragged.lengths import integers
from elman.errors import ModelError, ShapeError, nearest, os_errors_as
from elman.files import atomic_write

HEADER = "elman_state"
ATTACHED = "attached/"
FIX_STATE = "Give a file that State.save has written."


class State:
    """The states of a layer, by name: where a later call goes on from.

    `state.h` is `(batch, size)` if the layer has one layer and one direction, else `(layers · directions, batch, size)`
    in torch's order: layer 0 forward, layer 0 backward, layer 1 forward and so on; `state.layer(0, backward=True).h` is
    one of them.

    It is a node of torch's trees of tensors (`torch.utils._pytree`), whose leaves are the states, what is attached and
    the output.

    Args:
        tensors: each state by its name, `(layers · directions, batch, size)`.
        bidirectional: whether every layer has two directions.
        output: the last output, `(batch, output size)`, if this state comes out of a layer (a pair of them for
            `merge=None`); Keras's `return_sequences=False`. It is no state: what is selected or saved goes without it.
        attached: what else is known of each sequence, by name, `(batch, …)`, such as the last tokens of a text. It is
            selected, joined and saved with the states; layers neither read it nor give it.

    Raises:
        ShapeError: states whose layers or batches differ.
    """

    def __init__(
        self,
        tensors: Mapping[str, Tensor],
        *,
        bidirectional: bool = False,
        output: Any = None,
        attached: Mapping[str, Tensor] | None = None,
    ):
        each = list(tensors.values())
        if not each or any(tensor.dim() != 3 or tensor.shape[:2] != each[0].shape[:2] for tensor in each):
            raise ShapeError(
                f"The states have the shapes { {name: tuple(tensor.shape) for name, tensor in tensors.items()} }.",
                fix="Each is (layers · directions, batch, size), with the same layers and batch.",
            )
        self.tensors = dict(tensors)
        self.bidirectional = bidirectional
        self.output = output
        self.attached = dict(attached) if attached else {}
        strays = {name: tuple(value.shape) for name, value in self.attached.items() if len(value) != self.batch_size}
        if strays:
            raise ShapeError(
                f"The states are of {self.batch_size} sequences, and {strays} is attached.",
                fix="Attach one row for each sequence.",
            )

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
        """The states of some sequences, in the order given; one may be taken more than once (branching).

        Raises:
            ShapeError: there is no such sequence, or the sequences are not integers.
        """
        index = integers("sequences", sequences)
        wrong = index[(index < -self.batch_size) | (index >= self.batch_size)]
        if len(wrong):
            raise ShapeError(
                f"There is no sequence {int(wrong[0])} among {self.batch_size}.", fix="Sequences count from 0."
            )
        return self._each(
            lambda tensor: tensor[:, index.to(tensor.device)], lambda value: value[index.to(value.device)]
        )

    def repeat(self, times: int) -> "State":
        """Each sequence so many times, its copies side by side: several ways to go on from one state.

        Raises:
            ShapeError: a number below 1.
        """
        if times < 1:
            raise ShapeError(f"A state cannot be repeated {times} times.", fix="Give 1 or more.")
        return self.select(torch.arange(self.batch_size).repeat_interleave(times))

    def detach(self) -> "State":
        """The same numbers without their history, for truncated backpropagation."""
        return self._each(Tensor.detach)

    def clone(self) -> "State":
        """A copy that later changes do not reach."""
        return self._each(Tensor.clone, Tensor.clone)

    def to(self, *args: Any, **kwargs: Any) -> "State":
        """The state on another device or in another float type; arguments as those of `Tensor.to`.

        What is attached keeps its type.
        """
        moved = {name: tensor.to(*args, **kwargs) for name, tensor in self.tensors.items()}
        device = next(iter(moved.values())).device
        attached = {name: value.to(device) for name, value in self.attached.items()}
        return State(moved, bidirectional=self.bidirectional, attached=attached)

    def _each(
        self, change: Callable[[Tensor], Tensor], change_attached: Callable[[Tensor], Tensor] | None = None
    ) -> "State":
        tensors = {name: change(tensor) for name, tensor in self.tensors.items()}
        attached = {name: change_attached(value) if change_attached else value for name, value in self.attached.items()}
        return State(tensors, bidirectional=self.bidirectional, attached=attached)

    @staticmethod
    def concatenate(states: Sequence["State"]) -> "State":
        """The states of several batches as that of one batch.

        Raises:
            ShapeError: no states, or states of different layers, or with other things attached.
        """
        if len({(state.names, state.places, state.bidirectional, tuple(state.attached)) for state in states}) != 1:
            raise ShapeError(
                "Only states of the same layer, with the same things attached, can be joined.",
                fix="Give one or more states of one layer.",
            )
        tensors = {name: torch.cat([state.tensors[name] for state in states], 1) for name in states[0].names}
        attached = {name: torch.cat([state.attached[name] for state in states]) for name in states[0].attached}
        return State(tensors, bidirectional=states[0].bidirectional, attached=attached)

    def save(self, path: str | Path) -> None:
        """Write the state to a file (safetensors), with a checksum of its numbers.

        Raises:
            ModelError: the file cannot be written (the disk is full, there is no such folder); what was there stays.
        """
        named = self.tensors | {ATTACHED + name: value for name, value in self.attached.items()}
        tensors = {name: _plain(tensor) for name, tensor in named.items()}
        header = {
            "bidirectional": self.bidirectional,
            "names": self.names,
            "attached": list(self.attached),
            "sha256": hash_of(tensors),
        }
        content = save(tensors, {HEADER: json.dumps(header)})
        fix = "Give a file that you may write, on a disk with room."
        with os_errors_as(ModelError, "The state cannot be saved", where=path, fix=fix):
            atomic_write(Path(path), content)

    @staticmethod
    def load(path: str | Path) -> "State":
        """The state that `save` wrote.

        Raises:
            ModelError: no such file, no state in it, or one that is damaged; with the reason.
        """
        try:
            with safe_open(str(path), "pt") as file:
                header = json.loads((file.metadata() or {})[HEADER])
                tensors = {name: file.get_tensor(name) for name in header["names"]}
                attached = {name: file.get_tensor(ATTACHED + name) for name in header["attached"]}
            named = tensors | {ATTACHED + name: value for name, value in attached.items()}
            if header["sha256"] != hash_of(named):
                raise ValueError("its numbers are not those that were written")
            return State(tensors, bidirectional=header["bidirectional"], attached=attached)
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            if not Path(path).is_file():
                what = "This is a folder" if Path(path).is_dir() else "There is no such file"
                raise ModelError(f"{what}; a state is a file.", where=str(path), fix=FIX_STATE) from None
            reason = f"no {error} in it" if isinstance(error, KeyError) else error
            raise ModelError("This file holds no state.", where=f"{path}: {reason}", fix=FIX_STATE) from None

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name}={tuple(self[name].shape)}" for name in self.tensors)
        return f"State({shapes})"


def _plain(tensor: Tensor) -> Tensor:
    """A copy in memory of its own, on the CPU, with the signs of a view such as `z.conj().imag` resolved."""
    return tensor.detach().resolve_neg().resolve_conj().cpu().clone(memory_format=torch.contiguous_format)


class _Form(NamedTuple):
    """What a state is besides its tensors."""

    names: tuple[str, ...]
    attached: tuple[str, ...]
    bidirectional: bool
    has_output: bool


def _flatten(state: State) -> tuple[list[Any], _Form]:
    has_output = state.output is not None
    leaves = [*state.tensors.values(), *state.attached.values(), *([state.output] if has_output else [])]
    return leaves, _Form(state.names, tuple(state.attached), state.bidirectional, has_output)


def _flatten_with_keys(state: State) -> tuple[list[tuple[Any, Any]], _Form]:
    leaves, form = _flatten(state)
    names = (*form.names, *form.attached, *(["output"] if form.has_output else []))
    return [(pytree.GetAttrKey(name), leaf) for name, leaf in zip(names, leaves, strict=True)], form


def _unflatten(leaves: Iterable[Any], form: _Form) -> State:
    # Whatever a function on trees makes of the tensors, which need not be tensors of fitting shapes.
    left = iter(leaves)
    state = object.__new__(State)
    state.tensors = {name: next(left) for name in form.names}
    state.attached = {name: next(left) for name in form.attached}
    state.bidirectional = form.bidirectional
    state.output = next(left) if form.has_output else None
    return state


pytree.register_pytree_node(
    State,
    _flatten,
    _unflatten,
    serialized_type_name="elman.State",
    to_dumpable_context=list,
    from_dumpable_context=lambda form: _Form(tuple(form[0]), tuple(form[1]), *form[2:]),
    flatten_with_keys_fn=_flatten_with_keys,
)
