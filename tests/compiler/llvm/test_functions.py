"""Every elementwise kernel against float64 or more digits, over the whole range of its arguments."""

import ctypes
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import mpmath
import numpy as np
import pytest
import torch
from llvmlite import ir

from elman.compiler.operations import BINARY, UNARY
from elman.compiler.targets.eager import TORCH
from elman.compiler.targets.llvm import machine
from elman.compiler.targets.llvm.functions import EMIT, emit
from elman.compiler.targets.llvm.vectors import INDEX, POINTER, Value, begin

# The largest errors that functions.py states, in units of the last place, and a little more.
ULPS = {"exp": 1.1, "log": 0.9, "sin": 1.6, "cos": 1.6, "tanh": 2.7, "sigmoid": 2.6}
ULPS |= {"erf": 2.5, "erfc": 4.5, "log1p": 0.9, "expm1": 1.7, "softplus": 1.6}
SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e4, -1e4, 100.0, -100.0]
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def _sigmoid(x: np.ndarray) -> np.ndarray:
    e = np.exp(-np.abs(x))
    return np.where(x > 0, 1.0, e) / (1.0 + e)


def by_torch(function: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: function(torch.from_numpy(x)).numpy()


WANTED = {
    "exp": np.exp,
    "log": np.log,
    "sin": np.sin,
    "cos": np.cos,
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
    "erf": by_torch(torch.erf),
    "erfc": by_torch(torch.erfc),
    "log1p": np.log1p,
    "expm1": np.expm1,
    "softplus": lambda x: np.logaddexp(0.0, x),
}
EXACT = {
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "softplus": lambda x: mpmath.log1p(mpmath.exp(-abs(x))) + max(x, 0),
}


@cache
def map_kernel(operation: str, dtype: Any, arity: int = 1) -> Callable[..., np.ndarray]:
    """Compile an operation over whole arrays.

    Args:
        operation: a key of EMIT.
        dtype: float32 or float64.
        arity: how many arguments the operation takes.

    Returns:
        A function of that many one-dimensional arrays of one length, which gives the array of results.
    """
    module = ir.Module(name=operation)
    sources = [(f"source{n}", POINTER) for n in range(arity)]
    code = begin(module, "run", [("count", INDEX), ("target", POINTER), *sources], dtype)
    count, target, *pointers = code.arguments

    def turn(i: Value, _: list[Value]) -> None:
        mask = code.first_lanes(code.minus(count, i))
        values = [code.load_some(mask, pointer, i) for pointer in pointers]
        code.store_some(emit(code, operation, *values), mask, target, i)

    code.loop(0, count, code.lanes, turn)
    code.end()
    library = machine.compile(module, f"{operation} of {np.dtype(dtype)}")
    native = ctypes.CFUNCTYPE(None, ctypes.c_int64, *[ctypes.c_void_p] * (1 + arity))(library.address("run"))

    def run(*arrays: np.ndarray, library: machine.Library = library) -> np.ndarray:
        given = [np.ascontiguousarray(array, dtype) for array in arrays]
        result = np.empty_like(given[0])
        native(len(result), *(array.ctypes.data for array in (result, *given)))
        return result

    return run


def _floats(stride: int) -> Iterator[np.ndarray]:
    """Every so many of all bit patterns of float32: all exponents, both signs, denormal numbers, NaN."""
    patterns = 1 << 32
    chunk = stride << 20
    for start in range(0, patterns, chunk):
        yield np.arange(start, min(start + chunk, patterns), stride, np.uint64).astype(np.uint32).view(np.float32)
    yield np.float32(SPECIAL)


def _ulps(got: np.ndarray, wanted: np.ndarray) -> float:
    with np.errstate(over="ignore"):
        rounded = wanted.astype(got.dtype)
    same = np.isnan(wanted) & np.isnan(got) | np.isinf(rounded) & (got == rounded)
    unit = np.spacing(np.abs(np.where(np.isfinite(rounded), rounded, np.finfo(got.dtype).max)))
    with np.errstate(invalid="ignore"):
        error = np.abs(got - wanted) / unit
    return float(np.where(same, 0.0, np.where(np.isnan(error), np.inf, error)).max())


def _largest_error(operation: str, stride: int) -> float:
    kernel = map_kernel(operation, np.float32)
    errors = []
    for values in _floats(stride):
        with np.errstate(all="ignore"):
            errors.append(_ulps(kernel(values), WANTED[operation](values.astype(np.float64))))
    return max(errors)


@pytest.mark.parametrize("operation", ULPS)
def test_whole_float32_range(operation: str):
    assert _largest_error(operation, 2047) <= ULPS[operation]


@pytest.mark.slow
@pytest.mark.parametrize("operation", ULPS)
def test_every_64th_float32(operation: str):
    assert _largest_error(operation, 64) <= ULPS[operation]


def _samples(operation: str) -> np.ndarray:
    rng = np.random.default_rng(7)
    spread = np.concatenate([rng.normal(size=300) * scale for scale in (1e-300, 1e-9, 0.1, 1.0, 10.0, 1e4, 1e9)])
    if operation == "log":
        return np.concatenate([np.abs(spread), rng.uniform(0.5, 2.0, 1000), [5e-324, 1e-310, 1e308]])
    if operation == "log1p":
        return np.concatenate([np.abs(spread), rng.uniform(-1.0, 3.0, 1000), [5e-324, -1e-310, 1e308]])
    return np.concatenate([spread, rng.uniform(-746, 710, 1000), rng.uniform(-3, 3, 1000)])


@pytest.mark.parametrize("operation", ULPS)
def test_float64_samples(operation: str):
    exact = EXACT.get(operation) or getattr(mpmath, operation)
    values = _samples(operation)
    largest = 0.0
    with mpmath.workprec(120):
        for x, got in zip(values, map_kernel(operation, np.float64)(values), strict=True):
            wanted = exact(mpmath.mpf(float(x)))
            rounded = float(wanted)
            if np.isinf(rounded) or got == rounded:
                assert got == rounded
                continue
            largest = max(largest, float(abs(mpmath.mpf(float(got)) - wanted) / float(np.spacing(abs(rounded)))))
    assert largest <= ULPS[operation]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_powers(dtype: type):
    rng, large = np.random.default_rng(5), float(np.finfo(dtype).maxexp) * 0.69
    base = np.concatenate([np.exp(rng.uniform(-large, large, 2000)), 1.0 + rng.normal(size=1000) * 1e-3]).astype(dtype)
    exponent = np.concatenate([rng.normal(size=2000) * 3.0, rng.normal(size=1000) * 1e4]).astype(dtype)
    largest = 0.0
    for x, y, got in zip(base, exponent, map_kernel("power", dtype, 2)(base, exponent), strict=True):
        with mpmath.workprec(200):
            wanted = mpmath.power(mpmath.mpf(float(x)), mpmath.mpf(float(y)))
        with np.errstate(over="ignore"):
            rounded = dtype(float(wanted))
        if np.isinf(rounded):
            assert got == rounded
        else:
            largest = max(largest, float(abs(mpmath.mpf(float(got)) - wanted) / float(np.spacing(rounded))))
    assert largest <= 1.3


@DTYPES
def test_remainders_are_torchs_bit_by_bit(dtype: type):
    rng = np.random.default_rng(5)
    a = (rng.normal(size=30000) * rng.choice([1e-3, 1.0, 1e3, 1e9, 1e20], 30000)).astype(dtype)
    b = (rng.normal(size=30000) * rng.choice([1.0, 1e-3, 100.0], 30000)).astype(dtype)
    a[:5000] = np.round(a[:5000]) * b[:5000]
    wanted = torch.remainder(torch.from_numpy(a), torch.from_numpy(b)).numpy()
    np.testing.assert_array_equal(map_kernel("remainder", dtype, 2)(a, b), wanted)


@DTYPES
@pytest.mark.parametrize("operation", ["tanh", "sigmoid", "exp"])
def test_nothing_overflows(operation: str, dtype: type):
    """With the limits themselves: ±1e4, ±infinity."""
    got = map_kernel(operation, dtype)(np.array([1e4, -1e4, np.inf, -np.inf, np.nan], dtype))
    high, low = {"tanh": (1, -1), "sigmoid": (1, 0), "exp": (np.inf, 0)}[operation]
    np.testing.assert_array_equal(got, np.array([high, low, high, low, np.nan], dtype))


@DTYPES
@pytest.mark.parametrize("operation", UNARY)
def test_nan_stays(operation: str, dtype: type):
    assert np.isnan(map_kernel(operation, dtype)(np.full(19, np.nan, dtype))).all()


def _arguments(dtype: type, arity: int) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    ends = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0])
    if arity == 1:
        return [np.concatenate([ends, rng.normal(size=30)]).astype(dtype)]
    pairs = np.stack(np.meshgrid(ends, ends)).reshape(2, -1)
    drawn = rng.integers(-2, 3, (arity, 83 + pairs.shape[1])).astype(float)
    drawn[:2, 83:] = pairs
    return list(drawn.astype(dtype))


@DTYPES
@pytest.mark.parametrize("operation", [*UNARY, *BINARY, "where"])
def test_same_as_torch(operation: str, dtype: type):
    arity = 1 if operation in UNARY else 3 if operation == "where" else 2
    given = _arguments(dtype, arity)
    got = map_kernel(operation, dtype, arity)(*given)
    wanted = TORCH[operation](*(torch.from_numpy(value) for value in given)).numpy()
    np.testing.assert_allclose(got, wanted, rtol=4 * np.finfo(dtype).eps, atol=0)


def test_every_operation_is_there():
    assert set(EMIT) == {*UNARY, *BINARY, "where"}


@pytest.mark.parametrize("length", [0, 1, 3, 15, 16, 17, 65])
def test_tails_touch_nothing_else(length: int):
    room = np.full(length + 40, -5.0, np.float32)
    given = room[: length + 3][:length]
    got = map_kernel("tanh", np.float32)(given)
    assert len(got) == length
    np.testing.assert_allclose(got, np.tanh(np.full(length, -5.0)), rtol=1e-6)
