"""Distances between the surfaces of voxel masks in mm (Nikolov et al. 2021)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy.ndimage import distance_transform_edt

from unimask.metrics.surface_elements import CORNERS, NUM_CODES, element_areas


class SurfaceDistances(NamedTuple):
    """Distances from each element of a surface to the other surface, in ascending order.

    An element lies between eight voxels, and counts by its area.

    Attributes:
        predicted: Distances of the predicted surface in mm.
        predicted_areas: Areas of its elements in mm².
        ground_truth: Distances of the true surface in mm.
        ground_truth_areas: Areas of its elements in mm².
    """

    predicted: Float[np.ndarray, " n"]
    predicted_areas: Float[np.ndarray, " n"]
    ground_truth: Float[np.ndarray, " m"]
    ground_truth_areas: Float[np.ndarray, " m"]


def surface_distances(
    predicted: Bool[np.ndarray, "i j k"],
    ground_truth: Bool[np.ndarray, "i j k"],
    spacing: Sequence[float],
) -> SurfaceDistances:
    """Compute the distances between the surfaces of two masks, neither of which is empty.

    Outside the array there is nothing, so that masks end at its borders.

    Args:
        predicted: Predicted mask.
        ground_truth: True mask.
        spacing: Distance of voxels along each axis in mm; axes count as perpendicular.
    """
    box = joint_box(predicted | ground_truth)
    codes = [neighbour_codes(mask[box]) for mask in (predicted, ground_truth)]
    borders = [(code != 0) & (code != NUM_CODES - 1) for code in codes]
    areas = element_areas(spacing)
    parts: list[np.ndarray] = []
    for this, other in ((0, 1), (1, 0)):
        distance = np.asarray(distance_transform_edt(~borders[other], sampling=tuple(spacing)))
        distances, weights = distance[borders[this]], areas[codes[this][borders[this]]]
        order = np.lexsort((weights, distances))
        parts += [distances[order], weights[order]]
    return SurfaceDistances(*parts)


def joint_box(mask: Bool[np.ndarray, "i j k"]) -> tuple[slice, slice, slice]:
    """Return the bounding box of a mask that is not empty."""
    spans = []
    for axis in range(3):
        others = tuple(each for each in range(3) if each != axis)
        found = np.flatnonzero(mask.any(axis=others))
        spans.append(slice(int(found[0]), int(found[-1]) + 1))
    return spans[0], spans[1], spans[2]


def neighbour_codes(mask: Bool[np.ndarray, "i j k"]) -> UInt8[np.ndarray, "x y z"]:
    """Return the code of the eight voxels around each corner of voxels, one more per axis."""
    padded = np.pad(mask, 1)
    x, y, z = (side + 1 for side in mask.shape)
    codes = np.zeros((x, y, z), np.uint8)
    for bit, (i, j, k) in enumerate(CORNERS):
        codes |= padded[i : i + x, j : j + y, k : k + z].astype(np.uint8) << np.uint8(bit)
    return codes


def robust_hausdorff(distances: SurfaceDistances, percent: float = 95.0) -> float:
    """Compute the larger of the percentiles of both directions in mm, weighted by area."""
    return max(
        weighted_percentile(distances.predicted, distances.predicted_areas, percent),
        weighted_percentile(distances.ground_truth, distances.ground_truth_areas, percent),
    )


def weighted_percentile(
    values: Float[np.ndarray, " n"], weights: Float[np.ndarray, " n"], percent: float
) -> float:
    """Return the first of ascending values up to which a share of the weights lies."""
    shares = np.cumsum(weights) / np.sum(weights)
    place = int(np.searchsorted(shares, percent / 100))
    return float(values[min(place, len(values) - 1)])


def surface_dice(distances: SurfaceDistances, tolerance: float) -> float:
    """Compute the share of both surfaces, by area, at most `tolerance` mm from the other (NSD)."""
    close = sum(
        float(areas[values <= tolerance].sum()) for values, areas in (distances[:2], distances[2:])
    )
    return close / float(distances.predicted_areas.sum() + distances.ground_truth_areas.sum())
