"""Read files stored in table cells in the same way as files on disk."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from unimask.errors import DataError
from unimask.formats.bounded_reader import BoundedReader
from unimask.processing.images import (
    MAX_PIXELS,
    ImageArray,
    ImageOptions,
    Window,
    read_image,
    read_stream,
)

Stream = io.BytesIO | io.BufferedReader


@runtime_checkable
class FileColumn(Protocol):
    """Column of files: the bytes of each, or a path to it."""

    def __getitem__(self, row: int, /) -> Mapping[str, Any]: ...


@dataclass(frozen=True, slots=True)
class PackedFile:
    """File stored in a table cell.

    Attributes:
        column: Column of the cell.
        row: Row of the cell.
        virtual_path: Path that names the file; nothing exists there.
    """

    column: FileColumn
    row: int
    virtual_path: Path

    def __str__(self) -> str:
        return str(self.virtual_path)

    @property
    def suffix(self) -> str:
        """Suffix of the file's name."""
        return self.virtual_path.suffix

    def open(self) -> Stream:
        """Open the file for reading.

        Raises:
            DataError: The cell has no bytes, and its path cannot be opened.
        """
        cell = self.column[self.row]
        if cell["bytes"] is not None:
            return io.BytesIO(cell["bytes"])
        try:
            return BoundedReader(Path(cell["path"]))
        except (OSError, TypeError) as error:
            raise DataError(
                f"{self.virtual_path} is {cell['path']!r} in its table, which cannot be opened "
                f"({error}): save the table again, with its files embedded"
            ) from None


File = Path | PackedFile


def file_path(file: File) -> Path:
    """Return the path of a file, or the path that names a packed file."""
    return file.virtual_path if isinstance(file, PackedFile) else file


def open_file(file: File) -> Stream:
    """Open a file for reading.

    Raises:
        OSError: The file is on disk and cannot be opened.
        DataError: The file is packed, and its cell has neither bytes nor a readable path.
    """
    return file.open() if isinstance(file, PackedFile) else BoundedReader(file)


def read_file(file: File, channels: int, window: Window = None) -> ImageArray:
    """Read an image; see `read_image`.

    Raises:
        DataError: The file is packed, and its cell has neither bytes nor a readable path.
        ImageError: The image cannot be read.
    """
    if isinstance(file, Path):
        return read_image(file, channels=channels, window=window)
    with file.open() as stream:
        return read_stream(stream, str(file), ImageOptions(window, MAX_PIXELS, channels))
