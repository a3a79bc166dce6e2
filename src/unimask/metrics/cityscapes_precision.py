"""Average precision of instances as Cityscapes defines it (Cordts et al. 2016).

The results equal those of cityscapesscripts' `evaluation/evalInstanceLevelSemanticLabeling.py`.
"""

import numpy as np
from jaxtyping import Bool, Float, Int, Integer

from unimask.formats.run_length import RunLength
from unimask.labels import LabelSet
from unimask.metrics.average_precision import RECALLS
from unimask.metrics.object_ious import (
    boxes_overlap,
    count_pixels_inside,
    divide_by_union,
    shared_pixels,
)
from unimask.metrics.objects import Objects
from unimask.metrics.panoptic_quality import mean_percent

IOU_THRESHOLDS = np.arange(0.5, 1.0, 0.05)
"""IoUs that a match must exceed; at ties, their difference from 0.5, 0.55, ... in the last digit
matters.
"""

MIN_AREA = 100
"""Minimum area in pixels of objects that count."""


class CityscapesPrecision:
    """AP and AP50 over images, of which only scores and match counts per detection are stored.

    A ground-truth object counts if it is no group and has at least `MIN_AREA` pixels. At each
    threshold, the highest-scoring detection whose IoU with it exceeds the threshold is a true
    positive, and other such detections are false positives. A detection that exceeds it with no
    object is a false positive too, unless a greater fraction of it than the threshold lies on void,
    groups and small objects of its class. AP is the area under the linear interpolation between the
    points (recall, precision), one for each distinct score, and (0, 1). The number of detections is
    not limited, and the order among equal scores does not matter.

    Args:
        labels: Classes to evaluate.
    """

    def __init__(self, labels: LabelSet) -> None:
        self.labels, self.thresholds = labels, IOU_THRESHOLDS
        self.num_ground_truth = np.zeros(len(labels), np.int64)
        counts = [
            (name, "u2", (len(IOU_THRESHOLDS),)) for name in ("true_positives", "false_positives")
        ]
        self.row_dtype = np.dtype([("score", "f8"), ("label", "i4"), *counts])
        self.rows: list[np.ndarray] = []

    def update(
        self, predicted: Objects, ground_truth: Objects, void: RunLength | None = None
    ) -> None:
        """Add an image.

        Args:
            predicted: Predicted objects; those without pixels are ignored.
            ground_truth: Ground-truth objects; crowds are groups.
            void: Unlabelled pixels; None if there are none.

        Raises:
            DataError: The masks of the image differ in size.
        """
        predicted = predicted.take(np.flatnonzero(mask_areas(predicted)))
        is_counted = ~ground_truth.crowds & (mask_areas(ground_truth) >= MIN_AREA)
        self.num_ground_truth += np.bincount(
            ground_truth.label_ids[is_counted], minlength=len(self.labels)
        )
        on_void = count_pixels_inside(predicted, void)
        rows = np.zeros(len(predicted), self.row_dtype)
        rows["score"], rows["label"] = predicted.scores, predicted.label_ids
        for label in np.unique(predicted.label_ids).tolist():
            detections = np.flatnonzero(predicted.label_ids == label)
            objects = np.flatnonzero(ground_truth.label_ids == label)
            rows["true_positives"][detections], rows["false_positives"][detections] = (
                count_positives(
                    predicted.take(detections),
                    ground_truth.take(objects),
                    is_counted[objects],
                    on_void[detections],
                )
            )
        self.rows.append(rows[(rows["true_positives"] | rows["false_positives"]).any(1)])

    def compute(self) -> dict[str, float | None]:
        """Return AP and AP50 in percent, averaged over the classes with ground truth."""
        areas = self.areas()
        return {"AP": mean_percent(areas), "AP50": mean_percent(areas[:, 0])}

    def per_class(self) -> dict[str, dict[str, float | None]]:
        """Return AP and AP50 of each class in percent; None for classes without ground truth."""
        return {
            name: {"AP": mean_percent(row), "AP50": mean_percent(row[:1])}
            for name, row in zip(self.labels.names, self.areas(), strict=True)
        }

    def areas(self) -> Float[np.ndarray, "k n"]:
        """Compute the area under each curve; NaN for classes without ground truth."""
        areas = np.full((len(self.labels), len(IOU_THRESHOLDS)), np.nan)
        for label, curves in self.curves().items():
            areas[label] = [area_under_curve(*points) for points in curves]
        return areas

    def precisions(self) -> Float[np.ndarray, "k n r"]:
        """Compute precision at `RECALLS`, 0 beyond the last; NaN without ground truth."""
        table = np.full((len(self.labels), len(IOU_THRESHOLDS), len(RECALLS)), np.nan)
        for label, curves in self.curves().items():
            table[label] = [np.interp(RECALLS, *points, right=0.0) for points in curves]
        return table

    def outcomes(self) -> tuple[Float[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
        """Return the scores of detections, and whether they are true positives at an IoU of 0.5."""
        rows = np.concatenate([np.zeros(0, self.row_dtype), *self.rows])
        positives = rows["true_positives"][:, 0], rows["false_positives"][:, 0]
        scores = np.concatenate([np.repeat(rows["score"], counts) for counts in positives])
        return scores, np.arange(len(scores)) < positives[0].sum()

    def curves(self) -> dict[int, list[tuple[np.ndarray, np.ndarray]]]:
        """Compute recalls and precisions of classes with ground truth, one curve per threshold."""
        rows = np.concatenate([np.zeros(0, self.row_dtype), *self.rows])
        rows = rows[np.lexsort((-rows["score"], rows["label"]))]
        bounds = np.searchsorted(rows["label"], np.arange(len(self.labels) + 1))
        curves = {}
        for label in np.flatnonzero(self.num_ground_truth).tolist():
            class_rows, num_objects = (
                rows[bounds[label] : bounds[label + 1]],
                int(self.num_ground_truth[label]),
            )
            counts = zip(
                class_rows["true_positives"].T, class_rows["false_positives"].T, strict=True
            )
            curves[label] = [
                precision_recall_curve(class_rows["score"], *positives, num_objects)
                for positives in counts
            ]
        return curves


def count_positives(
    predicted: Objects,
    ground_truth: Objects,
    is_counted: Bool[np.ndarray, " t"],
    on_void: Int[np.ndarray, " p"],
) -> tuple[Int[np.ndarray, "p n"], Int[np.ndarray, "p n"]]:
    """Count the true and false positives of each detection of a class, per threshold.

    Args:
        predicted: Detections of one class in one image.
        ground_truth: Ground-truth objects of the class.
        is_counted: Ground-truth objects that count.
        on_void: Number of pixels of each detection that lie on void.
    """
    overlapping = boxes_overlap(predicted.boxes, ground_truth.boxes)
    shared = shared_pixels(predicted.masks, ground_truth.masks, overlapping)
    areas, true_areas, no_crowds = (
        mask_areas(predicted),
        mask_areas(ground_truth),
        np.zeros(len(ground_truth), bool),
    )
    ious = divide_by_union(shared.astype(np.float64), areas, true_areas, no_crowds)
    is_match = ious[..., None] > IOU_THRESHOLDS
    # A small group belongs to both terms and counts twice, as in the authors' code.
    ignored_area = (
        on_void + shared[:, ground_truth.crowds].sum(1) + shared[:, true_areas < MIN_AREA].sum(1)
    )
    is_unmatched = ~is_match.any(1) & ((ignored_area / areas)[:, None] <= IOU_THRESHOLDS)
    hits = is_match[:, is_counted]
    # Among equal scores, the choice of the true positive does not affect the result.
    best = np.where(hits, predicted.scores[:, None, None], -np.inf).argmax(0)
    true_positives = np.zeros(is_unmatched.shape, np.int64)
    objects, thresholds = np.nonzero(hits.any(0))
    np.add.at(true_positives, (best[objects, thresholds], thresholds), 1)
    return true_positives, hits.sum(1) - true_positives + is_unmatched


def area_under_curve(recall: Float[np.ndarray, " r"], precision: Float[np.ndarray, " r"]) -> float:
    """Compute the area under the lines between points in order of ascending recall."""
    return float((np.diff(recall) * (precision[1:] + precision[:-1])).sum() / 2)


def precision_recall_curve(
    scores: Float[np.ndarray, " p"],
    true_positives: Integer[np.ndarray, " p"],
    false_positives: Integer[np.ndarray, " p"],
    num_ground_truth: int,
) -> tuple[Float[np.ndarray, " r"], Float[np.ndarray, " r"]]:
    """Compute the points (recall, precision) from recall 0 on, one for each distinct score.

    Args:
        scores: Scores of detections in descending order.
        true_positives: Number of true positives per detection.
        false_positives: Number of false positives per detection.
        num_ground_truth: Number of ground-truth objects, at least one.
    """
    is_counted = (true_positives | false_positives) > 0
    scores, true_positives, false_positives = (
        scores[is_counted],
        true_positives[is_counted],
        false_positives[is_counted],
    )
    last = np.flatnonzero(np.append(scores[1:] != scores[:-1], True)) if len(scores) else []
    num_true = true_positives.cumsum(dtype=np.int64)[last]
    detections = num_true + false_positives.cumsum(dtype=np.int64)[last]
    return np.append(0.0, num_true / num_ground_truth), np.append(1.0, num_true / detections)


def mask_areas(objects: Objects) -> Float[np.ndarray, " n"]:
    """Count the pixels of each mask; `areas` holds the numbers from annotation files."""
    return np.array([mask.area for mask in objects.masks], np.float64)
