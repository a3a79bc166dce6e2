"""Groups of scenes that show the same ground."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int

from unimask.datasets.scenes.scene import Scene
from unimask.extras import import_extra

MIN_SHARED = 0.01
"""Smallest share of the smaller of two scenes in which they overlap, so that edges may touch."""


def group_overlapping(scenes: Sequence[Scene]) -> list[list[int]]:
    """Return the indices of scenes in groups, so that scenes of different groups do not overlap.

    Scenes in different reference systems are compared in degrees.
    """
    # Imported here because other datasets do not need it.
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    first, second = find_overlaps(scenes)
    edges = coo_array((np.ones(len(first)), (first, second)), shape=(len(scenes),) * 2)
    count, groups = connected_components(edges)
    return [np.flatnonzero(groups == name).tolist() for name in range(count)]


def find_shared_ground(train: Sequence[Scene], val: Sequence[Scene]) -> list[Path]:
    """Return the scenes for validation that overlap one for training."""
    first, second = find_overlaps([*train, *val])
    across = (first < len(train)) & (second >= len(train))
    return [val[index - len(train)].path for index in np.unique(second[across]).tolist()]


def find_overlaps(
    scenes: Sequence[Scene],
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """Return the indices of each pair of scenes that overlap, the smaller index first."""
    shapely = import_extra("shapely", "geo")
    shapes = place_outlines(scenes)
    first, second = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    pairs = first < second
    first, second = first[pairs], second[pairs]
    shared = shapely.area(shapely.intersection(shapes[first], shapes[second]))
    areas = shapely.area(shapes)
    overlapping = shared > MIN_SHARED * np.minimum(areas[first], areas[second])
    return first[overlapping], second[overlapping]


def place_outlines(scenes: Sequence[Scene]) -> np.ndarray:
    """Return the outlines of scenes in one reference system: their own, or degrees."""
    outlines = np.array([scene.outline for scene in scenes], object)
    systems = {scene.georeference.crs for scene in scenes}
    if len(systems) == 1 or None in systems:
        return outlines
    shapely, pyproj = import_extra("shapely", "geo"), import_extra("pyproj", "geo")
    for index, scene in enumerate(scenes):
        transformer = pyproj.Transformer.from_crs(scene.crs, "EPSG:4326", always_xy=True)
        outlines[index] = shapely.transform(
            outlines[index],
            lambda points, t=transformer: np.stack(t.transform(*points.T), axis=1),
        )
    return outlines
