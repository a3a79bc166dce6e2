"""Sample and prediction to metric: one scorer per task.

The truth has one object per pixel here: of overlapping objects, the one in front (`Sample.front`).
"""

from typing import Literal, Protocol, get_args

import numpy as np

from unimask.curation.writers.coco_panoptic import segments_of
from unimask.datasets import Dataset, Sample
from unimask.datasets.found import about_of
from unimask.errors import SettingsError
from unimask.evaluation.objects import (
    disjoint_masks,
    found_objects,
    true_objects,
    unknown_pixels,
    void_of,
)
from unimask.inference.predictor import INSTANCE_THRESHOLD
from unimask.labels import LabelSet, Task
from unimask.metrics import (
    AveragePrecision,
    BoundaryIoU,
    CityscapesPrecision,
    MatchedPrecision,
    MeanIoU,
    Objects,
    PanopticQuality,
    SurfaceAgreement,
    boundary_ious,
    mask_ious,
    shared_with,
)
from unimask.results import Result

Scores = dict[str, float | None]

MAX_DETECTIONS = 100

MOST_VOID = 0.5
"""Share of a found object that may lie on unknown truth before it counts nowhere."""

Rule = Literal["coco", "cityscapes"]
"""Whose average precision."""


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

    They need one object per pixel: where true objects overlap, things come before stuff and small
    objects before large ones, and the notes say in how many pictures.

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
        self.overlapping += sample.covered > 0
        truth = np.concatenate([[0], segments_of(sample, self.is_thing)])[sample.front]
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
    """mIoU and its kin; where true objects overlap as for `PanopticScorer`.

    Args:
        labels: Classes.
        boundaries: Score outlines too (mBIoU, Dice, HD95).
    """

    def __init__(self, labels: LabelSet, boundaries: bool = False) -> None:
        self.is_thing = np.array(labels.is_thing)
        self.iou = MeanIoU(labels)
        self.outlines = (BoundaryIoU(labels), SurfaceAgreement(labels)) if boundaries else ()
        self.overlapping = 0

    def add(self, result: Result, sample: Sample) -> None:
        """Add a picture."""
        self.overlapping += sample.covered > 0
        label_of = np.array([-1, *sample.label_ids], np.int64)
        label_of[1:][sample.crowds] = -1
        truth = label_of[sample.front]
        if sample.ignored is not None:
            truth[sample.ignored] = -1
        self.iou.update(result.segmentation, truth)
        for score in self.outlines:
            score.update(result.segmentation, truth)

    def metrics(self) -> Scores:
        """Give the percentages."""
        scores = self.iou.compute()
        for score in self.outlines:
            scores |= score.compute()
        return scores

    def per_class(self) -> dict[str, Scores]:
        """Give the percentages by class."""
        scores = self.iou.per_class()
        for score in self.outlines:
            rows = score.per_class()
            scores = {name: scores[name] | rows[name] for name in scores}
        return scores

    def notes(self) -> list[str]:
        """Tell of objects that overlap, and what a score is to be compared with."""
        commonest = self.iou.commonest()
        if commonest is None:
            return overlap_notes(self.overlapping)
        told = "answering {}, the commonest class, everywhere gives mIoU {:.1f}".format(*commonest)
        return [*overlap_notes(self.overlapping), told]


class InstanceScorer:
    """COCO's average precision of things, and matched precision, as microscopy counts.

    AP to ARl have detectron2's names; objects are small, medium or large by the areas that their
    file tells, else by their pixels. AP_match is that of the Data Science Bowl and StarDist. The
    first are of all instances with their scores; the second of those that score at least one half,
    each without what better ones cover, and of things of all classes alike.

    Args:
        labels: Classes.
        max_detections: Instances of a class that count in a picture.
        boundaries: Score AP by the lesser of mask and boundary IoU too (AP_boundary).
    """

    def __init__(
        self,
        labels: LabelSet,
        max_detections: int = MAX_DETECTIONS,
        boundaries: bool = False,
    ) -> None:
        self.labels = labels
        few = [count for count in (1, 10) if count < max_detections]
        most = (*few, max_detections)
        self.average = AveragePrecision(labels, max_detections=most)
        self.rims = AveragePrecision(labels, max_detections=most, ious=boundary_ious)
        self.boundaries = boundaries
        self.matched = MatchedPrecision()

    def add(self, result: Result, sample: Sample) -> None:
        """Add an image."""
        truth = true_objects(sample, self.labels)
        found = found_objects(result)
        self.average.update(found, truth)
        if self.boundaries:
            self.rims.update(found, truth)
        add_matched(self.matched, result, sample, truth)

    def metrics(self) -> Scores:
        """Give the percentages."""
        rims = self.rims.compute() if self.boundaries else {}
        outlines = {
            name.replace("AP", "AP_boundary"): value
            for name, value in rims.items()
            if name.startswith("AP")
        }
        return self.average.compute() | outlines | self.matched.compute()

    def per_class(self) -> dict[str, Scores]:
        """Give COCO's percentages by class of things; matched precision has no classes."""
        names = [self.labels.names[label] for label in self.labels.things]
        scores = self.average.per_class()
        return {name: scores[name] for name in names}

    def notes(self) -> list[str]:
        """Objects may overlap here: there is nothing to tell."""
        return []


