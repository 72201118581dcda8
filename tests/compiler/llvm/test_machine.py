"""The processor, compiling, and the other widths of vectors."""

import gc
import os
import subprocess
import sys
import weakref

import numpy as np
import pytest
import torch

from elman import CELLS
from elman.compiler.targets.llvm import machine
from elman.compiler.targets.llvm.run import program
from elman.errors import UsageError


def test_lanes():
    assert machine.lanes(np.float32) == 2 * machine.lanes(np.float64) == machine.host().bits // 32


def test_a_library_gives_addresses():
    library = machine.compile("define i64 @one() { ret i64 1 }", "one")
    assert library.seconds > 0
    assert library.address("one")
    with pytest.raises(KeyError):
        library.address("two")


def test_modules_of_equal_text_share_a_library_while_it_is_used():
    text = "define i64 @two() { ret i64 2 }"
    library = machine.compile(text, "two")
    assert machine.compile(text, "another name") is library
    assert machine.compile(text, "two", optimise=False) is not library
    assert machine.compile(text.replace("2 ", "3 "), "three") is not library
    kept = weakref.ref(library)
    del library
    gc.collect()
    assert kept() is None


def test_layers_of_other_inputs_share_kernels(monkeypatch: pytest.MonkeyPatch):
    """Products of the input are made before the loop, whose kernel then reads their rows only."""
    kept = program(CELLS["gru"].trace(3, 37), torch.float32).inference
    monkeypatch.setattr(machine, "_engine", lambda *text: pytest.fail("the kernel is compiled again"))
    assert program(CELLS["gru"].trace(5, 37), torch.float32).inference is not kept


def test_a_module_llvm_refuses_is_unavailable():
    with pytest.raises(machine.Unavailable, match="nonsense"):
        machine.compile("this is no module", "nonsense")


def test_without_llvmlite(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(machine, "binding", None)
    machine._host.cache_clear()
    with pytest.raises(machine.Unavailable, match="llvmlite"):
        machine.host()
    machine._host.cache_clear()


@pytest.mark.parametrize("bits", ["1024", "64", "wide"])
def test_a_width_that_is_not_there(bits: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ELMAN_VECTOR_BITS", bits)
    with pytest.raises(UsageError, match="ELMAN_VECTOR_BITS"):
        machine.host()


@pytest.mark.parametrize("features", [{}, {"avx": True, "avx2": True}])
def test_a_processor_without_wide_vectors(features: dict[str, bool]):
    assert machine._widest(features, is_arm=False) == 0
    assert machine._widest(features, is_arm=True) == 128


@pytest.mark.slow
@pytest.mark.parametrize("bits", [bits for bits in machine.WIDTHS if bits < machine.host().bits])
def test_other_widths(bits: int):
    """The tests of this folder once more, in a process with narrower vectors."""
    here = os.path.dirname(__file__)  # noqa: PTH120
    files = [os.path.join(here, name) for name in ("test_functions.py", "test_gemm.py")]  # noqa: PTH118
    # In one process: each worker would import torch once more.
    command = [sys.executable, "-m", "pytest", "-n0", "-x", "-m", "not slow", "-p", "no:cacheprovider", *files]
    done = subprocess.run(
        command, env=os.environ | {"ELMAN_VECTOR_BITS": str(bits)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:]
