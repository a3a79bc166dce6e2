"""Sample and prediction to metric: one scorer per task."""

from typing import Protocol

import numpy as np

from unimask.datasets import Sample
from unimask.errors import DataError
from unimask.labels import LabelSet, Task
from unimask.metrics import MatchedPrecision, MeanIoU, PanopticQuality
from unimask.results import Result

Scores = dict[str, float | None]


class Scorer(Protocol):
    """Takes pictures one by one and keeps sums only."""

    def add(self, result: Result, sample: Sample) -> None:
        """Add a picture."""
        ...

    def metrics(self) -> Scores:
        """Give the percentages."""
        ...

    def per_class(self) -> dict[str, Scores]:
        """Give the percentages by class."""
        ...


class PanopticScorer:
    """PQ, SQ, RQ.

    Args:
        labels: Classes.
        least_area: True segments with fewer pixels count as void.
    """

    def __init__(self, labels: LabelSet, least_area: int = 0) -> None:
        self.quality = PanopticQuality(labels)
        self.least_area = least_area

    def add(self, result: Result, sample: Sample) -> None:
        """Add a picture."""
        truth = flatten(sample)
        areas = np.bincount(truth.ravel(), minlength=len(sample.label_ids) + 1)
        truth = np.where(areas[truth] < self.least_area, 0, truth)
        self.quality.update(
            result.segmentation,
            {segment.id: segment.label_id for segment in result.segments},
            truth,
            dict(enumerate(sample.label_ids.tolist(), start=1)),
            frozenset((np.flatnonzero(sample.crowds) + 1).tolist()),
        )

    def metrics(self) -> Scores:
        """Give the percentages."""
        return self.quality.compute()

    def per_class(self) -> dict[str, Scores]:
        """Give the percentages by class."""
        return self.quality.per_class()


class SemanticScorer:
    """mIoU and its kin.

    Args:
        labels: Classes.
    """

    def __init__(self, labels: LabelSet) -> None:
        self.iou = MeanIoU(labels)

    def add(self, result: Result, sample: Sample) -> None:
        """Add a picture."""
        label_of = np.array([-1, *sample.label_ids], np.int64)
        label_of[1:][sample.crowds] = -1
        self.iou.update(result.segmentation, label_of[flatten(sample)], sample.ignored)

    def metrics(self) -> Scores:
        """Give the percentages."""
        return self.iou.compute()

    def per_class(self) -> dict[str, Scores]:
        """Give the percentages by class."""
        return self.iou.per_class()


class InstanceScorer:
    """Matched precision of disjoint things, as microscopy counts.

    Args:
        labels: Classes; things of all classes count alike.
    """

    def __init__(self, labels: LabelSet) -> None:
        self.precision = MatchedPrecision()
        self.things = np.array(labels.is_thing)

    def add(self, result: Result, sample: Sample) -> None:
        """Add a picture; crowds are not objects."""
        thing = np.array([False, *(self.things[sample.label_ids] & ~sample.crowds)])
        truth = flatten(sample)
        self.precision.update(result.segmentation, np.where(thing[truth], truth, 0))

    def metrics(self) -> Scores:
        """Give the percentages."""
        return self.precision.compute()

    def per_class(self) -> dict[str, Scores]:
        """Matched precision has no classes."""
        return {}


def scorer_for(task: Task, labels: LabelSet, *, least_area: int = 0) -> Scorer:
    """Give the scorer of a task."""
    if task == "panoptic":
        return PanopticScorer(labels, least_area)
    return SemanticScorer(labels) if task == "semantic" else InstanceScorer(labels)


def flatten(sample: Sample) -> np.ndarray:
    """Give one object per pixel.

    Raises:
        DataError: Objects overlap, so that pixels have no single object.
    """
    if len(sample.id_maps) > 1 and ((sample.id_maps > 0).sum(0) > 1).any():
        raise DataError(f"{sample.path}: objects overlap; this score needs disjoint ones")
    return sample.id_maps.max(0)
