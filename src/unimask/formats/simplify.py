"""Simplification of polygons (Douglas and Peucker 1973)."""

import numpy as np
from jaxtyping import Float, Num


def vertex_tolerances(
    loop: Num[np.ndarray, "n 2"], minimum: float = 0.0
) -> Float[np.ndarray, " n"]:
    """Return, for each vertex of a closed polygon, the tolerance up to which it is kept.

    The vertices above a tolerance are those that the algorithm of Douglas and Peucker keeps with
    it, starting from the first vertex and the one farthest from it. All sections of the polygon are
    split at once, level by level.

    Args:
        loop: Vertices x, y, of which the last is not the first again.
        minimum: Tolerance of interest; vertices that lower ones keep get 0.
    """
    count = len(loop)
    points = np.concatenate([loop, loop[:1]]).astype(np.float64)
    limits = np.zeros(count + 1)
    farthest = int(np.argmax(((points - points[0]) ** 2).sum(axis=1)))
    limits[[0, farthest, count]] = np.inf
    starts, ends = np.array([0, farthest]), np.array([farthest, count])
    bounds = np.array([np.inf, np.inf])  # no vertex is kept before the one that splits its section
    while True:
        is_open = ends - starts > 1
        starts, ends, bounds = starts[is_open], ends[is_open], bounds[is_open]
        if not len(starts):
            return limits[:-1]
        lengths = ends - starts - 1
        sections = np.repeat(np.arange(len(starts)), lengths)
        firsts = np.cumsum(lengths) - lengths
        inner = starts[sections] + 1 + np.arange(len(sections)) - firsts[sections]
        distances = segment_distances(
            points[inner], points[starts][sections], points[ends][sections]
        )
        maxima = np.maximum.reduceat(distances, firsts)
        is_maximum = np.flatnonzero(distances == maxima[sections])
        is_first = np.concatenate([[True], np.diff(sections[is_maximum]) > 0])
        is_split = maxima > minimum
        splits = inner[is_maximum[is_first]][is_split]
        bounds = np.minimum(bounds, maxima)[is_split]
        limits[splits] = bounds
        starts = np.stack([starts[is_split], splits], axis=1).ravel()
        ends = np.stack([splits, ends[is_split]], axis=1).ravel()
        bounds = np.repeat(bounds, 2)


def segment_distances(
    points: Float[np.ndarray, "n 2"],
    starts: Float[np.ndarray, "n 2"],
    ends: Float[np.ndarray, "n 2"],
) -> Float[np.ndarray, " n"]:
    """Return the distance between each point and the line segment from its start to its end."""
    directions, offsets = ends - starts, points - starts
    lengths = (directions**2).sum(axis=1)
    shares = (offsets * directions).sum(axis=1) / np.where(lengths > 0, lengths, 1)
    nearest = np.minimum(np.maximum(shares, 0), 1)[:, None] * directions
    return np.hypot(*(offsets - nearest).T)


def cut_corners(loop: Num[np.ndarray, "n 2"]) -> Float[np.ndarray, "m 2"]:
    """Return the outline of pixels that runs through the middles of their edges.

    Args:
        loop: Vertices at corners of pixels, with edges along rows and columns in turn.
    """
    following = np.concatenate([loop[1:], loop[:1]])
    lengths = np.abs(following - loop).sum(axis=1)
    halves = (following - loop) / (2 * lengths[:, None])
    pairs = np.stack([loop + halves, following - halves], axis=1)
    return pairs.reshape(-1, 2)[np.stack([lengths > 0, lengths > 1], axis=1).ravel()]
