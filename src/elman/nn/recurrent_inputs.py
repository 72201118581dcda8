"""Reads and checks the inputs, constants and initial states of a recurrent layer."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from elman.compiler.autocast import fits
from elman.compiler.graph import Graph
from elman.data.ragged.ragged import Ragged
from elman.errors import ShapeError
from elman.nn.checks import described
from elman.nn.state import State
from elman.tensors import Kind, check_layout, is_recorded, is_transformed, kind_of

# The share of distinct rows up to which a table of them is faster than a row for each step: measured for LSTM and GRU
# layers of 64 and 128 units, which are equally fast either way at 0.5 to 0.8.
SHARED_ROWS = 0.6


def read_input(inputs: Any, input_size: int) -> Ragged:
    """Return the batch of an input: a `Ragged` batch or a tensor `(batch, time, input_size)`.

    Raises:
        ShapeError: another kind of value, or another shape.
    """
    if isinstance(inputs, Tensor):
        check_layout(inputs)
    if isinstance(inputs, Ragged):
        batch, expected = inputs, f"a Ragged batch with data (total, {input_size})"
    elif isinstance(inputs, Tensor) and inputs.dim() == 3:
        batch, expected = Ragged.from_dense(inputs), f"(batch, time, {input_size})"
    else:
        raise ShapeError(
            f"Expected a Ragged batch or a tensor (batch, time, {input_size}), got {described(inputs)}.",
            fix="Make a batch with Ragged.from_list(sequences), or add the missing axis with unsqueeze.",
        )
    shape = tuple(batch.data.shape if isinstance(inputs, Ragged) else inputs.shape)
    if batch.data.dim() != 2 or batch.data.shape[1] != input_size:
        raise ShapeError(
            f"Expected an input with {input_size} features, got shape {shape}.",
            fix=f"Give {expected}, or build the layer with another input_size. Embed ids first.",
        )
    return batch


def read_ids(inputs: Any, table: Tensor, input_size: int) -> Ragged:
    """Return a batch of ids `(total,)` that are rows of the table `(ids, input_size)`.

    Raises:
        ShapeError: a table of another width, or ids that are not whole numbers or not in the table.
    """
    if table.dim() != 2 or table.shape[1] != input_size:
        raise ShapeError(
            f"Expected a table (ids, {input_size}), got shape {tuple(table.shape)}.",
            fix="Give a table with a row of these features for each id, or build the layer with another input_size.",
        )
    batch = inputs if isinstance(inputs, Ragged) else Ragged.from_dense(inputs)
    ids = batch.data
    if ids.dim() != 1 or ids.dtype != torch.int64:
        raise ShapeError(
            f"Expected ids of torch.int64 with a table, got {ids.dtype} of shape {tuple(ids.shape)}.",
            fix="Give ids `(total,)` or `(batch, time)`.",
        )
    return batch.replace(ids.contiguous()) if is_recorded(ids) else batch.replace(_checked(ids, len(table)))


def _checked(ids: Tensor, rows: int) -> Tensor:
    if len(ids):
        least, most = map(int, torch.aminmax(ids))
        if not 0 <= least <= most < rows:
            raise ShapeError(
                f"Expected ids from 0 to {rows - 1}, since the table has {rows} rows, got ids from {least} to {most}.",
                fix="Give a table with a row for each id.",
            )
    return ids.contiguous()


def rows_read(ids: Tensor, table: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return the rows of a large table that are read, once for both directions.

    The kernels would read them for each direction, and fill a gradient of the whole table for each.

    Args:
        ids: `(total,)`.
        table: `(rows, features)`, more rows than ids.

    Returns:
        Either a table of the distinct rows and the ids in it, where steps that read the same row share its products; or
        the row of each step, and no ids.
    """
    if ids.is_cpu and kind_of(ids) is Kind.PLAIN and not is_recorded(ids) and not is_transformed():
        distinct, places = ids.unique(return_inverse=True)
        if len(distinct) <= SHARED_ROWS * len(ids):
            return functional.embedding(distinct, table), places
    return functional.embedding(ids, table), None


def check_dtype(data: Tensor, weight: Tensor | None) -> None:
    """Refuse an input of another type than the parameters.

    Args:
        data: the input.
        weight: one of the parameters, or `None` for a layer without parameters.

    Raises:
        ShapeError: the types differ.
    """
    if weight is not None and not fits(data.dtype, weight):
        raise ShapeError(
            f"Expected an input of {weight.dtype}, as the layer's parameters are, got {data.dtype}.",
            fix="Embed whole numbers first. Convert numbers with .to(...), or the layer with .double().",
        )


def read_constants(constants: Mapping[str, Tensor], graph: Graph, batch: Ragged) -> list[Tensor]:
    """Repeat the row of each sequence of each constant at every step, `(total, size)`.

    Raises:
        ShapeError: other names, kinds or shapes than the step's constants.
    """
    strays = {name: type(value).__name__ for name, value in constants.items() if not isinstance(value, Tensor)}
    if strays:
        raise ShapeError(
            f"Expected each constant to be a tensor, got {strays}.",
            fix="Give each by its name, with one row for each sequence: layer(batch, context=rows).",
        )
    expected = {node.attribute[0]: (batch.batch_size, node.size) for node in graph.given[1:]}
    given = {name: tuple(value.shape) for name, value in constants.items()}
    if given != expected:
        raise ShapeError(
            f"Expected the constants {expected}, got {given}.",
            fix="Give each by its name, with one row for each sequence: layer(batch, context=rows).",
        )
    if not expected:
        return []
    index = batch.sequence_index()
    return [constants[name].index_select(0, index.to(constants[name].device)) for name in expected]


def read_state(initial: Any, zero: State) -> State:
    """Return the initial states, given in any form that `Recurrent` takes.

    Args:
        initial: a `State`, a mapping from names to tensors, a sequence of tensors, or one tensor.
        zero: states of zeros of the expected shapes.

    Raises:
        ShapeError: another form, type or shape.
    """
    if isinstance(initial, State):
        given = initial.tensors
    elif isinstance(initial, Tensor) and len(zero.names) == 1:
        given = {zero.names[0]: initial}
    elif isinstance(initial, Mapping):
        given = dict(initial)
    elif isinstance(initial, tuple | list) and len(initial) == len(zero.names):
        given = dict(zip(zero.names, initial, strict=True))
    else:
        raise ShapeError(
            f"Expected the initial state as a State or a mapping, got {described(initial)}.",
            fix=f"Give the last states of another call, or a mapping with {', '.join(zero.names)}.",
        )
    kinds = {name: value.dtype if isinstance(value, Tensor) else type(value) for name, value in given.items()}
    like = next(iter(zero.tensors.values()))
    expected = like.dtype
    if any(not isinstance(kind, torch.dtype) or not fits(kind, like) for kind in kinds.values()):
        raise ShapeError(
            f"Expected initial states of {expected}, got {kinds}.",
            fix=f"Convert each: torch.as_tensor(value, dtype={expected}).",
        )
    single = zero.directed_layers == 1
    given = {name: value.unsqueeze(0) if single and value.dim() == 2 else value for name, value in given.items()}
    wanted = {name: tuple(value.shape) for name, value in zero.tensors.items()}
    got = {name: tuple(value.shape) for name, value in given.items()}
    if wanted != got:
        raise ShapeError(
            f"Expected initial states of shapes {wanted}, got {got}.",
            fix="The axes are (layers · directions, batch, size); the first may be left out where it is 1.",
        )
    return State({name: given[name] for name in zero.names}, bidirectional=zero.bidirectional)
