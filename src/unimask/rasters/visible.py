"""Visible parts of overlapping objects, of which those with higher scores are on top."""

from collections.abc import Iterator
from functools import lru_cache

from unimask.rasters.objects_file import ObjectsFile, StoredObject
from unimask.tiling.masks import PlacedMask, unite
from unimask.tiling.windows import TileWindow

BUCKET = 512
"""Side in pixels of the squares by which overlapping objects are found."""

PART = 4096
"""Side in pixels of the parts in which masks of large boxes are compared."""

CACHED_MASKS = 4096
"""Number of masks in memory."""


def visible_objects(
    objects: ObjectsFile, overlap_threshold: float
) -> Iterator[tuple[StoredObject, PlacedMask]]:
    """Yield the accepted objects in descending order of score, each with its visible mask.

    The rule is that of `paste_objects`, without a map of the whole image.

    Args:
        objects: Objects of the image.
        overlap_threshold: Minimum share of its mask that must be visible, or an object is left out.
    """
    buckets: dict[tuple[int, int], list[int]] = {}
    accepted: list[StoredObject] = []
    read = lru_cache(CACHED_MASKS)(lambda index: objects.read_mask(accepted[index]))
    for item in objects.objects:
        places = list(bucket_keys(item.window))
        near = sorted({index for place in places for index in buckets.get(place, ())})
        above = [read(index) for index in near if accepted[index].window.intersect(item.window)]
        mask = objects.read_mask(item)
        visible = subtract(mask, above)
        if visible is None or visible.area < overlap_threshold * mask.area:
            continue
        for place in places:
            buckets.setdefault(place, []).append(len(accepted))
        accepted.append(item)
        yield item, visible


def bucket_keys(window: TileWindow) -> Iterator[tuple[int, int]]:
    """Yield the squares that a window touches."""
    for row in range(window.row // BUCKET, (window.bottom - 1) // BUCKET + 1):
        for column in range(window.column // BUCKET, (window.right - 1) // BUCKET + 1):
            yield row, column


def subtract(mask: PlacedMask, others: list[PlacedMask]) -> PlacedMask | None:
    """Return the pixels of a mask that are in none of others, None if there are none."""
    if not others:
        return mask
    parts = []
    for window in divide(mask.window):
        pixels = mask.decode(window)
        for other in others:
            common = other.window.intersect(window)
            if common is not None:
                pixels[common.slices_within(window)] &= ~other.decode(common)
        if pixels.any():
            parts.append(PlacedMask.crop(pixels, window.row, window.column))
    return unite(parts) if parts else None


def divide(window: TileWindow) -> Iterator[TileWindow]:
    """Divide a window into parts of limited size."""
    for row in range(window.row, window.bottom, PART):
        for column in range(window.column, window.right, PART):
            height, width = min(PART, window.bottom - row), min(PART, window.right - column)
            yield TileWindow(row, column, height, width)
