"""Steps of one sequence whose recurrent matrix is mostly zeros, with vectors of 512 bits.

A vector of outputs is summed slot by slot. A slot gives each lane at most one of its weights, and the number of the
state that it multiplies, within a window of the states that two vectors hold: one instruction picks the states of all
lanes. Lanes without a weight in the window have the weight 0.
"""

import ctypes
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir

from elman.compiler.targets.llvm import machine
from elman.compiler.targets.llvm.functions import emit
from elman.compiler.targets.llvm.vectors import INDEX, POINTER, Code, Value, begin

BITS = 512  # of a vector: others have no instruction that picks from two of them
UNROLLED = 4  # slots between two turns, each summed for itself
START = ir.IntType(16)


class Slots(NamedTuple):
    """The weights of a matrix, slot by slot.

    Attributes:
        weights: `(slots, lanes)`.
        picks: `(slots, lanes)`, uint8: the number of each state within the window.
        starts: `(slots,)`, uint16: the first state of each window.
        ends: `(vectors,)`, int64: the end of the slots of each vector of outputs.
    """

    weights: np.ndarray
    picks: np.ndarray
    starts: np.ndarray
    ends: np.ndarray


def is_available() -> bool:
    """Return whether this machine has such kernels."""
    try:
        return machine.host().bits == BITS
    except machine.Unavailable:
        return False


def width(units: int, dtype: Any) -> int:
    """Return the numbers of a row of states: whole vectors, and a window of zeros after them."""
    lanes = machine.lanes(dtype)
    return -(-units // lanes) * lanes + 2 * lanes


def pack(matrix: np.ndarray) -> Slots:
    """Return the slots of a matrix `(states, outputs)`, with at most 65,536 states.

    Each slot begins at the first state that any of its lanes still needs.
    """
    lanes = machine.lanes(matrix.dtype)
    vectors = -(-matrix.shape[1] // lanes)
    padded = np.zeros((len(matrix), vectors * lanes), matrix.dtype)
    padded[:, : matrix.shape[1]] = matrix
    found = [_slots_of(padded[:, first : first + lanes]) for first in range(0, vectors * lanes, lanes)]
    weights, picks, starts = (np.concatenate(each) for each in zip(*found, strict=True))
    return Slots(weights, picks, starts, np.cumsum([len(each[0]) for each in found]))


def _slots_of(columns: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the weights, picks and starts of one vector of outputs, `(states, lanes)`."""
    lanes = columns.shape[1]
    states = [[*np.flatnonzero(column), len(columns)] for column in columns.T]
    ahead = np.zeros(lanes, np.int64)
    following = np.array([each[0] for each in states])
    weights, picks, starts = [], [], []
    while (start := following.min()) < len(columns):
        taken = (following < start + 2 * lanes) & (following < len(columns))
        own = np.flatnonzero(taken)
        weights.append(np.zeros(lanes, columns.dtype))
        weights[-1][own] = columns[following[own], own]
        picks.append(np.where(taken, following - start, 0))
        starts.append(start)
        ahead += taken
        following[own] = [states[lane][ahead[lane]] for lane in own]
    spare = -len(starts) % UNROLLED
    weights += [np.zeros(lanes, columns.dtype)] * spare
    picks += [np.zeros(lanes, np.int64)] * spare
    starts += [0] * spare
    shape = len(starts), lanes
    return np.reshape(weights, shape), np.reshape(picks, shape).astype(np.uint8), np.array(starts, np.uint16)


def run(states: np.ndarray, slots: Slots, *, leak: float, is_linear: bool) -> None:
    """Take the steps h' = (1 - leak)·h + leak·activation(drive + h·W), in place.

    Args:
        states: `(1 + steps, width)`, contiguous. The first row is the state before the first step, and the others
            the drive of each step, which its state replaces; beyond the units they are zeros.
        slots: of W, in the dtype of the states.
        leak: the leaking rate.
        is_linear: whether the activation is the identity, in place of tanh.
    """
    kernel = _kernel(states.dtype, is_linear, leak != 1.0)
    weights, picks, starts, ends = (each.ctypes.data for each in slots)
    rates = np.array([leak, 1.0 - leak], states.dtype)
    sizes = len(states) - 1, states.shape[1], len(slots.ends)
    kernel(*sizes, states.ctypes.data, weights, picks, starts, ends, rates.ctypes.data)


@cache
def _library(dtype: np.dtype, is_linear: bool, is_leaky: bool) -> machine.Library:
    return machine.compile(_write(dtype, is_linear, is_leaky), "sparse steps")


@cache
def _kernel(dtype: np.dtype, is_linear: bool, is_leaky: bool) -> Any:
    return ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 9)(_library(dtype, is_linear, is_leaky).address("steps"))


def _write(dtype: np.dtype, is_linear: bool, is_leaky: bool) -> ir.Module:
    names = ("states", "weights", "picks", "starts", "ends", "rates")
    given = [(name, INDEX) for name in ("steps", "width", "vectors")] + [(name, POINTER) for name in names]
    code = begin(ir.Module("sparse steps"), "steps", given, dtype)
    steps, row, vectors, states, *tables, ends, rates = code.arguments
    leak, kept = code.load_spread(rates), code.load_spread(rates, 1)

    def step(number: Value, _: Any) -> None:
        before = code.at(states, code.times(number, row))
        after = code.at(before, row)

        def vector(index: Value, carried: list[Value]) -> list[Value]:
            at, end = code.times(index, code.lanes), code.load_index(ends, index)
            total = _summed(code, before, tables, carried[0], end, code.load(after, at))
            new = total if is_linear else emit(code, "tanh", total)
            if is_leaky:
                new = code.fma(leak, new, code.mul(kept, code.load(before, at)))
            code.store(new, after, at)
            return [end]

        code.loop(0, vectors, 1, vector, [code.index(0)])

    code.loop(0, steps, 1, step)
    code.end()
    return code.module


def _summed(code: Code, before: Value, tables: list[Value], first: Value, end: Value, drive: Value) -> Value:
    """Write the sum of the slots from `first` to `end`, and of the drive."""
    weights, picks, starts = tables

    def turn(slot: Value, sums: list[Value]) -> list[Value]:
        return [
            _added(code, before, (weights, picks, starts), code.plus(slot, each), total)
            for each, total in enumerate(sums)
        ]

    sums = code.loop(first, end, UNROLLED, turn, [drive, *[code.number(0.0)] * (UNROLLED - 1)])
    while len(sums) > 1:
        sums = [code.add(a, b) for a, b in zip(sums[::2], sums[1::2], strict=True)]
    return sums[0]


def _added(code: Code, before: Value, tables: tuple[Value, Value, Value], slot: Value, total: Value) -> Value:
    weights, picks, starts = tables
    builder, lane = code.builder, code.times(slot, code.lanes)
    at = builder.load(builder.gep(starts, [slot], source_etype=START), align=2, typ=START)
    window = code.at(before, builder.zext(at, INDEX))
    small = ir.VectorType(ir.IntType(8), code.lanes)
    address = builder.gep(picks, [lane], source_etype=ir.IntType(8))
    chosen = builder.zext(builder.load(address, align=1, typ=small), code.wholes)
    name = f"llvm.x86.avx512.vpermi2var.p{'s' if code.bytes == 4 else 'd'}.512"
    pick = code.declared(name, code.vector, [code.vector, code.wholes, code.vector])
    state = builder.call(pick, [code.load(window), chosen, code.load(window, code.lanes)])
    return code.fma(code.load(weights, lane), state, total)
