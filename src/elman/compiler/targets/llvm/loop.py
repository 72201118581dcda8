"""The kernel of a step, which runs all steps of a tile of sequences: from a schedule to LLVM's language.

A tile is a few sequences of a batch sorted by length, longest first. All its steps run in one call, so that no thread
waits for another inside a step. At every step, the running sequences are the first rows of the tile.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from llvmlite import ir

from elman.compiler.fission import LEAVES
from elman.compiler.graph import Node, ordered
from elman.compiler.schedule import Phase, Schedule, Slot
from elman.compiler.targets.llvm import functions, gemm, machine, whole_rows
from elman.compiler.targets.llvm.vectors import INDEX, POINTER, VOID, Code, Integer, Value, begin

# The arguments of a kernel's call, as an array of 64-bit numbers: these, then the fields of `Arguments`.
HEADER = ("tiles", "lengths", "first", "direction", "sequences", "scratch", "tile_rows", "ids")


@dataclass(frozen=True, eq=False)
class Arguments:
    """The position of each pointer in the array of a kernel's arguments.

    Args:
        entering: for each value read at every step, the pointer and, after it, the distance of two rows.
        matrices: packed matrices of the products inside the loop.
        vectors: learned vectors.
        initial: initial states, `(batch, size)`.
        last: last states, `(batch, size)`.
        kept: for each value kept at every step, the pointer and, after it, the distance of two rows.
        count: length of the array.
    """

    entering: dict[Node, int]
    matrices: dict[str, int]
    vectors: dict[str, int]
    initial: tuple[int, ...]
    last: tuple[int, ...]
    kept: tuple[int, ...]
    count: int


@dataclass(frozen=True, eq=False)
class Kernel:
    """A compiled step.

    Args:
        schedule: what the kernel does.
        dtype: float32 or float64.
        arguments: how it is called.
        scratch: numbers of scratch memory for each sequence of a tile.
        library: keeps the code alive.
        native: products of the same dtype.
        by_id: values that are read at every step and have a row for each id, not for each step.
    """

    schedule: Schedule
    dtype: np.dtype
    arguments: Arguments
    scratch: int
    library: machine.Library
    native: gemm.Native
    by_id: frozenset[Node]

    @cached_property
    def address(self) -> int:
        """The address of the function `tile(arguments, number of the tile)`."""
        return self.library.address("tile")

    @cached_property
    def type(self) -> torch.dtype:
        """The dtype of torch."""
        return getattr(torch, self.dtype.name)

    def late(self, outputs: tuple[Node, ...]) -> tuple[Node, ...]:
        """Return what these outputs need after the loop, in order."""
        if outputs not in self._late:
            needed = set(ordered(outputs))
            leaves = (node for node in outputs if node.op in LEAVES)
            self._late[outputs] = (*(node for node in self.schedule.after if node in needed), *leaves)
        return self._late[outputs]

    @cached_property
    def _late(self) -> dict[tuple[Node, ...], tuple[Node, ...]]:
        return {}

    def width(self, size: int) -> int:
        """Round a size up to whole vectors."""
        return padded(size, self.native.lanes)


def build(schedule: Schedule, dtype: Any, by_id: frozenset[Node] = frozenset()) -> Kernel:
    """Compile the kernel of a schedule.

    Args:
        schedule: what the kernel does.
        dtype: float32 or float64.
        by_id: see `Kernel`.

    Raises:
        Unavailable: this machine has no kernels.
    """
    writer, dtype = write_kernel(schedule, dtype, by_id), np.dtype(dtype)
    library = machine.compile(writer.code.module, schedule.graph.name)
    return Kernel(schedule, dtype, writer.arguments, writer.width, library, gemm.Native(dtype), by_id)


def write_kernel(schedule: Schedule, dtype: Any, by_id: frozenset[Node] = frozenset()) -> "_Writer":
    """Write the kernel of a schedule in LLVM's language, into `code.module` of the result."""
    code = begin(ir.Module("step"), "tile", [("arguments", POINTER), ("tile", INDEX)], dtype)
    writer = _Writer(schedule, code, by_id)
    writer.write()
    return writer


