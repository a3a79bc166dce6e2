"""Segmentation and tracking quality (STQ; Weber et al. 2021, "STEP")."""

from collections import Counter
from collections.abc import Hashable

import numpy as np
from jaxtyping import Int, Integer

from unimask.labels import LabelSet
from unimask.metrics.mean_iou import MeanIoU
from unimask.metrics.overlaps import count_overlaps

ID_BITS = 32
"""Number of bits of an id, above which the label id is stored."""


class TrackingQuality:
    """STQ over sequences: the geometric mean of association quality (AQ) and mIoU.

    AQ is the mean over true tracks of their pixels' IoU with the predicted tracks that they meet,
    whatever the class of these. Things without an id are crowds, which AQ leaves out. Unlabelled
    pixels do not count for the IoU; predictions without a class count as one more class with an
    IoU of 0, as in the authors' code (deeplab2).

    Args:
        labels: Classes to evaluate.
    """

    def __init__(self, labels: LabelSet) -> None:
        self.labels = labels
        self.mean_iou = MeanIoU(labels)
        self.predicted_areas: Counter[tuple[Hashable, int]] = Counter()
        self.true_areas: Counter[tuple[Hashable, int]] = Counter()
        self.shared: Counter[tuple[Hashable, int, int]] = Counter()

    def update(
        self,
        predicted_labels: Int[np.ndarray, "h w"],
        predicted_ids: Integer[np.ndarray, "h w"],
        true_labels: Int[np.ndarray, "h w"],
        true_ids: Integer[np.ndarray, "h w"],
        sequence: Hashable = 0,
    ) -> None:
        """Add an image of a sequence.

        Args:
            predicted_labels: Label id of each pixel; -1 for none.
            predicted_ids: Id of the track of each pixel of things; 0 for none.
            true_labels: Label id of each pixel of the ground truth; -1 for unlabelled pixels.
            true_ids: Id of the track of each pixel of things; 0 for crowds.
            sequence: Sequence to which the image belongs.
        """
        self.mean_iou.update(predicted_labels, true_labels)
        is_thing = np.array([*self.labels.is_thing, False])
        in_truth = is_thing[true_labels]
        is_crowd = in_truth & (true_ids == 0)
        predicted = track_keys(
            predicted_labels, predicted_ids, is_thing[predicted_labels] & ~is_crowd
        )
        true = track_keys(true_labels, true_ids, in_truth & ~is_crowd)
        rows, columns, shared = count_overlaps(predicted, true)
        for row, key in enumerate(rows.tolist()):
            if key >= 0:
                self.predicted_areas[sequence, key] += int(shared[row].sum())
        for column, key in enumerate(columns.tolist()):
            if key >= 0:
                self.true_areas[sequence, key] += int(shared[:, column].sum())
        for row, column in np.argwhere(shared).tolist():
            keys = int(rows[row]), int(columns[column])
            if min(keys) >= 0:
                self.shared[sequence, *keys] += int(shared[row, column])

    def compute(self) -> dict[str, float | None]:
        """Return STQ, AQ and SQ (the mIoU) in percent; None where there is no ground truth."""
        confusion = self.mean_iou.confusion
        ious = self.mean_iou.ious()
        ious = ious[~np.isnan(ious)]
        if confusion[:, -1].any():
            ious = np.append(ious, 0.0)
        quality = 100 * float(ious.mean()) if len(ious) else None
        total = 0.0
        for (sequence, predicted, true), shared in self.shared.items():
            size = self.true_areas[sequence, true]
            union = size + self.predicted_areas[sequence, predicted] - shared
            total += shared * shared / union / size
        association = 100 * total / len(self.true_areas) if self.true_areas else None
        product = None
        if association is not None and quality is not None:
            product = (association * quality) ** 0.5
        return {"STQ": product, "AQ": association, "SQ": quality}


def track_keys(
    label_ids: Int[np.ndarray, "h w"], ids: Integer[np.ndarray, "h w"], selected: np.ndarray
) -> Int[np.ndarray, "h w"]:
    """Return one number for each pair of class and id, -1 where it is not selected."""
    return np.where(selected, (label_ids.astype(np.int64) << ID_BITS) + ids, -1)
