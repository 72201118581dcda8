"""What this machine can do at most: multiply-adds in registers, and reading memory."""

import ctypes
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from llvmlite import ir

from elman.compiler.targets.llvm import machine
from elman.compiler.targets.llvm.vectors import INDEX, POINTER, Value, begin

TURNS = 20_000
MULTIPLY_ADD_CHAINS = 12  # more sums than a multiply-add takes steps
LOAD_CHAINS = 8
BYTES_A_RUN = 1 << 24  # so many that the call itself costs nothing beside them


def measure_peak(dtype: Any, *, seconds: float = 0.2) -> float:
    """Measure the peak of one core: fused multiply-adds of registers, two operations each.

    Args:
        dtype: float32 or float64.
        seconds: how long to measure; the best of many short runs counts.

    Returns:
        Operations a second.

    Raises:
        Unavailable: this machine has no kernels.
    """
    module = ir.Module(name="peak")
    code = begin(module, "run", [("turns", INDEX), ("target", POINTER)], dtype)
    turns, target = code.arguments
    factor = code.load(target)
    body = lambda _, sums: [code.fma(total, factor, factor) for total in sums]  # noqa: E731
    totals = code.loop(0, turns, 1, body, [factor] * MULTIPLY_ADD_CHAINS)
    for total in totals:
        code.store(total, target)
    code.end()
    built = machine.compile(module, "the peak's measurement", optimise=False)
    room = np.zeros(code.lanes, dtype)
    run = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_void_p)(built.address("run"))
    best = _best_seconds(lambda: run(TURNS, room.ctypes.data), seconds)
    return 2 * MULTIPLY_ADD_CHAINS * code.lanes * TURNS / best


def measure_bandwidth(size: int, *, seconds: float = 0.2) -> float:
    """Measure how fast one core reads memory repeatedly.

    Args:
        size: in bytes, a working set that fits the cache to be measured, or none of them.
        seconds: how long to measure; the best of many runs counts.

    Returns:
        Bytes a second.

    Raises:
        Unavailable: this machine has no kernels.
    """
    module = ir.Module(name="bandwidth")
    code = begin(module, "run", [("turns", INDEX), ("count", INDEX), ("source", POINTER)], np.float32)
    turns, count, source = code.arguments
    step = LOAD_CHAINS * code.lanes

    def read(i: Value, sums: list[Value]) -> list[Value]:
        return [code.add(total, code.load(source, code.plus(i, j * code.lanes))) for j, total in enumerate(sums)]

    once = lambda _, sums: code.loop(0, count, step, read, sums)  # noqa: E731
    for j, total in enumerate(code.loop(0, turns, 1, once, [code.number(0.0)] * LOAD_CHAINS)):
        code.store(total, source, j * code.lanes)
    code.end()
    built = machine.compile(module, "the bandwidth's measurement", optimise=False)
    numbers = torch.zeros(max(1, size // (4 * step)) * step).numpy()
    repeats = max(1, BYTES_A_RUN // numbers.nbytes)
    run = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)(built.address("run"))
    return repeats * numbers.nbytes / _best_seconds(lambda: run(repeats, numbers.size, numbers.ctypes.data), seconds)


def _best_seconds(run: Callable[[], None], seconds: float) -> float:
    best, end = float("inf"), time.perf_counter() + seconds
    while True:
        began = time.perf_counter()
        run()
        now = time.perf_counter()
        best = min(best, now - began)
        if now >= end:
            return best
