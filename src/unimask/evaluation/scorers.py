"""Scorers, one per task, from predictions and samples to metrics.

The ground truth has one object per pixel here: among overlapping ones, the frontmost
(`Sample.front`).
"""

from typing import Literal, Protocol, get_args

import numpy as np

from unimask.config import PostprocessingConfig
from unimask.datasets import Dataset, Sample
from unimask.datasets.ground_truth import panoptic_segments
from unimask.datasets.interface import dataset_info
from unimask.errors import SettingsError
from unimask.evaluation.objects import (
    disjoint_masks,
    ground_truth_label_map,
    ground_truth_objects,
    predicted_objects,
    unlabelled_pixels,
    void_pixels,
)
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
    count_pixels_inside,
    mask_ious,
)
from unimask.results import Result

Scores = dict[str, float | None]

MAX_DETECTIONS = 100

MIN_SCORE = PostprocessingConfig().instance_threshold
"""Default minimum score of an instance for metrics that do not rank instances."""

MAX_VOID_FRACTION = 0.5
"""Fraction of a predicted object on unlabelled pixels above which it does not count."""

ApDefinition = Literal["coco", "cityscapes"]
"""Definition of average precision."""


class Scorer(Protocol):
    """Accumulator of scores, which takes images one by one and stores only sums."""

    def add(self, result: Result, sample: Sample) -> None:
        """Add an image."""
        ...

    def metrics(self) -> Scores:
        """Return the scores in percent."""
        ...

    def per_class(self) -> dict[str, Scores]:
        """Return the scores by class in percent."""
        ...

    def notes(self) -> list[str]:
        """Return remarks on the data, to be shown with the scores."""
        ...


class PanopticScorer:
    """PQ, SQ and RQ.

    They need one object per pixel: where true objects overlap, things are in front of stuff and
    small objects in front of large ones, and a note counts the affected images.

    Args:
        labels: Classes to evaluate.
        min_area: Number of pixels below which true segments count as void.
    """

    def __init__(self, labels: LabelSet, min_area: int = 0) -> None:
        self.is_thing = np.array(labels.is_thing)
        self.quality = PanopticQuality(labels)
        self.min_area = min_area
        self.overlapping = 0

    def add(self, result: Result, sample: Sample) -> None:
        """Add an image; all regions of a stuff class are one segment."""
        self.overlapping += sample.num_hidden_pixels > 0
        ground_truth = np.concatenate([[0], panoptic_segments(sample, self.is_thing)])[sample.front]
        areas = np.bincount(ground_truth.ravel(), minlength=len(sample.label_ids) + 1)
        ground_truth = np.where(areas[ground_truth] < self.min_area, 0, ground_truth)
        self.quality.update(
            result.segmentation,
            {segment.id: segment.label_id for segment in result.segments},
            ground_truth,
            dict(enumerate(sample.label_ids.tolist(), start=1)),
            frozenset((np.flatnonzero(sample.crowds) + 1).tolist()),
        )

    def metrics(self) -> Scores:
        """Return the scores in percent."""
        return self.quality.compute()

    def per_class(self) -> dict[str, Scores]:
        """Return the scores by class in percent."""
        return self.quality.per_class()

    def notes(self) -> list[str]:
        """Return a note about overlapping objects."""
        return overlap_notes(self.overlapping)


class SemanticScorer:
    """mIoU and related metrics; overlapping objects are treated as in `PanopticScorer`.

    Args:
        labels: Classes to evaluate.
        boundaries: Whether to score boundaries too (mBIoU, Dice, HD95).
    """

    def __init__(self, labels: LabelSet, boundaries: bool = False) -> None:
        self.is_thing = np.array(labels.is_thing)
        self.iou = MeanIoU(labels)
        self.boundary_metrics = (
            (BoundaryIoU(labels), SurfaceAgreement(labels)) if boundaries else ()
        )
        self.overlapping = 0

    def add(self, result: Result, sample: Sample) -> None:
        """Add an image."""
        self.overlapping += sample.num_hidden_pixels > 0
        ground_truth = ground_truth_label_map(sample)
        self.iou.update(result.segmentation, ground_truth)
        for metric in self.boundary_metrics:
            metric.update(result.segmentation, ground_truth)

    def metrics(self) -> Scores:
        """Return the scores in percent."""
        scores = self.iou.compute()
        for metric in self.boundary_metrics:
            scores |= metric.compute()
        return scores

    def per_class(self) -> dict[str, Scores]:
        """Return the scores by class in percent."""
        scores = self.iou.per_class()
        for metric in self.boundary_metrics:
            rows = metric.per_class()
            scores = {name: scores[name] | rows[name] for name in scores}
        return scores

    def notes(self) -> list[str]:
        """Return notes about overlapping objects, and about the score of a constant prediction."""
        most_frequent = self.iou.most_frequent_class()
        if most_frequent is None:
            return overlap_notes(self.overlapping)
        baseline = "predicting {}, the most frequent class, everywhere gives mIoU {:.1f}".format(
            *most_frequent
        )
        return [*overlap_notes(self.overlapping), baseline]


