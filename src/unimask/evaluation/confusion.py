"""Confusion matrices of classes."""

import numpy as np

from unimask.datasets import Sample
from unimask.labels import LabelSet
from unimask.metrics import MeanIoU
from unimask.metrics.overlaps import overlaps
from unimask.results import Result

SAME = 0.5
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
        label_of = np.array([-1, *sample.label_ids], np.int64)
        label_of[1:][sample.crowds] = -1
        pixels.update(result.segmentation, label_of[sample.front], sample.ignored)
        self.counts[:-1] += pixels.confusion

    def add_segments(self, result: Result, sample: Sample) -> None:
        """Add the segments of an image."""
        truth = sample.front
        label_of = np.array([-1, *sample.label_ids])
        counted = ~sample.crowds
        if result.task == "instance":
            counted &= self.is_thing[sample.label_ids]
        # Pixels without an object are unlabelled for panoptic, and background for instances.
        nobody = ~np.concatenate([[result.task == "instance"], counted])[truth]
        if sample.ignored is not None:
            nobody |= sample.ignored
        found_ids, true_ids, shared = overlaps(
            np.where(nobody, 0, result.segmentation), np.where(nobody, 0, truth)
        )
        union = shared.sum(1)[:, None] + shared.sum(0)[None] - shared
        same = shared / union > SAME
        names = {segment.id: segment.label_id for segment in result.segments}
        self.count(same, [names.get(i) for i in found_ids], [
            None if i == 0 else int(label_of[i]) for i in true_ids
        ])  # fmt: skip

    def count(self, same: np.ndarray, found: list[int | None], true: list[int | None]) -> None:
        """Count pairs, false positives and misses; None stands for background."""
        nobody = len(self.labels)
        same = same & np.outer([f is not None for f in found], [t is not None for t in true])
        for row, column in zip(*np.nonzero(same), strict=True):
            self.counts[true[column], found[row]] += 1
        for row in np.flatnonzero(~same.any(1)):
            if found[row] is not None:
                self.counts[nobody, found[row]] += 1
        for column in np.flatnonzero(~same.any(0)):
            if true[column] is not None:
                self.counts[true[column], nobody] += 1
