"""Masks as polygons with holes: exact, or simplified for editing."""

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Num

from unimask.formats.corner_polygons import Loop, corner_polygons
from unimask.formats.polygon_raster import Box, rasterise
from unimask.formats.run_length import RunLength
from unimask.formats.simplify import cut_corners, vertex_tolerances

OutlineStyle = Literal["exact", "simple"]
"""Whether polygons follow every pixel, or have few vertices that are easily edited."""

MIN_IOU, MIN_IOU_SMALL = 0.99, 0.95
"""Minimum IoU of a mask and its simplified polygons, by more than `SMALL_AREA` pixels, or fewer."""

SMALL_AREA = 100

TINY_AREA = 16
"""Area in pixels up to which parts and holes stay exact, since they could vanish."""

FEW_VERTICES = 8
"""Number of vertices up to which the exact outline is simple enough."""

TOLERANCES = (2.0, 1.7, 1.4, 1.2, 1.0, 0.85, 0.7, 0.6, 0.5, 0.4, 0.3)
"""Distances in pixels between an outline and its simplification, of which the largest that keeps
the mask is used. Larger ones would be visible as wrong edges."""

EIGHT_NEIGHBOURS = np.ones((3, 3), bool)


class OutlinePart(NamedTuple):
    """A connected part of a mask.

    Attributes:
        exterior: Vertices x, y of the outline in pixels, of which the last is not the first again.
        holes: Vertices of each hole.
    """

    exterior: Num[np.ndarray, "_ 2"]
    holes: tuple[Num[np.ndarray, "_ 2"], ...] = ()

    @property
    def loops(self) -> tuple[Num[np.ndarray, "_ 2"], ...]:
        """Outline and holes."""
        return (self.exterior, *self.holes)


def outline_parts(rle: RunLength, style: OutlineStyle = "exact") -> list[OutlinePart]:
    """Convert a mask to polygons, one for each connected part.

    Coordinates are those of pixel corners: pixel (0, 0) extends from 0 to 1. Pixels that touch at a
    corner are connected.

    Args:
        rle: Mask; an empty one has no parts.
        style: "exact": vertices are at corners of pixels, and rasterising returns the mask.
            "simple": few vertices, which rasterise to a mask of IoU 0.99 or more (0.95 up to 100
            pixels); parts and holes are never dropped.
    """
    box = pixel_box(rle)
    mask = crop_mask(rle, box)
    exact = find_parts(mask, corner_polygons(mask))
    parts = [shift_part(part, box) for part in exact]
    return parts if style == "exact" else simplify_parts(parts, mask, box)


def simple_parts(rle: RunLength) -> list[OutlinePart]:
    """Convert a mask to polygons that do not touch themselves, as GeoJSON and GIS tools require.

    Pixels that touch only at a corner are in different parts, or their part has a hole there.
    """
    box = pixel_box(rle)
    mask = crop_mask(rle, box)
    loops = [
        piece
        for loop in corner_polygons(mask, join_corners=False)
        for piece in split_at_repeated_vertices(loop)
    ]
    return [shift_part(part, box) for part in find_parts(mask, loops, join_corners=False)]


def pixel_box(rle: RunLength) -> Box:
    """Return the bounding box of a mask as integers."""
    left, top, right, bottom = map(int, rle.box)
    return left, top, right, bottom


def crop_mask(rle: RunLength, box: Box) -> Bool[np.ndarray, "h w"]:
    """Return the pixels of a mask in its bounding box."""
    left, top, right, bottom = box
    height = rle.size[0]
    start, inside = rle.span
    flat = np.zeros((right - left) * height, bool)
    flat[start - left * height :][: len(inside)] = inside
    return flat.reshape(right - left, height).T[top:bottom]


def find_parts(
    mask: Bool[np.ndarray, "h w"], loops: list[Loop], *, join_corners: bool = True
) -> list[OutlinePart]:
    """Assign holes to the part of the mask that surrounds them."""
    structure = EIGHT_NEIGHBOURS if join_corners else None
    from scipy import ndimage  # imported here: results are made and drawn without it

    numbers = np.asarray(ndimage.label(np.pad(mask, 1), structure)[0])  # type: ignore[index]
    exteriors: dict[int, Loop] = {}
    holes: dict[int, list[Loop]] = {}
    for loop in loops:
        # The first edge of a loop is its highest: what is below it is inside, above it outside.
        x, y = loop[0].tolist()
        above, below = int(numbers[y, x + 1]), int(numbers[y + 1, x + 1])
        if below:
            exteriors[below] = loop
        else:
            holes.setdefault(above, []).append(loop)
    return [OutlinePart(loop, tuple(holes.get(number, ()))) for number, loop in exteriors.items()]


