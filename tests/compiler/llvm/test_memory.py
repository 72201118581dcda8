"""Memory goes back to the pool when its last tensor is gone, and not before."""

import gc
import threading

import numpy as np
import pytest
import torch

from elman.compiler.targets.llvm import memory
from elman.compiler.targets.llvm.memory import LARGE, Pool, block_size, new_memory

BYTES = np.dtype(np.uint8)


def take(pool: Pool, size: int = LARGE) -> np.ndarray:
    return pool.take((size,), BYTES)


def address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def test_a_block_is_used_again_only_when_nothing_stands_on_it():
    pool = Pool()
    first = take(pool)
    place, part = address(first), first[10:20]
    del first
    assert address(take(pool)) != place
    del part
    gc.collect()
    assert place in [address(array) for array in [take(pool), take(pool)]]


def test_a_view_of_a_tensor_keeps_its_memory(monkeypatch: pytest.MonkeyPatch):
    pool = Pool()
    monkeypatch.setattr(memory, "POOL", pool)
    rows = new_memory(1024, 512, torch.float64)
    rows.fill_(1.0)
    view = rows.t()[3, ::2]
    del rows
    assert pool.idle == 0
    other = new_memory(1024, 512, torch.float64)
    other.fill_(2.0)
    assert bool((view == 1.0).all())
    del view
    assert pool.idle == block_size(1024 * 512 * 8)


def test_no_more_lies_idle_than_allowed():
    pool = Pool(limit=3 * LARGE)
    arrays = [take(pool) for _ in range(5)]
    del arrays
    assert pool.idle == 3 * LARGE


def test_a_block_serves_what_is_hardly_smaller_and_nothing_else():
    pool = Pool()
    place = address(take(pool, 16 * LARGE))
    assert address(take(pool, 14 * LARGE)) != place
    assert address(take(pool, 17 * LARGE)) != place
    assert address(take(pool, 15 * LARGE)) == place


def test_what_lay_idle_longest_goes_first():
    pool = Pool(limit=4 * LARGE)
    old, new = take(pool, 3 * LARGE), take(pool, 2 * LARGE)
    places = address(old), address(new)
    del old
    assert pool.idle == 3 * LARGE
    del new
    assert pool.idle == 2 * LARGE
    assert address(take(pool, 2 * LARGE)) == places[1]


@pytest.mark.parametrize("size", [1, 4096, LARGE - 1, LARGE, LARGE + 1, 3 * LARGE + 17, (1 << 30) + 1])
def test_a_block_is_large_enough_and_hardly_larger(size: int):
    assert size <= block_size(size) <= max(1.032 * size, size + 4096)


def test_threads_never_share_a_block():
    pool, seen, wrong = Pool(), threading.Barrier(4), []

    def work(number: int) -> None:
        seen.wait()
        for _ in range(200):
            array = take(pool)
            array[:: 1 << 16] = number
            wrong.extend(array[:: 1 << 16][array[:: 1 << 16] != number])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert pool.idle <= 4 * LARGE
