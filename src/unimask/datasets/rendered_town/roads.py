"""The street network: an irregular, rotated grid of curved streets, computed road by road.

Streets of axis 0 connect junctions (i, j) and (i + 1, j), those of axis 1 (i, j) and (i, j + 1). A
road is the part of a street between neighbouring junctions. Main streets have all their roads and
carry moving traffic; of other streets, some roads are missing.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import cos, sin

import numpy as np
from jaxtyping import Float

from unimask.datasets.rendered_town.hashing import Stream, uniform
from unimask.datasets.rendered_town.style import Style
from unimask.datasets.rendered_town.water import river_distance

PIECES = 12
"""Number of straight pieces of a road."""

JITTER = 0.34
"""Range of the displacement of junctions, as a share of the distance between streets."""

MAIN_SHARE = 0.55
MAIN_HALF_WIDTH = 5.3
MISSING_SHARE = 0.28

MAX_HALF_WIDTH = MAIN_HALF_WIDTH
SIDEWALK = 2.0
"""Width of the sidewalks beside the streets of a town, in metres."""


@dataclass(frozen=True, slots=True, eq=False)
class Road:
    """Part of a street between two neighbouring junctions.

    Attributes:
        axis: Axis of its street.
        exists: Whether there is a road; otherwise this is only a border between blocks.
        is_main: Whether it belongs to a main street.
        half_width: Half of the carriageway's width in metres; 0 if there is no road.
        points: x and y of the ends of its straight pieces, in metres.
        normals: Unit vectors at `points`, to the right of the direction of `points`.
        positions: Distance of `points` from the start along the road, in metres.
        clear: Lengths at the start and at the end that crossing streets take, in metres.
    """

    axis: int
    exists: bool
    is_main: bool
    half_width: float
    points: Float[np.ndarray, "n 2"]
    normals: Float[np.ndarray, "n 2"]
    positions: Float[np.ndarray, " n"]
    clear: tuple[float, float]

    @property
    def length(self) -> float:
        """Length in metres."""
        return float(self.positions[-1])

    def place(
        self, position: Float[np.ndarray, " k"], lateral: Float[np.ndarray, " k"]
    ) -> tuple[Float[np.ndarray, "k 2"], Float[np.ndarray, "k 2"]]:
        """Return points beside the road, and the unit vectors of the road's direction there.

        Args:
            position: Distance from the start of the road in metres.
            lateral: Distance from the middle of the road in metres, positive on the right.
        """
        x, y, right_x, right_y = (
            np.interp(position, self.positions, values)
            for values in (*self.points.T, *self.normals.T)
        )
        length = np.hypot(right_x, right_y)
        right = np.stack([right_x / length, right_y / length], axis=1)
        point = np.stack([x, y], axis=1) + lateral[:, None] * right
        return point, np.stack([right[:, 1], -right[:, 0]], axis=1)


def rotate_to_image(style: Style, points: Float[np.ndarray, "*n 2"]) -> Float[np.ndarray, "*n 2"]:
    """Return the position in the image, in metres, of points of the street grid."""
    c, s = cos(style.rotation), sin(style.rotation)
    p, q = points[..., 0], points[..., 1]
    return np.stack([c * p - s * q, s * p + c * q], axis=-1)


def rotate_to_grid(style: Style, points: Float[np.ndarray, "*n 2"]) -> Float[np.ndarray, "*n 2"]:
    """Return the position in the street grid, in metres, of points of the image."""
    c, s = cos(style.rotation), sin(style.rotation)
    x, y = points[..., 0], points[..., 1]
    return np.stack([c * x + s * y, c * y - s * x], axis=-1)


@lru_cache(maxsize=4096)
def junction(style: Style, i: int, j: int) -> tuple[float, float]:
    """Return the position (x, y) of a junction in the image, in metres."""
    shift = [uniform(style.seed, Stream.JUNCTION, i, j, n) - 0.5 for n in (0, 1)]
    p, q = (i + JITTER * shift[0]) * style.pitch, (j + JITTER * shift[1]) * style.pitch
    x, y = rotate_to_image(style, np.array([p, q])).tolist()
    return x, y


def is_main_street(style: Style, axis: int, index: int) -> bool:
    """Return whether a street is a main street."""
    return uniform(style.seed, Stream.STREET, axis, index) < MAIN_SHARE


@lru_cache(maxsize=4096)
def street_half_width(style: Style, axis: int, index: int) -> float:
    """Return half the width of a street's carriageway in metres."""
    if is_main_street(style, axis, index):
        return MAIN_HALF_WIDTH
    return 2.9 + 0.8 * uniform(style.seed, Stream.STREET, axis, index, 1)


