"""Native tasks on several threads."""

import ctypes
import threading

import numpy as np
import pytest
from llvmlite import ir

from elman.compiler.targets.llvm import machine, threads
from elman.compiler.targets.llvm.vectors import INDEX, POINTER, begin


@pytest.fixture(scope="module")
def counting() -> machine.Library:
    """`count(array, task)` adds 1 + task to array[task]."""
    module = ir.Module()
    code = begin(module, "count", [("array", POINTER), ("task", INDEX)], np.float64)
    array, task = code.arguments
    more = code.builder.sitofp(code.plus(task, 1), code.scalar)
    code.store_one(code.add(code.load_one(array, task), more), array, task)
    code.end()
    return machine.compile(module, "count")


def _count(counting: machine.Library, tasks: int, team: int) -> np.ndarray:
    array = np.zeros(tasks + 1)
    threads.parallel(counting.address("count"), array.ctypes.data, tasks, team)
    return array


@pytest.mark.parametrize("team", [1, 2, 3, 4])
@pytest.mark.parametrize("tasks", [0, 1, 2, 5, 1000])
def test_each_task_once(counting: machine.Library, tasks: int, team: int):
    np.testing.assert_array_equal(_count(counting, tasks, team), [*range(1, tasks + 1), 0])


@pytest.mark.parametrize("team", [1, 2, 4])
def test_each_task_once_without_openmp(counting: machine.Library, team: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(threads, "_openmp", lambda: None)
    for tasks in (0, 1, 3, 500):
        np.testing.assert_array_equal(_count(counting, tasks, team), [*range(1, tasks + 1), 0])


@pytest.mark.parametrize("openmp", [True, False])
def test_from_several_python_threads_at_once(counting: machine.Library, openmp: bool, monkeypatch: pytest.MonkeyPatch):
    if not openmp:
        monkeypatch.setattr(threads, "_openmp", lambda: None)
    wrong = []

    def call() -> None:
        results = (_count(counting, 50, 2) for _ in range(20))
        wrong.extend(result for result in results if not np.array_equal(result, [*range(1, 51), 0]))

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong


def test_tasks_are_taken_in_order():
    seen: list[int] = []
    record = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)(lambda _, task: seen.append(task))
    address = ctypes.cast(record, ctypes.c_void_p).value
    assert address
    threads.parallel(address, 0, 9, 1)
    assert seen == list(range(9))
