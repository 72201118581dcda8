"""What the process asks of the system, seen in the pages that it is given."""

import json
import platform
import resource
import subprocess
import sys

import pytest

MEASURED = """
import json, resource
import torch
from elman.training.kept_memory import kept_memory

def pages_of_blocks():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(10_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    return int(open("/proc/self/statm").read().split()[1])

pages_of_blocks()
before = resident()
with kept_memory():
    pages_of_blocks()
    kept, held = pages_of_blocks(), resident() - before
# Later blocks may lie in a hole that was left in the heap, and stay there when they are freed.
left = resident() - before
print(json.dumps({"kept": kept, "held": held, "left": left, "after": pages_of_blocks()}))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_a_block_that_was_freed_is_the_next_one_and_goes_back_at_the_end():
    found = json.loads(subprocess.run([sys.executable, "-c", MEASURED], capture_output=True, check=True).stdout)
    block = 40_000_000 // resource.getpagesize()
    # A page that is filled may be a huge one.
    assert 10 * found["kept"] < found["after"]
    assert found["held"] > block / 2
    assert found["left"] < block / 2