@lru_cache(maxsize=4096)
def road_exists(style: Style, axis: int, i: int, j: int) -> bool:
    """Return whether there is a road from junction (i, j) along an axis."""
    if is_main_street(style, axis, i if axis else j):
        return True
    if uniform(style.seed, Stream.ROAD, axis, i, j) < MISSING_SHARE:
        return False
    points, _ = trace_road(style, axis, i, j)
    is_wet = river_distance(style, *points.T) < 4
    # No roads along rivers, and none that end in them.
    ends = (i, j), ((i, j + 1) if axis else (i + 1, j))
    is_joined = [is_main_street(style, 1 - axis, place[1] if axis else place[0]) for place in ends]
    return bool(is_wet.mean() < 0.4) and all(
        joined or not wet for joined, wet in zip(is_joined, is_wet[[0, -1]], strict=True)
    )


@lru_cache(maxsize=1024)
def build_road(style: Style, axis: int, i: int, j: int) -> Road:
    """Build a road from junction (i, j) along an axis."""
    index = i if axis else j
    points, tangents = trace_road(style, axis, i, j)
    lengths = np.hypot(*(points[1:] - points[:-1]).T)
    normals = np.stack([-tangents[:, 1], tangents[:, 0]], axis=1)
    normals /= np.hypot(*normals.T)[:, None]
    exists = road_exists(style, axis, i, j)
    step = (i, j + 1) if axis else (i + 1, j)
    return Road(
        axis=axis,
        exists=exists,
        is_main=is_main_street(style, axis, index),
        half_width=street_half_width(style, axis, index) if exists else 0.0,
        points=points,
        normals=normals,
        positions=np.concatenate([[0], np.cumsum(lengths)]),
        clear=(crossing_width(style, axis, i, j), crossing_width(style, axis, *step)),
    )


def trace_road(
    style: Style, axis: int, i: int, j: int
) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, "n 2"]]:
    """Return points and tangents of a road: a cubic curve, smooth across junctions."""
    around = [(i, j + n) if axis else (i + n, j) for n in (-1, 0, 1, 2)]
    before, start, end, after = (np.array(junction(style, *place)) for place in around)
    t = np.linspace(0, 1, PIECES + 1)[:, None]
    departure, arrival = (end - before) / 2, (after - start) / 2
    points = (
        (2 * t**3 - 3 * t**2 + 1) * start
        + (t**3 - 2 * t**2 + t) * departure
        + (3 * t**2 - 2 * t**3) * end
        + (t**3 - t**2) * arrival
    )
    tangents = (
        (6 * t**2 - 6 * t) * (start - end)
        + (3 * t**2 - 4 * t + 1) * departure
        + (3 * t**2 - 2 * t) * arrival
    )
    return points, tangents


def crossing_width(style: Style, axis: int, i: int, j: int) -> float:
    """Return the length that the crossing street takes of a road at a junction, in metres."""
    before = (i - 1, j) if axis else (i, j - 1)
    crosses = road_exists(style, 1 - axis, i, j) or road_exists(style, 1 - axis, *before)
    return street_half_width(style, 1 - axis, j if axis else i) if crosses else 0.0


def visible_grid(
    style: Style, low: tuple[float, float], high: tuple[float, float]
) -> tuple[range, range]:
    """Return ranges of i and j that contain all blocks in a part of the image.

    Args:
        style: Style of the scene.
        low: Least x and y in metres.
        high: Greatest x and y in metres.
    """
    corners = np.array([[x, y] for x in (low[0], high[0]) for y in (low[1], high[1])])
    grid = rotate_to_grid(style, corners) / style.pitch
    first = np.floor(grid.min(axis=0) - 0.3).astype(int)
    last = np.floor(grid.max(axis=0) + 0.3).astype(int)
    return range(first[0], last[0] + 1), range(first[1], last[1] + 1)
