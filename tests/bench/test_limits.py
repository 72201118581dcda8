"""What the machine can do is a positive number; how large, no test can know."""

import numpy as np
import pytest

from elman.bench.limits import measure_bandwidth, measure_peak
from elman.bench.run import Machine
from elman.bench.table import describe_machine
from elman.compiler.targets.llvm import machine


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_peak_is_positive(dtype: type):
    assert measure_peak(dtype, seconds=0) > 0


@pytest.mark.parametrize("size", [1, 1 << 16, 1 << 20])
def test_the_bandwidth_is_positive(size: int):
    assert measure_bandwidth(size, seconds=0) > 0


def test_a_machine_without_kernels_has_no_limits(monkeypatch: pytest.MonkeyPatch):
    def refuse():
        raise machine.Unavailable("no vectors")

    monkeypatch.setattr(machine, "host", refuse)
    found = Machine()
    assert found.peak is None
    assert found.bandwidth(100) is None
    assert "no kernels" in describe_machine(found, 2)
