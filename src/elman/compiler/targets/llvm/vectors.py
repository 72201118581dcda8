"""Writing kernels in LLVM's language: vectors of the machine's width, memory, loops.

A `Code` writes one function and adds to its end. Wherever it takes an integer, a number of Python will do.

    module = ir.Module()
    code = begin(module, "double", [("n", INDEX), ("source", POINTER), ("target", POINTER)], np.float32)
    n, source, target = code.arguments

    def step(i, _):
        value = code.load(source, i)
        code.store(code.add(value, value), target, i)

    code.loop(0, n, code.lanes, step)
    code.end()
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from llvmlite import ir

from elman.compiler.targets.llvm import machine

Value = Any  # an llvmlite.ir value
Integer = Any  # a value of type i64, or a Python int

INDEX, BIT, POINTER, VOID = ir.IntType(64), ir.IntType(1), ir.PointerType(), ir.VoidType()
LANE = ir.IntType(32)


# Constants are kept, with the text that LLVM reads: kernels repeat a few hundred, and writing them takes longest.
@lru_cache(maxsize=4096, typed=True)
def constant(bits: int, value: int) -> Value:
    """Return an integer."""
    return ir.Constant(ir.IntType(bits), value)


@lru_cache(maxsize=4096, typed=True)
def constants(bits: int, values: tuple[int, ...]) -> Value:
    """Return a vector of integers."""
    return ir.Constant(ir.VectorType(ir.IntType(bits), len(values)), list(values))


@lru_cache(maxsize=4096, typed=True)
def _equal_numbers(dtype: np.dtype, lanes: int, value: float) -> Value:
    """Return a vector of equal numbers, rounded to the dtype.

    It is not called for 0.0, which would share an entry with -0.0.
    """
    with np.errstate(over="ignore"):
        rounded = float(dtype.type(value))
    return ir.Constant(ir.VectorType(_scalar(dtype), lanes), [rounded] * lanes)


def _scalar(dtype: np.dtype) -> ir.Type:
    return ir.FloatType() if dtype.itemsize == 4 else ir.DoubleType()


class Code:
    """Writes the body of a function for vectors of one dtype.

    Args:
        function: has no body yet.
        dtype: float32 or float64.

    Attributes:
        lanes: how many numbers a vector holds.
        scalar, vector: LLVM's types of a number and of a vector.
        whole, wholes: the integers of the same width.
        zero: a vector of zeros.
        first_everywhere: the lanes by which a shuffle repeats the first one.
        arguments: of the function.
        builder: llvmlite's, for everything that has no method here.
    """

    def __init__(self, function: ir.Function, dtype: Any):
        self.function = function
        self.module = function.module
        self.dtype = np.dtype(dtype)
        self.host = machine.host()
        self.lanes = self.host.lanes(self.dtype)
        self.bytes = self.dtype.itemsize
        self.scalar = _scalar(self.dtype)
        self.vector = ir.VectorType(self.scalar, self.lanes)
        self.whole = ir.IntType(8 * self.bytes)
        self.wholes = ir.VectorType(self.whole, self.lanes)
        self.mask_type = ir.VectorType(BIT, self.lanes)
        self.zero = ir.Constant(self.vector, None)
        self.first_everywhere = ir.Constant(ir.VectorType(LANE, self.lanes), None)
        self.arguments = function.args
        self.builder: Any = ir.IRBuilder(function.append_basic_block("entry"))

    def end(self) -> None:
        """Return from the function."""
        self.builder.ret_void()

    # Integers

    def index(self, value: Integer) -> Value:
        """Return a count or an offset as a value."""
        return constant(64, value) if isinstance(value, int) else value

    def plus(self, a: Integer, b: Integer) -> Value:
        """Add two integers."""
        return self.builder.add(self.index(a), self.index(b), flags=("nsw",))

    def minus(self, a: Integer, b: Integer) -> Value:
        """Subtract two integers."""
        return self.builder.sub(self.index(a), self.index(b), flags=("nsw",))

    def times(self, a: Integer, b: Integer) -> Value:
        """Multiply two integers."""
        return self.builder.mul(self.index(a), self.index(b), flags=("nsw",))

    def quotient(self, a: Integer, b: Integer) -> Value:
        """Divide `a` by `b` and round down, for numbers that are not negative."""
        return self.builder.udiv(self.index(a), self.index(b))

    def remainder(self, a: Integer, b: Integer) -> Value:
        """Return the remainder of `a` divided by `b`, for numbers that are not negative."""
        return self.builder.urem(self.index(a), self.index(b))

    def compare(self, a: Integer, sign: str, b: Integer) -> Value:
        """Compare two integers: `a < b`, and so on, as a bit."""
        return self.builder.icmp_signed(sign, self.index(a), self.index(b))

    def smaller(self, a: Integer, b: Integer) -> Value:
        """Return the smaller of two integers."""
        return self.choose(self.compare(a, "<", b), self.index(a), self.index(b))

    def choose(self, condition: Value, a: Value, b: Value) -> Value:
        """Return `a` where the bit (or each lane's bit) is set, `b` where it is not."""
        return self.builder.select(condition, a, b)

    # Numbers

    def number(self, value: float) -> Value:
        """Return a vector of equal numbers."""
        if str(value) == "0.0":
            return self.zero
        return _equal_numbers(self.dtype, self.lanes, value)

    def whole_number(self, value: int) -> Value:
        """Return a vector of equal integers as wide as the numbers."""
        return constants(8 * self.bytes, (value,) * self.lanes)

    def splat(self, value: Value) -> Value:
        """Return a vector with one number in every lane."""
        nothing = ir.Constant(ir.VectorType(value.type, self.lanes), ir.Undefined)
        first = self.builder.insert_element(nothing, value, constant(32, 0))
        return self.builder.shuffle_vector(first, nothing, self.first_everywhere)

    def shuffle(self, a: Value, b: Value, lanes: Sequence[int]) -> Value:
        """Pick lanes from two vectors side by side."""
        return self.builder.shuffle_vector(a, b, constants(32, tuple(lanes)))

    def intrinsic(self, name: str, *values: Value) -> Value:
        """Call LLVM's `name` on vectors, with a vector as its result."""
        full = f"llvm.{name}.v{self.lanes}f{8 * self.bytes}"
        return self.builder.call(self.declared(full, self.vector, [value.type for value in values]), values)

    def declared(self, name: str, result: ir.Type, arguments: Sequence[ir.Type]) -> ir.Function:
        """Declare a function of LLVM or of another module, once."""
        known = self.module.globals.get(name)
        return known or ir.Function(self.module, ir.FunctionType(result, list(arguments)), name)

    def fma(self, a: Value, b: Value, c: Value) -> Value:
        """Compute `a·b + c`, rounded once."""
        return self.intrinsic("fma", a, b, c)

    def add(self, a: Value, b: Value) -> Value:
        """Compute `a + b`."""
        return self.builder.fadd(a, b)

    def sub(self, a: Value, b: Value) -> Value:
        """Compute `a − b`."""
        return self.builder.fsub(a, b)

    def mul(self, a: Value, b: Value) -> Value:
        """Compute `a·b`."""
        return self.builder.fmul(a, b)

    def div(self, a: Value, b: Value) -> Value:
        """Compute `a / b`."""
        return self.builder.fdiv(a, b)

    def holds(self, a: Value, sign: str, b: Value) -> Value:
        """Compare lanes: `a < b`, and so on, with false for NaN except by `!=`."""
        compare = self.builder.fcmp_unordered if sign == "!=" else self.builder.fcmp_ordered
        return compare(sign, a, b)

    def any(self, mask: Value) -> Value:
        """Return whether any lane's bit is set."""
        bits = ir.IntType(self.lanes)
        return self.builder.icmp_unsigned("!=", self.builder.bitcast(mask, bits), constant(self.lanes, 0))

    def bits_of(self, value: Value) -> Value:
        """Return a vector's numbers as integers of the same bits."""
        return self.builder.bitcast(value, self.wholes)

    def of_bits(self, value: Value) -> Value:
        """Return a vector of integers as numbers of the same bits."""
        return self.builder.bitcast(value, self.vector)

    def lanes_summed(self, value: Value) -> Value:
        """Sum a vector's numbers, pair by pair, to one number."""
        return self._halved(value, self.add)

    def lanes_largest(self, value: Value) -> Value:
        """Return the largest of a vector's numbers, NaN if there is one."""
        larger = lambda a, b: self.choose(self.builder.fcmp_unordered(">", a, b), a, b)  # noqa: E731
        either = lambda a, b: self.choose(self.builder.fcmp_unordered("uno", b, b), b, larger(a, b))  # noqa: E731
        return self._halved(value, either)

    def _halved(self, value: Value, combine: Callable[[Value, Value], Value]) -> Value:
        width = self.lanes
        while width > 1:
            width //= 2
            low, high = (self.shuffle(value, value, range(at, at + width)) for at in (0, width))
            value = combine(low, high)
        return self.builder.extract_element(value, constant(32, 0))

    def turned(self, rows: Sequence[Value]) -> list[Value]:
        """Transpose a square of as many vectors as each has lanes."""
        rows, distance = list(rows), 1
        while distance < self.lanes:
            low = [lane if not lane & distance else lane - distance + self.lanes for lane in range(self.lanes)]
            high = [lane if lane & distance else lane + distance for lane in range(self.lanes)]
            high = [index + self.lanes if lane & distance else index for lane, index in enumerate(high)]
            for i in range(self.lanes):
                if not i & distance:
                    a, b = rows[i], rows[i + distance]
                    rows[i], rows[i + distance] = self.shuffle(a, b, low), self.shuffle(a, b, high)
            distance *= 2
        return rows

    # Memory

    def at(self, pointer: Value, index: Integer = 0) -> Value:
        """Return the address of the number `index` after a pointer."""
        if isinstance(index, int) and index == 0:
            return pointer
        return self.builder.gep(pointer, [self.index(index)], source_etype=self.scalar)

    def load(self, pointer: Value, index: Integer = 0) -> Value:
        """Load the vector that begins `index` numbers after a pointer."""
        return self.builder.load(self.at(pointer, index), align=self.bytes, typ=self.vector)

    def store(self, value: Value, pointer: Value, index: Integer = 0) -> None:
        """Write a vector, `index` numbers after a pointer."""
        self.builder.store(value, self.at(pointer, index), align=self.bytes)

    def load_one(self, pointer: Value, index: Integer = 0) -> Value:
        """Load one number."""
        return self.builder.load(self.at(pointer, index), align=self.bytes, typ=self.scalar)

    def store_one(self, value: Value, pointer: Value, index: Integer = 0) -> None:
        """Write one number."""
        self.builder.store(value, self.at(pointer, index), align=self.bytes)

    def load_spread(self, pointer: Value, index: Integer = 0) -> Value:
        """Load one number into every lane."""
        return self.splat(self.load_one(pointer, index))

    def load_index(self, pointer: Value, index: Integer = 0) -> Value:
        """Load an integer of 64 bits out of an array of them."""
        return self.builder.load(self.builder.gep(pointer, [self.index(index)], source_etype=INDEX), typ=INDEX)

    def load_pointer(self, pointer: Value, index: Integer = 0) -> Value:
        """Load a pointer out of an array of them."""
        return self.builder.load(self.builder.gep(pointer, [self.index(index)], source_etype=INDEX), typ=POINTER)

    def call(
        self, address: Integer, types: Sequence[ir.Type], values: Sequence[Value], result: ir.Type = VOID
    ) -> Value:
        """Call a function by its address."""
        kind = ir.FunctionType(result, list(types))
        return self.builder.call(self.builder.inttoptr(self.index(address), kind.as_pointer()), list(values))

    def first_lanes(self, count: Integer) -> Value:
        """Return a mask of the first `count` lanes, of all if `count` is large enough."""
        lane = constants(64, tuple(range(self.lanes)))
        return self.builder.icmp_signed("<", lane, self.splat(self.index(count)))

    def lanes_between(self, low: Integer, high: Integer) -> Value:
        """Return a mask of the lanes from `low` to before `high`, which may be beyond the vector."""
        return self.builder.and_(self.builder.not_(self.first_lanes(low)), self.first_lanes(high))

    def load_some(self, mask: Value, pointer: Value, index: Integer = 0) -> Value:
        """Load the masked lanes of a vector, and zeros without touching memory for the others."""
        name = f"llvm.masked.load.v{self.lanes}f{8 * self.bytes}.p0"
        load = self.declared(name, self.vector, [POINTER, LANE, self.mask_type, self.vector])
        align = constant(32, self.bytes)
        return self.builder.call(load, [self.at(pointer, index), align, mask, self.number(0.0)])

    def store_some(self, value: Value, mask: Value, pointer: Value, index: Integer = 0) -> None:
        """Store the masked lanes of a vector, without touching the memory of the others."""
        name = f"llvm.masked.store.v{self.lanes}f{8 * self.bytes}.p0"
        store = self.declared(name, VOID, [self.vector, POINTER, LANE, self.mask_type])
        self.builder.call(store, [value, self.at(pointer, index), constant(32, self.bytes), mask])

    def prefetch(self, pointer: Value, index: Integer = 0, *, write: bool = False, near: int = 3) -> None:
        """Ask for memory ahead of its use: `near` 3 for the nearest cache, 1 for the farthest."""
        ask = self.declared("llvm.prefetch.p0", VOID, [POINTER, LANE, LANE, LANE])
        self.builder.call(ask, [self.at(pointer, index), *(constant(32, n) for n in (int(write), near, 1))])

    def scratch(self, count: int) -> Value:
        """Reserve that many numbers on the stack, aligned to 64 bytes, once a call."""
        with self.builder.goto_entry_block():
            room: Any = self.builder.alloca(ir.ArrayType(self.scalar, count))
            room.align = 64
        room.type = POINTER  # llvmlite still gives it the type of what it points to
        return room

    # Flow

    def block(self, name: str = "") -> ir.Block:
        """Add a basic block, not entered yet."""
        return self.function.append_basic_block(name)

    def loop(
        self,
        start: Integer,
        stop: Integer,
        step: Integer,
        body: Callable[[Value, list[Value]], Sequence[Value] | None],
        carried: Sequence[Value] = (),
    ) -> list[Value]:
        """Repeat for `start`, `start + step`, … below `stop`.

        Args:
            start: the first index.
            stop: the index is less than this.
            step: more than 0.
            body: writes one turn from its index and the carried values, and returns their next ones.
            carried: values before the first turn.

        Returns:
            The carried values after the last turn.
        """
        builder, before = self.builder, self.builder.block
        head, inside, done = self.block("head"), self.block("turn"), self.block("done")
        builder.branch(head)
        builder.position_at_end(head)
        index = builder.phi(INDEX)
        index.add_incoming(self.index(start), before)
        values = [builder.phi(value.type) for value in carried]
        for phi, value in zip(values, carried, strict=True):
            phi.add_incoming(value, before)
        builder.cbranch(self.compare(index, "<", stop), inside, done)
        builder.position_at_end(inside)
        following = list(body(index, list(values)) or ())
        index.add_incoming(self.plus(index, step), builder.block)
        for phi, value in zip(values, following, strict=True):
            phi.add_incoming(value, builder.block)
        builder.branch(head)
        builder.position_at_end(done)
        return values

    def when(
        self,
        condition: Value,
        then: Callable[[], Sequence[Value] | None],
        otherwise: Callable[[], Sequence[Value] | None] | None = None,
    ) -> list[Value]:
        """Branch to one of two ways, both of which give values of the same types, or none.

        Returns:
            The values of the way taken.
        """
        builder = self.builder
        yes, no, done = self.block("then"), self.block("else"), self.block("joined")
        builder.cbranch(condition, yes, no)
        ways = []
        for block, write in ((yes, then), (no, otherwise)):
            builder.position_at_end(block)
            values = list((write() if write else None) or ())
            ways.append((values, builder.block))
            builder.branch(done)
        builder.position_at_end(done)
        joined = []
        for pair in zip(*(values for values, _ in ways), strict=True):
            phi = builder.phi(pair[0].type)
            for value, (_, block) in zip(pair, ways, strict=True):
                phi.add_incoming(value, block)
            joined.append(phi)
        return joined

    def switch(self, value: Value, ways: dict[int, Callable[[], None]]) -> None:
        """Branch to the way of an integer, or to none if it has none."""
        done = self.block("joined")
        chosen = self.builder.switch(self.index(value), done)
        for key, write in ways.items():
            block = self.block(f"case{key}")
            chosen.add_case(constant(64, key), block)
            self.builder.position_at_end(block)
            write()
            self.builder.branch(done)
        self.builder.position_at_end(done)


def begin(
    module: ir.Module, name: str, arguments: Sequence[tuple[str, ir.Type]], dtype: Any, *, local: bool = False
) -> Code:
    """Add a function to a module and return the code that writes its body.

    Args:
        module: to add it to.
        name: of the function.
        arguments: the name and the type of each.
        dtype: of the vectors, float32 or float64.
        local: whether only the module itself calls it.
    """
    made = ir.Function(module, ir.FunctionType(VOID, [type for _, type in arguments]), name)
    made.attributes.add("nounwind")
    if local:
        made.linkage = "internal"
    for argument, (title, _) in zip(made.args, arguments, strict=True):
        argument.name = title
    return Code(made, dtype)
