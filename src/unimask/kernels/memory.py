"""Settings of the memory allocator."""

import ctypes
import os
from collections.abc import Callable
from functools import cache

GIGABYTE = 2**30
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
"""Numbers of `mallopt` (glibc's `malloc.h`)."""


LARGE_PIXELS = 2**24
"""Images of more pixels leave so much freed memory behind that it is returned."""


def release_freed_memory(pixels: int) -> None:
    """Return freed memory to the system after work on a large image.

    Args:
        pixels: Number of pixels of the image; nothing is done for small ones, whose memory the
            next image reuses.
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
    """Keep up to a gigabyte of freed memory in the process for reuse.

    PyTorch allocates CPU tensors by the C library, and glibc returns large blocks to the system
    when they are freed: the next image then needs new pages, which the kernel must clear, a tenth
    of the time of a forward pass. Threads other than the first have memory areas of 64 MB, which
    cannot keep larger blocks: in a server's thread, batches took a third longer. One area then
    serves all threads that start later. On GPUs PyTorch caches memory in the same way. The settings
    hold for the process; they are left alone if `MALLOC_TRIM_THRESHOLD_` or `MALLOC_ARENA_MAX` is
    set in the environment.

    Returns:
        Whether the settings were made: False if the C library is not glibc.
    """
    if "MALLOC_TRIM_THRESHOLD_" in os.environ or "MALLOC_ARENA_MAX" in os.environ:
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    values = {M_MMAP_THRESHOLD: GIGABYTE, M_TRIM_THRESHOLD: GIGABYTE, M_ARENA_MAX: 1}
    return all([mallopt(option, value) == 1 for option, value in values.items()])
