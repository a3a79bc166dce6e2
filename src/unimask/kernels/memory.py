"""Memory that the next picture finds where the last one left it."""

import ctypes
import os
from collections.abc import Callable
from functools import cache

GIGABYTE = 2**30
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Numbers of `mallopt` (glibc's `malloc.h`)."""


LARGE_PIXELS = 2**24
"""Images of more pixels leave so much freed memory behind that it is returned."""


def release_freed_memory(pixels: int) -> None:
    """Return freed memory to the system after work on a large image.

    Args:
        pixels: Of the image; for small ones nothing is done, since the next finds the memory.
    """
    if pixels > LARGE_PIXELS:
        trim = malloc_trim()
        if trim is not None:
            trim(0)


@cache
def malloc_trim() -> Callable[[int], int] | None:
    """Return glibc's function of that name; None where the C library is another one."""
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return None


@cache
def keep_freed_memory() -> bool:
    """Let the process keep up to a gigabyte of memory that was freed, rather than return it.

    PyTorch asks the C library for every tensor of a CPU, and glibc returns large ones to the
    system at once: the next picture then gets pages that must be found and cleared again, a
    tenth of the time of a forward pass. On GPUs PyTorch keeps memory in the same way. The
    setting is the process's; `MALLOC_TRIM_THRESHOLD_` in the environment, if set, is left alone.

    Returns:
        Whether it was set: not where the C library is another one.
    """
    if "MALLOC_TRIM_THRESHOLD_" in os.environ:
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    kept = mallopt(M_MMAP_THRESHOLD, GIGABYTE), mallopt(M_TRIM_THRESHOLD, GIGABYTE)
    return kept == (1, 1)
