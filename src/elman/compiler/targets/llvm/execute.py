"""Runs a kernel over a batch: memory, the work before and after the loop, the call."""

import ctypes
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from elman.compiler.fission import LEAVES
from elman.compiler.graph import TRANSPOSED, Node
from elman.compiler.targets import eager
from elman.compiler.targets.llvm.loop import Kernel
from elman.compiler.targets.llvm.memory import new_memory
from elman.compiler.targets.llvm.threads import parallel
from elman.order import TimeMajor

TILE_ROWS = 24
ALIASED_BYTES, ALIASED_ROWS = 2048, 8  # rows at such a distance compete for the same lines of the nearest cache
LINE = 64
WORTH_PACKING = 256  # rows: for fewer, packing a matrix takes longer than it saves


def new_rows(rows: int, width: int, dtype: torch.dtype) -> Tensor:
    """Allocate `(rows, width)` so that a column does not fall on a few lines of the caches."""
    if rows < ALIASED_ROWS or width * dtype.itemsize % ALIASED_BYTES:
        return new_memory(rows, width, dtype)
    return new_memory(rows, width + LINE // dtype.itemsize, dtype)[:, :width]


class Products:
    """Products of a kernel's dtype, with matrices packed at their first use.

    Args:
        kernel: gives the dtype.
        parts: the matrices that are side by side in each matrix, by its name; vectors are alone.
    """

    def __init__(self, kernel: Kernel, parts: Mapping[str, Sequence[Tensor]]):
        self.kernel = kernel
        self.parts = parts
        self.threads = torch.get_num_threads()
        self._packed: dict[str, Tensor] = {}

    def packed(self, name: str) -> Tensor:
        """Return a matrix in the layout that products read."""
        if name not in self._packed:
            self._packed[name] = self._pack(name)
        return self._packed[name]

    def _pack(self, name: str) -> Tensor:
        """Pack a matrix part by part, so that no joined copy is made."""
        native, is_transposed = self.kernel.native, name.endswith(TRANSPOSED)
        parts = self.parts[name.removesuffix(TRANSPOSED)]
        rows, columns = len(parts[0]), sum([part.shape[1] for part in parts])
        if is_transposed:
            rows, columns = columns, rows
        target = new_memory(rows, self.kernel.width(columns), self.kernel.type)
        is_beside, address, first = len(parts) > 1 and not is_transposed, target.data_ptr(), 0
        # Rows that had to be made contiguous, until they are packed.
        parts = [_with_rows(part) for part in parts] if is_beside else parts
        fields: list[int] = []
        for part in parts:
            row, column = part.stride()
            height, width = part.shape
            if is_transposed:
                fields += (width, height, part.data_ptr(), column, row, address, rows, first)
            else:
                fields += (height, width, part.data_ptr(), row, column, address, columns if is_beside else rows, first)
            first += width
        native.pack_parts(fields, beside=is_beside)
        return target

    def by_matrix(self, operand: Tensor, name: str) -> Tensor:
        """Multiply `(total, rows)` by a matrix `(rows, columns)`, in rows of whole vectors."""
        matrix = None if operand.shape[0] >= WORTH_PACKING else self._plain(name)
        is_packed = matrix is None
        matrix = self.packed(name) if matrix is None else matrix
        out = new_rows(operand.shape[0], matrix.shape[1], self.kernel.type)
        sizes = operand.shape[0], matrix.shape[1] // self.kernel.native.lanes, matrix.shape[0]
        a, b, c = operand.data_ptr(), matrix.data_ptr(), out.data_ptr()
        self.kernel.native.product(
            *(*sizes, a, *operand.stride(), b, is_packed, matrix.stride(0), c, out.stride(0), 0),
            threads=self.threads,
        )
        return out

    def _plain(self, name: str) -> Tensor | None:
        """Return a matrix that products can read as it is, None if it must be packed."""
        parts = self.parts[name.removesuffix(TRANSPOSED)]
        if len(parts) > 1:
            return None
        matrix = parts[0].T if name.endswith(TRANSPOSED) else parts[0]
        return matrix if self._has_whole_vectors(matrix) else None

    def _has_whole_vectors(self, matrix: Tensor) -> bool:
        return (
            matrix.stride(1) == 1
            and matrix.stride(0) % self.kernel.native.lanes == 0 == matrix.shape[1] % self.kernel.native.lanes
        )

    def outer(self, operand: Tensor, gradient: Tensor, total: Tensor | None = None) -> Tensor:
        """Sum the outer products of `(total, rows)` and `(total, columns)` over all steps.

        With `total`, the result of an earlier call, add them to it.
        """
        wide = self._whole_vectors(gradient)
        if total is None:
            out = new_rows(operand.shape[1], wide.shape[1], self.kernel.type)
        else:
            out = total.as_strided((total.shape[0], wide.shape[1]), total.stride())
        sizes = operand.shape[1], wide.shape[1] // self.kernel.native.lanes, operand.shape[0]
        a, b, c = operand.data_ptr(), wide.data_ptr(), out.data_ptr()
        strides = operand.stride(1), operand.stride(0)
        self.kernel.native.product(
            *(*sizes, a, *strides, b, 0, wide.stride(0), c, out.stride(0), total is not None), threads=self.threads
        )
        return out[:, : gradient.shape[1]]

    def sum_by_id(self, value: Tensor, ids: Tensor, count: int) -> Tensor:
        """Sum the rows of each id: from `(total, columns)` to `(count, columns)`."""
        wide = self._whole_vectors(value)
        out = new_memory(count, wide.shape[1], self.kernel.type)
        given = ids.shape[0], count, ids.data_ptr(), wide.data_ptr(), wide.stride(0), out.data_ptr(), out.stride(0)
        self.kernel.native.sum_by_id(wide.shape[1] // self.kernel.native.lanes, *given, threads=self.threads)
        return out[:, : value.shape[1]]

    def _whole_vectors(self, value: Tensor) -> Tensor:
        """Extend the rows of a value to whole vectors, whose additional numbers may be anything."""
        width, distance = self.kernel.width(value.shape[1]), value.stride(0)
        if distance >= width and distance % self.kernel.native.lanes == 0 and value.stride(1) == 1:
            end = value.storage_offset() + (value.shape[0] - 1) * distance + width
            # The right half of a wider tensor may end with the last number of its memory.
            if end * value.element_size() <= value.untyped_storage().nbytes():
                return value.as_strided((value.shape[0], width), (distance, 1))
        filled = value.new_zeros(value.shape[0], width)
        filled[:, : value.shape[1]] = value
        return filled


def run_loop(
    kernel: Kernel,
    products: Products,
    inputs: Sequence[Tensor],
    states: Sequence[Tensor],
    order: TimeMajor,
    *,
    backward: bool = False,
    ids: Tensor | None = None,
) -> tuple[dict[Node, Tensor], tuple[Tensor, ...]]:
    """Run a kernel's loop and the work before it, without autograd.

    Args:
        kernel: a compiled step.
        products: with each parameter of its graph.
        inputs: each input, `(total, size)`.
        states: each initial state, `(batch, size)`.
        order: of the batch.
        backward: read every sequence from its last step to its first.
        ids: `(total,)`, for a kernel that reads by id: rows of the first input, which is then `(ids, size)`.

    Returns:
        The values of the nodes that are known, for `finish`; the last states, `(batch, size)`.
    """
    plan = kernel.schedule
    values = dict(zip(plan.graph.inputs, inputs, strict=True))
    _compute(plan.before, values, products, order.total if ids is None else inputs[0].shape[0])
    # The caller reads the first output, whose rows are contiguous if possible.
    kept = [
        (new_memory if node is plan.graph.output else new_rows)(order.total, kernel.width(node.size), kernel.type)
        for node in plan.kept
    ]
    last = tuple(state.clone(memory_format=torch.contiguous_format) for state in states)
    _call(kernel, products, values, kept, last, order, backward, ids)
    for node, rows in zip(plan.kept, kept, strict=True):
        values[node] = rows if rows.shape[1] == node.size else rows[:, : node.size]
    return values, last


def finish(
    kernel: Kernel, products: Products, values: dict[Node, Tensor], total: int, outputs: Sequence[Node]
) -> dict[Node, Tensor]:
    """Compute what follows the loop.

    Args:
        kernel: a compiled step.
        products: with each parameter of its graph.
        values: those that `run_loop` returned; the new ones are added.
        total: steps of all sequences.
        outputs: the wanted ones.

    Returns:
        The values of these outputs, `(total, size)`.
    """
    if late := kernel.late(tuple(outputs)):
        _compute(late, values, products, total)
    given = kernel.schedule.graph.inputs
    return {node: values[node] if node in given else _full(values[node], total, node.size) for node in outputs}


def _full(value: Tensor, total: int, size: int) -> Tensor:
    return value if value.shape == (total, size) else value.expand(total, size)


def _compute(nodes: Sequence[Node], values: dict[Node, Tensor], products: Products, total: int) -> None:
    """Compute nodes for all steps at once: products by kernels, the rest by torch."""
    for node in nodes:
        if node.op == "product":
            operand = _full(values[node.args[0]], total, node.args[0].size)
            values[node] = products.by_matrix(operand, node.attribute[0])[:, : node.size]
        else:
            vectors = {name: parts[0] for name, parts in products.parts.items()}
            evaluation = eager.Evaluation(vectors, next(iter(values.values())))
            evaluation.run([*(arg for arg in node.args if arg.op in LEAVES), node], values)


def _call(
    kernel: Kernel,
    products: Products,
    values: Mapping[Node, Tensor],
    kept: Sequence[Tensor],
    last: Sequence[Tensor],
    order: TimeMajor,
    backward: bool,
    ids: Tensor | None,
) -> None:
    arguments, threads = kernel.arguments, products.threads
    rows = tile_rows(order.batch, threads)
    tiles = order.tiles(rows, threads)
    count = len(tiles.edges) - 1
    scratch = new_memory(count * rows, kernel.scratch, kernel.type)
    edges, sequences, lengths, starts, ends = tiles.addresses
    first_step, direction = (ends, -1) if backward else (starts, 1)
    given = [edges, lengths, first_step, direction, sequences, scratch.data_ptr(), rows]
    given.append(0 if ids is None else ids.data_ptr())
    # Copies in contiguous memory, until the kernel has read them.
    entering = [_with_rows(values[node]) for node in arguments.entering]
    vectors = [products.parts[name][0].contiguous() for name in arguments.vectors]
    for value in entering:
        given += (value.data_ptr(), value.stride(0))
    given += [products.packed(name).data_ptr() for name in arguments.matrices]
    given += [vector.data_ptr() for vector in vectors]
    states = [state.data_ptr() for state in last]
    given += states  # where the kernel reads the initial states, and where it writes the last ones
    given += states
    for value in kept:
        given += (value.data_ptr(), value.stride(0))
    array = (ctypes.c_int64 * arguments.count)(*given)
    parallel(kernel.address, ctypes.addressof(array), count, threads)


def _with_rows(value: Tensor) -> Tensor:
    return value if value.stride(-1) == 1 else value.contiguous()


def tile_rows(batch: int, threads: int) -> int:
    """Return the number of sequences in a tile.

    It is a multiple of what a product computes at once, and every thread gets equally many tiles.
    """
    share = -(-batch // threads)
    if share <= 8:
        return max(share, 1)
    turns = -(-share // TILE_ROWS)
    return -(-share // (8 * turns)) * 8
