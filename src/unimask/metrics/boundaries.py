"""Boundary IoU (Cheng et al. 2021; `utils/boundary_utils.py`)."""

import math

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.ndimage import minimum_filter

from unimask.formats.run_length import RunLength
from unimask.labels import LabelSet
from unimask.metrics.object_ious import boxes_overlap, divide_by_union, mask_ious, shared_pixels
from unimask.metrics.objects import Objects
from unimask.metrics.panoptic_quality import mean_percent

WIDTH_RATIO = 0.02
"""Width of the boundary as a fraction of the image diagonal (the paper's for COCO, section 4)."""

MIN_IOU = 0.5
"""Lowest threshold in use; pairs whose mask IoU is below it need no boundary IoU."""


def boundary_ious(predicted: Objects, ground_truth: Objects) -> Float[np.ndarray, "p t"]:
    """Compute the minimum of mask IoU and boundary IoU; for crowds the mask IoU.

    Pairs with a mask IoU below one half keep that value, which no threshold accepts.

    Raises:
        DataError: The masks differ in size.
    """
    ious = mask_ious(predicted, ground_truth)
    needs_boundary = (ious >= MIN_IOU) & ~ground_truth.crowds
    rows, columns = np.flatnonzero(needs_boundary.any(1)), np.flatnonzero(needs_boundary.any(0))
    predicted_boundaries = Objects.from_masks(
        [boundary_mask(predicted.masks[row]) for row in rows], rows
    )
    true_boundaries = Objects.from_masks(
        [boundary_mask(ground_truth.masks[column]) for column in columns], columns
    )
    shared = shared_pixels(
        predicted_boundaries.masks,
        true_boundaries.masks,
        boxes_overlap(predicted_boundaries.boxes, true_boundaries.boxes),
    )
    no_crowds = np.zeros(len(columns), bool)
    boundary_iou = np.ones_like(ious)
    boundary_iou[np.ix_(rows, columns)] = divide_by_union(
        shared.astype(np.float64), predicted_boundaries.areas, true_boundaries.areas, no_crowds
    )
    return np.where(needs_boundary, np.minimum(ious, boundary_iou), ious)


def boundary_mask(mask: RunLength) -> RunLength:
    """Compute the boundary of a mask, within its bounding box."""
    x0, y0, x1, y1 = (int(side) for side in mask.box)
    dense = mask.to_mask()
    out = np.zeros_like(dense)
    out[y0:y1, x0:x1] = boundary(dense[y0:y1, x0:x1], boundary_width(mask.size))
    return RunLength.from_mask(out)


def boundary_width(size: tuple[int, int]) -> int:
    """Compute the width of boundaries in pixels for an image of this height and width."""
    return max(1, round(WIDTH_RATIO * math.hypot(*size)))


def boundary(mask: Bool[np.ndarray, "h w"], width: int) -> Bool[np.ndarray, "h w"]:
    """Mark the pixels of a mask within `width` of its outline, by Chebyshev distance.

    Where the image border cuts a mask off, that border is part of its outline.
    """
    inner = minimum_filter(mask, size=2 * width + 1, mode="constant", cval=0)
    return mask & ~np.asarray(inner, bool)


class BoundaryIoU:
    """Boundary IoU of classes, with pixels counted over all images.

    Unlabelled pixels do not count, and edges next to them are no boundaries.

    Args:
        labels: Classes to evaluate.
    """

    def __init__(self, labels: LabelSet) -> None:
        self.labels = labels
        self.intersection = np.zeros(len(labels), np.int64)
        self.union = np.zeros(len(labels), np.int64)

    def update(
        self, predicted: Int[np.ndarray, "h w"], ground_truth: Int[np.ndarray, "h w"]
    ) -> None:
        """Add an image.

        Args:
            predicted: Label ids; -1 for none.
            ground_truth: Label ids of the ground truth; -1 for unlabelled pixels.
        """
        unlabelled = ground_truth < 0
        width = boundary_width((ground_truth.shape[0], ground_truth.shape[1]))
        for label in np.union1d(predicted[~unlabelled], ground_truth[~unlabelled]).tolist():
            if label < 0:
                continue
            predicted_boundary, true_boundary = (
                boundary((ids == label) | unlabelled, width) & (ids == label) & ~unlabelled
                for ids in (predicted, ground_truth)
            )
            self.intersection[label] += np.count_nonzero(predicted_boundary & true_boundary)
            self.union[label] += np.count_nonzero(predicted_boundary | true_boundary)

    def ious(self) -> Float[np.ndarray, " k"]:
        """Compute the boundary IoU of each class from 0 to 1; NaN where undefined."""
        with np.errstate(invalid="ignore"):
            return np.where(self.union > 0, self.intersection / self.union, np.nan)

    def compute(self) -> dict[str, float | None]:
        """Return the mean over classes in percent; None if no class has a boundary."""
        return {"mBIoU": mean_percent(self.ious())}

    def per_class(self) -> dict[str, dict[str, float | None]]:
        """Return the boundary IoU of each class in percent; None for classes without a boundary."""
        return {
            name: {"BIoU": None if np.isnan(iou) else 100 * float(iou)}
            for name, iou in zip(self.labels.names, self.ious(), strict=True)
        }