class InstanceScorer:
    """COCO's average precision of things, and matched precision as used in microscopy.

    AP to ARl have detectron2's names; objects are small, medium or large by the areas in the
    annotation file, or else by their pixels. AP_match is that of the Data Science Bowl and
    StarDist. The former use all instances with their scores; the latter uses those that score at
    least one half, without the parts that higher scores cover, and ignores classes.

    Args:
        labels: Classes to evaluate.
        max_detections: Number of instances that count per class and image.
        boundaries: Whether to compute AP with the minimum of mask and boundary IoU too
            (AP_boundary).
        min_score: Minimum score of an instance for matched precision, 0 to 1.
    """

    def __init__(
        self,
        labels: LabelSet,
        max_detections: int = MAX_DETECTIONS,
        boundaries: bool = False,
        min_score: float = MIN_SCORE,
    ) -> None:
        self.labels, self.min_score = labels, min_score
        smaller = [count for count in (1, 10) if count < max_detections]
        limits = (*smaller, max_detections)
        self.average = AveragePrecision(labels, max_detections=limits)
        self.boundary_average = AveragePrecision(labels, max_detections=limits, ious=boundary_ious)
        self.boundaries = boundaries
        self.matched = MatchedPrecision()

    def add(self, result: Result, sample: Sample) -> None:
        """Add an image."""
        ground_truth = ground_truth_objects(sample, self.labels)
        detections = predicted_objects(result)
        self.average.update(detections, ground_truth)
        if self.boundaries:
            self.boundary_average.update(detections, ground_truth)
        update_matched_precision(self.matched, result, sample, ground_truth, self.min_score)

    def metrics(self) -> Scores:
        """Return the scores in percent."""
        boundary_scores = self.boundary_average.compute() if self.boundaries else {}
        renamed_scores = {
            name.replace("AP", "AP_boundary"): value
            for name, value in boundary_scores.items()
            if name.startswith("AP")
        }
        return self.average.compute() | renamed_scores | self.matched.compute()

    def per_class(self) -> dict[str, Scores]:
        """Return COCO's scores by class of things; matched precision has no classes."""
        names = [self.labels.names[label] for label in self.labels.things]
        scores = self.average.per_class()
        return {name: scores[name] for name in names}

    def notes(self) -> list[str]:
        """Return no notes, since objects may overlap."""
        return []


class CityscapesScorer:
    """Cityscapes' average precision of things, and matched precision as in `InstanceScorer`.

    AP and AP50 are what detectron2 and the papers report for instances of Cityscapes.

    Args:
        labels: Classes to evaluate.
        min_score: Minimum score of an instance for matched precision, 0 to 1.
    """

    def __init__(self, labels: LabelSet, min_score: float = MIN_SCORE) -> None:
        self.labels, self.min_score = labels, min_score
        self.average = CityscapesPrecision(labels)
        self.matched = MatchedPrecision()

    def add(self, result: Result, sample: Sample) -> None:
        """Add an image; crowds are groups, and ignored pixels are void."""
        ground_truth = ground_truth_objects(sample, self.labels)
        self.average.update(predicted_objects(result), ground_truth, void_pixels(sample))
        update_matched_precision(self.matched, result, sample, ground_truth, self.min_score)

    def metrics(self) -> Scores:
        """Return the scores in percent."""
        return self.average.compute() | self.matched.compute()

    def per_class(self) -> dict[str, Scores]:
        """Return AP and AP50 by class of things in percent."""
        scores = self.average.per_class()
        return {name: scores[name] for name in (self.labels.names[i] for i in self.labels.things)}

    def notes(self) -> list[str]:
        """Return a note about the definition of AP."""
        return ["AP and AP50 are those of Cityscapes' own evaluation, not COCO's"]


def update_matched_precision(
    matched: MatchedPrecision,
    result: Result,
    sample: Sample,
    ground_truth: Objects,
    min_score: float,
) -> None:
    """Add an image to matched precision, without lower scores and objects without pixels.

    Crowds and ignored pixels are unlabelled: a prediction with more than half of its pixels there
    is no false positive, as in PQ.
    """
    has_pixels = np.array([mask.area > 0 for mask in ground_truth.masks], bool)
    objects = ground_truth.take(np.flatnonzero(~ground_truth.crowds & has_pixels))
    masks = disjoint_masks(result, min_score)
    detections = Objects.from_masks(masks, [0] * len(masks))
    on_void = (
        count_pixels_inside(detections, unlabelled_pixels(sample))
        > MAX_VOID_FRACTION * detections.areas
    )
    matched.update_ious(mask_ious(detections, objects), on_void)


def overlap_notes(num_images: int) -> list[str]:
    """Return a note about how this score treats overlapping objects."""
    if not num_images:
        return []
    return [
        f"{num_images} images have overlapping objects; this metric assigns each pixel to the "
        "frontmost one"
    ]


def choose_ap_definition(dataset: Dataset, requested: str | None = None) -> ApDefinition:
    """Return the definition of AP for instances: the requested one, else that of the dataset.

    Raises:
        SettingsError: The requested one is unknown.
    """
    for definition in get_args(ApDefinition):
        if requested == definition:
            return definition
    if requested is not None:
        raise SettingsError(
            f"unknown AP {requested!r}: choose one of {', '.join(get_args(ApDefinition))}"
        )
    return dataset_info(dataset).ap


def build_scorer(
    task: Task,
    labels: LabelSet,
    *,
    min_area: int = 0,
    max_detections: int = MAX_DETECTIONS,
    boundaries: bool = False,
    ap: ApDefinition = "coco",
    min_score: float = MIN_SCORE,
) -> Scorer:
    """Build the scorer of a task; `min_score` is that of `ResultProvider`.

    Raises:
        SettingsError: Cityscapes' AP or the panoptic scorer does not support an option.
    """
    if task == "panoptic":
        if boundaries:
            raise SettingsError(
                "--boundaries supports only instance and semantic: choose one of them with --task"
            )
        return PanopticScorer(labels, min_area)
    if task == "semantic":
        return SemanticScorer(labels, boundaries)
    if ap == "coco":
        return InstanceScorer(labels, max_detections, boundaries, min_score)
    if boundaries or max_detections != MAX_DETECTIONS:
        option = "--boundaries" if boundaries else "--max-detections"
        raise SettingsError(f"Cityscapes' AP does not support {option}: omit it, or use --ap coco")
    return CityscapesScorer(labels, min_score)
