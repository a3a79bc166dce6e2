"""Semantic scores from one confusion matrix (detectron2's names)."""

import numpy as np
from jaxtyping import Bool, Int

from unimask.labels import LabelSet
from unimask.metrics.panoptic_quality import mean_percent


class MeanIoU:
    """mIoU, fwIoU, mACC and pACC over pictures.

    Args:
        labels: Classes.
    """

    def __init__(self, labels: LabelSet) -> None:
        self.labels = labels
        # The extra column counts pixels that the prediction leaves without a class.
        self.confusion = np.zeros((len(labels), len(labels) + 1), np.int64)

    def update(
        self,
        predicted: Int[np.ndarray, "h w"],
        truth: Int[np.ndarray, "h w"],
        ignored: Bool[np.ndarray, "h w"] | None = None,
    ) -> None:
        """Add a picture.

        Args:
            predicted: Label ids; -1 for none, which is always wrong.
            truth: Label ids; -1 where nothing is known.
            ignored: More pixels that do not count.
        """
        counted = truth >= 0
        if ignored is not None:
            counted &= ~ignored
        classes = len(self.labels)
        columns = np.where(predicted[counted] < 0, classes, predicted[counted])
        pairs = truth[counted].astype(np.int64) * (classes + 1) + columns
        counts = np.bincount(pairs, minlength=self.confusion.size)
        self.confusion += counts.reshape(self.confusion.shape)

    def ious(self) -> np.ndarray:
        """Give each class's IoU as a share; NaN where it is neither true nor predicted."""
        right = np.diag(self.confusion)
        union = self.confusion.sum(1) + self.confusion[:, :-1].sum(0) - right
        with np.errstate(invalid="ignore"):
            return np.where(union > 0, right / union, np.nan)

    def compute(self) -> dict[str, float | None]:
        """Give percentages; None where nothing is defined."""
        true = self.confusion.sum(1)
        total, right = true.sum(), np.diag(self.confusion)
        with np.errstate(invalid="ignore"):
            accuracy = np.where(true > 0, right / true, np.nan)
        ious = self.ious()
        present = true > 0
        return {
            "mIoU": mean_percent(ious),
            "fwIoU": 100 * float((true[present] * ious[present]).sum() / total) if total else None,
            "mACC": mean_percent(accuracy),
            "pACC": 100 * float(right.sum() / total) if total else None,
        }

    def commonest(self) -> tuple[str, float] | None:
        """Give the class of most true pixels, and the mIoU in percent of answering it everywhere.

        What a network must beat to have learned anything; None where fewer than two classes occur.
        """
        true = self.confusion.sum(1)
        present = int((true > 0).sum())
        if present < 2:
            return None
        return self.labels.names[true.argmax()], 100 * float(true.max() / true.sum()) / present

    def per_class(self) -> dict[str, dict[str, float | None]]:
        """Give each class's IoU, None where it never occurred."""
        return {
            name: {"IoU": None if np.isnan(iou) else 100 * float(iou)}
            for name, iou in zip(self.labels.names, self.ious(), strict=True)
        }
