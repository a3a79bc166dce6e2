"""Files on disk and behind URIs, which fsspec opens."""

import os
import time
from typing import TYPE_CHECKING, Any, BinaryIO

from unimask.errors import DataError, ImageError, MissingExtraError, SettingsError, one_line

if TYPE_CHECKING:
    from types import ModuleType

ATTEMPTS, RETRY_SECONDS = 3, 1.0
"""Number of attempts to fetch an image, and the pause after the first of them."""

MAX_BYTES = 2**30
"""Largest number of bytes of an image."""


def is_uri(path: str) -> bool:
    """Return whether a path is a URI."""
    return "://" in path


def is_web_address(path: str) -> bool:
    """Return whether a path is an http(s) address, which `read_image` downloads."""
    return path.startswith(("http://", "https://"))


def absolute(path: str, folder: str = "") -> str:
    """Return a local path as an absolute one, and a URI as it is; `file://` URIs become paths.

    Args:
        path: Path or URI.
        folder: Folder of relative paths, itself possibly a URI; by default the current one.
    """
    if path.startswith("file://"):
        return os.path.abspath(path.removeprefix("file://"))
    if is_uri(path):
        return path
    if is_uri(folder):
        return path if path.startswith("/") else f"{folder}/{path}"
    return os.path.abspath(os.path.join(folder, path))


def parent(path: str) -> str:
    """Return the folder of a file."""
    return path.rpartition("/")[0] if is_uri(path) else os.path.dirname(os.path.abspath(path))


def import_fsspec() -> "ModuleType":
    """Import fsspec.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import fsspec
    except ImportError:
        raise MissingExtraError("fsspec", "batch") from None
    return fsspec


def filesystem(uri: str) -> tuple[Any, str]:
    """Return the file system of a URI, and the path in it.

    Raises:
        SettingsError: The protocol is unknown, or its package is not installed.
    """
    try:
        return import_fsspec().core.url_to_fs(uri)
    except (ImportError, ValueError) as error:
        raise SettingsError(f"{uri} cannot be opened: {one_line(error)}") from error


def open_binary(path: str) -> BinaryIO:
    """Open a file on disk, or behind a URI, for reading.

    Raises:
        DataError: It cannot be opened.
    """
    try:
        if not is_uri(path):
            return open(path, "rb")
        system, inner = filesystem(path)
        return system.open(inner, "rb")
    except SettingsError:
        raise
    except Exception as error:  # each protocol has its own errors
        raise DataError(f"{path} cannot be opened ({one_line(error)}): check the path") from error


def file_size(path: str) -> int:
    """Return the size of a file in bytes.

    Raises:
        DataError: It cannot be found.
    """
    try:
        if not is_uri(path):
            return os.path.getsize(path)
        system, inner = filesystem(path)
        return int(system.size(inner) or 0)
    except SettingsError:
        raise
    except Exception as error:  # each protocol has its own errors
        raise DataError(f"{path} cannot be opened ({one_line(error)}): check the path") from error


def fetch(uri: str, start: int = 0, length: int | None = None) -> bytes:
    """Read an image behind a URI, or a part of an archive; try again after passing failures.

    Args:
        uri: URI of the file.
        start: Position of the first byte.
        length: Number of bytes; None for all from `start` on.

    Raises:
        ImageError: It cannot be read, or is too large.
        SettingsError: The protocol is unknown, or its package is not installed.
    """
    system, inner = filesystem(uri)
    end = start + MAX_BYTES + 1 if length is None else start + length
    data = b""
    for attempt in range(ATTEMPTS):
        try:
            data = system.cat_file(inner, start=start, end=end)
            break
        except Exception as error:  # each protocol has its own errors
            permanent = isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError)
            if permanent or attempt == ATTEMPTS - 1:
                raise ImageError(
                    f"{uri} cannot be fetched ({one_line(error)}): check the address"
                ) from error
            time.sleep(RETRY_SECONDS * 2**attempt)
    if length is None and len(data) > MAX_BYTES:
        raise ImageError(f"{uri} has over {MAX_BYTES:,} bytes: save it as a smaller file")
    return data
