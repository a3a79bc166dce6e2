"""Sample and prediction to metric: one scorer per task."""

from typing import Protocol

import numpy as np

from unimask.curation.flatten import flatten
from unimask.curation.writers.coco_panoptic import segments_of
from unimask.datasets import Sample
from unimask.evaluation.objects import disjoint_masks, found_objects, true_objects
from unimask.inference.predictor import INSTANCE_THRESHOLD
from unimask.labels import LabelSet, Task
from unimask.metrics import (
    AveragePrecision,
    MatchedPrecision,
    MeanIoU,
    Objects,
    PanopticQuality,
    mask_ious,
)
from unimask.results import Result

Scores = dict[str, float | None]

MAX_DETECTIONS = 100


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

    def notes(self) -> list[str]:
        """Say what a reader of the scores should know of the data."""
        ...


class PanopticScorer:
    """PQ, SQ, RQ.

    Args:
        labels: Classes.
        least_area: True segments with fewer pixels count as void.
    """

    def __init__(self, labels: LabelSet, least_area: int = 0) -> None:
        self.is_thing = np.array(labels.is_thing)
        self.quality = PanopticQuality(labels)
        self.least_area = least_area
        self.overlapping = 0

    def add(self, result: Result, sample: Sample) -> None:
        """Add a picture; regions of one stuff class are one segment."""
        flat = flatten(sample, self.is_thing)
        self.overlapping += flat.covered > 0
        truth = np.concatenate([[0], segments_of(sample, self.is_thing)])[flat.numbers]
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

    def notes(self) -> list[str]:
        """Tell of objects that overlap."""
        return overlap_notes(self.overlapping)


class SemanticScorer:
    """mIoU and its kin.

    Args:
        labels: Classes.
    """

    def __init__(self, labels: LabelSet) -> None:
        self.is_thing = np.array(labels.is_thing)
        self.iou = MeanIoU(labels)
        self.overlapping = 0

    def add(self, result: Result, sample: Sample) -> None:
        """Add a picture."""
        flat = flatten(sample, self.is_thing)
        self.overlapping += flat.covered > 0
        label_of = np.array([-1, *sample.label_ids], np.int64)
        label_of[1:][sample.crowds] = -1
        self.iou.update(result.segmentation, label_of[flat.numbers], sample.ignored)

    def metrics(self) -> Scores:
        """Give the percentages."""
        return self.iou.compute()

    def per_class(self) -> dict[str, Scores]:
        """Give the percentages by class."""
        return self.iou.per_class()

    def notes(self) -> list[str]:
        """Tell of objects that overlap."""
        return overlap_notes(self.overlapping)


class InstanceScorer:
    """COCO's average precision of things, and matched precision, as microscopy counts.

    Of the prediction the first takes all instances with their scores; the second those that score
    at least one half, each without what better ones cover, and things of all classes alike.

    Args:
        labels: Classes.
        max_detections: Instances of a class that count in a picture.
    """

    def __init__(self, labels: LabelSet, max_detections: int = MAX_DETECTIONS) -> None:
        self.labels = labels
        few = [count for count in (1, 10) if count < max_detections]
        self.average = AveragePrecision(labels, max_detections=(*few, max_detections))
        self.matched = MatchedPrecision()

    def add(self, result: Result, sample: Sample) -> None:
        """Add a picture; to matched precision crowds are no objects."""
        truth = true_objects(sample, self.labels)
        self.average.update(found_objects(result), truth)
        single = truth.take(np.flatnonzero(~truth.crowds))
        clear = disjoint_masks(result, INSTANCE_THRESHOLD)
        found = Objects.of_masks(clear, [0] * len(clear))
        self.matched.add(mask_ious(found, single))

    def metrics(self) -> Scores:
        """Give the percentages."""
        return self.average.compute() | self.matched.compute()

    def per_class(self) -> dict[str, Scores]:
        """Give COCO's percentages by class of things; matched precision has no classes."""
        names = [self.labels.names[label] for label in self.labels.things]
        scores = self.average.per_class()
        return {name: scores[name] for name in names}

    def notes(self) -> list[str]:
        """Objects may overlap here: there is nothing to tell."""
        return []


def overlap_notes(pictures: int) -> list[str]:
    """Say what this score makes of objects that overlap."""
    if not pictures:
        return []
    return [
        f"{pictures} pictures have objects that overlap; this score gives each pixel to one of "
        "them: things before stuff, small before large"
    ]


def scorer_for(
    task: Task,
    labels: LabelSet,
    *,
    least_area: int = 0,
    max_detections: int = MAX_DETECTIONS,
) -> Scorer:
    """Give the scorer of a task."""
    if task == "panoptic":
        return PanopticScorer(labels, least_area)
    if task == "semantic":
        return SemanticScorer(labels)
    return InstanceScorer(labels, max_detections)
