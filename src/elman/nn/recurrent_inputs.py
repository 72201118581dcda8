"""What a recurrent layer may be given, read into what it computes with."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from elman.compiler.autocast import fits
from elman.compiler.graph import Graph
from elman.data.ragged.ragged import Ragged
from elman.errors import ShapeError
from elman.nn.state import State
from elman.tensors import check_layout, is_recorded


def read_input(inputs: Any, input_size: int) -> Ragged:
    """A batch of rows with so many features, from a `Ragged` batch or a tensor `(batch, time, input_size)`.

    Raises:
        ShapeError: anything else.
    """
    if isinstance(inputs, Tensor):
        check_layout(inputs)
    if isinstance(inputs, Ragged):
        batch, expected = inputs, f"a Ragged batch with data (total, {input_size})"
    elif isinstance(inputs, Tensor) and inputs.dim() == 3:
        batch, expected = Ragged.from_dense(inputs), f"(batch, time, {input_size})"
    else:
        came = tuple(inputs.shape) if isinstance(inputs, Tensor) else type(inputs).__name__
        raise ShapeError(
            f"The layer takes a Ragged batch or a tensor (batch, time, {input_size}), and {came} came.",
            fix="Make a batch with Ragged.from_list(sequences), or add the missing axis with unsqueeze.",
        )
    shape = tuple(batch.data.shape if isinstance(inputs, Ragged) else inputs.shape)
    if batch.data.dim() != 2 or batch.data.shape[1] != input_size:
        raise ShapeError(
            f"The layer reads {input_size} features, and the input has shape {shape}.",
            fix=f"Give {expected}, or build the layer with the input's own input_size.",
        )
    return batch


def read_ids(inputs: Any, table: Tensor, input_size: int) -> Ragged:
    """A batch of ids `(total,)`, each of which names a row of the table `(ids, input_size)`.

    Raises:
        ShapeError: a table of another width, ids that are no whole numbers or name no row.
    """
    if table.dim() != 2 or table.shape[1] != input_size:
        raise ShapeError(
            f"The layer reads {input_size} features, and the table has shape {tuple(table.shape)}.",
            fix=f"Give (ids, {input_size}), or build the layer with the table's own width.",
        )
    batch = inputs if isinstance(inputs, Ragged) else Ragged.from_dense(inputs)
    ids = batch.data
    if ids.dim() != 1 or ids.dtype != torch.int64:
        raise ShapeError(
            f"With a table the inputs are ids, and data of {ids.dtype} and shape {tuple(ids.shape)} came.",
            fix="Give whole numbers (int64), `(total,)` or `(batch, time)`.",
        )
    return batch.replace(ids.contiguous()) if is_recorded(ids) else batch.replace(_checked(ids, len(table)))


def _checked(ids: Tensor, rows: int) -> Tensor:
    if len(ids):
        least, most = map(int, torch.aminmax(ids))
        if not 0 <= least <= most < rows:
            raise ShapeError(
                f"Expected ids from 0 to {rows - 1}, since the table has {rows} rows; got ids from {least} to {most}.",
                fix="Give a table with a row for each id.",
            )
    return ids.contiguous()


def check_dtype(data: Tensor, weight: Tensor | None) -> None:
    """Refuse rows of another type than the parameters, given one of them or `None` where there is none.

    Raises:
        ShapeError: the types differ.
    """
    if weight is not None and not fits(data.dtype, weight):
        raise ShapeError(
            f"The input is {data.dtype} and the layer's parameters are {weight.dtype}.",
            fix="Embed whole numbers first; else convert the input with .to(...) or the layer with .double().",
        )


def read_constants(constants: Mapping[str, Tensor], graph: Graph, batch: Ragged) -> list[Tensor]:
    """Each constant of a step at every step, `(total, size)`, from one row a sequence.

    Raises:
        ShapeError: other constants than the step takes, or of other shapes.
    """
    strays = {name: type(value).__name__ for name, value in constants.items() if not isinstance(value, Tensor)}
    if strays:
        raise ShapeError(
            f"Expected each constant to be a tensor, got {strays}.",
            fix="Give each by its name with one row a sequence: layer(batch, context=rows).",
        )
    expected = {node.attribute[0]: (batch.batch_size, node.size) for node in graph.given[1:]}
    given = {name: tuple(value.shape) for name, value in constants.items()}
    if given != expected:
        raise ShapeError(
            f"The cell takes the constants {expected}, and {given} came.",
            fix="Give each by its name with one row a sequence: layer(batch, context=rows).",
        )
    if not expected:
        return []
    index = batch.sequence_index()
    return [constants[name].index_select(0, index.to(constants[name].device)) for name in expected]


def read_state(initial: Any, zero: State) -> State:
    """The states to start from, in any form that `Recurrent` takes.

    Args:
        initial: a `State`, a mapping from names to tensors, such tensors in order, or the one tensor.
        zero: states of zeros of the shapes that are wanted.

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
            f"The initial state is a {type(initial).__name__}.",
            fix=f"Give a State, or a mapping with {', '.join(zero.names)}.",
        )
    kinds = {name: value.dtype if isinstance(value, Tensor) else type(value) for name, value in given.items()}
    like = next(iter(zero.tensors.values()))
    expected = like.dtype
    if any(not isinstance(kind, torch.dtype) or not fits(kind, like) for kind in kinds.values()):
        raise ShapeError(
            f"The initial states should be tensors of {expected}, and {kinds} came.",
            fix=f"Convert each: torch.as_tensor(value, dtype={expected}).",
        )
    single = zero.places == 1
    given = {name: value.unsqueeze(0) if single and value.dim() == 2 else value for name, value in given.items()}
    wanted = {name: tuple(value.shape) for name, value in zero.tensors.items()}
    came = {name: tuple(value.shape) for name, value in given.items()}
    if wanted != came:
        raise ShapeError(
            f"The initial states should have the shapes {wanted}, and {came} came.",
            fix="The axes are (layers · directions, batch, size); the first may be left out where it is 1.",
        )
    return State({name: given[name] for name in zero.names}, bidirectional=zero.bidirectional)
