"""Locking of a run's folder, and termination of workers that outlive their launcher."""

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
"""The locked file, and the file that names its holder. Both are kept: if one were removed,
two processes could lock two files of the same name.
"""

WAIT = 3.0
"""Seconds to wait for a lock; workers of a killed launcher end within one second."""

POLL = 0.5
"""Seconds between checks that the launcher still runs."""

HELD: set[BaseFileLock] = set()
"""Locks held by this process, whose files forked children must close."""


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Lock a run's folder; of the processes of one run only the first one locks it.

    The operating system's lock (`flock`) ends with the process in any case. It works across
    machines if the network file system supports it (NFS from Linux 2.6.12 on, Lustre mounted with
    `flock`). If the file system has no locks at all, a warning is issued.

    Args:
        folder: Existing folder.

    Raises:
        OutputError: The lock file cannot be written.
        TrainingError: Another process holds the lock.
    """
    if not is_first_process():
        yield
        return
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=WAIT)
    except Timeout:
        raise TrainingError(
            f"{folder} is in use by {read_holder(folder)}: wait for its end, stop it, or pass "
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
    """Record the holder of the lock, for the error message of a second process."""
    holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.ctime()}
    with suppress(OSError):  # a full disk is reported by the next write
        (folder / HOLDER).write_text(json.dumps(holder) + "\n")


def read_holder(folder: Path) -> str:
    """Describe the process that holds the lock, if it is known."""
    try:
        holder = json.loads((folder / HOLDER).read_text(encoding="utf-8"))
        return f"process {holder['pid']} on {holder['host']} since {holder['since']}"
    except (OSError, ValueError, TypeError, LookupError):
        return "another process"


def close_inherited() -> None:
    """Close the lock files in a forked child, so that they do not stay locked after its parent."""
    for lock in HELD:  # filelock before version 4 leaves them open
        descriptor = getattr(getattr(lock, "_context", None), "lock_file_fd", None)
        if descriptor is not None:
            with suppress(OSError):
                os.close(descriptor)
    HELD.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=close_inherited)


def end_with_launcher() -> None:
    """End this process when its launcher `torchrun` has ended.

    A killed launcher cannot stop its workers, which would write at the same time as those of the
    next launch. The process ends immediately: files are moved into place atomically, so the last
    saved state remains valid.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return
    launcher = os.getppid()
    threading.Thread(target=watch, args=(launcher,), daemon=True).start()


def watch(launcher: int) -> None:
    """End this process once `launcher` is no longer its parent."""
    while os.getppid() == launcher:
        time.sleep(POLL)
    with suppress(OSError, ValueError):
        sys.stderr.write("unimask: error: the launcher of this process is gone: it ends\n")
        sys.stderr.flush()
    os._exit(1)
