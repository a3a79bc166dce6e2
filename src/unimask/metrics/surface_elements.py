"""Area of the surface of a voxel mask between eight neighbouring voxels, by marching cubes.

The surface between eight voxels that form a cube is that of Lorensen and Cline (1987): polygons
through the centres of the edges between a voxel of the mask and one outside it. If more than four
voxels belong to the mask, the surface is that of the complement, and voxels that touch only
diagonally are separate.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import product

import numpy as np
from jaxtyping import Float

Corner = tuple[int, int, int]
Polygon = list[tuple[float, float, float]]
Edge = tuple[Corner, Corner]

CORNERS: tuple[Corner, ...] = tuple(product((0, 1), repeat=3))  # type: ignore[assignment]
"""Corners of the cube; the place of a corner is the bit of its voxel in a code."""

NUM_CODES = 2 ** len(CORNERS)
"""Number of ways in which eight voxels belong to a mask or not."""


def element_areas(spacing: Sequence[float]) -> Float[np.ndarray, " 256"]:
    """Compute the area of the surface for each code in mm².

    Args:
        spacing: Distance of voxels along each axis in mm.
    """
    x, y, z = spacing
    vectors = np.stack(area_vectors()) * (y * z, x * z, x * y)
    return np.linalg.norm(vectors, axis=2).sum(axis=1)


@cache
def area_vectors() -> tuple[np.ndarray, ...]:
    """Compute the vector areas of the triangles of each code for a spacing of 1, up to four."""
    found = []
    for code in range(NUM_CODES):
        inside = {corner for bit, corner in enumerate(CORNERS) if code >> bit & 1}
        smaller = inside if len(inside) <= 4 else set(CORNERS) - inside
        triangles = [t for part in connected_parts(smaller) for t in triangulate(part)]
        vectors = np.zeros((4, 3))
        for place, (a, b, c) in enumerate(np.array(triangles).reshape(-1, 3, 3)):
            vectors[place] = np.cross(b - a, c - a) / 2
        found.append(vectors)
    return tuple(found)


@cache
def triangulate(part: frozenset[Corner]) -> list[Polygon]:
    """Return the surface around at most four connected corners as triangles."""
    return largest(outline(part))


def neighbours(corner: Corner) -> Iterator[Corner]:
    """Yield the three corners at the other ends of a corner's edges."""
    x, y, z = corner
    yield from ((1 - x, y, z), (x, 1 - y, z), (x, y, 1 - z))


def connected_parts(corners: Iterable[Corner]) -> Iterator[frozenset[Corner]]:
    """Yield the parts of a set of corners that edges of the cube connect."""
    rest = set(corners)
    while rest:
        part, waiting = set(), [min(rest)]
        while waiting:
            corner = waiting.pop()
            if corner in rest:
                rest.remove(corner)
                part.add(corner)
                waiting += neighbours(corner)
        yield frozenset(part)


def outline(part: frozenset[Corner]) -> Polygon:
    """Return the polygon that separates at most four connected corners from the others."""
    cut = [(corner, other) for corner in sorted(part) for other in neighbours(corner)]
    rest = [edge for edge in cut if edge[1] not in part]
    order = [rest.pop(0)]
    while rest:
        following = next(edge for edge in rest if share_line(order[-1], edge, part))
        rest.remove(following)
        order.append(following)
    return [tuple(((np.array(a) + b) / 2).tolist()) for a, b in order]  # type: ignore[misc]


def share_line(first: Edge, second: Edge, part: frozenset[Corner]) -> bool:
    """Return whether the outline connects two cut edges directly, across a face of the cube.

    On a face of which only two diagonal corners are inside, it goes around each of them.
    """
    faces = [
        {(axis, a[axis]) for axis in range(3) if a[axis] == b[axis]} for a, b in (first, second)
    ]
    for axis, side in faces[0] & faces[1]:
        inside = [corner for corner in part if corner[axis] == side]
        is_diagonal = len(inside) == 2 and inside[1] not in neighbours(inside[0])
        if not is_diagonal or first[0] == second[0]:
            return True
    return False


def largest(polygon: Polygon) -> list[Polygon]:
    """Return the division of a polygon into triangles with the largest area for a spacing of 1.

    Lorensen and Cline leave the division of polygons that are not flat open; this is the one of
    usual tables. Divisions of equal area cover the same surface.
    """
    return max(divisions(polygon), key=lambda triangles: round(total_area(triangles), 9))


def divisions(polygon: Polygon) -> Iterator[list[Polygon]]:
    """Yield all divisions of a polygon into triangles between its vertices."""
    if len(polygon) < 3:
        yield []
        return
    for tip in range(1, len(polygon) - 1):
        triangle = [polygon[0], polygon[tip], polygon[-1]]
        for left, right in product(divisions(polygon[: tip + 1]), divisions(polygon[tip:])):
            yield [triangle, *left, *right]


def total_area(triangles: list[Polygon]) -> float:
    """Compute the area of triangles."""
    return sum(
        float(np.linalg.norm(np.cross(np.subtract(b, a), np.subtract(c, a)))) / 2
        for a, b, c in triangles
    )
