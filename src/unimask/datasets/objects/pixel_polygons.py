"""Rasterise polygons whose points are pixels, with exactly the pixels of OpenCV's `fillPoly`.

A pixel belongs to a polygon if it lies inside (even-odd rule), or on the 8-connected line between
two of its points. A square from (1, 1) to (3, 3) thus has nine pixels, not four as for COCO, where
points lie between pixels.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from unimask.datasets.objects.outlines import merge_run_lengths, place_mask
from unimask.errors import DataError
from unimask.formats.run_length import RunLength

FRACTION_BITS = 16
"""Bits after the point of the fixed-point numbers in which OpenCV traces edges."""

ONE = 1 << FRACTION_BITS

MAX_CROSSINGS = 1 << 24
"""Maximum number of crossings of edges and rows of one polygon, to bound memory."""

Points = Int[np.ndarray, "n 2"]


def rasterise_pixel_polygons(
    polygons: Sequence[Float[np.ndarray, " _"]], size: tuple[int, int]
) -> RunLength:
    """Return the union of polygons, each filled as OpenCV fills it.

    Raises:
        DataError: A polygon is too long; the message is the end of a sentence.
    """
    masks = [rasterise_pixel_polygon(polygon, size) for polygon in polygons]
    return masks[0] if len(masks) == 1 else merge_run_lengths(masks)


def rasterise_even_odd(
    polygons: Sequence[Float[np.ndarray, " _"]], size: tuple[int, int]
) -> RunLength:
    """Return polygons that OpenCV fills together, so that one inside of another is a hole.

    Raises:
        DataError: The polygons are too long; the message is the end of a sentence.
    """
    return RunLength.from_mask(fill_polygons(polygons, size))


def rasterise_pixel_polygon(polygon: Float[np.ndarray, " _"], size: tuple[int, int]) -> RunLength:
    """Return the pixels of one polygon; in its box alone if that lies inside of the image.

    Raises:
        DataError: The polygon is too long; the message is the end of a sentence.
    """
    points = np.rint(polygon).reshape(-1, 2)
    low, high = points.min(0), points.max(0)
    if low.min() < 0 or high[0] >= size[1] or high[1] >= size[0]:
        return RunLength.from_mask(fill_polygons([polygon], size))
    width, height = (high - low).astype(int) + 1
    inside = fill_polygons([(points - low).ravel()], (int(height), int(width)))
    return place_mask(inside, float(low[0]), float(low[1]), size)


def fill_polygons(
    polygons: Sequence[Float[np.ndarray, " _"]], size: tuple[int, int]
) -> Bool[np.ndarray, "h w"]:
    """Return the pixels of polygons, which are filled together by the even-odd rule.

    Args:
        polygons: Polygons, each x0, y0, x1, y1, ... in pixels, rounded to integers.
        size: Height and width of the image.

    Raises:
        DataError: The polygons are too long; the message is the end of a sentence.
    """
    points = [np.rint(polygon).astype(np.int64).reshape(-1, 2) for polygon in polygons]
    mask = np.zeros(size, bool)
    if not points:
        return mask
    first = np.concatenate(points)
    second = np.concatenate([np.roll(part, -1, axis=0) for part in points])
    inner_first, inner_second, is_visible = clip_edges(first, second, size)
    draw_lines(mask, inner_first[is_visible], inner_second[is_visible])
    # OpenCV takes the slope of an edge from its clipped ends, unless these lie in one row.
    is_sloped = (inner_first[:, 1] != inner_second[:, 1])[:, None]
    inner_first = np.where(is_sloped, inner_first, first)
    inner_second = np.where(is_sloped, inner_second, second)
    is_crossing = first[:, 1] != second[:, 1]
    rows, crossings = find_crossings(
        first[is_crossing],
        second[is_crossing],
        inner_first[is_crossing],
        inner_second[is_crossing],
        size[0],
    )
    fill_between(mask, rows, crossings)
    return mask


def clip_edges(
    first: Points, second: Points, size: tuple[int, int]
) -> tuple[Points, Points, Bool[np.ndarray, " n"]]:
    """Clip edges to the image, as OpenCV's `clipLine` does, in integers.

    Returns:
        Both ends of each edge, and whether a part of the edge lies in the image.
    """
    limits = size[1] - 1, size[0] - 1
    ends = first.copy(), second.copy()

    def sides(points: Points, axis: int) -> Any:
        return (points[:, axis] > limits[axis]).astype(np.int8) - (points[:, axis] < 0)

    is_hidden = np.zeros(len(first), bool)
    for axis in (1, 0):
        codes = [[sides(end, either) for end in ends] for either in (0, 1)]
        is_hidden |= (codes[0][0] * codes[0][1] > 0) | (codes[1][0] * codes[1][1] > 0)
        for end, side in zip(ends, codes[axis], strict=True):
            is_moved = (side != 0) & ~is_hidden
            start, stop = ends[0][is_moved], ends[1][is_moved]
            target = np.where(side[is_moved] < 0, 0, limits[axis])
            run = (stop - start).astype(np.float64)
            move = (target - end[is_moved, axis]) * run[:, 1 - axis] / run[:, axis]
            end[is_moved, 1 - axis] += np.trunc(move).astype(np.int64)
            end[is_moved, axis] = target
    for axis in (0, 1):
        is_hidden |= (sides(ends[0], axis) != 0) | (sides(ends[1], axis) != 0)
    return ends[0], ends[1], ~is_hidden


def draw_lines(mask: Bool[np.ndarray, "h w"], first: Points, second: Points) -> None:
    """Draw 8-connected lines inside of the image, from left to right (Bresenham)."""
    is_reversed = (first[:, 0] > second[:, 0])[:, None]
    start, stop = np.where(is_reversed, second, first), np.where(is_reversed, first, second)
    run = stop - start
    lengths = np.abs(run).max(axis=1, initial=0)
    edge, step = enumerate_repeats(lengths + 1)
    across = np.abs(run).min(axis=1, initial=np.iinfo(np.int64).max)[edge]
    along = np.maximum(lengths[edge], 1)
    offset = (2 * across * step + along - 1) // (2 * along)
    is_steep = np.abs(run[edge, 1]) > run[edge, 0]
    x = start[edge, 0] + np.where(is_steep, offset, step)
    y = start[edge, 1] + np.sign(run[edge, 1]) * np.where(is_steep, step, offset)
    mask[y, x] = True


def find_crossings(
    first: Points, second: Points, inner_first: Points, inner_second: Points, height: int
) -> tuple[Int[np.ndarray, " p"], Int[np.ndarray, " p"]]:
    """Return where edges cross the rows of the image, in fixed-point numbers, row by row.

    Args:
        first: First end of each edge; no edge is horizontal.
        second: Second end of each edge.
        inner_first: First end, clipped to the image.
        inner_second: Second end, clipped to the image.
        height: Height of the image in pixels.

    Returns:
        The row and the position of each crossing, sorted by row and position.

    Raises:
        DataError: There are too many crossings; the message is the end of a sentence.
    """
    run = (inner_second[:, 0] - inner_first[:, 0]) * ONE
    rise = inner_second[:, 1] - inner_first[:, 1]
    slope = np.sign(run) * np.sign(rise) * (np.abs(run) // np.abs(rise))
    is_downward = (first[:, 1] < second[:, 1])[:, None]
    upper, lower = np.where(is_downward, first, second), np.where(is_downward, second, first)
    anchor = np.where(is_downward, inner_first, inner_second)
    top, bottom = np.clip(upper[:, 1], 0, height), np.clip(lower[:, 1], 0, height)
    if (bottom - top).sum() > MAX_CROSSINGS:
        raise DataError("has a polygon that is too long to fill: draw it again with fewer points")
    edge, step = enumerate_repeats(bottom - top)
    rows = top[edge] + step
    crossings = anchor[edge, 0] * ONE + slope[edge] * (rows - anchor[edge, 1])
    order = np.lexsort((crossings, rows))
    return rows[order], crossings[order]


def fill_between(
    mask: Bool[np.ndarray, "h w"], rows: Int[np.ndarray, " n"], crossings: Int[np.ndarray, " n"]
) -> None:
    """Fill the pixels between each two successive crossings of a row."""
    width = mask.shape[1]
    left = np.clip((crossings[0::2] + ONE - 1) >> FRACTION_BITS, 0, width)
    right = np.clip((crossings[1::2] >> FRACTION_BITS) + 1, 0, width)
    is_run = left < right
    left, right, row = left[is_run], right[is_run], rows[0::2][is_run]
    run, step = enumerate_repeats(right - left)
    mask[row[run], left[run] + step] = True


def enumerate_repeats(
    counts: Int[np.ndarray, " n"],
) -> tuple[Int[np.ndarray, " p"], Int[np.ndarray, " p"]]:
    """Return the index of each element, repeated by its count, and the number of the repetition."""
    index = np.repeat(np.arange(len(counts)), counts)
    return index, np.arange(len(index)) - (np.cumsum(counts) - counts)[index]
