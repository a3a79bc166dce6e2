"""Files that lie in cells of a table, read as those on disk are."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from unimask.errors import DataError
from unimask.processing.pictures import (
    MAX_PIXELS,
    Picture,
    Wanted,
    Window,
    read_picture,
    read_stream,
)

Stream = io.BytesIO | io.BufferedReader


@runtime_checkable
class Cells(Protocol):
    """A column of files: the bytes of each, or a path to it."""

    def __getitem__(self, row: int, /) -> Mapping[str, Any]: ...


@dataclass(frozen=True, slots=True)
class PackedFile:
    """A file in a cell.

    Attributes:
        cells: Its column.
        row: Its place.
        called: What it is called; nothing is there.
    """

    cells: Cells
    row: int
    called: Path

    def __str__(self) -> str:
        return str(self.called)

    @property
    def suffix(self) -> str:
        """The end of its name."""
        return self.called.suffix

    def open(self) -> Stream:
        """Open it to be read.

        Raises:
            DataError: Neither bytes nor a file are there.
        """
        cell = self.cells[self.row]
        if cell["bytes"] is not None:
            return io.BytesIO(cell["bytes"])
        try:
            return Path(cell["path"]).open("rb")
        except (OSError, TypeError) as error:
            raise DataError(
                f"{self.called} is {cell['path']!r} in its table, which cannot be opened "
                f"({error}): save the table again, with its files embedded"
            ) from None


File = Path | PackedFile


def path_of(file: File) -> Path:
    """Give a file's path, or what stands for it."""
    return file.called if isinstance(file, PackedFile) else file


def open_file(file: File) -> Stream:
    """Open a file to be read.

    Raises:
        OSError: It is on disk, and cannot be.
        DataError: It is packed, and nothing is there.
    """
    return file.open() if isinstance(file, PackedFile) else file.open("rb")


def read_file(file: File, channels: int, window: Window = None) -> Picture:
    """Read a picture; see `read_picture`.

    Raises:
        DataError: It is packed, and nothing is there.
        ImageError: It cannot be read.
    """
    if isinstance(file, Path):
        return read_picture(file, channels=channels, window=window)
    with file.open() as stream:
        return read_stream(stream, str(file), Wanted(window, MAX_PIXELS, channels))
