"""Average precision as defined for microscopy (Data Science Bowl 2018, StarDist's `matching`).

Unlike COCO's AP it ignores scores. At an IoU threshold t, objects with an IoU above t are matched
one to one; an image scores TP / (TP + FP + FN), and the metric is the mean over images.
"""

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment

from unimask.metrics.overlaps import count_overlaps

THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))


class MatchedPrecision:
    """TP / (TP + FP + FN) per image at several IoU thresholds, averaged over images.

    Args:
        thresholds: IoUs that a match must exceed, from 0 to 1.
    """

    def __init__(self, thresholds: tuple[float, ...] = THRESHOLDS) -> None:
        self.thresholds = thresholds
        self.images: list[list[float]] = []

    def update(
        self, predicted: Int[np.ndarray, "h w"], ground_truth: Int[np.ndarray, "h w"]
    ) -> dict[float, float]:
        """Add an image by its two id maps, in which 0 is background.

        Returns:
            Score of the image per threshold, from 0 to 1; 1 if both maps are empty.
        """
        return self.update_ious(iou_table(predicted, ground_truth))

    def update_ious(
        self, ious: Float[np.ndarray, "p t"], on_void: Bool[np.ndarray, " p"] | None = None
    ) -> dict[float, float]:
        """Add an image by the IoUs of its predicted and true objects, which may overlap.

        Args:
            ious: IoU of every pair.
            on_void: Predicted objects on unlabelled pixels, which are no false positives if they
                match nothing; None for none.

        Returns:
            Score of the image per threshold, from 0 to 1.
        """
        num_predicted, num_true = ious.shape
        void = np.zeros(num_predicted, bool) if on_void is None else on_void
        scores = []
        for threshold in self.thresholds:
            matched = matched_rows(ious, threshold)
            matches = int(matched.sum())
            num_counted = num_predicted - int((void & ~matched).sum()) + num_true - matches
            scores.append(matches / num_counted if num_counted else 1.0)
        self.images.append(scores)
        return dict(zip(self.thresholds, scores, strict=True))

    def compute(self) -> dict[str, float | None]:
        """Return percentages per threshold, and their mean as "AP_match"."""
        names = [f"AP_match@{threshold:.2f}" for threshold in self.thresholds]
        if not self.images:
            return dict.fromkeys(["AP_match", *names])
        means = 100 * np.mean(self.images, axis=0)
        scores: dict[str, float | None] = {"AP_match": float(means.mean())}
        return scores | {name: float(mean) for name, mean in zip(names, means, strict=True)}


def iou_table(
    predicted: Int[np.ndarray, "h w"], ground_truth: Int[np.ndarray, "h w"]
) -> Float[np.ndarray, "p t"]:
    """Compute the IoU of every pair of predicted and true objects."""
    predicted_ids, true_ids, shared = count_overlaps(predicted, ground_truth)
    union = shared.sum(1)[:, None] + shared.sum(0)[None, :] - shared
    return (shared / union)[predicted_ids != 0][:, true_ids != 0]


def matched_rows(ious: Float[np.ndarray, "p t"], threshold: float) -> Bool[np.ndarray, " p"]:
    """Mark the predicted objects of a maximum one-to-one matching with IoUs above the threshold."""
    is_above = ious > threshold
    if is_above.sum(0).max(initial=0) <= 1 and is_above.sum(1).max(initial=0) <= 1:
        # At thresholds of 0.5 and above this always holds for objects that do not overlap.
        return np.any(is_above, axis=1)
    rows, columns = linear_sum_assignment(-is_above.astype(np.float64) - 1e-9 * ious)
    matched = np.zeros(len(ious), bool)
    matched[rows] = is_above[rows, columns]
    return matched
