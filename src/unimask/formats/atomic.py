"""Atomic writing: files and folders appear complete or not at all."""

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
"""Temporary names: host, process id, start time of the process, and a random part."""

NO_STORAGE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""Errors that the next file would meet as well: disk full, quota exceeded, read-only."""

UNKNOWN_START = 0


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` and move it there when the block succeeds.

    Raises:
        OutputError: The folder cannot be created, or the file cannot be written.
    """
    with partial_path(path) as temporary:
        yield temporary
        os.replace(temporary, path)


@contextmanager
def partial_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; remove what is left of it when the block ends.

    The temporary name keeps the suffix, by which writers choose the format. Files that killed
    processes left in the folder are removed first.

    Raises:
        OutputError: The block raised an `OSError`.
        StorageError: The error was a full disk, an exceeded quota or a read-only file system.
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

    If `path` is a folder with content, the content of the temporary folder is added to it.

    Raises:
        OutputError: The folder cannot be written, or has entries of the same names.
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
                raise OutputError(f"{target} is in the way: choose a new folder")
        for entry, target in inner:
            os.replace(entry, target)


def write_error(path: Path, error: OSError) -> OutputError:
    """Return the error that explains why `path` cannot be written."""
    kind = StorageError if error.errno in NO_STORAGE else OutputError
    return kind(f"cannot write {path}: {error.strerror or error}; choose another place")


def check_writable(folder: Path) -> None:
    """Test that files can be written into a folder, which need not exist yet.

    Raises:
        OutputError: The folder cannot be created, or is not writable.
    """
    place = folder.absolute()
    while not os.path.lexists(place):
        place = place.parent
    try:
        with TemporaryFile(dir=place):
            pass
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"cannot write to {folder}: {reason}; choose another place") from error


def partial_name(suffix: str = "") -> str:
    """Return a temporary name that identifies the process that uses it."""
    pid = os.getpid()
    known = suffix if re.fullmatch(r"\.\w+", suffix) else ""
    return f".partial-{host_name()}-{pid}-{process_start_time(pid)}-{uuid.uuid4().hex[:12]}{known}"


def is_partial(name: str) -> bool:
    """Return True for the temporary names of this module."""
    return PARTIAL.fullmatch(name) is not None


@cache
def remove_abandoned_once(folder: Path) -> None:
    """Call `remove_abandoned` at the first write of this process into a folder."""
    remove_abandoned(folder)


def remove_abandoned(folder: Path) -> None:
    """Remove temporary files and folders of processes of this host that no longer run."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            match = PARTIAL.fullmatch(entry.name)
            if (
                match
                and match["host"] == host_name()
                and not is_running(int(match["pid"]), int(match["start"]))
            ):
                remove(Path(entry.path))


def remove(path: Path) -> None:
    """Remove a temporary file or folder if it exists and can be removed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def is_running(pid: int, start: int) -> bool:
    """Return False if no process has this id, or one that started at another time."""
    if os.name == "nt":  # os.kill would end the process there
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # The process belongs to another user.
        pass
    return UNKNOWN_START in (start, process_start_time(pid)) or start == process_start_time(pid)


def process_start_time(pid: int) -> int:
    """Return the start time of a process in clock ticks; `UNKNOWN_START` outside Linux."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        return int(status.rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return UNKNOWN_START


@cache
def host_name() -> str:
    """Return the host name, restricted to characters that suit file names."""
    return re.sub(r"\W", "_", socket.gethostname(), flags=re.ASCII)[:40] or "_"
