"""IoUs between predicted and true objects of an image, computed from run lengths."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from unimask.errors import DataError
from unimask.formats.run_length import RunLength
from unimask.metrics.objects import Objects


def mask_ious(predicted: Objects, ground_truth: Objects) -> Float[np.ndarray, "p t"]:
    """Compute the IoU of masks; for a crowd, the fraction of the prediction inside it.

    Raises:
        DataError: The masks differ in size.
    """
    overlapping = boxes_overlap(predicted.boxes, ground_truth.boxes)
    shared = shared_pixels(predicted.masks, ground_truth.masks, overlapping)
    predicted_areas = np.array([mask.area for mask in predicted.masks], np.float64)
    true_areas = np.array([mask.area for mask in ground_truth.masks], np.float64)
    return divide_by_union(
        shared.astype(np.float64), predicted_areas, true_areas, ground_truth.crowds
    )


def box_ious(predicted: Objects, ground_truth: Objects) -> Float[np.ndarray, "p t"]:
    """Compute the IoU of boxes; for a crowd, the fraction of the prediction inside it."""
    first, second = predicted.boxes[:, None], ground_truth.boxes[None]
    ends = np.minimum(first[..., 2:], second[..., 2:])
    starts = np.maximum(first[..., :2], second[..., :2])
    predicted_areas, true_areas = (
        (boxes[:, 2:] - boxes[:, :2]).prod(-1) for boxes in (predicted.boxes, ground_truth.boxes)
    )
    return divide_by_union(
        (ends - starts).clip(min=0).prod(-1), predicted_areas, true_areas, ground_truth.crowds
    )


def divide_by_union(
    shared: Float[np.ndarray, "p t"],
    predicted_areas: Float[np.ndarray, " p"],
    true_areas: Float[np.ndarray, " t"],
    crowds: Bool[np.ndarray, " t"],
) -> Float[np.ndarray, "p t"]:
    """Divide intersections by unions, or by the area of the prediction for crowds."""
    union = np.where(
        crowds, predicted_areas[:, None], predicted_areas[:, None] + true_areas - shared
    )
    return np.divide(shared, union, out=np.zeros_like(shared), where=shared > 0)


def boxes_overlap(
    first: Float[np.ndarray, "a 4"], second: Float[np.ndarray, "b 4"]
) -> Bool[np.ndarray, "a b"]:
    """Return which pairs of boxes overlap."""
    starts = np.maximum(first[:, None, :2], second[None, :, :2])
    ends = np.minimum(first[:, None, 2:], second[None, :, 2:])
    return np.all(starts < ends, axis=-1)


def shared_pixels(
    first: Sequence[RunLength], second: Sequence[RunLength], overlapping: Bool[np.ndarray, "a b"]
) -> Int[np.ndarray, "a b"]:
    """Count the shared pixels of those pairs of masks that are `overlapping`.

    The number of ones before a position is piecewise linear: constant on zeros, rising on ones. Its
    values at the ends of another mask's runs are the pixels that each run shares.

    Raises:
        DataError: The masks differ in size.
    """
    if len({mask.size for mask in (*first, *second)}) > 1:
        sizes = sorted({f"{h} x {w}" for h, w in (mask.size for mask in (*first, *second))})
        raise DataError(f"masks of one image differ in size ({', '.join(sizes)}): rewrite them")
    if len(second) > len(first):
        return shared_pixels(second, first, overlapping.T).T
    shared = np.zeros(overlapping.shape, np.int64)
    ends = {row: run_ends(first[row]) for row in np.flatnonzero(overlapping.any(1)).tolist()}
    for column in np.flatnonzero(overlapping.any(0)).tolist():
        rows = np.flatnonzero(overlapping[:, column])
        bounds = run_ends(second[column])
        lengths = (bounds[1::2] - bounds[::2]).cumsum()
        ones = np.stack([lengths - (bounds[1::2] - bounds[::2]), lengths], axis=1).ravel()
        positions = np.concatenate([ends[row] for row in rows.tolist()])
        before = np.interp(positions, bounds, ones)
        counts = np.array([len(ends[row]) // 2 for row in rows.tolist()])
        first_runs = counts.cumsum() - counts
        shared[rows, column] = np.add.reduceat(before[1::2] - before[::2], first_runs)
    return shared


def count_pixels_inside(objects: Objects, region: RunLength | None) -> Int[np.ndarray, " n"]:
    """Count the pixels of each object that lie inside a region; None is an empty region."""
    if region is None or not region.area:
        return np.zeros(len(objects), np.int64)
    regions = Objects.from_masks([region], [0])
    overlapping = boxes_overlap(objects.boxes, regions.boxes)
    return shared_pixels(objects.masks, regions.masks, overlapping)[:, 0]


def run_ends(mask: RunLength) -> Int[np.ndarray, " ends"]:
    """Return start and end of each run of ones, in column-major order."""
    starts, lengths = mask.runs
    return np.stack([starts, starts + lengths], axis=1).ravel()
