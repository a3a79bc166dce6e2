import os
import subprocess
import sys

import pytest

from unimask.kernels.memory import keep_freed_memory

PAGES = 2**26 // os.sysconf("SC_PAGE_SIZE")
PROGRAM = """
import resource, threading, torch
from unimask.kernels.memory import keep_freed_memory
enabled = keep_freed_memory()
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def touch():
    before = faults()
    torch.ones(2**24)  # 64 MB
    return faults() - before
def touch_often():
    print(sum([touch() for _ in range(30)][-10:]))
print(enabled)
touch_often()
thread = threading.Thread(target=touch_often)  # a server's network runs in such a thread
thread.start()
thread.join()
"""


def run(**settings):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True, text=True, check=True, env={**os.environ, **settings},
    )  # fmt: skip
    enabled, *faults = done.stdout.split()
    return enabled == "True", [int(count) for count in faults]


@pytest.mark.skipif(not keep_freed_memory(), reason="the C library is not glibc")
def test_freed_memory_is_returned():
    enabled, faults = run()
    assert enabled and max(faults) < PAGES


@pytest.mark.skipif(not keep_freed_memory(), reason="the C library is not glibc")
@pytest.mark.parametrize(
    "settings",
    [
        {"MALLOC_TRIM_THRESHOLD_": "100000"},
        pytest.param({"MALLOC_ARENA_MAX": "4"}, marks=pytest.mark.slow),
    ],
)
def test_user_settings_are_not_overridden(settings):
    enabled, faults = run(**settings)
    assert not enabled and min(faults) > 9 * PAGES
