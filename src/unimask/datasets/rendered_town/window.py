"""Windows of a scene, and the pixels of polygons in them, equal in every window."""

from math import ceil, floor
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int


class Window(NamedTuple):
    """Rectangle of pixels of a scene; all four are in pixels, and the corner may be negative."""

    row: int
    column: int
    height: int
    width: int

    @property
    def rows(self) -> Int[np.ndarray, " h"]:
        """Absolute indices of the rows."""
        return np.arange(self.row, self.row + self.height)

    @property
    def columns(self) -> Int[np.ndarray, " w"]:
        """Absolute indices of the columns."""
        return np.arange(self.column, self.column + self.width)

    def expand(self, margin: int) -> "Window":
        """Return the window with a margin on all sides."""
        return Window(
            self.row - margin,
            self.column - margin,
            self.height + 2 * margin,
            self.width + 2 * margin,
        )


class Patch(NamedTuple):
    """Part of a window, as slices of its arrays, and the pixels of an object in it."""

    rows: slice
    columns: slice
    mask: Bool[np.ndarray, "h w"]


def clip_box(
    left: float, top: float, right: float, bottom: float, window: Window
) -> tuple[slice, slice] | None:
    """Return the slices of the pixels of a box; None if it is outside of the window.

    Args:
        left: Least x in pixels; pixel (r, c) has its centre at (c + 0.5, r + 0.5).
        top: Least y.
        right: Greatest x.
        bottom: Greatest y.
        window: Window of the arrays to slice.
    """
    first_row, last_row = max(floor(top) - window.row, 0), ceil(bottom) - window.row
    first, last = max(floor(left) - window.column, 0), ceil(right) - window.column
    last_row, last = min(last_row, window.height), min(last, window.width)
    if first_row >= last_row or first >= last:
        return None
    return slice(first_row, last_row), slice(first, last)


def fill_polygon(vertices: Float[np.ndarray, "n 2"], window: Window) -> Patch | None:
    """Return the pixels of a window whose centres are inside of a polygon; None if none are.

    Polygons with a common side divide the pixels between them: none is in both or in neither. A
    pixel is decided by arithmetic on its absolute position, so that all windows agree on it.

    Args:
        vertices: x and y of a simple polygon in pixels, as in `clip_box`.
        window: Window to fill.
    """
    (left, top), (right, bottom) = vertices.min(axis=0).tolist(), vertices.max(axis=0).tolist()
    slices = clip_box(left, top, right, bottom, window)
    if slices is None:
        return None
    rows, columns = slices
    height, width = rows.stop - rows.start, columns.stop - columns.start
    centres = np.arange(window.row + rows.start, window.row + rows.stop) + 0.5
    following = np.roll(vertices, -1, axis=0)
    # Each side runs downwards, so that both of its polygons compute the same crossing.
    downwards = (vertices[:, 1] <= following[:, 1])[:, None]
    start, end = np.where(downwards, vertices, following), np.where(downwards, following, vertices)
    above = start[:, 1] <= centres[:, None]
    row, side = np.nonzero(above & (end[:, 1] > centres[:, None]))
    (x, y), (end_x, end_y) = start[side].T, end[side].T
    crossings = x + (centres[row] - y) * ((end_x - x) / (end_y - y))
    first = np.ceil(crossings - 0.5).astype(int) - (window.column + columns.start)
    flat = row * (width + 1) + np.clip(first, 0, width)
    counts = np.bincount(flat, minlength=height * (width + 1)).reshape(height, width + 1)
    mask = (np.cumsum(counts[:, :width], axis=1) & 1).astype(bool)
    return Patch(rows, columns, mask) if mask.any() else None


def convex_hull(points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "m 2"]:
    """Return the convex hull of a few points (Andrew's monotone chain)."""
    ordered = sorted(map(tuple, points.tolist()))
    hull: list[tuple[float, ...]] = []
    for chain in (ordered, ordered[::-1]):
        first = len(hull)
        for point in chain:
            while len(hull) >= first + 2 and turn(hull[-2], hull[-1], point) <= 0:
                hull.pop()
            hull.append(point)
        hull.pop()
    return np.array(hull)


def turn(a: tuple[float, ...], b: tuple[float, ...], c: tuple[float, ...]) -> float:
    """Return a positive number if the path from `a` over `b` to `c` turns in one direction."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def sweep_polygon(
    vertices: Float[np.ndarray, "n 2"], shift: Float[np.ndarray, "2"]
) -> Float[np.ndarray, "m 2"]:
    """Return the region that a convex polygon covers while it is shifted."""
    return convex_hull(np.concatenate([vertices, vertices + shift]))
