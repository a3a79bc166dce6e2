"""Metrics of semantic segmentation from one confusion matrix, under detectron2's names."""

import numpy as np
from jaxtyping import Bool, Int

from unimask.labels import LabelSet
from unimask.metrics.panoptic_quality import mean_percent


class MeanIoU:
    """mIoU, fwIoU, mACC and pACC over images.

    Args:
        labels: Classes to evaluate.
    """

    def __init__(self, labels: LabelSet) -> None:
        self.labels = labels
        # The additional column counts pixels to which the prediction assigns no class.
        self.confusion = np.zeros((len(labels), len(labels) + 1), np.int64)

    def update(
        self,
        predicted: Int[np.ndarray, "h w"],
        ground_truth: Int[np.ndarray, "h w"],
        ignored: Bool[np.ndarray, "h w"] | None = None,
    ) -> None:
        """Add an image.

        Args:
            predicted: Label ids; -1 for none, which is always an error.
            ground_truth: Label ids of the ground truth; -1 for unlabelled pixels.
            ignored: Additional pixels that do not count.
        """
        is_counted = ground_truth >= 0
        if ignored is not None:
            is_counted &= ~ignored
        classes = len(self.labels)
        columns = np.where(predicted[is_counted] < 0, classes, predicted[is_counted])
        pairs = ground_truth[is_counted].astype(np.int64) * (classes + 1) + columns
        counts = np.bincount(pairs, minlength=self.confusion.size)
        self.confusion += counts.reshape(self.confusion.shape)

    def ious(self) -> np.ndarray:
        """Compute the IoU of each class from 0 to 1; NaN for classes that never occur."""
        correct = np.diag(self.confusion)
        union = self.confusion.sum(1) + self.confusion[:, :-1].sum(0) - correct
        with np.errstate(invalid="ignore"):
            return np.where(union > 0, correct / union, np.nan)

    def compute(self) -> dict[str, float | None]:
        """Return percentages; None where a metric is undefined."""
        true = self.confusion.sum(1)
        total, correct = true.sum(), np.diag(self.confusion)
        with np.errstate(invalid="ignore"):
            accuracy = np.where(true > 0, correct / true, np.nan)
        ious = self.ious()
        present = true > 0
        return {
            "mIoU": mean_percent(ious),
            "fwIoU": 100 * float((true[present] * ious[present]).sum() / total) if total else None,
            "mACC": mean_percent(accuracy),
            "pACC": 100 * float(correct.sum() / total) if total else None,
        }

    def most_frequent_class(self) -> tuple[str, float] | None:
        """Return the most frequent class, and the mIoU in percent of predicting it everywhere.

        This is the baseline that a trained network must exceed; None if fewer than two classes
        occur.
        """
        true = self.confusion.sum(1)
        present = int((true > 0).sum())
        if present < 2:
            return None
        return self.labels.names[true.argmax()], 100 * float(true.max() / true.sum()) / present

    def per_class(self) -> dict[str, dict[str, float | None]]:
        """Return the IoU of each class in percent; None for classes that never occur."""
        return {
            name: {"IoU": None if np.isnan(iou) else 100 * float(iou)}
            for name, iou in zip(self.labels.names, self.ious(), strict=True)
        }