def padded(size: int, lanes: int) -> int:
    """Round a size up to whole vectors."""
    return -(-size // lanes) * lanes


def _arguments(schedule: Schedule) -> Arguments:
    graph = schedule.graph
    inside = [node for phase in schedule.phases for node in phase.whole if node.op == "product"]
    vectors = [node for node in graph.nodes if node.op == "vector"]
    length = len(HEADER)

    def take(count: int, each: int = 1) -> list[int]:
        nonlocal length
        found = list(range(length, length + count * each, each))
        length += count * each
        return found

    entering = dict(zip(schedule.entering, take(len(schedule.entering), 2), strict=True))
    names = list(dict.fromkeys(node.attribute[0] for node in inside))
    matrices = dict(zip(names, take(len(names)), strict=True))
    titles = list(dict.fromkeys(node.attribute[0] for node in vectors))
    learned = dict(zip(titles, take(len(titles)), strict=True))
    initial, last = take(len(graph.states)), take(len(graph.states))
    kept = take(len(schedule.kept), 2)
    return Arguments(entering, matrices, learned, tuple(initial), tuple(last), tuple(kept), length)


class _Writer:
    """Writes the kernel: rows of a tile, steps, phases, columns."""

    def __init__(self, schedule: Schedule, code: Code, by_id: frozenset[Node]):
        self.schedule = schedule
        self.by_id = by_id
        self.graph = schedule.graph
        self.code = code
        self.arguments = _arguments(schedule)
        # While a step is written: its number, the running rows, the memory of the states before and after it.
        self.time: Value = None
        self.running: Value = None
        self.current: list[Value] = []
        self.following: list[Value] = []
        self.offsets: dict[Any, int] = {}
        self.strides: dict[Any, int] = {}
        self.width = 0
        for state in self.graph.states:
            self._reserve((state, 0), state.size)
            self._reserve((state, 1), state.size)
        for node in schedule.rows:
            self._reserve(node, node.size)

    def _reserve(self, key: Any, size: int) -> None:
        # One vector more than needed, so that rows do not all fall on the same lines of the cache.
        self.offsets[key] = self.width
        self.strides[key] = padded(size, self.code.lanes) + self.code.lanes
        self.width += self.strides[key]

    # Setting up

    def write(self) -> None:
        """Write the whole function."""
        code = self.code
        array, tile = code.arguments
        header = {name: code.load_index(array, index) for index, name in enumerate(HEADER)}
        pointers = {name: code.load_pointer(array, index) for index, name in enumerate(HEADER)}
        self.direction, self.tile_rows = header["direction"], header["tile_rows"]
        self.lengths, self.first, self.sequences = (pointers[name] for name in ("lengths", "first", "sequences"))
        self.ids = pointers["ids"]
        self.start = code.load_index(pointers["tiles"], tile)
        rows = code.minus(code.load_index(pointers["tiles"], code.plus(tile, 1)), self.start)
        self.scratch = code.at(pointers["scratch"], code.times(code.times(tile, self.tile_rows), self.width))
        self._load_pointers(array)
        self._load_states(rows)
        self._steps(rows)
        code.end()

    def _load_pointers(self, array: Value) -> None:
        code, indices = self.code, self.arguments
        self.pointers: dict[Any, Value] = {}
        self.row_distance: dict[Any, Value] = {}
        for node, index in indices.entering.items():
            self.pointers[node] = code.load_pointer(array, index)
            self.row_distance[node] = code.load_index(array, index + 1)
        for position, index in enumerate(indices.kept):
            self.pointers["kept", position] = code.load_pointer(array, index)
            self.row_distance["kept", position] = code.load_index(array, index + 1)
        for name, index in (*indices.matrices.items(), *indices.vectors.items()):
            self.pointers[name] = code.load_pointer(array, index)
        for position, (initial, last) in enumerate(zip(indices.initial, indices.last, strict=True)):
            self.pointers["initial", position] = code.load_pointer(array, initial)
            self.pointers["last", position] = code.load_pointer(array, last)
        self.buffers = {
            key: code.at(self.scratch, code.times(self.tile_rows, offset)) for key, offset in self.offsets.items()
        }

    def _load_states(self, rows: Value) -> None:
        def load_row(row: Value, _: Any) -> None:
            sequence = self._of_row(self.sequences, row)
            for position, state in enumerate(self.graph.states):
                source = self.code.at(self.pointers["initial", position], self.code.times(sequence, state.size))
                target = self._row_of(self.buffers[state, 0], (state, 0), row)
                self._copy(source, target, state.size)

        self.code.loop(0, rows, 1, load_row)

    def _of_row(self, array: Value, row: Value) -> Value:
        """Load the entry of an integer array for a row of this tile."""
        return self.code.load_index(array, self.code.plus(self.start, row))

    def _row_of(self, base: Value, key: Any, row: Value) -> Value:
        return self.code.at(base, self.code.times(row, self.strides[key]))

    def _copy(self, source: Value, target: Value, size: int) -> None:
        def one(column: Integer, mask: Value | None) -> None:
            self._store(self._load(source, column, mask), target, column, mask)

        self._columns(size, one)

    def _columns(self, size: int, body: Callable[[Integer, Value | None], None]) -> None:
        whole_rows.each_vector(self.code, size, body)

    def _load(self, pointer: Value, column: Integer, mask: Value | None) -> Value:
        return whole_rows.load(self.code, pointer, column, mask)

    def _store(self, value: Value, pointer: Value, column: Integer, mask: Value | None) -> None:
        whole_rows.store(self.code, value, pointer, column, mask)

    # Steps

    def _steps(self, rows: Value) -> None:
        code = self.code
        longest = code.when(
            code.compare(rows, ">", 0), lambda: [self._of_row(self.lengths, code.index(0))], lambda: [code.index(0)]
        )[0]
        current = [self.buffers[state, 0] for state in self.graph.states]
        following = [self.buffers[state, 1] for state in self.graph.states]

        def step(time: Value, carried: list[Value]) -> list[Value]:
            count = len(self.graph.states)
            self.time, self.current, self.following = time, carried[1 : 1 + count], carried[1 + count :]
            self.running = self._running(carried[0])
            for phase in self.schedule.phases:
                self._phase(phase)
            code.loop(0, self.running, 1, self._finish_row)
            return [self.running, *self.following, *self.current]

        code.loop(0, longest, 1, step, [rows, *current, *following])

    def _running(self, rows: Value) -> Value:
        """Count the rows that have a step at this time."""
        code = self.code

        def count(row: Value, found: list[Value]) -> list[Value]:
            runs = code.compare(self._of_row(self.lengths, row), ">", self.time)
            return [code.plus(found[0], code.builder.zext(runs, INDEX))]

        return code.loop(0, rows, 1, count, [code.index(0)])[0]

    def _finish_row(self, row: Value, _: Any) -> None:
        """Write out the states of a sequence that has just had its last step."""
        code = self.code
        ends = code.compare(self._of_row(self.lengths, row), "==", code.plus(self.time, 1))

        def write() -> None:
            sequence = self._of_row(self.sequences, row)
            for position, state in enumerate(self.graph.states):
                target = code.at(self.pointers["last", position], code.times(sequence, state.size))
                self._copy(self._row_of(self.following[position], (state, 0), row), target, state.size)

        code.when(ends, write)

    # Phases

    def _phase(self, phase: Phase) -> None:
        for node in phase.whole:
            if node.op == "product":
                self._product(node)
            else:
                self.code.loop(0, self.running, 1, lambda row, _, node=node: self._whole_row(node, row))
        for size, nodes in phase.columns:
            self.code.loop(0, self.running, 1, lambda row, _, size=size, nodes=nodes: self._row(size, nodes, row))

    def _product(self, node: Node) -> None:
        code = self.code
        name, rows, columns = node.attribute
        operand, stride = self._operand(node.args[0])
        numbers = [
            *(self.running, gemm.vectors(columns, code.dtype), rows, operand, stride, 1),
            *(self.pointers[name], 1, 0, self.buffers[node], self.strides[node], 0),
        ]
        values = [code.index(value) for value in numbers]
        type = ir.FunctionType(VOID, [value.type for value in values])
        address = ir.Constant(INDEX, gemm.library(code.dtype).address("product"))
        callee = code.builder.inttoptr(address, type.as_pointer())
        code.builder.call(callee, values)

    def _operand(self, node: Node, offset: int = 0) -> tuple[Value, int]:
        """Return the first row of a value of the loop, and the distance of two rows."""
        if node.op == "slice":
            return self._operand(node.args[0], offset + node.attribute[0])
        if node.op == "state":
            position = self.graph.states.index(node)
            return self.code.at(self.current[position], offset), self.strides[node, 0]
        return self.code.at(self.buffers[node], offset), self.strides[node]

    def _pointer(self, node: Node, row: Value) -> Value:
        """Return the address of the features of a value of this row and step."""
        code = self.code
        if node.op == "slice":
            return code.at(self._pointer(node.args[0], row), node.attribute[0])
        if node.op == "vector":
            return self.pointers[node.attribute[0]]
        if node in self.arguments.entering:
            row_number = self._step_of(row)
            if node in self.by_id:
                row_number = code.load_index(self.ids, row_number)
            return code.at(self.pointers[node], code.times(row_number, self.row_distance[node]))
        base, stride = self._operand(node)
        return code.at(base, code.times(row, stride))

    def _step_of(self, row: Value) -> Value:
        """Return which step of the whole batch this row is at."""
        return self.code.plus(self._of_row(self.first, row), self.code.times(self.direction, self.time))

    def _whole_row(self, node: Node, row: Value) -> None:
        if node.op in ("sum", "max"):
            self._reduce(node, row)
            return
        code, target = self.code, self._pointer(node, row)
        first, last = (self._pointer(arg, row) for arg in (node.args[0], node.args[-1]))
        size, inner = node.size, node.args[-1].size
        if node.op == "cumsum":
            whole_rows.cumsum(code, first, target, size, backward=node.attribute)
        elif node.op == "outer":
            whole_rows.outer(code, first, last, target, size // inner, inner)
        elif node.attribute:
            whole_rows.contract_transposed(code, first, last, target, inner, size)
        else:
            whole_rows.contract(code, first, last, target, size, inner)

    def _reduce(self, node: Node, row: Value) -> None:
        code, arg = self.code, node.args[0]
        source = self._pointer(arg, row)
        neutral = code.number(0.0 if node.op == "sum" else -np.inf)
        combine = code.add if node.op == "sum" else lambda a, b: functions.emit(code, "maximum", a, b)
        total = neutral
        whole = arg.size // code.lanes * code.lanes
        if whole:
            turn = lambda column, sums: [combine(sums[0], code.load(source, column))]  # noqa: E731
            total = code.loop(0, whole, code.lanes, turn, [neutral])[0]
        if arg.size > whole:
            mask = code.first_lanes(arg.size - whole)
            total = combine(total, code.choose(mask, code.load_some(mask, source, whole), neutral))
        result = code.lanes_summed(total) if node.op == "sum" else code.lanes_largest(total)
        code.store_one(result, self._pointer(node, row))

    # Columns

    def _row(self, size: int, nodes: tuple[Node, ...], row: Value) -> None:
        """Write what is computed feature by feature in one row, for values of one size."""
        pointers: dict[Any, Value] = {}
        computed = set(nodes)
        for node in nodes:
            sources = node.args if self._is_computed(node) else (node,)
            for source in sources:
                if source.op != "number" and not (source in computed and self._is_computed(source)):
                    pointers[source] = self._pointer(source, row)
            for slot in self.schedule.slots.get(node, ()):
                pointers[node, slot] = self._target(node, slot, row)
        if size == 1:
            self._one_column(nodes, pointers)
        else:
            self._columns(size, lambda column, mask: self._column(nodes, pointers, column, mask))

    def _is_computed(self, node: Node) -> bool:
        return node.op in functions.EMIT or node.op == "expand"

    def _target(self, node: Node, slot: Slot, row: Value) -> Value:
        code = self.code
        if slot.kind == "row":
            return self._row_of(self.buffers[node], node, row)
        if slot.kind == "part":
            return code.at(self._row_of(self.buffers[slot.node], slot.node, row), slot.offset)
        if slot.kind == "next":
            state = self.graph.states[slot.position]
            return self._row_of(self.following[slot.position], (state, 0), row)
        key = ("kept", slot.position)
        return code.at(
            self.pointers[key], code.plus(code.times(self._step_of(row), self.row_distance[key]), slot.offset)
        )

    def _column(self, nodes: tuple[Node, ...], pointers: dict[Any, Value], column: Integer, mask: Value | None) -> None:
        code = self.code
        values: dict[Node, Value] = {}

        def value(node: Node) -> Value:
            if node not in values:
                if node.op == "number":
                    values[node] = code.number(node.attribute)
                elif node.size == 1:
                    values[node] = code.load_spread(pointers[node])
                else:
                    values[node] = self._load(pointers[node], column, mask)
            return values[node]

        for node in nodes:
            if self._is_computed(node):
                args = [value(arg) for arg in node.args]
                values[node] = args[0] if node.op == "expand" else functions.emit(code, node.op, *args)
            for slot in self.schedule.slots.get(node, ()):
                self._store(value(node), pointers[node, slot], column, mask)

    def _one_column(self, nodes: tuple[Node, ...], pointers: dict[Any, Value]) -> None:
        """Write values of one feature, computed in all lanes and stored once."""
        code = self.code
        values: dict[Node, Value] = {}

        def value(node: Node) -> Value:
            if node not in values:
                is_number = node.op == "number"
                values[node] = code.number(node.attribute) if is_number else code.load_spread(pointers[node])
            return values[node]

        for node in nodes:
            if self._is_computed(node):
                args = [value(arg) for arg in node.args]
                values[node] = args[0] if node.op == "expand" else functions.emit(code, node.op, *args)
            for slot in self.schedule.slots.get(node, ()):
                number = code.builder.extract_element(value(node), ir.Constant(ir.IntType(32), 0))
                code.store_one(number, pointers[node, slot])
