"""Folders of results, in which only unmodified files that unimask wrote are replaced."""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path, PurePosixPath, PureWindowsPath

from unimask.errors import OutputError
from unimask.formats.atomic import atomic_path, is_partial, partial_path, write_error
from unimask.version import __version__

RECORD_NAME = "unimask.json"
"""File that lists the files that unimask wrote into a folder, with the SHA-256 of each."""

LOCK_NAME = ".unimask.lock"
LOCK_SECONDS, POLL_SECONDS = 60.0, 0.002

SYSTEM_FILES = {
    ".DS_Store",
    ".directory",
    ".gitkeep",
    ".keep",
    "Thumbs.db",
    "desktop.ini",
    "lost+found",
}
"""Files that operating systems create in empty folders, and placeholders for version control."""

RECORD_HEAD = f'{{\n"unimask": "{__version__}",\n"files": {{\n'
RECORD_TAIL = "\n}}\n"
RECORD_SEPARATOR = ",\n"

MAX_ENTRIES_PER_FILE = 4
"""Number of entries per file above which the record is compacted."""

SHA256 = re.compile(r"[0-9a-f]{64}")

MAX_LISTED_FILES = 3
"""Number of foreign files that a message names."""


class OutputFolder:
    """A folder whose files are recorded in `unimask.json` when they are written.

    A file is recorded before it appears, by appending a line to the record, so that a file of a
    killed process is not taken for a user's file later. Processes and threads may write to one
    folder at the same time.

    Args:
        path: Folder that is new, empty, or holds `unimask.json`.

    Raises:
        OutputError: The folder holds other files, or its record is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.recorded_hashes: dict[str, set[str]] = {}
        if len(self.read_record()) > MAX_ENTRIES_PER_FILE * len(self.recorded_hashes):
            self.compact_record()

    def check(self, names: Iterable[str]) -> None:
        """Test that files can be written without replacing foreign or modified ones.

        Args:
            names: Paths relative to the folder.

        Raises:
            OutputError: A file is in the way; the message includes their number.
        """
        unique_names = dict.fromkeys(names)
        folders = {str(parent) for name in unique_names for parent in PurePosixPath(name).parents}
        obstacles = self.obstacles(unique_names, folders)
        if obstacles:
            self.read_record()  # Another process may have written them in the meantime.
            obstacles = self.obstacles(obstacles, folders)
        if obstacles:
            more = f" (and {len(obstacles) - 1} more)" if len(obstacles) > 1 else ""
            raise OutputError(
                f"{next(iter(obstacles.values()))}{more}: choose another folder, or move it away"
            )

    @contextmanager
    def new_file(self, name: str) -> Iterator[Path]:
        """Yield a temporary path; record the file and move it into place when the block succeeds.

        Raises:
            OutputError: It would replace a foreign or modified file, or cannot be written.
        """
        if not (self.path / RECORD_NAME).exists():
            self.create_record()
        self.check([name])
        target = self.path / name
        with partial_path(target) as temporary:
            yield temporary
            digest = compute_sha256(temporary)
            with self.hold_lock():
                self.append_entry(name, digest)
                os.replace(temporary, target)

    def obstacles(self, names: Iterable[str], folders: set[str]) -> dict[str, str]:
        """Return the reasons why files cannot be written, as sentences by file name."""
        reasons = {}
        for name in names:
            reason = "is the name of a folder too" if name in folders else self.obstacle(name)
            if reason:
                reasons[name] = f"{self.path / name} {reason}"
        return reasons

    def obstacle(self, name: str) -> str:
        """Return the reason why a file cannot be written as the end of a sentence, or ""."""
        if PurePosixPath(name).name in (RECORD_NAME, LOCK_NAME) or not is_inside(name):
            return "cannot be the name of a result"
        target = self.path / name
        try:
            for parent in [*target.parents][: len(PurePosixPath(name).parts) - 1]:
                if parent.is_symlink() or (parent.exists() and not parent.is_dir()):
                    return f"needs a folder where the link or file {parent.name} is"
            if not os.path.lexists(target):
                return ""
            if target.is_symlink() or not target.is_file():
                return "is in the way: it is a link or a folder"
            digest = compute_sha256(target)
        except OSError as error:
            return f"cannot be written ({error.strerror or error})"
        if name not in self.recorded_hashes:
            return "was not written by unimask and is not replaced"
        changed = "was changed since unimask wrote it and is not replaced"
        return "" if digest in self.recorded_hashes[name] else changed

    def read_record(self) -> list[tuple[str, str]]:
        """Read the recorded files as pairs of name and hash, the latest last.

        Raises:
            OutputError: The folder holds files but no record, or the record is damaged.
        """
        path = self.path / RECORD_NAME
        if not os.path.lexists(path):
            self.check_foreign_files()
            return []
        try:
            ours = path.is_file() and not path.is_symlink()
            pairs = parse_record(path.read_text(encoding="utf-8")) if ours else None
        except ValueError:
            pairs = None
        except OSError as error:
            raise write_error(self.path, error) from error
        if pairs is None:
            raise OutputError(
                f"{path} is damaged, or was not written by unimask: choose another folder"
            )
        for name, digest in pairs:
            self.recorded_hashes.setdefault(name, set()).add(digest)
        return pairs

    def compact_record(self) -> None:
        """Compact the record to two hashes per file: after a kill, either may be valid."""
        with self.hold_lock():
            latest: dict[str, list[str]] = {}
            for name, digest in reversed(self.read_record()):
                hashes = latest.setdefault(name, [])
                if digest not in hashes and len(hashes) < 2:
                    hashes.insert(0, digest)
            self.write_record([(name, one) for name, two in latest.items() for one in two])

    def check_foreign_files(self) -> None:
        """Refuse a folder that holds foreign files.

        Raises:
            OutputError: The folder holds foreign files.
        """
        foreign = list_foreign_files(self.path)
        if foreign and RECORD_NAME not in foreign:
            examples = ", ".join(foreign[:MAX_LISTED_FILES]) + (
                ", ..." if len(foreign) > MAX_LISTED_FILES else ""
            )
            raise OutputError(
                f"{self.path} holds files that unimask did not write ({examples}): choose a new or "
                "empty folder"
            )

    def create_record(self) -> None:
        """Write an empty record.

        Raises:
            OutputError: The folder holds files, or is not writable.
        """
        self.check_foreign_files()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with self.hold_lock():
                if not (self.path / RECORD_NAME).exists():
                    self.write_record([])
        except OSError as error:
            raise write_error(self.path, error) from error

    def write_record(self, pairs: list[tuple[str, str]]) -> None:
        """Rewrite the whole record."""
        with atomic_path(self.path / RECORD_NAME) as temporary:
            lines = RECORD_SEPARATOR.join(record_line(*pair) for pair in pairs)
            temporary.write_text(RECORD_HEAD + lines + RECORD_TAIL, encoding="utf-8")

    def append_entry(self, name: str, digest: str) -> None:
        """Append a file to the record in constant time; the lock must be held."""
        self.recorded_hashes.setdefault(name, set()).add(digest)
        path = self.path / RECORD_NAME
        tail = RECORD_TAIL.encode()
        with path.open("r+b", buffering=0) as stream:
            end = stream.seek(0, os.SEEK_END) - len(tail)
            start = max(end - len(RECORD_SEPARATOR), 0)
            stream.seek(start)
            before, after = stream.read(end - start), stream.read()
            if after == tail:
                line = record_line(name, digest)
                line = line if before.endswith(b"{\n") else RECORD_SEPARATOR + line
                append_or_restore(stream, end, line.encode() + tail, tail)
                return
        pairs = parse_record(path.read_text(encoding="utf-8")) or []  # truncated by a kill
        self.write_record([*pairs, (name, digest)])

    @contextmanager
    def hold_lock(self) -> Iterator[None]:
        """Hold the folder's lock, which serialises access to the record.

        Raises:
            OutputError: Another process does not release it in time.
        """
        from filelock import FileLock, Timeout  # The import takes 50 ms and readers do not need it.

        lock = FileLock(self.path / LOCK_NAME, timeout=LOCK_SECONDS, poll_interval=POLL_SECONDS)
        try:
            lock.acquire()
        except Timeout:
            raise OutputError(
                f"{self.path / LOCK_NAME} is held by another process for {LOCK_SECONDS:.0f} s: "
                "stop it"
            ) from None
        try:
            yield
        finally:
            with suppress(OSError):
                # Removed while held: a waiting process creates a new one.
                os.unlink(self.path / LOCK_NAME)
            lock.release()


@lru_cache(maxsize=64)
def open_cached_folder(path: str) -> OutputFolder:
    """Open a folder once per process."""
    return OutputFolder(Path(path))


def open_output_folder(path: str | Path) -> OutputFolder:
    """Return a folder to write results to: new, empty, or with a record.

    The record is read once per process, so that writing many results takes linear time.

    Raises:
        OutputError: The folder holds files that unimask did not write.
    """
    folder = open_cached_folder(os.path.realpath(path))
    if not (folder.path / RECORD_NAME).exists():
        folder.check_foreign_files()
    return folder


def append_or_restore(stream, end: int, content: bytes, tail: bytes) -> None:
    """Overwrite the end of a file in one write; restore the previous end if that fails."""
    stream.seek(end)
    try:
        written = stream.write(content)
        if written != len(content):
            stream.write(content[written:])
    except OSError:
        stream.seek(end)
        stream.truncate()
        stream.write(tail)
        raise


def record_line(name: str, digest: str) -> str:
    """Format one entry of the record."""
    return f"{json.dumps(name)}: {json.dumps(digest)}"


def parse_record(text: str) -> list[tuple[str, str]] | None:
    """Parse the names and hashes of a record; return None if the text is not a record.

    A file that was rewritten is listed again. A truncated last line is ignored.
    """
    without_last = text.rpartition("\n")[0]
    for candidate in (
        text,
        *(part.rstrip(RECORD_SEPARATOR) + RECORD_TAIL for part in (text, without_last)),
    ):
        try:
            content = dict(json.loads(candidate, object_pairs_hook=list))
            pairs = content["files"]
            if isinstance(content["unimask"], str) and all(is_entry(*pair) for pair in pairs):
                return pairs
        except (ValueError, TypeError, LookupError, RecursionError):
            continue
    return None


def is_entry(name: object, digest: object) -> bool:
    """Return whether this is a path inside the folder with a SHA-256."""
    return (
        isinstance(name, str)
        and isinstance(digest, str)
        and is_inside(name)
        and SHA256.fullmatch(digest) is not None
    )


def is_inside(name: str) -> bool:
    """Return whether a path is relative and stays within its folder."""
    path = PurePosixPath(name)
    rooted = path.is_absolute() or bool(PureWindowsPath(name).drive)
    return bool(path.parts) and not rooted and ".." not in path.parts and "\0" not in name


def list_foreign_files(folder: Path) -> list[str]:
    """Return the names in a folder that are neither system files nor temporary files of unimask.

    Raises:
        OutputError: It is not a folder, or cannot be listed.
    """
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise write_error(folder, error) from error
    return [name for name in names if not is_system_file(name)]


def is_system_file(name: str) -> bool:
    """Return whether a file may exist in a folder that counts as empty."""
    return name in SYSTEM_FILES or name == LOCK_NAME or name.startswith("._") or is_partial(name)


def compute_sha256(path: Path) -> str:
    """Compute the SHA-256 of a file's content as hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
