"""The processor, compiling, and the other widths of vectors."""

import os
import subprocess
import sys

import numpy as np
import pytest

from elman.compiler.targets.llvm import machine
from elman.errors import UsageError


def test_lanes():
    assert machine.lanes(np.float32) == 2 * machine.lanes(np.float64) == machine.host().bits // 32


def test_a_library_gives_addresses():
    library = machine.compile("define i64 @one() { ret i64 1 }", "one")
    assert library.seconds > 0
    assert library.address("one")
    with pytest.raises(KeyError):
        library.address("two")


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
