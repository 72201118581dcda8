"""Memory is measured in processes of their own, and grows with the case."""

import json

import pytest
from experiments import memory

from elman.errors import UsageError

on_linux = pytest.mark.skipif(not memory.STATUS.exists(), reason="needs Linux's /proc")


@on_linux
def test_a_longer_batch_takes_more(capsys: pytest.CaptureFixture[str]):
    memory.main(["lstm-b8-t2000-i32-h64-forward+backward"])
    long = json.loads(capsys.readouterr().out)["megabytes"]
    assert set(long) == set(memory.SIDES)
    # The states alone are 8 · 1,800 · 64 · 4 bytes more, 3.5 MB, and an LSTM saves several of them.
    assert long["elman"]["added"] > memory.measure("lstm-b8-t200-i32-h64-forward+backward", "elman")["added"] + 3.5


@on_linux
def test_a_case_that_is_none():
    with pytest.raises(UsageError, match="no case `lstm`"):
        memory.main(["lstm"])
