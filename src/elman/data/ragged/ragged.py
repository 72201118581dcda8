"""Sequences of unequal length as one batch, without padding."""

import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Self, get_args

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence
from torch.utils import _pytree as pytree

from elman.data.ragged import positions
from elman.data.ragged.largest import largest
from elman.data.ragged.lengths import (
    check_data,
    check_fits,
    checked_lengths,
    checked_mask,
    integers,
    padded_sizes,
)
from elman.data.ragged.positions import Side
from elman.data.ragged.steps import join_sequences
from elman.errors import ShapeError, UsageError, nearest
from elman.order import TimeMajor, equal


class Ragged:
    """A batch of sequences of any lengths, zero included: all their steps one after the other.

    There is no padding, so that the cost of a computation follows the sum of the lengths. A batch is immutable; a batch
    derived from it shares its data and lengths where possible. Every conversion is differentiable in the data.

    >>> batch = Ragged(torch.tensor([1.0, 2.0, 3.0]), [2, 0, 1])
    >>> batch
    Ragged(3 sequences, 3 steps, longest 2, feature (), float32)
    >>> batch.to_padded()
    tensor([[1., 2.],
            [0., 0.],
            [3., 0.]])

    Args:
        data: (total, feature…), or (total,) for integer ids.
        lengths: (batch,) steps of each sequence, integers of zero or more that sum to total.

    It is a node of torch's trees of tensors (`torch.utils._pytree`) with the data as its leaf.

    Attributes:
        data: as given.
        order: the order in which a loop over time reads the steps; batches of the same lengths share it.

    Raises:
        ShapeError: data and lengths do not fit each other.
    """

    data: Tensor
    order: TimeMajor

    def __init__(self, data: Tensor, lengths: Tensor | Sequence[int] | np.ndarray):
        order = TimeMajor(checked_lengths(lengths))
        check_data(data, order)
        self._set(data, order)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"A Ragged batch is immutable: `{name}` cannot be set. Use batch.replace(data).")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"A Ragged batch is immutable: `{name}` cannot be deleted.")

    def _set(self, data: Tensor, order: TimeMajor) -> None:
        object.__setattr__(self, "data", data)
        object.__setattr__(self, "order", order)

    @property
    def lengths(self) -> Tensor:
        """(batch,) int64 on the CPU: a copy of the steps of each sequence."""
        return self.order.lengths

    @property
    def offsets(self) -> Tensor:
        """(batch + 1,) int64 on the CPU: a copy of the first step of each sequence, and the total."""
        return self.order.offsets

    @classmethod
    def from_list(
        cls,
        sequences: Sequence[Any],
        *,
        feature_shape: Sequence[int] | None = None,
        dtype: torch.dtype | None = None,
    ) -> Self:
        """Return a batch of these sequences, in their order.

        >>> Ragged.from_list([[1, 2, 3], [], [4]]).lengths
        tensor([3, 0, 1])

        Args:
            sequences: tensors, NumPy arrays or nested lists of numbers, each (steps, feature…).
            feature_shape: shape of one step; inferred unless every sequence is empty.
            dtype: of the data; by default torch's promotion of the sequences that are not empty
                (floats in lists take torch's default dtype, integers int64).

        Raises:
            ShapeError: sequences that disagree on the features, each of them named.
            DataError: sequences of strings.
        """
        return cls(*join_sequences(sequences, feature_shape, dtype))

    @classmethod
    def from_dense(cls, tensor: Tensor) -> Self:
        """Return a batch of sequences of equal length, without padding: (batch, time, feature…).

        Raises:
            ShapeError: a tensor of fewer than two axes.
        """
        batch, time = padded_sizes(tensor, batch_first=True)
        ragged = object.__new__(cls)
        ragged._set(tensor.flatten(0, 1), equal(batch, time, tensor))
        return ragged

    @classmethod
    def from_padded(
        cls,
        tensor: Tensor,
        lengths: Tensor | Sequence[int] | None = None,
        mask: Tensor | None = None,
        batch_first: bool = True,
        *,
        side: Side = "right",
    ) -> Self:
        """Return the steps of a padded batch, without its padding.

        >>> padded = torch.tensor([[0.0, 1.0, 2.0], [3.0, 0.0, 4.0]])
        >>> Ragged.from_padded(padded, mask=torch.tensor([[0, 1, 1], [1, 0, 1]])).to_list()
        [tensor([1., 2.]), tensor([3., 4.])]

        Args:
            tensor: (batch, time, feature…), or (time, batch, feature…) without `batch_first`.
            lengths: (batch,) steps of each sequence, at most time.
            mask: instead of lengths: (batch, time), or (time, batch) without `batch_first`; true for a step,
                false for padding, which may be before, between and after the steps. Booleans, or zeros and ones of
                any type, on any device.
            batch_first: whether the first axis is the batch; else the second is.
            side: the side of the padding if lengths are given: after the steps, or before them.

        Raises:
            UsageError: both or neither of lengths and mask, a side that does not exist, or a side with a mask.
            ShapeError: a length beyond time, a mask of another shape or with values other than 0 and 1.
        """
        if (lengths is None) == (mask is None):
            raise UsageError("Expected either lengths or a mask, got both or neither.", fix="Give one of the two.")
        _check_side(side)
        batch, time = padded_sizes(tensor, batch_first)
        if lengths is None:
            if side != "right":
                raise UsageError("Expected a side only with lengths, got one with a mask.", fix="Leave out side.")
            steps = checked_mask(mask, batch, time, batch_first)
            checked, index = steps.sum(1), positions.masked_positions(steps, batch_first)
        else:
            checked = checked_lengths(lengths)
            check_fits(checked, batch, time)
            index = positions.padded_positions(checked, time, batch_first, side)
        return cls(tensor.flatten(0, 1).index_select(0, index.to(tensor.device)), checked)

    @classmethod
    def from_packed(cls, packed: PackedSequence) -> Self:
        """Return the sequences of a `PackedSequence` in their order before sorting."""
        by_row = positions.packed_lengths(packed.batch_sizes)
        rank = (
            torch.arange(len(by_row), device="cpu")
            if packed.unsorted_indices is None
            else packed.unsorted_indices.cpu()
        )
        lengths = by_row[rank]
        index = positions.packed_positions(lengths, packed.batch_sizes, rank)
        return cls(packed.data.index_select(0, index.to(packed.data.device)), lengths)

    @classmethod
    def from_nested(cls, nested: Tensor) -> Self:
        """Return the sequences of a torch nested tensor, of the strided or the jagged layout.

        Raises:
            ShapeError: the tensor is not nested, or its parts disagree on the features.
        """
        if not nested.is_nested:
            raise ShapeError(
                f"Expected a nested tensor, got a plain one of shape {tuple(nested.shape)}.",
                fix="Use Ragged.from_padded(tensor, lengths) for a padded one.",
            )
        if nested.layout is torch.jagged and nested.is_contiguous() and nested.lengths() is None:  # pyright: ignore[reportAttributeAccessIssue]
            return cls(nested.values(), nested.offsets().diff())  # pyright: ignore[reportAttributeAccessIssue]
        return cls.from_list(nested.unbind())

    @staticmethod
    def concatenate(batches: Sequence["Ragged"]) -> "Ragged":
        """Return all sequences of these batches as one batch.

        Raises:
            ShapeError: no batch was given, or they disagree on the features.
        """
        shapes = {tuple(batch.feature_shape) for batch in batches}
        if len(shapes) != 1:
            raise ShapeError(
                f"Expected batches of one feature shape, got {sorted(shapes) or 'no batch'}.",
                fix="Give at least one batch, all with steps of the same shape.",
            )
        return Ragged(torch.cat([batch.data for batch in batches]), torch.cat([batch.lengths for batch in batches]))

    def to_list(self) -> list[Tensor]:
        """Return one tensor (steps, feature…) for each sequence, a view of the data."""
        return list(self.data.split(self.lengths.tolist())) if self.batch_size else []

    def to_padded(self, value: float = 0.0, batch_first: bool = True, *, side: Side = "right") -> Tensor:
        """Return a dense tensor (batch, longest, feature…), padded with `value`.

        Without `batch_first` it is (longest, batch, feature…). The padding is after the steps of each sequence, or
        before them with `side="left"`; `.lengths` and `mask(side)` give the positions of the steps.
        """
        if not (self.data.is_floating_point() or self.data.is_complex() or float(value).is_integer()):
            raise UsageError(
                f"Expected an integer to pad data of {self.data.dtype}, got {value}.", fix="Pad with an integer."
            )
        _check_side(side)
        grid = (self.batch_size, self.longest) if batch_first else (self.longest, self.batch_size)
        index = positions.padded_positions(self.lengths, self.longest, batch_first, side).to(self.data.device)
        flat = self.data.new_full((self.batch_size * self.longest, *self.feature_shape), value)
        return flat.index_copy_(0, index, self.data).reshape(*grid, *self.feature_shape)

    def mask(self, side: Side = "right") -> Tensor:
        """Return (batch, longest) of bool on the data's device: true for a step, false for padding."""
        _check_side(side)
        lengths = self.lengths.to(self.data.device)[:, None]
        steps = torch.arange(self.longest, device=self.data.device)
        return steps < lengths if side == "right" else steps >= self.longest - lengths

    def to_packed(self) -> PackedSequence:
        """Return torch's `PackedSequence` of the same sequences.

        Raises:
            ShapeError: the batch is empty, or has an empty sequence, which torch cannot pack.
        """
        self._check_packable()
        batch_sizes, order, rank = positions.packed_layout(self.lengths)
        index = positions.invert(positions.packed_positions(self.lengths, batch_sizes, rank))
        device = self.data.device
        data = self.data.index_select(0, index.to(device))
        return PackedSequence(data, batch_sizes, order.to(device), rank.to(device))

    def _check_packable(self) -> None:
        empty = (self.lengths == 0).nonzero().flatten().tolist()
        if empty or not self.batch_size:
            raise ShapeError(
                "torch cannot pack an empty sequence or an empty batch, and this batch "
                + (f"has {len(empty)} empty sequences." if empty else "is empty."),
                where=f"sequence {empty[0]} has length 0" if empty else None,
                fix="Use the Ragged batch itself, or leave the empty ones out: "
                "batch.select(batch.lengths.nonzero().flatten()).to_packed().",
            )

    def to_nested(self) -> Tensor:
        """Return torch's nested tensor of the same sequences, in the jagged layout."""
        return torch.nested.nested_tensor_from_jagged(self.data, self.offsets.to(self.data.device))

    def replace(self, data: Tensor) -> "Ragged":
        """Return a batch of the same lengths with new data (total, any feature…).

        Raises:
            ShapeError: the data has another number of steps.
        """
        check_data(data, self.order)
        return self._same_lengths(data)

    def map(self, function: Callable[[Tensor], Tensor]) -> "Ragged":
        """Apply a function to all steps at once, as in `batch.map(nn.Linear(3, 5))`.

        The function takes (total, feature…) and must return one result for each step.
        """
        return self.replace(function(self.data))

    def select(self, indices: Tensor | Sequence[int] | np.ndarray) -> "Ragged":
        """Return these sequences in this order.

        An index may occur twice; a negative one counts from the end.

        Raises:
            ShapeError: an index beyond the batch, or indices that are not integers.
        """
        checked = integers("indices", indices)
        beyond = ((checked < -self.batch_size) | (checked >= self.batch_size)).nonzero().flatten()
        if len(beyond):
            raise ShapeError(
                f"Expected indices into a batch of {self.batch_size} sequences, got {checked[beyond[0]]}.",
                where=f"position {beyond[0]}",
                fix=f"Give indices below {self.batch_size}.",
            )
        checked = checked.remainder(max(self.batch_size, 1))
        return Ragged(self._gather(positions.selected_positions(self.lengths, checked)), self.lengths[checked])

    def reverse(self) -> "Ragged":
        """Return each sequence reversed within its own length.

        >>> Ragged(torch.tensor([1, 2, 3, 4]), [3, 1]).reverse().data
        tensor([3, 2, 1, 4])
        """
        return self._same_lengths(self._gather(positions.reversed_positions(self.lengths, self.total)))

    def to(self, *args: Any, **kwargs: Any) -> "Ragged":
        """Return the batch with `Tensor.to` applied to the data. Lengths stay on the CPU."""
        return self._same_lengths(self.data.to(*args, **kwargs))

    def tensors(self) -> dict[str, Tensor]:
        """Return the data and the lengths by these names, for a hash of the batch."""
        return {"data": self.data, "lengths": self.lengths}

    def detach(self) -> "Ragged":
        """Return the same values without their history of gradients."""
        return self._same_lengths(self.data.detach())

    def _same_lengths(self, data: Tensor) -> "Ragged":
        ragged = object.__new__(Ragged)
        ragged._set(data, self.order)
        return ragged

    def _gather(self, index: Tensor) -> Tensor:
        return self.data.index_select(0, index.to(self.data.device))

    def first(self) -> Tensor:
        """Return the first step of each sequence, or zeros for an empty one: (batch, feature…)."""
        return self._one_step_each(self.offsets[:-1])

    def last(self) -> Tensor:
        """Return the last step of each sequence, or zeros for an empty one: (batch, feature…)."""
        return self._one_step_each(self.offsets[1:] - 1)

    def _one_step_each(self, index: Tensor) -> Tensor:
        if self.total == 0:
            return self._empty_result()
        full = (self.lengths > 0).to(self.data.device).reshape(-1, *[1] * len(self.feature_shape))
        return torch.where(full, self._gather(index.clamp(0, self.total - 1)), 0)

    def sum(self) -> Tensor:
        """Return the sum of the steps of each sequence, zeros for an empty one: (batch, feature…)."""
        return self._empty_result().index_add_(0, self.sequence_index(), self.data)

    def mean(self) -> Tensor:
        """Return the mean of the steps of each sequence, zeros for an empty one: (batch, feature…)."""
        total = self.sum()
        counts = self.lengths.clamp(min=1).to(self.data.device)
        return total / counts.reshape(-1, *[1] * len(self.feature_shape))

    def max(self) -> Tensor:
        """Return the maximum of each feature over the steps of a sequence: (batch, feature…).

        It is NaN if a step is, and zero for an empty sequence. Steps that are equally large share the gradient.
        """
        return largest(self.data, self.sequence_index(), self._empty_result())

    def _empty_result(self) -> Tensor:
        return self.data.new_zeros((self.batch_size, *self.feature_shape))

    @property
    def batch_size(self) -> int:
        """The number of sequences."""
        return self.order.batch

    @property
    def total(self) -> int:
        """The number of steps of all sequences together."""
        return self.data.shape[0]

    @property
    def longest(self) -> int:
        """The largest length; 0 for an empty batch."""
        return self.order.longest

    @property
    def feature_shape(self) -> torch.Size:
        """The shape of one step; () for ids."""
        return self.data.shape[1:]

    def sequence_index(self) -> Tensor:
        """Return the sequence of each step: (total,) int64 on the data's device."""
        return positions.sequence_index(self.lengths, self.total).to(self.data.device)

    def step_index(self) -> Tensor:
        """Return the number of each step in its sequence, from 0: (total,) int64."""
        return positions.step_index(self.lengths, self.total).to(self.data.device)

    def __len__(self) -> int:
        return self.batch_size

    def __getitem__(self, index: int) -> Tensor:
        number = operator.index(index)
        if not -self.batch_size <= number < self.batch_size:
            raise IndexError(f"sequence {number} of a batch of {self.batch_size}")
        number %= self.batch_size
        return self.data[int(self.offsets[number]) : int(self.offsets[number + 1])]

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self.to_list())

    def __repr__(self) -> str:
        device = "" if self.data.device.type == "cpu" else f", {self.data.device}"
        return (
            f"Ragged({self.batch_size} sequences, {self.total} steps, longest {self.longest}, "
            f"feature {tuple(self.feature_shape)}, {str(self.data.dtype).removeprefix('torch.')}{device})"
        )