class CityscapesScorer:
    """Cityscapes' average precision of things, and matched precision as `InstanceScorer` has it.

    AP and AP50 are what detectron2 and the papers report of Cityscapes' instances.

    Args:
        labels: Classes.
    """

    def __init__(self, labels: LabelSet) -> None:
        self.labels = labels
        self.average = CityscapesPrecision(labels)
        self.matched = MatchedPrecision()

    def add(self, result: Result, sample: Sample) -> None:
        """Add a picture; crowds are groups, and ignored pixels void."""
        truth = true_objects(sample, self.labels)
        self.average.update(found_objects(result), truth, void_of(sample))
        add_matched(self.matched, result, sample, truth)

    def metrics(self) -> Scores:
        """Give the percentages."""
        return self.average.compute() | self.matched.compute()

    def per_class(self) -> dict[str, Scores]:
        """Give AP and AP50 by class of things."""
        scores = self.average.per_class()
        return {name: scores[name] for name in (self.labels.names[i] for i in self.labels.things)}

    def notes(self) -> list[str]:
        """Say whose AP it is."""
        return ["AP and AP50 are those of Cityscapes' own evaluation, not COCO's"]


def add_matched(matched: MatchedPrecision, result: Result, sample: Sample, truth: Objects) -> None:
    """Add an image to matched precision; what has no pixel is no object.

    Crowds and ignored pixels are unknown truth: what is found there, to more than one half of its
    pixels, is not wrong, as PQ has it.
    """
    drawn = np.array([mask.area > 0 for mask in truth.masks], bool)
    single = truth.take(np.flatnonzero(~truth.crowds & drawn))
    clear = disjoint_masks(result, INSTANCE_THRESHOLD)
    found = Objects.of_masks(clear, [0] * len(clear))
    on_void = shared_with(found, unknown_pixels(sample)) > MOST_VOID * found.areas
    matched.add(mask_ious(found, single), on_void)


def overlap_notes(pictures: int) -> list[str]:
    """Say what this score makes of objects that overlap."""
    if not pictures:
        return []
    return [
        f"{pictures} pictures have objects that overlap; this score gives each pixel to the one "
        "in front"
    ]


def rule_of(dataset: Dataset, asked: str | None = None) -> Rule:
    """Say whose AP scores instances: what is asked, else what the dataset says of itself.

    Raises:
        SettingsError: There is no such AP.
    """
    for known in get_args(Rule):
        if asked == known:
            return known
    if asked is not None:
        raise SettingsError(f"unknown AP {asked!r}: choose one of {', '.join(get_args(Rule))}")
    return about_of(dataset).ap


def scorer_for(
    task: Task,
    labels: LabelSet,
    *,
    least_area: int = 0,
    max_detections: int = MAX_DETECTIONS,
    boundaries: bool = False,
    ap: Rule = "coco",
) -> Scorer:
    """Give the scorer of a task.

    Raises:
        SettingsError: Cityscapes' AP is asked to do what only COCO's does, or panoptic to score
            boundaries.
    """
    if task == "panoptic":
        if boundaries:
            raise SettingsError(
                "--boundaries scores instance or semantic: choose one of them with --task"
            )
        return PanopticScorer(labels, least_area)
    if task == "semantic":
        return SemanticScorer(labels, boundaries)
    if ap == "coco":
        return InstanceScorer(labels, max_detections, boundaries)
    if boundaries or max_detections != MAX_DETECTIONS:
        option = "--boundaries" if boundaries else "--max-detections"
        raise SettingsError(f"Cityscapes' AP has no {option}: leave it out, or give --ap coco")
    return CityscapesScorer(labels)
