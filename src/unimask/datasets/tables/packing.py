"""Cells of tables as files."""

import io
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any

from PIL import Image

from unimask.datasets.packed import PackedFile
from unimask.errors import UnimaskError

Table = Any
"""A `datasets.Dataset`."""

Tables = Mapping[str, Table]
"""By split."""


class Column:
    """One column of a table, whose cells are read when they are asked for.

    Args:
        table: Of `datasets`.
        name: The column's.
    """

    def __init__(self, table: Table, name: str) -> None:
        from datasets import Image as Pictures

        kept = table.select_columns([name])
        if isinstance(kept.features[name], Pictures):
            kept = kept.cast_column(name, Pictures(decode=False))
        self.table, self.name = kept, name

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, row: int) -> Mapping[str, Any]:
        return self.table[row][self.name]


def packed_files(table: Table, column: str, folder: Path, rows: list[int]) -> list[PackedFile]:
    """Give the files in some cells of a column, called as they were before they were packed.

    Where they had no names, or names that repeat, they are numbered by their rows.

    Args:
        table: Of `datasets`.
        column: Of pictures.
        folder: What the files' folder is called.
        rows: Their rows.
    """
    cells = Column(table, column)
    paths = cells.table.with_format("arrow")[:][column]
    given = [PurePath(path or "").name for path in fields(paths, "path")]
    stems = Counter(PurePath(given[row]).stem for row in rows)
    named = "" not in stems and max(stems.values(), default=0) == 1
    suffix = "" if named or not rows else suffix_of(PackedFile(cells, rows[0], folder))
    return [
        PackedFile(cells, row, folder / (given[row] if named else f"{row:06d}{suffix}"))
        for row in rows
    ]


def filled_rows(table: Table, columns: list[str]) -> list[int]:
    """Give the rows whose cells all hold something."""
    content = table.select_columns(columns).with_format("arrow")[:]
    filled = [content[column].is_valid().to_pylist() for column in columns]
    return [row for row, cells in enumerate(zip(*filled, strict=True)) if all(cells)]


def fields(column: Any, name: str) -> Iterator[Any]:
    """Give one field of a column of Arrow's structs, cell by cell; the others are not read."""
    for chunk in column.chunks:
        yield from chunk.field(name).to_pylist()


def suffix_of(file: PackedFile) -> str:
    """Give the suffix of a picture's format; PNG's where it cannot be told."""
    try:
        with file.open() as stream, Image.open(io.BytesIO(stream.read())) as picture:
            format = (picture.format or "png").lower()
    except (OSError, SyntaxError, ValueError, UnimaskError):
        format = "png"
    return {"jpeg": ".jpg", "tiff": ".tif"}.get(format, f".{format}")
