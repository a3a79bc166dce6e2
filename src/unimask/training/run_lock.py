"""One process at a time in a run's folder, and no process that outlives its launcher."""

import json
import os
import socket
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from unimask.errors import OutputError, TrainingError
from unimask.training.processes import is_first_process

LOCK, HOLDER = ".lock", ".lock.json"
"""The file that is locked, and the one that says who holds it. Both stay: removing a locked file
would let two processes lock two files of one name."""

WAIT = 3.0
"""Seconds that a process waits for a lock: the workers of a killed launcher end within one."""

POLL = 0.5
"""Seconds between two looks at whether the launcher still lives."""

HELD: set[BaseFileLock] = set()
"""Locks of this process, whose files its forked children must not keep open."""


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Hold a run's folder; of several processes of one run the first holds it for all.

    The lock is the operating system's (`flock`): it ends with the process, however that ends, and
    holds across machines where the network file system supports it (NFS from Linux 2.6.12 on,
    Lustre mounted with `flock`). Where the file system has no locks at all, a warning says so.

    Args:
        folder: An existing folder.

    Raises:
        OutputError: The file of the lock cannot be written.
        TrainingError: Another process holds the folder.
    """
    if not is_first_process():
        yield
        return
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=WAIT)
    except Timeout:
        raise TrainingError(
            f"{folder} is in use by {read_holder(folder)}: wait for its end, stop it, or give "
            "another --out"
        ) from None
    except (NotImplementedError, OSError) as error:
        if isinstance(error, PermissionError):
            raise OutputError(f"cannot write {folder / LOCK}: {error.strerror}") from error
        warnings.warn(
            f"the file system of {folder} has no locks ({error}): start no second process in it",
            stacklevel=2,
        )
        yield
        return
    HELD.add(lock)
    try:
        write_holder(folder)
        yield
    finally:
        HELD.discard(lock)
        lock.release()


def write_holder(folder: Path) -> None:
    """Record who holds the lock, for the message that a second process prints."""
    holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.ctime()}
    with suppress(OSError):  # a full disk is reported by what is written next
        (folder / HOLDER).write_text(json.dumps(holder) + "\n")


def read_holder(folder: Path) -> str:
    """Describe the process that holds the lock, as far as it is known."""
    try:
        holder = json.loads((folder / HOLDER).read_text(encoding="utf-8"))
        return f"process {holder['pid']} on {holder['host']} since {holder['since']}"
    except (OSError, ValueError, TypeError, LookupError):
        return "another process"


def close_inherited() -> None:
    """Close the files of locks in a forked child, which would hold them beyond its parent's end."""
    for lock in HELD:  # releases of filelock before 4 leave them open
        descriptor = getattr(getattr(lock, "_context", None), "lock_file_fd", None)
        if descriptor is not None:
            with suppress(OSError):
                os.close(descriptor)
    HELD.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=close_inherited)


def end_with_launcher() -> None:
    """End this process when the one that started it has ended, if that was `torchrun`.

    A launcher that is killed cannot stop its workers; they would go on writing beside those of the
    next launch. The process ends at once, in the middle of whatever it does: files are moved into
    place whole, so that the last saved state remains.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return
    launcher = os.getppid()
    threading.Thread(target=watch, args=(launcher,), daemon=True).start()


def watch(launcher: int) -> None:
    """End this process once its parent is another one than `launcher`."""
    while os.getppid() == launcher:
        time.sleep(POLL)
    with suppress(OSError, ValueError):
        sys.stderr.write("unimask: error: the launcher of this process is gone: it ends\n")
        sys.stderr.flush()
    os._exit(1)
