"""Confusion matrices of classes."""

import numpy as np

from unimask.datasets import Sample
from unimask.labels import LabelSet
from unimask.metrics import MeanIoU
from unimask.metrics.overlaps import count_overlaps
from unimask.results import Result

MATCH_IOU = 0.5
"""IoU above which a predicted and a true segment are the same object, whatever their classes."""


class Confusion:
    """Confusion matrix of true and predicted classes: of pixels for semantic, else of segments.

    The last row counts predictions without a true segment, the last column missed ones. Crowds and
    unlabelled pixels do not count; for instance segmentation, neither does stuff.

    Args:
        labels: Classes to evaluate.
    """

    def __init__(self, labels: LabelSet) -> None:
        self.labels, self.is_thing = labels, np.array(labels.is_thing)
        self.counts = np.zeros((len(labels) + 1, len(labels) + 1), np.int64)

    def add(self, result: Result, sample: Sample) -> None:
        """Add an image."""
        if result.task == "semantic":
            self.add_pixels(result, sample)
        else:
            self.add_segments(result, sample)

    def add_pixels(self, result: Result, sample: Sample) -> None:
        """Add the pixels of an image."""
        pixels = MeanIoU(self.labels)
        label_ids = np.array([-1, *sample.label_ids], np.int64)
        label_ids[1:][sample.crowds] = -1
        pixels.update(result.segmentation, label_ids[sample.front], sample.ignored)
        self.counts[:-1] += pixels.confusion

    def add_segments(self, result: Result, sample: Sample) -> None:
        """Add the segments of an image."""
        ground_truth = sample.front
        label_ids = np.array([-1, *sample.label_ids])
        is_counted = ~sample.crowds
        if result.task == "instance":
            is_counted &= self.is_thing[sample.label_ids]
        # Pixels without an object are unlabelled for panoptic, and background for instances.
        ignored = ~np.concatenate([[result.task == "instance"], is_counted])[ground_truth]
        if sample.ignored is not None:
            ignored |= sample.ignored
        predicted_ids, true_ids, shared = count_overlaps(
            np.where(ignored, 0, result.segmentation), np.where(ignored, 0, ground_truth)
        )
        union = shared.sum(1)[:, None] + shared.sum(0)[None] - shared
        is_match = shared / union > MATCH_IOU
        names = {segment.id: segment.label_id for segment in result.segments}
        self.count_pairs(is_match, [names.get(i) for i in predicted_ids], [
            None if i == 0 else int(label_ids[i]) for i in true_ids
        ])  # fmt: skip

    def count_pairs(
        self, is_match: np.ndarray, predicted: list[int | None], true: list[int | None]
    ) -> None:
        """Count pairs, false positives and misses; None stands for background."""
        background = len(self.labels)
        is_match = is_match & np.outer(
            [f is not None for f in predicted], [t is not None for t in true]
        )
        for row, column in zip(*np.nonzero(is_match), strict=True):
            self.counts[true[column], predicted[row]] += 1
        for row in np.flatnonzero(~is_match.any(1)):
            if predicted[row] is not None:
                self.counts[background, predicted[row]] += 1
        for column in np.flatnonzero(~is_match.any(0)):
            if true[column] is not None:
                self.counts[true[column], background] += 1
