import os
import subprocess
import sys

import pytest

from unimask.kernels.memory import keep_freed_memory

PAGES = 2**26 // os.sysconf("SC_PAGE_SIZE")
PROGRAM = """
import resource, sys, torch
from unimask.kernels.memory import keep_freed_memory
enabled = keep_freed_memory()
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def touch():
    before = faults()
    torch.ones(2**24)  # 64 MB
    return faults() - before
print(enabled, sum([touch() for _ in range(30)][-10:]))
"""


def run(**settings):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True, text=True, check=True, env={**os.environ, **settings},
    )  # fmt: skip
    enabled, faults = done.stdout.split()
    return enabled == "True", int(faults)


@pytest.mark.skipif(not keep_freed_memory(), reason="the C library is not glibc")
def test_freed_memory_is_returned():
    enabled, faults = run()
    assert enabled and faults < PAGES


@pytest.mark.skipif(not keep_freed_memory(), reason="the C library is not glibc")
def test_user_settings_are_not_overridden():
    enabled, faults = run(MALLOC_TRIM_THRESHOLD_="100000")
    assert not enabled and faults > 9 * PAGES
