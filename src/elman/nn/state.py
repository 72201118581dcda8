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
from elman.errors import ModelError, ShapeError, UsageError, nearest, os_errors_as
from elman.files import atomic_write
from elman.nn.checks import described, wrong_flag

HEADER = "elman_state"
ATTACHED = "attached/"
FIX_FILE = "Give a file that State.save has written."
FIX_STATE = (
    "Give the last states of a call (steps, last = layer(batch)), layer.zero_state(batch_size) or State.load(path)."
)
AXES = "(layers · directions, batch, size)"


class State:
    """The states of a recurrent layer by name, from which a later call can continue.

    `state.h` is `(batch, size)` if the layer has one layer and one direction, else `(layers · directions, batch, size)`
    in torch's order: layer 0 forward, layer 0 backward, layer 1 forward and so on. `state.layer(0, backward=True).h` is
    the state of one layer and direction.

    A `State` is a node of torch's trees of tensors (`torch.utils._pytree`); its leaves are the states, the attached
    tensors and the output.

    Args:
        tensors: each state by its name, `(layers · directions, batch, size)`.
        bidirectional: whether every layer has two directions. Default False.
        output: the last output, `(batch, output size)`, of a state that a layer returns, or a pair of outputs for
            `merge=None`: Keras's `return_sequences=False`. It is not a state, and is not selected, joined or saved.
            Default None.
        attached: other tensors about each sequence by name, `(batch, …)`, such as the last tokens of a text. They are
            selected, joined and saved with the states; layers neither read nor return them. Default none.

    Raises:
        UsageError: arguments of another kind, such as a list or a tensor in place of a mapping.
        ShapeError: states of other shapes, or whose layers or batches differ.

    >>> state = State({"h": torch.zeros(1, 2, 5)})
    >>> state, state.batch_size, state.select([1]).h.shape
    (State(h=(2, 5)), 2, torch.Size([1, 5]))
    """

    def __init__(
        self,
        tensors: Mapping[str, Tensor],
        *,
        bidirectional: bool = False,
        output: Any = None,
        attached: Mapping[str, Tensor] | None = None,
    ):
        _check_tensors(tensors, bidirectional)
        self.tensors = dict(tensors)
        self.bidirectional = bidirectional
        self.output = output
        if attached is not None:
            _check_attached(attached, self.batch_size)
        self.attached = dict(attached) if attached else {}

    @classmethod
    def _of(cls, tensors: dict[str, Tensor], bidirectional: bool, output: Any = None) -> "State":
        """Return a state of a layer's own tensors, which fit one another."""
        state = object.__new__(cls)
        state.tensors, state.bidirectional, state.output, state.attached = tensors, bidirectional, output, {}
        return state

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the states."""
        return tuple(self.tensors)

    @property
    def directed_layers(self) -> int:
        """Number of layers times directions."""
        return next(iter(self.tensors.values())).shape[0]

    @property
    def batch_size(self) -> int:
        """Number of sequences."""
        return next(iter(self.tensors.values())).shape[1]

    def __getitem__(self, name: str) -> Tensor:
        """Return the state of this name, shaped as the class says."""
        if name not in self.tensors:
            raise KeyError(f"no state `{name}`. {nearest(name, self.tensors)}")
        return self.tensors[name][0] if self.directed_layers == 1 else self.tensors[name]

    def __getattr__(self, name: str) -> Tensor:
        tensors = self.__dict__.get("tensors", {})
        if name.startswith("_") or name not in tensors:
            raise AttributeError(f"no state `{name}`. {nearest(name, tensors)}")
        return self[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def layer(self, index: int, *, backward: bool = False) -> "State":
        """Return the state of one layer and direction.

        Args:
            index: index of the layer, from 0; -1 is the last.
            backward: whether to return the backward direction of a bidirectional layer.

        Raises:
            ShapeError: there is no such layer or direction.
        """
        directions = 2 if self.bidirectional else 1
        layers = self.directed_layers // directions
        if not -layers <= index < layers or (backward and not self.bidirectional):
            which = f"layer {index}" + (", backward" if backward else "")
            raise ShapeError(
                f"Expected one of {layers} layer(s) and {directions} direction(s), got {which}.",
                fix="Layers count from 0; only a bidirectional layer has a backward direction.",
            )
        position = (index % layers) * directions + backward
        return State({name: tensor[position : position + 1] for name, tensor in self.tensors.items()})

    def select(self, sequences: Sequence[int] | Tensor) -> "State":
        """Return the states of some sequences in the order given.

        Args:
            sequences: indices of sequences, from 0; an index may occur several times, which branches a state.

        Raises:
            ShapeError: there is no such sequence, or the sequences are not integers.
        """
        index = integers("sequences", sequences)
        wrong = index[(index < -self.batch_size) | (index >= self.batch_size)]
        if len(wrong):
            raise ShapeError(
                f"Expected sequences below {self.batch_size}, got {int(wrong[0])}.", fix="Sequences count from 0."
            )
        return self._each(
            lambda tensor: tensor[:, index.to(tensor.device)], lambda value: value[index.to(value.device)]
        )

    def repeat(self, times: int) -> "State":
        """Repeat the state of each sequence, with its copies side by side.

        Raises:
            ShapeError: a number below 1.
        """
        if times < 1:
            raise ShapeError(f"Expected a number of times, got {times}.", fix="Give 1 or more.")
        return self.select(torch.arange(self.batch_size).repeat_interleave(times))

    def detach(self) -> "State":
        """Return the state detached from the graph of gradients (truncated backpropagation)."""
        return self._each(Tensor.detach)

    def clone(self) -> "State":
        """Return a copy in memory of its own."""
        return self._each(Tensor.clone, Tensor.clone)

    def to(self, *args: Any, **kwargs: Any) -> "State":
        """Return the state on another device or in another float type.

        The arguments are those of `Tensor.to`. Attached tensors keep their types.
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
        """Join the states of several batches into the state of one batch.

        Raises:
            UsageError: one of the states is not a `State`.
            ShapeError: no states, states of different layers, or other names attached.
        """
        for state in states:
            check_state(state)
        if (
            len({(state.names, state.directed_layers, state.bidirectional, tuple(state.attached)) for state in states})
            != 1
        ):
            raise ShapeError(
                "Expected one or more states of the same layer, with the same names attached.",
                fix="Join the states of each layer for itself.",
            )
        tensors = {name: torch.cat([state.tensors[name] for state in states], 1) for name in states[0].names}
        attached = {name: torch.cat([state.attached[name] for state in states]) for name in states[0].attached}
        return State(tensors, bidirectional=states[0].bidirectional, attached=attached)

    def save(self, path: str | Path) -> None:
        """Write the state to a file (safetensors), with a checksum of its numbers.

        Raises:
            ModelError: the file cannot be written (the disk is full, the folder is missing); an existing file is kept.
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
        """Read a state that `save` wrote.

        Raises:
            ModelError: the file is missing, holds no state, or is damaged; with the reason.
        """
        try:
            with safe_open(str(path), "pt") as file:
                header = json.loads((file.metadata() or {})[HEADER])
                tensors = {name: file.get_tensor(name) for name in header["names"]}
                attached = {name: file.get_tensor(ATTACHED + name) for name in header["attached"]}
            named = tensors | {ATTACHED + name: value for name, value in attached.items()}
            if header["sha256"] != hash_of(named):
                raise ValueError("its numbers differ from those that were written")
            return State(tensors, bidirectional=header["bidirectional"], attached=attached)
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            if not Path(path).is_file():
                problem = "This is a folder, not a file." if Path(path).is_dir() else "There is no such file."
                raise ModelError(problem, where=str(path), fix=FIX_FILE) from None
            reason = f"{error} is missing" if isinstance(error, KeyError) else error
            raise ModelError("This file holds no state.", where=f"{path}: {reason}", fix=FIX_FILE) from None

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name}={tuple(self[name].shape)}" for name in self.tensors)
        return f"State({shapes})"


def check_state(state: Any) -> None:
    """Refuse a value that is not a `State`.

    Raises:
        UsageError: the value is not a `State`.
    """
    if not isinstance(state, State):
        raise UsageError(f"Expected state to be a State, got {described(state)}.", fix=FIX_STATE)


def _check_tensors(tensors: Any, bidirectional: Any) -> None:
    """Refuse arguments of `State` that are not tensors of fitting shapes by name."""
    if problems := wrong_flag("bidirectional", bidirectional):
        raise UsageError(problems[0])
    if not isinstance(tensors, Mapping):
        raise UsageError(
            f"Expected the states as a mapping from names to tensors, got {described(tensors)}.",
            fix=f"Give {{'h': tensor {AXES}}}.",
        )
    each = list(tensors.values())
    if not each or any(
        not isinstance(value, Tensor) or value.dim() != 3 or value.shape[:2] != each[0].shape[:2] for value in each
    ):
        raise ShapeError(
            f"Expected states of shape {AXES}, with the same layers and batch, got {_listed(tensors) or 'none'}.",
            fix="Give each as such a tensor: torch.as_tensor(array), and tensor.unsqueeze(0) for one layer.",
        )
    if bidirectional and each[0].shape[0] % 2:
        raise ShapeError(
            f"Expected states of two directions, got {_listed(tensors)}.",
            fix=f"Give {AXES}, two rows for each layer, or leave out bidirectional.",
        )


def _check_attached(attached: Any, batch_size: int) -> None:
    """Refuse attached values that are not tensors with one row for each sequence."""
    if not isinstance(attached, Mapping):
        raise UsageError(
            f"Expected attached to be a mapping from names to tensors, got {described(attached)}.",
            fix="Give {'tokens': tensor (batch, …)}.",
        )
    strays = {
        name: value
        for name, value in attached.items()
        if not isinstance(value, Tensor) or not value.dim() or len(value) != batch_size
    }
    if strays:
        raise ShapeError(
            f"Expected attached tensors with a row for each of {batch_size} sequences, got {_listed(strays)}.",
            fix="Attach tensors (batch, …).",
        )


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}: {described(value)}" for name, value in values.items())


def _plain(tensor: Tensor) -> Tensor:
    """Return a plain copy on the CPU, also of a view with a sign such as `z.conj().imag`."""
    return tensor.detach().resolve_neg().resolve_conj().cpu().clone(memory_format=torch.contiguous_format)


class _Form(NamedTuple):
    """The parts of a state besides its tensors."""

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
    # The leaves are results of a function on trees, and need not be tensors of fitting shapes.
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
