"""Uncertainty of a prediction, and its disagreement with the prediction of the mirrored image."""

import numpy as np
from jaxtyping import Int

from unimask.label_sides import mirrored_label_ids
from unimask.metrics.overlaps import count_overlaps
from unimask.metrics.panoptic_quality import PanopticQuality
from unimask.results import Result

NO_LABEL = -1
"""Label id of pixels without a segment."""


def compute_uncertainty(result: Result) -> float | None:
    """Compute how uncertain a prediction is, from 0 to 1.

    Semantic and panoptic: one minus the mean confidence of the pixels, where pixels without a
    segment have none. Instance: the mean over objects of `1 - |2 score - 1|`, which is 1 for a
    score of one half; None for an image without objects.

    Args:
        result: Prediction; of instances with all scores from `MIN_SCORE`, so that objects just
            below the usual threshold count as well.
    """
    if result.task != "instance":
        return 1 - float(result.confidence.mean(dtype=np.float64))
    return float(np.mean(1 - np.abs(2 * result.scores - 1))) if len(result) else None


def compute_disagreement(result: Result, mirrored: Result) -> float:
    """Compute how much two predictions differ, from 0 to 1.

    Semantic: one minus the mean IoU of the classes that either prediction contains. Panoptic and
    instance: one minus the panoptic quality of one prediction against the other, over all segments.

    Args:
        result: Prediction of the image.
        mirrored: Prediction of the horizontally flipped image.
    """
    first, second = result.segmentation, mirrored.segmentation[:, ::-1]
    mirrored_ids = mirrored_label_ids(result.labels.names)
    if result.task == "semantic":
        exchanged = np.array([*mirrored_ids, NO_LABEL])  # pixels without a class are the last
        return 1 - mean_iou(first, exchanged[second])
    quality = PanopticQuality(result.labels)
    labels = {segment.id: segment.label_id for segment in result.segments}
    mirrored_labels = {segment.id: mirrored_ids[segment.label_id] for segment in mirrored.segments}
    # Pixels without a segment are no missing ground truth: a crowd of no class matches nothing.
    background = 1 + max(mirrored_labels, default=0)
    second = np.where(second == 0, background, second)
    mirrored_labels[background] = NO_LABEL
    quality.update(first, labels, second, mirrored_labels, frozenset({background}))
    errors = quality.false_positives + quality.false_negatives
    segments = quality.true_positives.sum() + errors.sum() / 2
    return 1 - float(quality.iou.sum() / segments) if segments else 0.0


def mean_iou(first: Int[np.ndarray, "h w"], second: Int[np.ndarray, "h w"]) -> float:
    """Compute the mean IoU of two label maps over the values that occur in either."""
    rows, columns, shared = count_overlaps(first, second)
    intersections = {
        int(value): int(shared[row, column])
        for row, value in enumerate(rows)
        for column in np.flatnonzero(columns == value)
    }
    areas = dict.fromkeys([*rows.tolist(), *columns.tolist()], 0)
    for values, counts in ((rows, shared.sum(1)), (columns, shared.sum(0))):
        for value, count in zip(values.tolist(), counts.tolist(), strict=True):
            areas[value] += count
    ious = [
        intersections.get(value, 0) / (area - intersections.get(value, 0))
        for value, area in areas.items()
    ]
    return float(np.mean(ious)) if ious else 1.0