def _check_side(side: str) -> None:
    if side not in get_args(Side):
        raise UsageError(f"Expected the side of the padding, got {side!r}.", fix=nearest(side, get_args(Side)))


class _Lengths:
    """The rest of a batch besides its data, comparable as torch's functions on trees of tensors need it."""

    def __init__(self, order: TimeMajor):
        self.order = order

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Lengths):
            return NotImplemented
        return self.order is other.order or torch.equal(self.order.lengths, other.order.lengths)

    def __hash__(self) -> int:
        return hash(self.order.batch)


def _flatten(batch: Ragged) -> tuple[list[Any], _Lengths]:
    return [batch.data], _Lengths(batch.order)


def _flatten_with_keys(batch: Ragged) -> tuple[list[tuple[Any, Any]], _Lengths]:
    return [(pytree.GetAttrKey("data"), batch.data)], _Lengths(batch.order)


def _unflatten(leaves: Iterable[Any], lengths: _Lengths) -> Ragged:
    # A function on trees may replace the data by anything, not only by a tensor.
    ragged = object.__new__(Ragged)
    ragged._set(next(iter(leaves)), lengths.order)
    return ragged


pytree.register_pytree_node(
    Ragged,
    _flatten,
    _unflatten,
    serialized_type_name="elman.Ragged",
    to_dumpable_context=lambda lengths: lengths.order.lengths.tolist(),
    from_dumpable_context=lambda lengths: _Lengths(TimeMajor(torch.tensor(lengths, dtype=torch.int64))),
    flatten_with_keys_fn=_flatten_with_keys,
)
