"""Tiles that cover an image, and the cells into which their edges divide it."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple


class TileWindow(NamedTuple):
    """Rectangle of pixels of an image; all four are in pixels."""

    row: int
    column: int
    height: int
    width: int

    @property
    def bottom(self) -> int:
        """Row after the last."""
        return self.row + self.height

    @property
    def right(self) -> int:
        """Column after the last."""
        return self.column + self.width

    def intersect(self, other: "TileWindow") -> "TileWindow | None":
        """Return the common part of two windows, None if there is none."""
        row, column = max(self.row, other.row), max(self.column, other.column)
        height = min(self.bottom, other.bottom) - row
        width = min(self.right, other.right) - column
        return TileWindow(row, column, height, width) if height > 0 and width > 0 else None

    def slices_within(self, outer: "TileWindow") -> tuple[slice, slice]:
        """Return the slices of this window in the array of an outer one."""
        top, left = self.row - outer.row, self.column - outer.column
        return slice(top, top + self.height), slice(left, left + self.width)


def enclosing_window(windows: Sequence[TileWindow]) -> TileWindow:
    """Return the smallest window that contains several."""
    row, column = min(w.row for w in windows), min(w.column for w in windows)
    height, width = max(w.bottom for w in windows) - row, max(w.right for w in windows) - column
    return TileWindow(row, column, height, width)


@dataclass(frozen=True)
class TileAxis:
    """Equal, overlapping intervals that cover an axis.

    Attributes:
        length: Length of the axis in pixels.
        tile: Length of an interval in pixels.
        starts: Start of each interval, ascending; the last interval ends with the axis.
    """

    length: int
    tile: int
    starts: tuple[int, ...]

    @classmethod
    def divide(cls, length: int, tile: int, overlap: int, step: int = 1) -> "TileAxis":
        """Cover an axis with as few equal intervals as possible.

        The last interval is shifted back to end with the axis, so its overlap may be larger.

        Args:
            length: Length of the axis in pixels.
            tile: Length of an interval in pixels; a shorter axis gets one interval of its length.
            overlap: Minimum overlap of neighbouring intervals in pixels, less than `tile`.
            step: Number of pixels of which all starts but the last are multiples, so that a network
                of this stride computes the same from all tiles.
        """
        tile = min(tile, length)
        stride = max(1, tile - overlap)
        stride = stride // step * step or stride
        return cls(length, tile, (*range(0, length - tile, stride), length - tile))

    @cached_property
    def cores(self) -> tuple[float, ...]:
        """Boundaries between the parts owned by each interval: the middles of the overlaps."""
        middles = [(first + self.tile + second) / 2 for first, second in pairwise(self.starts)]
        return (0.0, *middles, float(self.length))

    @cached_property
    def cuts(self) -> tuple[int, ...]:
        """Starts and ends of all intervals, ascending; they divide the axis into cells."""
        return tuple(sorted({*self.starts, *(start + self.tile for start in self.starts)}))

    def owner(self, position: float) -> int:
        """Return the interval whose core contains a position from 0 to less than the length."""
        return bisect_right(self.cores, position) - 1

    def cells(self, index: int) -> range:
        """Return the cells that an interval covers, which end at `cuts[cell + 1]`."""
        start = self.starts[index]
        return range(self.cuts.index(start), self.cuts.index(start + self.tile))

    def count(self, cell: int) -> int:
        """Count the intervals that cover a cell."""
        position = self.cuts[cell]
        return sum(start <= position < start + self.tile for start in self.starts)


class Tile(NamedTuple):
    """One tile of a grid: its row and column within the grid, and its window of the image."""

    i: int
    j: int
    window: TileWindow


class Cell(NamedTuple):
    """Part of an image that the same tiles cover: its key, its window and the number of tiles."""

    key: tuple[int, int]
    window: TileWindow
    num_tiles: int


@dataclass(frozen=True)
class TileGrid:
    """Tiles that cover an image, in rows and columns.

    Example:
        >>> grid = TileGrid.divide((100, 150), (64, 64), (16, 16))
        >>> [tile.window[:2] for tile in grid.tiles()]
        [(0, 0), (0, 48), (0, 86), (36, 0), (36, 48), (36, 86)]
    """

    rows: TileAxis
    columns: TileAxis

    @classmethod
    def divide(
        cls, size: tuple[int, int], tile: tuple[int, int], overlap: tuple[int, int], step: int = 1
    ) -> "TileGrid":
        """Cover an image of a height and width; see `TileAxis.divide`."""
        axes = [TileAxis.divide(*axis, step) for axis in zip(size, tile, overlap, strict=True)]
        return cls(*axes)

    def __len__(self) -> int:
        return len(self.rows.starts) * len(self.columns.starts)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the image."""
        return self.rows.length, self.columns.length

    def tiles(self) -> Iterator[Tile]:
        """Yield the tiles row by row."""
        for i in range(len(self.rows.starts)):
            for j in range(len(self.columns.starts)):
                yield self.tile(i, j)

    def tile(self, i: int, j: int) -> Tile:
        """Return a tile by its row and column within the grid."""
        corner = self.rows.starts[i], self.columns.starts[j]
        return Tile(i, j, TileWindow(*corner, self.rows.tile, self.columns.tile))

    def owner(self, row: float, column: float) -> tuple[int, int]:
        """Return row and column of the tile whose core contains a position."""
        return self.rows.owner(row), self.columns.owner(column)

    def cells(self, tile: Tile) -> Iterator[Cell]:
        """Yield the cells of a tile."""
        for y in self.rows.cells(tile.i):
            for x in self.columns.cells(tile.j):
                top, left = self.rows.cuts[y], self.columns.cuts[x]
                height, width = self.rows.cuts[y + 1] - top, self.columns.cuts[x + 1] - left
                count = self.rows.count(y) * self.columns.count(x)
                yield Cell((y, x), TileWindow(top, left, height, width), count)

    def earlier_neighbours(self, tile: Tile) -> Iterator[Tile]:
        """Yield the tiles before this one, row by row, that overlap it."""
        for i in range(tile.i, -1, -1):
            if self.rows.starts[i] + self.rows.tile <= tile.window.row:
                return
            columns = range(tile.j) if i == tile.i else range(len(self.columns.starts))
            for j in columns:
                other = self.tile(i, j)
                if tile.window.intersect(other.window):
                    yield other
