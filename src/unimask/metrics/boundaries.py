"""Boundary IoU (Cheng et al. 2021; `utils/boundary_utils.py`)."""

import math

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.ndimage import minimum_filter

from unimask.formats.run_length import RunLength
from unimask.labels import LabelSet
from unimask.metrics.object_ious import boxes_meet, mask_ious, shared_pixels, shares
from unimask.metrics.objects import Objects
from unimask.metrics.panoptic_quality import mean_percent

RATIO = 0.02
"""Width of the boundary as a fraction of the image diagonal (the paper's for COCO, section 4)."""

LEAST_IOU = 0.5
"""Lowest threshold in use; pairs whose mask IoU is below it need no boundary IoU."""


def boundary_ious(predicted: Objects, truth: Objects) -> Float[np.ndarray, "p t"]:
    """Compute the minimum of mask IoU and boundary IoU; for crowds the mask IoU.

    Pairs with a mask IoU below one half keep that value, which no threshold accepts.

    Raises:
        DataError: The masks differ in size.
    """
    ious = mask_ious(predicted, truth)
    likely = (ious >= LEAST_IOU) & ~truth.crowds
    rows, columns = np.flatnonzero(likely.any(1)), np.flatnonzero(likely.any(0))
    predicted_rims = Objects.of_masks([rim_of(predicted.masks[row]) for row in rows], rows)
    true_rims = Objects.of_masks([rim_of(truth.masks[column]) for column in columns], columns)
    shared = shared_pixels(
        predicted_rims.masks, true_rims.masks, boxes_meet(predicted_rims.boxes, true_rims.boxes)
    )
    none = np.zeros(len(columns), bool)
    rims = np.ones_like(ious)
    rims[np.ix_(rows, columns)] = shares(
        shared.astype(np.float64), predicted_rims.areas, true_rims.areas, none
    )
    return np.where(likely, np.minimum(ious, rims), ious)


def rim_of(mask: RunLength) -> RunLength:
    """Compute the boundary of a mask, within its bounding box."""
    x0, y0, x1, y1 = (int(side) for side in mask.box)
    dense = mask.to_mask()
    out = np.zeros_like(dense)
    out[y0:y1, x0:x1] = boundary(dense[y0:y1, x0:x1], boundary_width(mask.size))
    return RunLength.from_mask(out)


def boundary_width(size: tuple[int, int]) -> int:
    """Compute the width of boundaries in pixels for an image of this height and width."""
    return max(1, round(RATIO * math.hypot(*size)))


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
        self.shared = np.zeros(len(labels), np.int64)
        self.union = np.zeros(len(labels), np.int64)

    def update(self, predicted: Int[np.ndarray, "h w"], truth: Int[np.ndarray, "h w"]) -> None:
        """Add an image.

        Args:
            predicted: Label ids; -1 for none.
            truth: Label ids of the ground truth; -1 for unlabelled pixels.
        """
        unknown = truth < 0
        width = boundary_width((truth.shape[0], truth.shape[1]))
        for label in np.union1d(predicted[~unknown], truth[~unknown]).tolist():
            if label < 0:
                continue
            predicted_rim, true_rim = (
                boundary((ids == label) | unknown, width) & (ids == label) & ~unknown
                for ids in (predicted, truth)
            )
            self.shared[label] += np.count_nonzero(predicted_rim & true_rim)
            self.union[label] += np.count_nonzero(predicted_rim | true_rim)

    def ious(self) -> Float[np.ndarray, " k"]:
        """Compute the boundary IoU of each class from 0 to 1; NaN where undefined."""
        with np.errstate(invalid="ignore"):
            return np.where(self.union > 0, self.shared / self.union, np.nan)

    def compute(self) -> dict[str, float | None]:
        """Return the mean over classes in percent; None if no class has a boundary."""
        return {"mBIoU": mean_percent(self.ious())}

    def per_class(self) -> dict[str, dict[str, float | None]]:
        """Return the boundary IoU of each class in percent; None for classes without a boundary."""
        return {
            name: {"BIoU": None if np.isnan(iou) else 100 * float(iou)}
            for name, iou in zip(self.labels.names, self.ious(), strict=True)
        }
