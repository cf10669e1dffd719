"""That arrays of a megabyte find the memory of those before them, without a page fault for every 4 KiB."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource
import numpy as np
{0}
def work():
    arrays = [np.ones(250_000, np.float32) for _ in range(4)]
work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries handle freed memory in other ways")
def test_freed_memory_is_kept() -> None:
    """50 rounds over 4 MB are 50,000 pages."""
    done = subprocess.run([sys.executable, "-c", FAULTS.format("import compgraph.nn")], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 2000
