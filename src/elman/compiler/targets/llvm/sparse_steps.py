"""Steps of one sequence whose recurrent matrix is mostly zeros, with vectors of 512 bits.

Four vectors of outputs, a group, are summed slot by slot. A slot gives each lane at most one of its weights, and the
number of the state that it multiplies, within a window of the states that two vectors hold: one instruction picks the
states of all lanes of a vector. Lanes without a weight in the window have the weight 0. The vectors of a group share
the window, which is read once for them: reading limits the rate.
"""

import ctypes
from collections.abc import Iterator
from functools import cache
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
import torch
from llvmlite import ir

from elman.compiler.targets.llvm import machine
from elman.compiler.targets.llvm.functions import emit
from elman.compiler.targets.llvm.memory import new_memory
from elman.compiler.targets.llvm.vectors import INDEX, POINTER, Code, Value, begin

BITS = 512  # of a vector: others have no instruction that picks from two of them
GROUP = 4  # vectors of outputs with the same windows
HUGE = 1 << 21  # bytes: memory of this size has large pages, whose lines the second cache holds without conflicts
LINE = 64  # bytes of a cache line
START = ir.IntType(16)


class Slots(NamedTuple):
    """The weights of a matrix, slot by slot.

    Attributes:
        weights: `(slots, outputs)`, with the outputs of a group.
        picks: `(slots, outputs)`, uint8: the number of each state within the window.
        starts: `(slots,)`, uint16: the first state of each window.
        ends: `(groups,)`, int64: the end of the slots of each group.
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
    """Return the numbers of a row of states: whole groups, and a window of zeros after them."""
    lanes = machine.lanes(dtype)
    outputs = GROUP * lanes
    return -(-units // outputs) * outputs + 2 * lanes


def pack(matrix: np.ndarray) -> Slots:
    """Return the slots of a matrix `(states, outputs)`, with at most 65,536 states.

    Each slot begins at the first state that any of its lanes still needs.
    """
    lanes = machine.lanes(matrix.dtype)
    outputs = GROUP * lanes
    padded = np.zeros((len(matrix), -(-matrix.shape[1] // outputs) * outputs), matrix.dtype)
    padded[:, : matrix.shape[1]] = matrix
    found = [_slots_of(each, 2 * lanes) for each in np.split(padded, padded.shape[1] // outputs, axis=1)]
    weights, picks, starts = (np.concatenate(each) for each in zip(*found, strict=True))
    ends = np.cumsum([len(each[0]) for each in found])
    return Slots(*_side_by_side(weights, picks, starts, ends))


def _slots_of(columns: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the weights, picks and starts of one group of outputs, `(states, outputs)`."""
    outputs = columns.shape[1]
    states = [[*np.flatnonzero(column), len(columns)] for column in columns.T]
    ahead = np.zeros(outputs, np.int64)
    following = np.array([each[0] for each in states])
    weights, picks, starts = [], [], []
    while (start := following.min()) < len(columns):
        taken = (following < start + window) & (following < len(columns))
        own = np.flatnonzero(taken)
        weights.append(np.zeros(outputs, columns.dtype))
        weights[-1][own] = columns[following[own], own]
        picks.append(np.where(taken, following - start, 0))
        starts.append(start)
        ahead += taken
        following[own] = [states[lane][ahead[lane]] for lane in own]
    shape = len(starts), outputs
    return (
        np.reshape(weights, shape).astype(columns.dtype),
        np.reshape(picks, shape).astype(np.uint8),
        np.array(starts, np.uint16),
    )


def _side_by_side(*arrays: np.ndarray) -> Iterator[np.ndarray]:
    """Copy arrays to one piece of memory, each to the beginning of a cache line."""
    sizes = [-(-each.nbytes // LINE) * LINE for each in arrays]
    rows = -(-max(sum(sizes), HUGE) // 8)
    memory = new_memory(rows, 1, torch.float64).numpy().reshape(-1).view(np.uint8)
    for each, first in zip(arrays, accumulate([0, *sizes]), strict=False):
        copied = memory[first : first + each.nbytes].view(each.dtype).reshape(each.shape)
        copied[...] = each
        yield copied


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
    given = [(name, INDEX) for name in ("steps", "width", "groups")] + [(name, POINTER) for name in names]
    code = begin(ir.Module("sparse steps"), "steps", given, dtype)
    steps, row, groups, states, *tables, ends, rates = code.arguments
    leak, kept = code.load_spread(rates), code.load_spread(rates, 1)

    def step(number: Value, _: Any) -> None:
        before = code.at(states, code.times(number, row))
        after = code.at(before, row)

        def group(index: Value, carried: list[Value]) -> list[Value]:
            first, end = code.times(index, GROUP * code.lanes), code.load_index(ends, index)
            firsts = [code.plus(first, each * code.lanes) for each in range(GROUP)]
            drives = [code.load(after, at) for at in firsts]
            for at, total in zip(firsts, _summed(code, before, tables, carried[0], end, drives), strict=True):
                new = total if is_linear else emit(code, "tanh", total)
                if is_leaky:
                    new = code.fma(leak, new, code.mul(kept, code.load(before, at)))
                code.store(new, after, at)
            return [end]

        code.loop(0, groups, 1, group, [code.index(0)])

    code.loop(0, steps, 1, step)
    code.end()
    return code.module


def _summed(
    code: Code, before: Value, tables: list[Value], first: Value, end: Value, drives: list[Value]
) -> list[Value]:
    """Write the sums of the drives and the slots from `first` to `end`, a vector each."""
    weights, picks, starts = tables
    builder = code.builder

    def turn(slot: Value, sums: list[Value]) -> list[Value]:
        at = builder.load(builder.gep(starts, [slot], source_etype=START), align=2, typ=START)
        start = code.at(before, builder.zext(at, INDEX))
        window = code.load(start), code.load(start, code.lanes)
        begin = code.times(slot, GROUP * code.lanes)
        lanes = [code.plus(begin, each * code.lanes) for each in range(GROUP)]
        states = [_picked(code, window, picks, lane) for lane in lanes]
        return [
            code.fma(code.load(weights, lane), state, total)
            for lane, state, total in zip(lanes, states, sums, strict=True)
        ]

    return code.loop(first, end, 1, turn, drives)


def _picked(code: Code, window: tuple[Value, Value], picks: Value, lane: Value) -> Value:
    """Write the states that the lanes of a vector pick from a window."""
    builder = code.builder
    small = ir.VectorType(ir.IntType(8), code.lanes)
    address = builder.gep(picks, [lane], source_etype=ir.IntType(8))
    chosen = builder.zext(builder.load(address, align=1, typ=small), code.wholes)
    name = f"llvm.x86.avx512.vpermi2var.p{'s' if code.bytes == 4 else 'd'}.512"
    pick = code.declared(name, code.vector, [code.vector, code.wholes, code.vector])
    return builder.call(pick, [window[0], chosen, window[1]])