def split_at_repeated_vertices(loop: Loop) -> list[Loop]:
    """Split a polygon that touches itself into polygons that do not; each starts at its top."""
    pieces: list[Loop] = []
    path: list[tuple[int, int]] = []
    places: dict[tuple[int, int], int] = {}
    for x, y in [*loop.tolist(), loop[0].tolist()]:
        vertex = (x, y)
        if vertex in places:
            first = places[vertex]
            pieces.append(start_at_top(np.array(path[first:])))
            for removed in path[first:]:
                del places[removed]
            del path[first:]
        places[vertex] = len(path)
        path.append(vertex)
    return pieces


def start_at_top(loop: Loop) -> Loop:
    """Rotate a polygon: it starts at its highest vertex, the leftmost of these, rightwards."""
    loop = np.roll(loop, -int(np.lexsort(loop.T)[0]), axis=0)
    return loop if loop[1, 1] == loop[0, 1] else np.roll(loop[::-1], 1, axis=0)


def shift_part(part: OutlinePart, box: Box) -> OutlinePart:
    """Return a part in coordinates of the image."""
    origin = np.array(box[:2])
    return OutlinePart(part.exterior + origin, tuple(hole + origin for hole in part.holes))


def simplify_parts(
    parts: list[OutlinePart], mask: Bool[np.ndarray, "h w"], box: Box
) -> list[OutlinePart]:
    """Return the fewest vertices that keep the mask; the exact outline if none do.

    The outline through the corners of pixels and the one through the middles of their edges are
    simplified: the first is better for straight edges, the second for curved ones.
    """
    best = parts
    if all(len(loop) <= FEW_VERTICES for part in parts for loop in part.loops):
        return parts
    for candidates in (parts, [map_part(part, cut_corners) for part in parts]):
        simple = simplify_most(candidates, mask, box)
        if simple is not None and count_vertices(simple) < count_vertices(best):
            best = simple
    return best


def simplify_most(
    parts: list[OutlinePart], mask: Bool[np.ndarray, "h w"], box: Box
) -> list[OutlinePart] | None:
    """Simplify outlines with the largest tolerance that keeps the mask; None if none does."""
    limits = [[vertex_limits(loop) for loop in part.loops] for part in parts]
    found, low, high = None, 0, len(TOLERANCES)
    while low < high:  # The IoU grows as the tolerance falls, except for single pixels.
        middle = (low + high) // 2
        simple = [
            remove_vertices(part, part_limits, TOLERANCES[middle])
            for part, part_limits in zip(parts, limits, strict=True)
        ]
        if keeps_mask(simple, mask, box):
            found, high = simple, middle
        else:
            low = middle + 1
    return found


def vertex_limits(loop: Num[np.ndarray, "n 2"]) -> Float[np.ndarray, " n"]:
    """Return the tolerance up to which each vertex remains; infinite for tiny loops."""
    if abs(signed_area(loop)) <= TINY_AREA:
        return np.full(len(loop), np.inf)
    return vertex_tolerances(loop, TOLERANCES[-1])


def remove_vertices(
    part: OutlinePart, limits: list[Float[np.ndarray, " _"]], tolerance: float
) -> OutlinePart:
    """Remove vertices that a tolerance makes superfluous; loops that would vanish stay whole."""
    loops = []
    for loop, loop_limits in zip(part.loops, limits, strict=True):
        kept = loop[loop_limits > tolerance]
        loops.append(kept if len(kept) >= 3 else loop)
    return OutlinePart(loops[0], tuple(loops[1:]))


def keeps_mask(parts: list[OutlinePart], mask: Bool[np.ndarray, "h w"], box: Box) -> bool:
    """Return whether polygons rasterise to nearly the same mask."""
    again = np.zeros_like(mask)
    for part in parts:
        again |= rasterise(part.loops, box)
    shared, union = np.count_nonzero(again & mask), np.count_nonzero(again | mask)
    limit = MIN_IOU if np.count_nonzero(mask) > SMALL_AREA else MIN_IOU_SMALL
    return bool(shared >= limit * union)


def map_part(part: OutlinePart, change) -> OutlinePart:
    """Apply a function to the outline and to each hole."""
    return OutlinePart(change(part.exterior), tuple(change(hole) for hole in part.holes))


def signed_area(loop: Num[np.ndarray, "_ 2"]) -> float:
    """Return the area of a polygon, positive if it is counterclockwise where y points upwards."""
    x, y = np.concatenate([loop, loop[:1]]).T.astype(np.float64)
    return float((x[:-1] * y[1:] - x[1:] * y[:-1]).sum() / 2)


def count_vertices(parts: list[OutlinePart]) -> int:
    """Return the number of vertices of all loops."""
    return sum(len(loop) for part in parts for loop in part.loops)
