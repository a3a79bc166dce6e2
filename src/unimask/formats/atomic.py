"""Files and folders that appear whole or not at all."""

import errno
import os
import re
import shutil
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryFile

from unimask.errors import OutputError, StorageError

PARTIAL = re.compile(r"\.partial-(?P<host>\w+)-(?P<pid>\d+)-(?P<start>\d+)-[0-9a-f]{12}(\.\w+)?")
"""Temporary names: the computer, the process and when it started, and a random part."""

NO_STORAGE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""Reasons that the next file meets as well: disk full, quota used up, read-only."""

UNKNOWN_START = 0


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` and move it there when the block succeeds.

    Raises:
        OutputError: The folder cannot be made, or the file cannot be written.
    """
    with partial_path(path) as temporary:
        yield temporary
        os.replace(temporary, path)


@contextmanager
def partial_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; remove what is left of it when the block ends.

    The temporary name keeps the suffix, since writers choose their format by it. What killed
    processes left in the same folder is removed first.

    Raises:
        OutputError: The block raised an `OSError`.
        StorageError: It did because the disk is full, over its quota, or read-only.
    """
    temporary = path.with_name(partial_name(path.suffix))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned_once(path.parent)
        yield temporary
    except OSError as error:
        raise write_error(path, error) from error
    finally:
        remove(temporary)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path` and move it there when the block succeeds.

    Where `path` is a folder that holds something, what is in the temporary folder joins it.

    Raises:
        OutputError: It cannot be written, or the same names are there already.
    """
    with partial_path(path) as temporary:
        temporary.mkdir()
        yield temporary
        if not path.exists():
            os.replace(temporary, path)
            return
        inner = [(entry, path / entry.name) for entry in temporary.iterdir()]
        for _, target in inner:
            if os.path.lexists(target):
                raise OutputError(f"{target} is in the way: give a new folder")
        for entry, target in inner:
            os.replace(entry, target)


def write_error(path: Path, error: OSError) -> OutputError:
    """Return the error that explains why `path` cannot be written."""
    kind = StorageError if error.errno in NO_STORAGE else OutputError
    return kind(f"cannot write {path}: {error.strerror or error}; choose another place")


def check_writable(folder: Path) -> None:
    """Make a folder and test that files can be written there.

    Raises:
        OutputError: They cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"cannot write to {folder}: {reason}; choose another place") from error


def partial_name(suffix: str = "") -> str:
    """Return a temporary name that tells which process uses it."""
    pid = os.getpid()
    known = suffix if re.fullmatch(r"\.\w+", suffix) else ""
    return f".partial-{host_name()}-{pid}-{start_of(pid)}-{uuid.uuid4().hex[:12]}{known}"


def is_partial(name: str) -> bool:
    """Return True for the temporary names of this module."""
    return PARTIAL.fullmatch(name) is not None


@cache
def remove_abandoned_once(folder: Path) -> None:
    """Call `remove_abandoned` at the first write of this process into a folder."""
    remove_abandoned(folder)


def remove_abandoned(folder: Path) -> None:
    """Remove temporary files and folders of processes of this computer that no longer run."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            found = PARTIAL.fullmatch(entry.name)
            if (
                found
                and found["host"] == host_name()
                and not is_running(int(found["pid"]), int(found["start"]))
            ):
                remove(Path(entry.path))


def remove(path: Path) -> None:
    """Remove a temporary file or folder if it is there and can be removed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def is_running(pid: int, start: int) -> bool:
    """Return False where no process of that number runs, or one that started at another time."""
    if os.name == "nt":  # os.kill would end the process there
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # it belongs to somebody else
        pass
    return UNKNOWN_START in (start, start_of(pid)) or start == start_of(pid)


def start_of(pid: int) -> int:
    """Return when a process started, in the system's ticks; `UNKNOWN_START` outside Linux."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        return int(status.rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return UNKNOWN_START


@cache
def host_name() -> str:
    """Return this computer's name, as far as it suits file names."""
    return re.sub(r"\W", "_", socket.gethostname(), flags=re.ASCII)[:40] or "_"
