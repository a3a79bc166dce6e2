"""Rasterisation of polygons by COCO's rule (`pycocotools/common/maskApi.c`, `rleFrPoly`)."""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Bool, Int, Num

FIFTHS = 5
"""Steps per pixel to which COCO rounds coordinates."""

CENTRE = FIFTHS // 2
"""Step within a pixel that holds its centre."""

Box = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels; right and bottom are exclusive."""


def rasterise(polygons: Iterable[Num[np.ndarray, "_ 2"]], box: Box) -> Bool[np.ndarray, "h w"]:
    """Return the pixels of a box that are inside an odd number of polygons.

    The pixels of one polygon are those of `pycocotools.mask.frPyObjects`, provided that it lies in
    the box. Pixel (0, 0) extends from 0 to 1 on both axes.

    Args:
        polygons: Vertices x, y of each polygon, in pixels of the image.
        box: Box of the image to return.
    """
    left, top, right, bottom = box
    height, width = bottom - top, right - left
    places = [np.zeros(0, np.int64)]
    for polygon in polygons:
        columns, rows = column_crossings(polygon)
        inside = (columns >= left) & (columns < right)
        place = (columns - left) * height + np.minimum(np.maximum(rows, top), bottom) - top
        places.append(place[inside])
    toggles = np.bincount(np.concatenate(places), minlength=height * width + 1)[:-1]
    return (np.cumsum(toggles) % 2 == 1).reshape(width, height).T


def column_crossings(
    polygon: Num[np.ndarray, "_ 2"],
) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"]]:
    """Return where an outline crosses the middle of pixel columns.

    Returns:
        Column of each crossing, and the first row whose centre is below it.
    """
    x, y = trace_outline(np.trunc(FIFTHS * np.asarray(polygon, np.float64) + 0.5).astype(np.int64))
    before_x = np.minimum(x[1:], x[:-1])
    crosses = (x[1:] != x[:-1]) & (before_x % FIFTHS == CENTRE)
    upper_y = np.minimum(y[1:], y[:-1])[crosses]
    rows = -((CENTRE - upper_y) // FIFTHS)  # (upper_y - CENTRE) / FIFTHS, rounded up
    return before_x[crosses] // FIFTHS, rows


def trace_outline(
    vertices: Int[np.ndarray, "_ 2"],
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """Return all grid points on the closed outline through these vertices, edge by edge.

    Along the longer axis of an edge there is one point per step. Points are the same in both
    directions of an edge, so that an edge traversed forth and back encloses nothing.
    """
    starts, ends = vertices, np.concatenate([vertices[1:], vertices[:1]])
    lengths = np.abs(ends - starts)
    is_flat = lengths[:, 0] >= lengths[:, 1]
    steps = lengths.max(axis=1)
    major = np.where(is_flat, 0, 1)
    rows = np.arange(len(vertices))
    backwards = starts[rows, major] > ends[rows, major]
    low = np.where(backwards[:, None], ends, starts)
    high = np.where(backwards[:, None], starts, ends)
    low_major, low_minor = low[rows, major], low[rows, 1 - major]
    slopes = (high[rows, 1 - major] - low_minor) / np.maximum(steps, 1)

    edge = np.repeat(rows, steps + 1)
    step = np.arange(len(edge)) - np.repeat(np.cumsum(steps + 1) - (steps + 1), steps + 1)
    step = np.where(backwards[edge], steps[edge] - step, step)
    along = low_major[edge] + step
    across = np.trunc(low_minor[edge] + slopes[edge] * step + 0.5).astype(np.int64)
    flat = is_flat[edge]
    return np.where(flat, along, across), np.where(flat, across, along)
