"""Running native functions on several threads: on torch's own, so that no others compete with them.

Torch's operators run on the threads of an OpenMP runtime that torch ships or finds. Kernels run on the same threads,
and the interpreter is free meanwhile. If there is no such runtime, Python's threads are used.
"""

import ctypes
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import torch
from llvmlite import ir

from elman.compiler.targets.llvm import machine
from elman.compiler.targets.llvm.vectors import INDEX, POINTER, Code, Value, begin


class Work(ctypes.Structure):
    """What the threads of one call share."""

    _fields_ = (
        ("next_task", ctypes.c_int64),
        ("tasks", ctypes.c_int64),
        ("function", ctypes.c_void_p),
        ("argument", ctypes.c_void_p),
    )


def parallel(function: int, argument: int, tasks: int, threads: int) -> None:
    """Call a native function for every task, on several threads.

    Tasks are taken in order, each by the next thread that is free; all are done on return. May be called from
    several Python threads at once.

    Args:
        function: address of a `void f(void *argument, int64_t task)` that may run in several threads.
        argument: its first argument, an address.
        tasks: how many there are: 0 … tasks − 1.
        threads: at most so many run at once; 1 is the caller alone.
    """
    work = Work(0, tasks, function, argument)
    team, worker = min(threads, tasks), _worker()
    if team <= 1:
        worker.run(ctypes.addressof(work))
        return
    start = _openmp()
    if start is None:
        _by_python(work, team)
    else:
        start(worker.address, ctypes.addressof(work), team, 0)


class _Worker:
    """`worker(work)`: take tasks from the shared counter until none is left. Its code lives as long as it does."""

    def __init__(self) -> None:
        module = ir.Module(name="threads")
        code = begin(module, "worker", [("work", POINTER)], np.float64)
        (work,) = code.arguments
        tasks, function, argument = code.load_index(work, 1), code.load_index(work, 2), code.load_pointer(work, 3)
        _take_tasks(code, work, tasks, lambda task: code.call(function, [POINTER, INDEX], [argument, task]))
        code.end()
        self.library = machine.compile(module, "the threads' worker", optimise=False)
        self.address = self.library.address("worker")
        self.run = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(self.address)


@cache
def _worker() -> _Worker:
    return _Worker()


def _take_tasks(code: Code, work: Value, tasks: Value, run: Callable[[Value], Value]) -> None:
    builder = code.builder
    take, turn, done = code.block("take"), code.block("turn"), code.block("done")
    builder.branch(take)
    builder.position_at_end(take)
    task = builder.atomic_rmw("add", work, code.index(1), "monotonic")
    builder.cbranch(code.compare(task, "<", tasks), turn, done)
    builder.position_at_end(turn)
    run(task)
    builder.branch(take)
    builder.position_at_end(done)


@cache
def _openmp() -> Callable[[int, int, int, int], None] | None:
    """Find `GOMP_parallel(function, argument, threads, flags)` of the runtime that torch uses."""
    if not torch.backends.openmp.is_available():
        return None
    for path in _runtimes():
        try:
            start = ctypes.CDLL(path).GOMP_parallel
        except (OSError, AttributeError):
            continue
        start.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
        start.restype = None
        return start
    return None


def _runtimes() -> list[str | None]:
    """List runtimes beside torch, and last None, for what the process has loaded."""
    package = Path(torch.__file__).parent
    folders = package / "lib", package.parent / "torch.libs"
    patterns = "libgomp*.so*", "libiomp5*.so*", "libomp*.so*"
    files = [str(file) for folder in folders for pattern in patterns for file in sorted(folder.glob(pattern))]
    return [*files, None]


def _by_python(work: Work, team: int) -> None:
    """Run tasks on the caller and on Python's threads, without the interpreter's lock."""
    worker, address = _worker(), ctypes.addressof(work)
    helpers: list[Future[None]] = [_pool(team - 1).submit(worker.run, address) for _ in range(team - 1)]
    worker.run(address)
    for helper in helpers:
        if not helper.cancel():
            helper.result()


_POOLS_LOCK = threading.Lock()
_POOLS: dict[int, ThreadPoolExecutor] = {}


def _pool(size: int) -> ThreadPoolExecutor:
    with _POOLS_LOCK:
        if size not in _POOLS:
            _POOLS[size] = ThreadPoolExecutor(size, thread_name_prefix="elman")
        return _POOLS[size]
