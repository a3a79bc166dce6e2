"""Represent table cells as files."""

import io
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any

from PIL import Image

from unimask.datasets.packed import PackedFile
from unimask.errors import DataError, UnimaskError, one_line

Table = Any
"""Type of a `datasets.Dataset`."""

Tables = Mapping[str, Table]
"""Table of each split."""


class Column:
    """Column of a table whose cells are read on access.

    Args:
        table: Table of `datasets`.
        name: Name of the column.
    """

    def __init__(self, table: Table, name: str) -> None:
        from datasets import Image as ImageFeature

        selected = table.select_columns([name])
        if isinstance(selected.features[name], ImageFeature):
            selected = selected.cast_column(name, ImageFeature(decode=False))
        self.table, self.name = selected, name

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, row: int) -> Mapping[str, Any]:
        """Read a cell.

        Raises:
            DataError: The cell cannot be read.
        """
        try:
            return self.table[row][self.name]
        except Exception as error:  # the library raises many types of exceptions for damaged files
            raise DataError(
                f"row {row} of column {self.name!r} cannot be read ({one_line(error)}): save the "
                "table again"
            ) from error


def packed_files(table: Table, column: str, folder: Path, rows: list[int]) -> list[PackedFile]:
    """Return the files in some cells of a column, with their original names.

    If they have no names, or duplicate ones, they are numbered by row.

    Args:
        table: Table of `datasets`.
        column: Column of images.
        folder: Folder in the paths that name the files.
        rows: Rows of the cells.
    """
    cells = Column(table, column)
    paths = cells.table.with_format("arrow")[:][column]
    file_names = [PurePath(path or "").name for path in struct_field(paths, "path")]
    stems = Counter(PurePath(file_names[row]).stem for row in rows)
    has_names = "" not in stems and max(stems.values(), default=0) == 1
    suffix = "" if has_names or not rows else detect_suffix(PackedFile(cells, rows[0], folder))
    return [
        PackedFile(cells, row, folder / (file_names[row] if has_names else f"{row:06d}{suffix}"))
        for row in rows
    ]


def filled_rows(table: Table, columns: list[str]) -> list[int]:
    """Return the rows in which the cells of all these columns have values."""
    content = table.select_columns(columns).with_format("arrow")[:]
    filled = [content[column].is_valid().to_pylist() for column in columns]
    return [row for row, cells in enumerate(zip(*filled, strict=True)) if all(cells)]


def struct_field(column: Any, name: str) -> Iterator[Any]:
    """Yield one field of a column of Arrow structs, without reading the other fields."""
    for chunk in column.chunks:
        yield from chunk.field(name).to_pylist()


def detect_suffix(file: PackedFile) -> str:
    """Return the suffix for an image's format; ".png" if the format cannot be determined."""
    try:
        with file.open() as stream, Image.open(io.BytesIO(stream.read())) as image:
            format = (image.format or "png").lower()
    except (OSError, SyntaxError, ValueError, UnimaskError):
        format = "png"
    return {"jpeg": ".jpg", "tiff": ".tif"}.get(format, f".{format}")
